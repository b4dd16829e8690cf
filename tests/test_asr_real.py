"""Whisper on its real weights: the engines agree, words are right and timed, silence has none."""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import torch
from whisper.normalizers import EnglishTextNormalizer

from speechkit import hub
from speechkit.asr import Transcriber, Transcript, load_asr, transcriber
from speechkit.asr.ct2_weights import openai_state_dict, read_variables
from speechkit.asr.ctranslate import load_engine
from speechkit.asr.engine import DecodeOptions
from speechkit.asr.windows import Cutting, Window
from speechkit.audio import Audio, load_audio

pytestmark = pytest.mark.real

RATE = 16_000
ENGLISH = (  # read, answered and spontaneous speech; two longer than a window
    "asr_en/audio/librispeech/1688-142285-0000.flac",
    "asr_en/audio/librispeech/367-130732-0001.flac",
    "asr_en/audio/asterisk/call-fwd-on-busy.wav",
    "asr_en/audio/mfa_spont/acoustic_corpus.wav",
    "asr_en/audio/long/sonnet001.mp3",
)
SPOKEN = (  # what our own voice says where there are no recordings
    "The quick brown fox jumps over the lazy dog. How are you today?",
    "Please leave a message after the tone.",
    "The number is 45, and the year was 1998.",
    "In the spring we went to the mountains. The snow had melted, and the rivers were full. "
    "We walked for hours without meeting anyone. In the evening we came to a small village. "
    "An old man gave us bread and cheese. He told us about the winter, which had been long. "
    "In the morning the sun was shining. We said goodbye and followed the road to the north. "
    "After two days we reached the sea. There was a harbour with many boats. "
    "The fishermen were mending their nets. One of them sang a song that my mother used to sing.",
)
normal = EnglishTextNormalizer()


@pytest.fixture(scope="module")
def reference() -> Transcriber:
    return load_asr("base", engine="reference")


@pytest.fixture(scope="module")
def exact() -> Transcriber:
    """The fast engine in float32."""
    return Transcriber(load_engine("base", "cpu", "float32"), "base")


@pytest.fixture(scope="module")
def english(request: pytest.FixtureRequest) -> dict[str, Audio]:
    """Recordings of English; without the evaluation folder, our own voice."""
    try:
        folder: Path = request.getfixturevalue("eval_dir")
    except pytest.skip.Exception:
        voice = request.getfixturevalue("voice")
        return {text[:20]: voice.synthesize(text).resample(RATE) for text in SPOKEN}
    return {name: load_audio(folder / name, RATE) for name in ENGLISH}


@pytest.fixture(scope="module")
def long_speech(request: pytest.FixtureRequest) -> tuple[Audio, str]:
    """A minute of reading, and its text."""
    try:
        folder: Path = request.getfixturevalue("eval_dir") / "asr_en"
    except pytest.skip.Exception:
        return request.getfixturevalue("voice").synthesize(SPOKEN[-1]).resample(RATE), SPOKEN[-1]
    rows = map(json.loads, (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    row = next(row for row in rows if row["audio"].endswith("sonnet001.mp3"))
    return load_audio(folder / row["audio"], RATE), row["text"]


def whole(audio: Audio) -> Window:
    """The first 30 s as one window."""
    samples = audio.samples[: 30 * RATE]
    return Window(0, samples, np.ones(len(samples) // 512 + 1, np.float32))


def differences(said: str, heard: str) -> jiwer.WordOutput:
    return jiwer.process_words(normal(said), normal(heard))


def words_of(transcript: Transcript) -> list[Any]:
    return [word for segment in transcript.segments for word in segment.words]


# The engines


@pytest.mark.parametrize("name", ["base", "tiny.en"])
def test_every_weight_has_its_place(name: str, reference: Transcriber) -> None:
    from whisper.model import sinusoids

    loaded = reference if name == "base" else load_asr(name, engine="reference")
    model: Any = loaded.engine.model  # type: ignore[attr-defined]
    state = openai_state_dict(read_variables(hub.fetch(name) / "model.bin"))
    own = {key: tensor.cpu() for key, tensor in model.state_dict().items()}
    assert state.keys() == own.keys()
    assert all(torch.equal(state[key], own[key]) for key in own)
    # The one tensor that openai-whisper computes by itself as well; the file rounds it to float16.
    expected = sinusoids(1500, model.dims.n_audio_state)
    assert torch.allclose(own["encoder.positional_embedding"], expected, atol=1e-3)


def test_in_float32_the_engines_agree_number_by_number(
    reference: Transcriber, exact: Transcriber, english: dict[str, Audio]
) -> None:
    options = DecodeOptions("en")
    for audio in list(english.values())[:4]:
        window = whole(audio)
        ours = exact._reader.encode([window], full=True)
        theirs = reference._reader.encode([window])
        np.testing.assert_allclose(ours.states.window, theirs.states.numpy(), atol=2e-3)
        [heard], [trusted] = (
            r.engine.decode(e.states, options) for r, e in ((exact, ours), (reference, theirs))
        )
        assert heard.tokens == trusted.tokens
        assert heard.mean_log_probability == pytest.approx(trusted.mean_log_probability, abs=1e-3)
        assert heard.no_speech_probability == pytest.approx(trusted.no_speech_probability, abs=1e-3)
        [a], [b] = (
            r.engine.align(e.states, [heard.tokens], [len(window.samples) // 160], options)
            for r, e in ((exact, ours), (reference, theirs))
        )
        assert [w.text for w in a] == [w.text for w in b]
        marks = [w.mark_probability for w in a]
        assert marks == pytest.approx([w.mark_probability for w in b], abs=0.01)
        assert 0 < min(marks) < max(marks) == 1, "some words have a mark behind them"
        near = [
            max(abs(x.start - y.start), abs(x.end - y.end)) <= 0.04
            for x, y in zip(a, b, strict=True)
        ]
        assert np.mean(near) > 0.95
        languages, trusted_languages = (
            r.engine.detect_language(e.states)[0] for r, e in ((exact, ours), (reference, theirs))
        )
        assert languages == pytest.approx(trusted_languages, abs=1e-3)


def test_a_model_of_english_alone_has_the_same_tokens_on_both_engines(
    english: dict[str, Audio],
) -> None:
    fast, reference = (load_asr("tiny.en", engine=engine) for engine in ("fast", "reference"))
    ours, theirs = (asr.engine.tokenizer("en", "transcribe") for asr in (fast, reference))
    sequence = "sot_sequence_including_notimestamps"
    assert getattr(ours, sequence) == getattr(theirs, sequence)
    audio = next(iter(english.values()))
    assert differences(reference.transcribe(audio).text, fast.transcribe(audio).text).wer < 0.15


def test_int8_and_cut_windows_change_few_words(
    asr: Transcriber, reference: Transcriber, english: dict[str, Audio]
) -> None:
    some = list(english.values())[:4]
    said = [reference.transcribe(audio, language="en").text for audio in some]
    heard = [asr.transcribe(audio, language="en").text for audio in some]
    counted = jiwer.process_words([normal(t) for t in said], [normal(t) for t in heard])
    words = sum(len(normal(t).split()) for t in said)
    print(
        f"of {words} words {counted.substitutions} differ, {counted.deletions} are missing, "
        f"{counted.insertions} added"
    )
    assert counted.wer < 0.08


def test_an_encoder_in_bfloat16_hears_the_same(
    asr: Transcriber, english: dict[str, Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    from speechkit.asr.bfloat16 import Bfloat16Encoder
    from speechkit.asr.openai import build

    engine: Any = asr.engine
    audio = list(english.values())[1]
    plain = asr.transcribe(audio, language="en").text
    encoder = Bfloat16Encoder(build(hub.fetch("base"), "base", "cpu").encoder)
    monkeypatch.setattr(engine, "_bfloat16", encoder)
    assert differences(plain, asr.transcribe(audio, language="en").text).wer < 0.15


# What is heard


def test_few_words_of_read_speech_are_wrong(asr: Transcriber, eval_dir: Path) -> None:
    lines = (eval_dir / "asr_en" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["dataset"].startswith("librispeech")]
    rows = [row for row in rows if 3 < row["duration"] < 8][::2][:15]
    assert len(rows) == 15
    files = [eval_dir / "asr_en" / row["audio"] for row in rows]
    heard = [t.text for t in asr.transcribe_many(files, language="en")]  # type: ignore[union-attr]
    rate = jiwer.wer([normal(row["text"]) for row in rows], [normal(text) for text in heard])
    print(f"WER {rate:.4f}")
    assert rate < 0.09


@pytest.mark.parametrize(
    ("file", "language"), [("de/leopard_test_de.wav", "de"), ("zh/thchs30_D4_974.wav", "zh")]
)
def test_other_languages_are_detected(
    asr: Transcriber, reference: Transcriber, eval_dir: Path, file: str, language: str
) -> None:
    audio = load_audio(eval_dir / "asr_multi" / "audio" / file, RATE)
    assert next(iter(asr.detect_language(audio))) == language
    ours = asr.transcribe(audio, words=True)
    assert ours.language == language
    assert 0.5 < ours.language_probability < 1
    joint = "" if language == "zh" else " "
    assert joint.join(word.text for word in words_of(ours)) == ours.text
    if language == "de":  # Chinese may come in either of its scripts
        assert differences(reference.transcribe(audio).text, ours.text).wer < 0.5


def test_translation_into_english(asr: Transcriber, eval_dir: Path) -> None:
    audio = load_audio(eval_dir / "asr_multi" / "audio" / "it" / "leopard_test_it.wav", RATE)
    ours = asr.transcribe(audio, task="translate")
    assert ours.language == "it"
    assert {"the", "radio", "songs"} <= set(ours.text.lower().split())


def test_hot_words_steer_the_spelling(asr: Transcriber, voice: Any) -> None:
    audio = voice.synthesize("We met Aimee and Geoff at the harbour.")
    names = ["Aimee", "Geoff", "harbour"]
    plain = asr.transcribe(audio, language="en").text
    assert not any(name in plain for name in names)
    steered = asr.transcribe(audio, language="en", hot_words=names).text
    assert all(name in steered for name in names)


def test_clips_are_read_alone(asr: Transcriber, voice: Any) -> None:
    parts = [
        voice.synthesize(t).resample(RATE).samples
        for t in ("One apple.", "Two dogs.", "A red house.")
    ]
    gap = np.zeros(RATE, np.float32)
    starts = np.cumsum([0, *(len(p) + RATE for p in parts)]) / RATE
    audio = Audio(np.concatenate([x for p in parts for x in (p, gap)]), RATE)
    middle = asr.transcribe(audio, language="en", clips=[(starts[1] - 0.3, starts[2] - 0.3)])
    assert "dog" in middle.text.lower()
    assert "house" not in middle.text.lower()
    assert "apple" not in middle.text.lower()
    assert middle.segments[0].start == pytest.approx(starts[1], abs=0.3)
    rest = asr.transcribe(audio, language="en", clips=[(starts[2] - 0.3, None)])
    assert "house" in rest.text.lower()
    assert "dog" not in rest.text.lower()


def test_no_word_is_lost_or_doubled_at_a_cut(
    asr: Transcriber, long_speech: tuple[Audio, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of at most 6, 6.5, ... 12 s, so that the cuts wander by half seconds."""
    audio, said = long_speech
    errors, cuts = {}, 0
    for longest in (30.0, *np.arange(6, 12.5, 0.5).tolist()):
        monkeypatch.setattr(transcriber, "CUTTING", Cutting(max_window=longest, max_pause=9.0))
        counted = differences(said, asr.transcribe(audio, language="en", beam_size=1).text)
        errors[longest] = counted.deletions + counted.insertions
        cuts += int(audio.duration / longest)
    print(f"{cuts} cuts; words lost or added by the longest window: {errors}")
    assert max(errors.values()) - min(errors.values()) <= 6  # in all, wherever the cuts are
    assert np.mean(list(errors.values())) < 0.08 * len(normal(said).split())


# Words


def test_words_are_in_order_inside_and_in_no_pause(
    asr: Transcriber, english: dict[str, Audio]
) -> None:
    from speechkit.vad import detect_speech

    for audio in english.values():
        words = words_of(asr.transcribe(audio, language="en", words=True))
        assert all(0 <= w.start <= w.end <= audio.duration for w in words)
        assert all(a.end <= b.start for a, b in pairwise(words))
        assert all(w.source in ("aligned", "interpolated") for w in words)
        assert np.mean([w.source == "aligned" for w in words]) > 0.9
        speech = detect_speech(audio, min_pause=0.5, min_speech=0.0)
        for (_, a), (b, _) in pairwise([(s.start, s.end) for s in speech]):
            inside = [w for w in words if min(w.end, b) - max(w.start, a) > 0.2]
            assert not inside, (a, b, inside)


def test_digits_have_times(asr: Transcriber, voice: Any) -> None:
    audio = voice.synthesize("The number is 45, and the year was 1998.")
    words = words_of(asr.transcribe(audio, language="en", words=True))
    digits = [word for word in words if any(map(str.isdigit, word.text))]
    assert digits
    assert all(0.1 < word.end - word.start < 3 for word in digits)


# Nobody speaks


def test_noise_music_and_silence_give_no_words(asr: Transcriber) -> None:
    rng, minute = np.random.default_rng(0), np.arange(60 * RATE) / RATE
    hum = 0.2 * np.sin(2 * np.pi * 50 * minute) + 0.05 * np.sin(2 * np.pi * 150 * minute)
    chord = sum(0.1 * np.sin(2 * np.pi * f * minute) for f in (220, 277, 330, 440))
    for sound in (
        np.zeros(10 * 60 * RATE),
        np.tile(hum, 10),
        0.05 * rng.standard_normal(10 * 60 * RATE),
        3e-5 * rng.standard_normal(60 * RATE),
        chord * (1 + np.sin(4 * np.pi * minute)) / 2,
        0.9 * (rng.random(60 * RATE) < 2e-4),
    ):
        transcript = asr.transcribe((RATE, sound.astype(np.float32)))
        assert transcript.text == ""
        assert not transcript.segments


def test_recorded_noise_gives_no_words(asr: Transcriber, eval_dir: Path) -> None:
    folder = eval_dir / "noise"
    rows = map(json.loads, (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    files = [folder / row["audio"] for row in rows if not row["audio"].startswith("noisy_speech")]
    assert len(files) > 10
    for file, transcript in zip(files, asr.transcribe_many(files), strict=True):
        assert isinstance(transcript, Transcript)
        assert transcript.text == "", file.name


def test_nothing_leaks_from_call_to_call(asr: Transcriber, english: dict[str, Audio]) -> None:
    clips = dict(list(english.items())[1:3])
    clips["silence"] = Audio(np.zeros(RATE, np.float32), RATE)
    first = {name: asr.transcribe(clip, words=True) for name, clip in clips.items()}
    assert first["silence"].text == ""
    order = random.Random(0).choices(list(clips), k=20)
    for name in order:
        assert asr.transcribe(clips[name], words=True) == first[name]


# Live


def live(asr: Transcriber, audio: Audio, piece_s: float, **options: Any) -> list[Any]:
    step = round(piece_s * RATE)
    pieces = ((RATE, audio.samples[i : i + step]) for i in range(0, len(audio.samples), step))
    return list(asr.stream(pieces, **options))


def test_live_words_are_never_taken_back_and_are_those_that_were_said(
    asr: Transcriber, long_speech: tuple[Audio, str]
) -> None:
    audio, said = long_speech
    results = live(asr, audio, 0.1, language="en")
    certain = ""
    for result in results:
        assert normal(result.text).startswith(normal(certain))
        certain = "" if result.final else result.text
    finals = [result for result in results if result.final]
    assert len(results) > 2 * len(finals)
    words = [word for result in finals for word in result.words]
    assert all(a.end <= b.start + 0.1 for a, b in pairwise(words))
    heard = differences(said, " ".join(result.text for result in finals)).wer
    alone = differences(said, asr.transcribe(audio, language="en").text).wer
    print(f"WER live {heard:.3f}, whole {alone:.3f}")
    assert heard < alone + 0.1
