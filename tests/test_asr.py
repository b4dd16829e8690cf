"""`Transcriber`: its rules on a scripted engine, its steadiness on a tiny Whisper of random weights."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import tiny_whisper

from speechkit.asr import Transcriber, load_asr
from speechkit.asr.engine import DecodeOptions, Hypothesis, TimedWord
from speechkit.asr.openai import OpenAiEngine, build
from speechkit.asr.transcriber import TEMPERATURES
from speechkit.audio import Audio, Limits
from speechkit.errors import AudioError, InputError

RATE = 16_000
Script = Callable[[float, DecodeOptions], Hypothesis]


class ScriptedEngine:
    """An engine that hears the time and says what the script has for it.

    The recordings made by `ramp` grow louder with time, so that a window tells where it starts.
    """

    n_mels = 80

    def __init__(self, script: Script, multilingual: bool = True) -> None:
        self.script, self.multilingual = script, multilingual
        self.languages = ("en", "de", "ja") if multilingual else ("en",)
        self.calls: list[tuple[float, DecodeOptions]] = []

    @lru_cache  # noqa: B019
    def tokenizer(self, language: str, task: str) -> Any:
        from whisper.tokenizer import get_tokenizer

        return get_tokenizer(True, num_languages=99, language=language, task=task)

    def encode(self, mel: torch.Tensor) -> list[float]:
        assert mel.shape[1:] == (80, 3000)
        return [loudness_to_time(float(window[:, 3].max())) for window in mel]

    def detect_language(self, encoded: list[float]) -> list[dict[str, float]]:
        return [{"en": 0.2, "ja": 0.1, "de": 0.7} for _ in encoded]

    def decode(self, encoded: list[float], options: DecodeOptions) -> list[Hypothesis]:
        self.calls += [(start, options) for start in encoded]
        return [self.script(start, options) for start in encoded]

    def align(
        self, encoded: list[float], tokens: list[int], frames: int, options: DecodeOptions
    ) -> list[TimedWord]:
        """Words as openai's tokenizer splits them, evenly over the window."""
        tokenizer = self.tokenizer(options.language, options.task)
        words, parts = tokenizer.split_to_word_tokens(tokens)
        step = frames / 100 / max(1, len(words))
        return [
            TimedWord(word, tuple(part), i * step, (i + 1) * step, 1 / (i + 1))
            for i, (word, part) in enumerate(zip(words, parts, strict=True))
        ]


DECADES_PER_S = 0.04


def ramp(seconds: float) -> Audio:
    """A tone of 1 kHz whose level rises by 0.8 dB a second."""
    n = np.arange(round(seconds * RATE))
    level = 10 ** (DECADES_PER_S * (n / RATE - 90))
    return Audio((level * np.sin(2 * np.pi * n / 16)).astype(np.float32), RATE)


@lru_cache(maxsize=1)
def _first_loudness() -> float:
    from speechkit.features import whisper_log_mel

    mel = whisper_log_mel(torch.from_numpy(ramp(90).samples.copy()))
    return float(mel[:, 3].max())


def loudness_to_time(value: float) -> float:
    """Start of a window in s, from the peak of its fourth frame: log-mel is (log10 power + 4) / 4."""
    return round((value - _first_loudness()) * 4 / (2 * DECADES_PER_S), 2)


TOKENS = ScriptedEngine(lambda *_: Hypothesis((), 0, 0)).tokenizer("en", "transcribe")


def say(*parts: str | float, log_probability: float = -0.2, no_speech: float = 0.01) -> Hypothesis:
    """A hypothesis from texts and timestamps (seconds in the window)."""
    tokens: list[int] = []
    for part in parts:
        stamp = not isinstance(part, str)
        tokens += (
            [TOKENS.timestamp_begin + round(part * 50)] if stamp else TOKENS.encode(" " + part)
        )
    return Hypothesis(tuple(tokens), log_probability, no_speech)


def scripted(*hypotheses: Hypothesis) -> ScriptedEngine:
    """An engine that says these, one a call."""
    left = iter(hypotheses)
    return ScriptedEngine(lambda *_: next(left))


def read(engine: ScriptedEngine, seconds: float, **options: Any) -> Any:
    return Transcriber(engine, "scripted").transcribe(
        ramp(seconds), **{"language": "en", **options}
    )


def times(transcript: Any) -> list[tuple[float, float, str]]:
    return [(round(s.start, 2), round(s.end, 2), s.text) for s in transcript.segments]


def starts(engine: ScriptedEngine) -> list[float]:
    return [start for start, _ in engine.calls]


# Where windows are cut and where the next one starts


def test_pairs_of_timestamps_cut_segments_and_the_rest_is_read_again() -> None:
    engine = scripted(
        say(0.0, "One.", 4.0, 5.0, "Two.", 26.0, 26.5, "Thr"),
        say(0.5, "Three.", 6.0, 6.0, "Four.", 14.0),
    )
    transcript = read(engine, 40)
    assert starts(engine) == [0.0, 26.0]
    assert times(transcript) == [
        (0.0, 4.0, "One."),
        (5.0, 26.0, "Two."),
        (26.5, 32.0, "Three."),
        (32.0, 40.0, "Four."),
    ]
    assert transcript.text == "One. Two. Three. Four."


def test_a_single_closing_timestamp_ends_the_window() -> None:
    engine = scripted(say(0.0, "One.", 4.0, 4.0, "Two.", 20.0), say(1.0, "Three.", 3.0))
    transcript = read(engine, 40)
    assert starts(engine) == [0.0, 30.0]
    assert times(transcript) == [(0.0, 4.0, "One."), (4.0, 20.0, "Two."), (31.0, 33.0, "Three.")]


def test_a_closing_pair_seeks_to_itself() -> None:
    engine = scripted(say(0.0, "One.", 12.0, 12.0), say(0.0, "Two.", 28.0))
    assert times(read(engine, 40)) == [(0.0, 12.0, "One."), (12.0, 40.0, "Two.")]


def test_text_without_timestamps_fills_its_window() -> None:
    engine = scripted(say("One."), say(2.0, "Two."), say("Three.", 1.0))
    transcript = read(engine, 65)
    assert starts(engine) == [0.0, 30.0, 60.0]
    assert times(transcript) == [(0, 30, "One."), (32, 60, "Two."), (60, 61, "Three.")]


def test_timestamps_past_the_end_are_held_to_the_recording() -> None:
    engine = scripted(say(0.0, "One.", 2.0, 2.0, "Two.", 28.0, 28.0))
    assert times(read(engine, 5)) == [(0.0, 2.0, "One."), (2.0, 5.0, "Two.")]
    assert len(engine.calls) == 1


def test_text_before_the_first_timestamp_starts_with_its_window() -> None:
    engine = scripted(say("One.", 2.0, 2.0, "Two.", 4.0))
    assert times(read(engine, 5)) == [(0.0, 2.0, "One."), (2.0, 4.0, "Two.")]


def test_empty_windows_and_lone_timestamps_go_on() -> None:
    for silent in (say(), say(0.0), say(0.0, 0.0), say(0.0, " ", 3.0)):
        engine = scripted(silent, say(0.0, "Two.", 2.0))
        assert times(read(engine, 32)) == [(30.0, 32.0, "Two.")]


def test_a_rest_below_a_tenth_of_a_second_is_not_read() -> None:
    engine = scripted(say(0.0, "One.", 9.92, 9.92))
    seen: list[tuple[float, float]] = []
    read(engine, 10, progress=lambda done, all: seen.append((done, all)))
    assert starts(engine) == [0.0]
    assert seen == [(10.0, 10.0)]
    engine = scripted(say(0.0, "One.", 9.9, 9.9), say(0.0, "Two.", 0.1))
    read(engine, 10)
    assert starts(engine) == [0.0, 9.9]


def test_special_tokens_are_no_text() -> None:
    french, *_ = TOKENS.encode("<|fr|>", allowed_special="all")
    one, two = say(0.0, "One").tokens, say("two.", 5.0).tokens
    engine = scripted(Hypothesis((*one, french, *two), -0.1, 0.0))
    transcript = read(engine, 5, words=True)
    assert transcript.text == "One two."
    assert [w.text for w in transcript.segments[0].words] == ["One", "two."]


def world(rng: random.Random) -> tuple[float, list[list[tuple[float, float, str]]]]:
    """Sentences of words (start, end, text) in a recording, on the grid of 0.02 s."""
    at, number, sentences = rng.randrange(0, 100), 0, []
    while at < 4000:
        sentence = []
        for _ in range(rng.randrange(1, 15)):
            length = rng.randrange(5, 35)
            sentence.append((at / 50, (at + length) / 50, f"w{number}"))
            at, number = at + length + rng.choice([0, 0, 2]), number + 1
        sentences.append(sentence)
        at += rng.choice([0, rng.randrange(0, 150)])
    return at / 50 + 1, sentences


def listen(start: float, sentences: list[list[tuple[float, float, str]]]) -> Hypothesis:
    """What a faultless Whisper writes for the 30 s from `start`: it can't hear half a word."""
    parts: list[str | float] = []
    for sentence in sentences:
        inside = [w for w in sentence if w[0] >= start - 1e-6 and w[1] <= start + 30 + 1e-6]
        if not inside:
            if start <= sentence[0][0] < start + 30:
                parts.append(sentence[0][0] - start)  # something begins there
            continue
        parts += [inside[0][0] - start, " ".join(w[2] for w in inside)]
        if inside[-1] is sentence[-1]:
            parts.append(inside[-1][1] - start)
    return say(*parts)


def test_nothing_is_lost_or_doubled_where_windows_meet() -> None:
    for seed in range(10):
        duration, sentences = world(random.Random(seed))
        engine = ScriptedEngine(lambda start, _, s=sentences: listen(start, s))  # type: ignore[misc]
        transcript = read(engine, duration, words=True)
        whole = [(s[0][0], s[-1][1], " ".join(w[2] for w in s)) for s in sentences]
        assert times(transcript) == [(round(a, 2), round(b, 2), text) for a, b, text in whole]
        assert len(engine.calls) > 2
        for segment in transcript.segments:
            assert " ".join(w.text for w in segment.words) == segment.text


# When a window goes wrong


def test_repetition_and_doubt_climb_the_temperatures_to_the_first_good_text() -> None:
    repeats, unlikely = say("again and " * 40), say("Hm.", log_probability=-1.5)
    for bad in (repeats, unlikely):
        engine = scripted(bad, bad, say(0.0, "Good.", 5.0))
        assert read(engine, 5).text == "Good."
        assert [options.temperature for _, options in engine.calls] == [0.0, 0.2, 0.4]
    engine = scripted(repeats, unlikely, repeats, unlikely, repeats, say("Last.", no_speech=0.9))
    transcript = read(engine, 5, beam_size=3, seed=11)
    assert transcript.text == "Last."
    assert [options.temperature for _, options in engine.calls] == list(TEMPERATURES)
    assert {(options.beam_size, options.seed) for _, options in engine.calls} == {(3, 11)}


def test_the_last_temperature_counts_even_if_it_is_bad() -> None:
    engine = ScriptedEngine(lambda _, o: say(f"Bad at {o.temperature}.", log_probability=-2.0))
    transcript = read(engine, 5)
    assert transcript.text == "Bad at 1.0."
    assert transcript.segments[0].confidence == pytest.approx(np.exp(-2.0))


def test_the_thresholds_are_openai_s() -> None:
    for log_probability, calls in ((-1.0, 1), (-1.001, 2)):
        engine = scripted(say("One.", log_probability=log_probability), say("Two."))
        read(engine, 5)
        assert len(engine.calls) == calls
    from whisper.utils import compression_ratio

    ratios = {}
    for count in range(1, 12):
        text = "so it goes " * count
        engine = scripted(say(text), say("Two."))
        read(engine, 5)
        ratios[compression_ratio(text.strip())] = len(engine.calls)
    text = next(  # on the border: with the space before it, it would pass for a repetition
        text
        for text in (f"{'so ' * (n % 40)}{'it goes ' * (n // 40)}".strip() for n in range(2000))
        if text and compression_ratio(text) <= 2.4 < compression_ratio(" " + text)
    )
    engine = scripted(say(text), say("Two."))
    read(engine, 5)
    ratios[compression_ratio(text)] = len(engine.calls)
    assert {calls for ratio, calls in ratios.items() if ratio <= 2.4} == {1}
    assert {calls for ratio, calls in ratios.items() if ratio > 2.4} == {2}


def test_no_speech_is_dropped_with_its_reason() -> None:
    engine = scripted(
        say(0.0, "Thanks for watching!", 5.0, log_probability=-1.2, no_speech=0.7),
        say(0.0, "Real.", 5.0, log_probability=-0.5, no_speech=0.7),
        say(log_probability=-1.2, no_speech=0.7),
    )
    transcript = read(engine, 65)
    assert times(transcript) == [(30.0, 35.0, "Real.")]
    assert [(d.start, d.end, d.text, d.reason) for d in transcript.dropped] == [
        (0.0, 30.0, "Thanks for watching!", "no speech")
    ]


def test_digital_silence_is_not_read() -> None:
    engine = scripted(say(0.0, "One.", 30.0), say(0.0, "Three.", 5.0))
    samples = ramp(65).samples.copy()
    samples[30 * RATE : 60 * RATE] = 0.9e-4
    seen: list[float] = []
    transcript = Transcriber(engine, "scripted").transcribe(
        Audio(samples, RATE), language="en", progress=lambda done, _: seen.append(done)
    )
    assert times(transcript) == [(0.0, 30.0, "One."), (60.0, 65.0, "Three.")]
    assert seen == [30.0, 60.0, 65.0]
    assert transcript.dropped == ()
    samples[45 * RATE] = 1.1e-4  # one sample above -80 dB: it may be speech
    engine = scripted(*[say("Text.")] * 3)
    Transcriber(engine, "scripted").transcribe(Audio(samples, RATE), language="en")
    assert len(engine.calls) == 3


def test_nothing_leaks_from_one_call_into_the_next() -> None:
    engine = scripted(say(0.0, "Speech.", 5.0), say(), say(0.0, "Speech.", 5.0))
    asr = Transcriber(engine, "scripted")
    first, silent, again = (asr.transcribe(ramp(5), language="en", words=True) for _ in range(3))
    assert first == again
    assert (silent.text, silent.segments, silent.dropped) == ("", (), ())


# Words


def test_words_are_shared_out_to_their_segments() -> None:
    engine = scripted(
        say(0.0, "A well-known price: $45.50,", 4.0, 5.0, '"isn\'t it?"', 8.0, 8.0, "x"),
        say(0.0, "Done.", 2.0),
    )
    transcript = read(engine, 10, words=True)
    assert [[w.text for w in s.words] for s in transcript.segments] == [
        ["A", "well-known", "price:", "$45.50,"],
        ["\"isn't", 'it?"'],
        ["Done."],
    ]
    for segment in transcript.segments:
        orderly = [
            segment.start,
            *(t for w in segment.words for t in (w.start, w.end)),
            segment.end,
        ]
        assert orderly == sorted(orderly)
        assert all(0 < word.probability <= 1 for word in segment.words)
    assert transcript.segments[2].words[0].start >= 8.0


def test_the_first_words_after_a_pause_do_not_take_it_in() -> None:
    class Attention(ScriptedEngine):
        def align(self, encoded: Any, tokens: Any, frames: int, options: Any) -> list[TimedWord]:
            """Words of 0.4 s; two that begin a segment are dragged back into the pause before."""
            ends = [0.4, 0.8, 1.2, 1.6, 6.0, 9.0, 9.4, 9.8, 19.8, 20.2]
            words = super().align(encoded, tokens, frames, options)
            starts = [0.0, *ends[:-1]]
            return [
                TimedWord(w.text, w.tokens, start, end, 1.0)
                for w, start, end in zip(words, starts, ends, strict=True)
            ]

    said = say(0.0, "a b c d", 1.6, 1.6, "e f g h", 9.8, 9.8, "i j", 20.2)
    transcript = read(Attention(lambda *_: said), 25, words=True)
    found = [
        (w.text, round(w.start, 2), round(w.end, 2)) for s in transcript.segments for w in s.words
    ]
    assert found[:4] == [("a", 0.0, 0.4), ("b", 0.4, 0.8), ("c", 0.8, 1.2), ("d", 1.2, 1.6)]
    assert found[4:] == [
        ("e", 7.4, 8.2),
        ("f", 8.2, 9.0),
        ("g", 9.0, 9.4),
        ("h", 9.4, 9.8),
        ("i", 19.0, 19.8),
        ("j", 19.8, 20.2),
    ]


def test_words_do_not_change_the_text() -> None:
    duration, sentences = world(random.Random(99))
    plain, timed = (
        read(ScriptedEngine(lambda start, _: listen(start, sentences)), duration, words=words)
        for words in (False, True)
    )
    assert times(plain) == times(timed)
    assert all(not s.words for s in plain.segments)
    assert all(s.words for s in timed.segments)


def test_japanese_is_joined_without_spaces_and_its_translation_with_them() -> None:
    hypothesis = say(0.0, "x", 2.0, 2.0, "x", 4.0)
    begin = TOKENS.timestamp_begin
    tokens = [
        *TOKENS.encode("今日は"),
        begin + 100,
        begin + 100,
        *TOKENS.encode("晴れ。"),
        begin + 200,
    ]
    engine = scripted(Hypothesis((begin, *tokens), -0.1, 0.0), hypothesis)
    transcript = read(engine, 5, language="ja", words=True)
    assert transcript.text == "今日は晴れ。"
    assert "".join(w.text for s in transcript.segments for w in s.words) == transcript.text
    engine = scripted(say(0.0, "It is", 2.0, 2.0, "well-known.", 4.0))
    transcript = read(engine, 5, language="ja", task="translate", words=True)
    assert transcript.text == "It is well-known."
    assert [w.text for s in transcript.segments for w in s.words] == ["It", "is", "well-known."]


# Options and errors


def test_the_prompt_goes_to_every_window() -> None:
    engine = scripted(say("One."), say("Two."), say("Three."))
    read(engine, 40, prompt="  Zaphod, <|endoftext|> ")
    assert len(engine.calls) == 2
    for _, options in engine.calls:
        assert TOKENS.decode(list(options.prompt)) == " Zaphod, <|endoftext|>"
        assert max(options.prompt) < TOKENS.eot, "a marker in the prompt must stay text"
    engine = scripted(say("One."))
    read(engine, 5, prompt="  ")
    assert engine.calls[0][1].prompt == ()


def test_the_language_is_detected_when_none_is_given() -> None:
    for given, used in ((None, "de"), ("JA", "ja")):
        engine = scripted(say("One."))
        assert read(engine, 5, language=given).language == used
        assert engine.calls[0][1].language == used
    asr = Transcriber(ScriptedEngine(lambda *_: say()), "scripted")
    assert list(asr.detect_language(ramp(40)).items()) == [("de", 0.7), ("en", 0.2), ("ja", 0.1)]
    english = ScriptedEngine(lambda *_: say("One."), multilingual=False)
    assert read(english, 5, language=None).language == "en"


def test_errors_name_the_choices() -> None:
    engine = ScriptedEngine(lambda *_: say("One."))
    for options, message in (
        ({"language": "xx"}, "no language 'xx'; it has en, de, ja"),
        ({"language": ""}, "it has en, de, ja"),
        ({"task": "sing"}, "task 'sing' is unknown; choose transcribe or translate"),
        ({"beam_size": 0}, "beam_size is 0; give 1 or more"),
    ):
        with pytest.raises(InputError, match=message):
            read(engine, 5, **options)
    english = ScriptedEngine(lambda *_: say("One."), multilingual=False)
    with pytest.raises(InputError, match="knows English only"):
        read(english, 5, task="translate")
    with pytest.raises(InputError, match="no language 'de'; it has en"):
        read(english, 5, language="de")
    with pytest.raises(AudioError, match=r"0\.099 s long; give at least 0\.1 s"):
        read(engine, 0.099)
    with pytest.raises(AudioError):
        read(engine, 5, limits=Limits(seconds=4))
    with pytest.raises(AudioError, match="no such file"):
        Transcriber(engine, "scripted").transcribe("gone.wav")
    assert engine.calls == [], "what is wrong must be found before the work starts"
    with pytest.raises(InputError, match="engine 'warp' is unknown; choose reference"):
        load_asr("base", engine="warp")
    with pytest.raises(InputError, match="model 'huge' is unknown; choose one of base, "):
        load_asr("huge")


# A tiny Whisper of random weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transcriber]:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_whisper(folder)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model is slower on more
    yield Transcriber(OpenAiEngine(build(folder, "tiny-test", "cpu")), "tiny")
    torch.set_num_threads(before)


def sound(kind: str, seconds: float = 2.0) -> Audio:
    n, rng = np.arange(round(seconds * RATE)), np.random.default_rng(len(kind))
    samples = {
        "silence": 0.0 * n,
        "noise": 0.1 * rng.standard_normal(len(n)),
        "tone": 0.5 * np.sin(n / 20),
        "clicks": 0.5 * (n % 8000 < 20),
    }[kind]
    return Audio(samples.astype(np.float32), RATE)


def test_the_same_sound_gives_the_same_bytes_in_any_order_and_thread(tiny: Transcriber) -> None:
    kinds = ("noise", "tone", "clicks")

    def transcribe(kind: str) -> str:
        return tiny.transcribe(sound(kind), words=True).to("json")

    alone = {kind: transcribe(kind) for kind in kinds}
    assert len(set(alone.values())) == len(kinds), "the tiny model must hear a difference"
    for kind in reversed(kinds):
        assert transcribe(kind) == alone[kind]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(transcribe, kinds)) == [alone[kind] for kind in kinds]


def test_draws_follow_the_seed_and_leave_torch_alone(tiny: Transcriber) -> None:
    encoded = tiny.engine.encode(torch.zeros(1, 80, 3000))
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    drawn = [
        tiny.engine.decode(encoded, DecodeOptions("en", temperature=1.0, seed=seed))[0].tokens
        for seed in (1, 2, 1)
    ]
    assert drawn[0] == drawn[2] != drawn[1]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_sound_makes_the_model_stumble(tiny: Transcriber) -> None:
    for kind, seconds in (("noise", 0.1), ("tone", 0.115), ("noise", 31.0)):
        audio = sound(kind, seconds)
        transcript = tiny.transcribe(audio, language="en", words=True)
        assert transcript.duration == pytest.approx(seconds)
        assert transcript.segments
        bounds = [t for s in transcript.segments for t in (s.start, s.end)]
        assert bounds == sorted(bounds)
        assert bounds[0] >= 0
        assert bounds[-1] <= transcript.duration
        assert all(0 < s.confidence <= 1 for s in transcript.segments)
        words = [w for s in transcript.segments for w in s.words]
        assert " ".join(w.text for w in words) == transcript.text
        assert all(a.end <= b.start for a, b in pairwise(words))
    silent = tiny.transcribe(sound("silence", 31), words=True)
    assert (silent.text, silent.segments) == ("", ())


def test_the_tiny_model_keeps_to_the_limits(tiny: Transcriber, tmp_path: Path) -> None:
    path = sound("tone", 2.0).save(tmp_path / "tone.wav")
    with pytest.raises(AudioError, match="1"):
        tiny.transcribe(path, limits=Limits(seconds=1))
    assert tiny.transcribe(path, limits=Limits(seconds=2.5)).duration == 2.0


def test_detection_gives_a_probability_to_each_language(tiny: Transcriber) -> None:
    probabilities = tiny.detect_language(sound("noise"))
    assert set(probabilities) == set(tiny.engine.languages)
    assert len(probabilities) == 99
    assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-4)
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    assert tiny.transcribe(sound("noise")).language == next(iter(probabilities))


def test_warming_up_changes_nothing(tiny: Transcriber) -> None:
    before = tiny.transcribe(sound("tone"), language="en")
    tiny.warm_up()
    assert tiny.transcribe(sound("tone"), language="en") == before
