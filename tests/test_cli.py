"""The command line: exit status, one-line errors, JSON; then every command on the real weights."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import srt
from tiny_voice import tiny_voice

import speechkit as sk
from speechkit.cli import main

COMMANDS = ("talk", "transcribe", "speak", "verify", "enroll", "identify", "speakers", "forget")
COMMANDS += ("models", "voices", "doctor", "demo")


def median_seconds(*command: str) -> float:
    """Median wall-clock time of five runs."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def test_importing_the_package_is_quick_and_loads_nothing_heavy():
    code = "import sys, speechkit; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert median_seconds("-c", "import speechkit") - median_seconds("-c", "") < 0.2


def test_help_is_quick_and_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert set(COMMANDS) <= set(re.findall(r"^ {4}(\w+)\s", out, re.M))
    assert median_seconds("-m", "speechkit.cli", "--help") < 0.5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["speak", "hello"],
        ["transcribe"],
        ["transcribe", "a.wav", "-f", "doc"],
        ["models", "fetch"],
        ["models", "list", "base"],
    ],
)
def test_wrong_usage_ends_with_2(argv):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2


def write_bad_input(kind: str, folder: Path) -> Path:
    """A file of one kind of bad input, and what the message must speak of."""
    path = folder / f"{kind}.wav"
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("This is no audio at all. " * 40)
    elif kind == "nothing":
        path.write_bytes(b"")
    elif kind == "no-samples":
        soundfile.write(path, np.zeros(0), 16_000)
    elif kind == "nan":
        soundfile.write(path, np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    elif kind == "two-hours":
        path = path.with_suffix(".flac")
        soundfile.write(path, np.zeros(2 * 3600 * 8000, np.int16), 8000)
    return path  # "missing" is never written


BAD = ("missing", "directory", "text", "nothing", "no-samples", "nan")


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        *((command, kind) for command in ("talk", "transcribe", "verify") for kind in BAD),
        ("talk", "two-hours"),
        ("verify", "two-hours"),
    ],
)
def test_bad_input_is_one_line_and_status_1(command, kind, tmp_path, capsys, monkeypatch):
    """The models are never loaded: there are none in this home, and the network is forbidden."""
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    path = str(write_bad_input(kind, tmp_path))
    argv = {
        "talk": ["talk", path, "-o", str(tmp_path / "reply.wav")],
        "transcribe": ["transcribe", path, "--max-seconds", "3600"],
        "verify": ["verify", path, path],
    }[command]
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert Path(path).name in captured.err
    assert not (tmp_path / "reply.wav").exists()


def test_bad_input_from_a_shell_shows_no_traceback(tmp_path):
    command = [sys.executable, "-m", "speechkit.cli", "transcribe", str(tmp_path / "none.wav")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("error: ")
    assert run.stderr.count("\n") == 1
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True)
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr


def test_what_cannot_be_written_is_said_before_the_work(tmp_path, capsys, monkeypatch):
    """There are no weights here, so getting as far as the models would be another error."""
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    for argv in (["speak", "Hello."], ["talk", "question.wav"]):
        assert main([*argv, "-o", str(tmp_path / "a.xyz")]) == 1
        assert "unknown ending" in capsys.readouterr().err
        assert main([*argv, "-o", str(tmp_path / "nowhere" / "a.wav")]) == 1
        assert "a folder that exists" in capsys.readouterr().err
    assert main(["transcribe", "a.wav", "b.wav", "-f", "srt"]) == 1
    assert "-o DIR" in capsys.readouterr().err


def test_offline_without_weights_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    assert main(["speak", "Hello.", "-o", str(tmp_path / "a.wav")]) == 1
    error = capsys.readouterr().err
    assert "speechkit models fetch en_US-joe-medium" in error
    assert "SPEECHKIT_OFFLINE" in error


def test_models_lists_and_finds_paths(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert {"base", "tiny.en", "en_US-joe-medium"} <= {row["name"] for row in rows}
    assert all(row["state"] == "absent" and row["licence"] for row in rows)
    assert main(["models", "path", "base"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "models" / "base")
    assert main(["models", "path", "nonsense"]) == 1
    assert "known are" in capsys.readouterr().err


def test_doctor_names_each_fault_and_its_cure(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    assert main(["doctor", "--json"]) == 1  # no weights here
    report = json.loads(capsys.readouterr().out)
    findings = {finding["name"]: finding for finding in report["findings"]}
    assert not report["healthy"]
    assert findings["base"]["mend"] == "speechkit models fetch base"
    assert findings["gemma-3-270m"]["ok"]  # nothing needs it
    for part in ("torch pair", "device", "threads", "decoders", "phonemes", "folder"):
        assert findings[part]["ok"], findings[part]


def test_doctor_survives_a_broken_part(capsys, monkeypatch):
    monkeypatch.setattr("speechkit.doctor._decoders", lambda: 1 / 0)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "BAD decoders" in out
    assert "pip install" in out


# On the real weights


@pytest.fixture(scope="module")
def spoken(voice, tmp_path_factory) -> Path:
    """A question spoken by the voice."""
    path = tmp_path_factory.mktemp("cli") / "question.wav"
    voice.synthesize("Good morning. What is the capital of France?").save(path)
    return path


@pytest.mark.real
def test_speak_reads_standard_input(loaded, tmp_path, capsys, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("Two words."))
    out = tmp_path / "a.flac"
    assert main(["speak", "-", "-o", str(out), "--speed", "1.5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    info = soundfile.info(out)
    assert data["audio"] == str(out)
    assert data["duration"] == pytest.approx(info.duration)
    assert (info.samplerate, info.format) == (22_050, "FLAC")


@pytest.mark.real
def test_speak_takes_all_that_a_voice_takes(loaded, tmp_path, capsys):
    out, subtitles = tmp_path / "a.opus", tmp_path / "a.srt"
    argv = ["speak", "One, two.\n\nThree.", "-o", str(out), "--subtitles", str(subtitles), "--json"]
    argv += [
        "--comma-pause",
        "0.5",
        "--pause",
        "0.1",
        "--paragraph-pause",
        "1",
        "--loudness",
        "-20",
    ]
    argv += ["--noise-scale", "0", "--noise-w", "0", "--seed", "4", "--speaker", "0"]
    assert main(argv) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["duration"] == pytest.approx(sk.load_audio(out).duration, abs=0.1)
    assert [cue.content for cue in srt.parse(subtitles.read_text())] == ["One, two.", "Three."]
    assert data["subtitles"] == str(subtitles)


def test_speak_with_a_lexicon_and_a_voice_of_ones_own(tmp_path):
    tiny_voice(tmp_path)
    (tmp_path / "words.txt").write_text("one\tseventeen\n")
    argv = ["speak", "one", "-o", str(tmp_path / "a.wav"), "--voice", str(tmp_path / "tiny.onnx")]
    argv += ["--lexicon", str(tmp_path / "words.txt"), "--subtitles", str(tmp_path / "a.json")]
    assert main(argv) == 0
    words = json.loads((tmp_path / "a.json").read_text())["segments"][0]["words"]
    assert [word["text"] for word in words] == ["seventeen"]


def test_a_voice_nobody_knows(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    assert main(["speak", "Hi.", "-o", str(tmp_path / "a.wav"), "--voice", "nobody"]) == 1
    assert "en_US-joe-medium" in capsys.readouterr().err
    assert main(["voices"]) == 1
    assert "network" in capsys.readouterr().err


@pytest.mark.real
def test_talk_hears_answers_and_times_each_stage(loaded, spoken, tmp_path, capsys):
    out, book = tmp_path / "reply.wav", str(tmp_path / "voices.db")
    assert main(["talk", str(spoken), "-o", str(out), "--book", book, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert "capital of france" in data["text"].lower()
    assert data["speaker"] is None
    assert data["text"] in data["reply"]
    assert data["audio"] == str(out)
    assert soundfile.info(out).duration > 1
    assert set(data["timings"]) == {"load", "hear", "recognise", "answer", "speak"}
    assert all(seconds >= 0 for seconds in data["timings"].values())


@pytest.mark.real
def test_a_voice_is_enrolled_known_and_forgotten(loaded, spoken, tmp_path, capsys):
    book = ["--book", str(tmp_path / "voices.db")]
    assert main(["speakers", *book]) == 0
    assert "nobody is enrolled" in capsys.readouterr().out
    assert main(["enroll", "Joe", str(spoken), *book]) == 0
    assert main(["identify", str(spoken), *book, "--json"]) == 0
    known = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert known["speaker"] == "Joe"
    assert known["scores"]["Joe"] > 0.9
    assert main(["talk", str(spoken), "-o", str(tmp_path / "r.wav"), *book, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reply"].startswith("Joe, ")
    assert main(["forget", "Joe", *book]) == 0
    assert main(["identify", str(spoken), *book]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "unknown"
    assert main(["forget", "Joe", *book]) == 1


@pytest.mark.real
def test_transcribe_writes_every_format_and_goes_on_after_a_bad_file(
    loaded, spoken, tmp_path, capsys
):
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio")
    for form in ("txt", "srt", "vtt", "tsv", "json"):
        assert main(["transcribe", str(spoken), "-f", form, "-o", str(tmp_path), "--words"]) == 0
        assert "France" in (tmp_path / f"question.{form}").read_text()
    words = json.loads((tmp_path / "question.json").read_text())["segments"][-1]["words"]
    assert words[-1]["text"].startswith("France")
    capsys.readouterr()
    assert main(["transcribe", str(bad), str(spoken), "--language", "en", "--json"]) == 1
    captured = capsys.readouterr()
    first, second = json.loads(captured.out)["transcripts"]
    assert "bad.wav" in first["error"]
    assert "France" in second["text"]
    assert captured.err.startswith("error: ")


@pytest.mark.real
def test_ten_milliseconds_are_one_line(loaded, tmp_path, capsys):
    path = tmp_path / "short.wav"
    soundfile.write(path, np.full(160, 0.1, np.float32), 16_000)
    for argv in (["transcribe", str(path)], ["talk", str(path)], ["verify", str(path), str(path)]):
        assert main(argv) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1


@pytest.mark.real
def test_verify_compares_two_recordings(loaded, spoken, tmp_path, capsys):
    other = tmp_path / "other.wav"
    samples, rate = soundfile.read(spoken)
    soundfile.write(other, samples, round(rate * 1.35))  # a smaller person, in a hurry
    assert main(["verify", str(spoken), str(spoken), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True
    assert main(["verify", str(spoken), str(other), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["same"] is False
    assert result["score"] < result["threshold"]
    assert result["probability"] < 0.5


@pytest.mark.real
def test_trials_and_pictures(loaded, spoken, tmp_path, capsys):
    samples, rate = soundfile.read(spoken)
    for name, part, speed in (("a", samples, 1), ("b", samples / 2, 1), ("c", samples, 1.35)):
        soundfile.write(tmp_path / f"{name}.wav", part, round(rate * speed))
    trials = tmp_path / "trials.txt"
    trials.write_text("1 a.wav b.wav\n0 a.wav c.wav\n")
    det = tmp_path / "det.png"
    assert main(["trials", str(trials), "--det", str(det), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["trials"], result["eer"], result["det"]) == (2, 0, str(det))
    book, drawn = str(tmp_path / "book.db"), tmp_path / "map.png"
    files = [str(tmp_path / f"{name}.wav") for name in "abc"]
    assert main(["enroll", "Joe", *files[:2], "--book", book]) == 0
    assert main(["speakers", "--book", book, "--map", str(drawn)]) == 1
    assert "at least 4" in capsys.readouterr().err
    assert main(["enroll", "Jim", files[2], str(spoken), "--book", book]) == 0
    assert main(["speakers", "--book", book, "--map", str(drawn)]) == 0
    assert det.read_bytes()[:4] == drawn.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.real
def test_everything_works_with_the_network_cut(spoken, tmp_path):
    """The commands in a network namespace without any interface."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"]).returncode:
        pytest.skip("unshare -n is not permitted here")
    env = {**os.environ, "SPEECHKIT_OFFLINE": ""}
    question, reply = str(spoken), str(tmp_path / "reply.wav")
    for argv in (
        ["talk", question, "-o", reply],
        ["transcribe", question],
        ["speak", "No network is needed.", "-o", reply],
        ["verify", question, reply],
    ):
        command = ["unshare", "-n", sys.executable, "-m", "speechkit.cli", *argv]
        run = subprocess.run(command, capture_output=True, text=True, env=env)
        assert run.returncode == 0, run.stderr
        assert run.stdout
