"""`speechkit transcribe` on scripted models: every option arrives, every format and error comes out."""

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import srt
from scripted_asr import RATE, ScriptedEngine, signal, text

from speechkit.asr import Segment, Transcriber, Transcript, Word
from speechkit.audio import Limits
from speechkit.cli import main

TALK = Transcript(
    "One two three.",
    "en",
    3.0,
    (
        Segment(
            0.0,
            3.0,
            "One two three.",
            0.9,
            tuple(Word(w, i, i + 1.0, 0.5) for i, w in enumerate(("One", "two", "three."))),
        ),
    ),
)


class Recorder:
    """Stands in for `Transcriber` and keeps what it was asked for."""

    def __init__(self):
        self.loaded, self.files, self.options = [], [], {}

    def load(self, *args, **options):
        self.loaded.append((args, options))
        return self

    def transcribe(self, file, progress=None, **options):
        self.files, self.options = [file], options
        return TALK

    def transcribe_many(self, files, progress=None, **options):
        self.files, self.options = files, options
        return (TALK for _ in files)


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr("speechkit.asr.load_asr", recorder.load)
    return recorder


@pytest.fixture
def engine(monkeypatch, amplitude_detector):
    """A scripted engine behind the command."""
    engine = ScriptedEngine()
    monkeypatch.setattr("speechkit.asr.load_asr", lambda *_, **__: Transcriber(engine, "scripted"))
    return engine


@pytest.fixture
def talk(tmp_path):
    path = tmp_path / "talk.wav"
    soundfile.write(path, signal(*range(10)), RATE)
    return str(path)


# --- options


def test_without_options_the_library_s_own_defaults_hold(recorder, talk, capsys):
    assert main(["transcribe", talk]) == 0
    assert capsys.readouterr() == ("One two three.\n", "")
    assert recorder.loaded == [(("base",), {"engine": "fast", "device": "auto"})]
    assert recorder.files == [talk]
    parameters = inspect.signature(Transcriber.transcribe).parameters
    limits = recorder.options.pop("limits")
    assert limits == Limits()
    for name, value in recorder.options.items():
        default = parameters[name].default
        assert value == (list(default) if isinstance(default, tuple) else default), name


def test_every_option_arrives(recorder, talk):
    argv = ["transcribe", talk, "--model", "tiny.en", "--engine", "reference", "--device", "cpu"]
    argv += ["--language", "de", "--task", "translate", "--words", "--prompt", "A talk."]
    argv += ["--beam-size", "1", "--max-seconds", "60", "--clip", "1.5-4", "--clip", "8-"]
    argv += ["--hot-words", "Zaphod", "--hot-words", "Ford Prefect"]
    assert main(argv) == 0
    assert recorder.loaded == [(("tiny.en",), {"engine": "reference", "device": "cpu"})]
    assert recorder.options == {
        "language": "de",
        "task": "translate",
        "words": True,
        "prompt": "A talk.",
        "hot_words": ["Zaphod", "Ford Prefect"],
        "clips": [(1.5, 4.0), (8.0, None)],
        "beam_size": 1,
        "limits": Limits(seconds=60),
    }


def test_options_arrive_for_several_files_too(recorder, talk, capsys):
    argv = ["transcribe", talk, talk, "--clip", "0-2", "--hot-words", "Zaphod", "--language", "en"]
    assert main(argv) == 0
    assert capsys.readouterr().out == "One two three.\n" * 2
    assert recorder.files == [talk, talk]
    assert recorder.options["clips"] == [(0.0, 2.0)]
    assert (recorder.options["hot_words"], recorder.options["language"]) == (["Zaphod"], "en")


def test_narrow_subtitles_take_the_times_of_words(recorder, talk, capsys):
    options = ["-f", "srt", "--line-length", "7", "--lines", "1"]
    assert main(["transcribe", talk, *options]) == 0
    assert recorder.options["words"] is True
    found = list(srt.parse(capsys.readouterr().out))
    assert [s.content for s in found] == ["One two", "three."]
    assert [s.start.total_seconds() for s in found] == [0, 2]
    assert main(["transcribe", talk, "-f", "srt"]) == 0
    assert recorder.options["words"] is False
    assert len(list(srt.parse(capsys.readouterr().out))) == 1


def test_files_have_the_same_lines_as_what_is_printed(recorder, talk, tmp_path, capsys):
    options = ["-f", "vtt", "--line-length", "7", "--lines", "1"]
    assert main(["transcribe", talk, *options]) == 0
    printed = capsys.readouterr().out
    assert main(["transcribe", talk, *options, "-o", str(tmp_path / "new")]) == 0
    saved = tmp_path / "new" / "talk.vtt"
    assert capsys.readouterr().out == f"{saved}\n"
    assert saved.read_text(encoding="utf-8").rstrip("\n") == printed.rstrip("\n")


@pytest.mark.parametrize(
    "options",
    [
        ["--clip", "a-b"],
        ["--clip", "1-2-3"],
        ["--clip", "-"],
        ["--clip"],
        ["--hot-words"],
        ["--line-length", "0"],
        ["--line-length", "wide"],
        ["--lines", "0"],
        ["--lines", "-2"],
        ["--beam-size", "many"],
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(options, recorder, talk, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["transcribe", talk, *options])
    assert ended.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"speechkit transcribe: error: argument {options[0]}: ")
    assert "_" not in error, "the name of a function is of no use"
    assert recorder.loaded == []


# --- what comes out


def test_clips_are_read_alone(engine, talk, capsys):
    assert main(["transcribe", talk, "--clip", "0.38-1.18", "--clip", "3.18-"]) == 0
    assert capsys.readouterr().out.split() == text(1, 2, 8, 9).split()
    assert main(["transcribe", talk, "--clip", "3-4", "--clip", "1-2"]) == 1
    assert "give (start, end) in order and apart" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["txt", "srt", "vtt", "tsv", "json"])
def test_every_format_is_printed_and_saved(form, engine, talk, tmp_path, capsys):
    assert main(["transcribe", talk, "-f", form, "--words"]) == 0
    printed = capsys.readouterr().out
    assert "w0 w1 w2" in printed
    assert main(["transcribe", talk, "-f", form, "--words", "-o", str(tmp_path)]) == 0
    assert (tmp_path / f"talk.{form}").read_text(encoding="utf-8").strip() == printed.strip()
    if form == "json":
        assert json.loads(printed)["segments"][0]["words"][1]["text"] == "w1"


def test_json_says_all_of_one_and_of_several(engine, talk, tmp_path, capsys):
    (bad := tmp_path / "bad.wav").write_text("no audio")
    argv = ["--language", "en", "--json"]
    assert main(["transcribe", talk, *argv]) == 0
    one = json.loads(capsys.readouterr().out)
    assert (one["file"], one["text"], one["language"]) == (talk, text(*range(10)), "en")
    assert main(["transcribe", str(bad), talk, *argv, "-o", str(tmp_path), "-f", "srt"]) == 1
    out, err = capsys.readouterr()
    first, second = json.loads(out)["transcripts"]
    assert "not audio" in first["error"]
    assert first["file"] == str(bad)
    assert second == {**one, "saved": str(tmp_path / "talk.srt")}
    assert err == f"error: {first['error']}\n"


def test_a_bad_file_among_others_is_told_and_passed_over(engine, talk, tmp_path, capsys):
    gone = str(tmp_path / "gone.wav")
    assert main(["transcribe", talk, gone, talk]) == 1
    out, err = capsys.readouterr()
    assert out == f"{text(*range(10))}\n" * 2
    assert err == f"error: {gone}: no such file; check the path\n"


def test_silence_is_an_empty_line_and_no_error(engine, tmp_path, capsys):
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(RATE), RATE)
    assert main(["transcribe", str(path)]) == 0
    assert capsys.readouterr() == ("\n", "")
    assert engine.calls == []


def test_too_long_and_too_short_recordings_are_one_line(engine, tmp_path, capsys):
    long, short = tmp_path / "two-hours.flac", tmp_path / "short.wav"
    soundfile.write(long, np.zeros(2 * 3600 * 8000, np.int16), 8000)
    soundfile.write(short, np.full(160, 0.1, np.float32), RATE)
    for path, says in ((long, "two-hours.flac: over the limit of 3600 seconds"), (short, "0.1 s")):
        assert main(["transcribe", str(path), "--max-seconds", "3600"]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("error: ")
        assert says in err
    assert engine.calls == []


def test_help_names_the_options_and_their_defaults():
    run = subprocess.run(
        [sys.executable, "-m", "speechkit.cli", "transcribe", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for option in ("--hot-words", "--clip START-END", "--line-length N", "--lines N"):
        assert option in run.stdout
    assert "fast or reference (default: fast)" in " ".join(run.stdout.split())


# --- the other commands that recognise


def test_talk_and_demo_recognise_with_the_fast_engine(monkeypatch, talk, capsys):
    asked = []

    class Pipeline:
        def __init__(self, **options):
            asked.append(options["engine"])
            raise RuntimeError("far enough")

    monkeypatch.setattr("speechkit.pipeline.Pipeline", Pipeline)
    monkeypatch.setattr("speechkit.Pipeline", Pipeline, raising=False)
    for options, engine in (([], "fast"), (["--engine", "reference"], "reference")):
        for command in (["talk", talk], ["demo", "--port", "0"]):
            assert main([*command, *options]) == 1
            assert asked.pop() == engine
    assert "far enough" in capsys.readouterr().err
