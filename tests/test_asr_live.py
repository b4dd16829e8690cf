"""Live recognition on a scripted engine: certain words only grow, and none is lost or doubled.

The words are tones; the last one of a guess may be half heard ("h12"), as in life.
"""

import random
from itertools import pairwise

import numpy as np
import pytest
from audio_samples import cut
from scripted_asr import (
    GAP_S,
    RATE,
    ScriptedEngine,
    babble,
    places,
    repeat,
    say,
    signal,
    text,
    tokenizer,
    words_in,
)

from speechkit.asr import Transcriber
from speechkit.asr.engine import Hypothesis
from speechkit.asr.live import LONGEST_S, PAUSE_S, at_16_khz
from speechkit.audio import Audio
from speechkit.errors import AudioError, InputError

pytestmark = pytest.mark.usefixtures("amplitude_detector")

PAUSES = (0.1, 0.2, 1.0, 3.0)


def live(samples, seconds=0.1, engine=None, rate=RATE, **options):
    """What the stream gives for a signal in pieces of so many seconds."""
    size = max(1, round(seconds * rate))
    pieces = ((rate, samples[i : i + size]) for i in range(0, len(samples), size))
    options = {"language": "en", **options}
    return list(Transcriber(engine or ScriptedEngine(), "scripted").stream(pieces, **options))


def utterances(results):
    """The results in lists that end with a final one."""
    found = [[]]
    for result in results:
        found[-1].append(result)
        if result.final:
            found.append([])
    assert found.pop() == [], "the last result must be final"
    return found


def finals(results):
    return [result.text for result in results if result.final]


def flat(parts):
    return [part for part in parts if isinstance(part, int)]


def assert_steady(results):
    """Whatever is certain stays: all finals and the certain words after them only grow."""
    done, known = "", ""
    for result in results:
        now = f"{done} {result.text}".strip()
        assert now.startswith(known) or result.final
        if result.final:
            done = now
            assert result.pending == ""
        known = max(known, now, key=len)
        assert known.startswith(now) or now.startswith(known)
    assert done == known


# --- utterances


def test_an_utterance_becomes_certain_word_by_word_and_then_final():
    words = [3, 141, 59, 265, 358, 97, 93]
    results = live(signal(0.5, words, 2.0))
    (utterance,) = utterances(results)
    *partial, final = utterance
    assert len(partial) >= 4
    assert final.text == text(*words)
    texts = [result.text for result in utterance]
    assert all(b.startswith(a) for a, b in pairwise(texts))
    assert len(set(texts)) >= 4
    for result in partial:
        assert not result.final
        assert result.words == ()
        assert -1 not in words_in(result.text), "half a word is never certain"
        *guess, _ = words_in(f"{result.text} {result.pending}")
        assert guess == words[: len(guess)]
    assert any(result.pending for result in partial)
    starts = [start for _, start, _ in places(0.5, words)]
    assert [word.start for word in final.words] == pytest.approx(starts, abs=0.03)
    assert [word.text for word in final.words] == final.text.split()
    assert (final.start, final.end) == (final.words[0].start, final.words[-1].end)
    assert (final.pending, final.language) == ("", "en")


def test_a_word_is_certain_when_two_guesses_agree_on_it():
    results = live(signal(1, 2, 3, 4, 5, 6, 7, 8, 1.0))
    before = ""
    for result in results[:-1]:
        guess = f"{result.text} {result.pending}".split()
        assert before[: len(result.text)] == result.text, "it was guessed before"
        before = " ".join(guess)


def test_the_last_word_of_a_guess_is_not_certain():
    engine = ScriptedEngine(lambda *_: say("One."))  # agrees with itself for ever
    partial = live(signal(range(8)), engine=engine)[:-1]
    assert len(partial) > 3
    assert {result.text for result in partial} == {""}
    assert {result.pending for result in partial} == {"One."}


def test_a_pause_ends_an_utterance():
    for pause, count in ((PAUSE_S - 0.15, 1), (PAUSE_S + 0.1, 2)):
        results = live(signal(1, 2, 3, pause - GAP_S, 4, 5, 6, 1.0))
        assert len(utterances(results)) == count
        assert words_in(" ".join(finals(results))) == [1, 2, 3, 4, 5, 6]


def test_results_come_before_the_next_piece_is_asked_for():
    samples = signal(1, 2, 3, 4, 5, 6, 2.0, 7)
    asked = []

    def pieces():
        for i in range(0, len(samples), 1600):
            asked.append(i / RATE)
            yield RATE, samples[i : i + 1600]

    for result in Transcriber(ScriptedEngine(), "scripted").stream(pieces(), language="en"):
        if not result.final:
            assert result.end <= asked[-1] + 0.1 + 1e-6
        elif result.words[0].start < 2:
            assert asked[-1] == pytest.approx(6 * 0.4 - GAP_S + PAUSE_S, abs=0.15)


def test_silence_and_nothing_yield_nothing():
    for samples in (np.zeros(20 * RATE, np.float32), np.full(RATE, 0.3, np.float32), signal()):
        engine = ScriptedEngine()
        assert live(samples, engine=engine) == []
        assert engine.calls == []
    assert list(Transcriber(ScriptedEngine(), "scripted").stream([])) == []


def test_a_stream_that_breaks_off_still_ends_its_utterance():
    samples = signal(1, 2, 3, 4)[: -round((GAP_S + 0.1) * RATE)]
    results = live(samples)
    assert results[-1].final
    assert results[-1].text.startswith("w1 w2 w3")


# --- whatever comes in, however it comes


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.5, 3.0, 11.0, 1000.0])
def test_no_word_is_lost_or_doubled_in_pieces_of_any_size(seconds):
    rng = random.Random(round(100 * seconds))
    for _ in range(2):
        parts = babble(rng, 25 if seconds < 0.1 else 50, PAUSES)
        results = live(signal(*parts, 0.3), seconds)
        assert words_in(" ".join(finals(results))) == flat(parts)
        assert_steady(results)


def test_no_word_is_lost_or_doubled_in_pieces_of_random_sizes():
    rng = random.Random(0)
    for _ in range(6):
        parts = babble(rng, 60, PAUSES)
        pieces = ((RATE, piece) for piece in cut(signal(*parts, 0.3), rng, 20 * RATE))
        results = list(Transcriber(ScriptedEngine(), "s").stream(pieces, language="en"))
        assert words_in(" ".join(finals(results))) == flat(parts)
        assert_steady(results)


@pytest.mark.parametrize("pauses", [(), (0.1, 0.25, 0.4)])
def test_speech_without_long_pauses_is_cut_behind_certain_words(pauses):
    rng = random.Random(1)
    parts = babble(rng, 60, pauses) if pauses else rng.sample(range(512), 150)
    results = live(signal(*parts), 0.25)
    assert words_in(" ".join(finals(results))) == flat(parts)
    assert_steady(results)
    for utterance in utterances(results):
        longest = max(result.end - result.start for result in utterance)
        assert longest < LONGEST_S + 3
    assert len(utterances(results)) >= 4


@pytest.mark.parametrize("pause", [0.0, 0.15, 0.3])
def test_long_speech_in_long_pieces_is_neither_lost_nor_doubled(pause):
    """The first words are set off, so that they alone are cut away at first."""
    words = random.Random(2).sample(range(512), 150)
    samples = signal(words[0], pause, words[1:])
    for sizes in ((25, 4, 4, 4), (16, 10, 10, 10), (29, 2, 20, 2), (14, 14, 14, 14)):
        ends = np.cumsum(np.array(sizes) * RATE)
        pieces = ((RATE, piece) for piece in np.split(samples, ends))
        results = list(Transcriber(ScriptedEngine(), "s").stream(pieces, language="en"))
        assert words_in(" ".join(finals(results))) == words
        assert_steady(results)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_pieces_are_resampled_as_one_signal(rate):
    rng = random.Random(rate)
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, 3 * rate).astype(np.float32)
    audio = Audio(noise, rate)
    pieces = [(rate, piece) for piece in cut(noise, rng, rate // 2)]
    joined = np.concatenate(list(at_16_khz(pieces)))
    np.testing.assert_allclose(joined, audio.resample(RATE).samples, atol=1e-6)


def test_streams_of_other_rates_are_understood():
    words = [3, 141, 59, 265, 358, 97, 93]
    audio = Audio(signal(0.3, words), RATE).resample(44_100)
    assert finals(live(audio.samples, 0.07, rate=44_100)) == [text(*words)]


def test_pieces_may_be_audio_integers_channels_or_empty():
    samples = signal(1, 2, 3, 0.5)
    integers = np.rint(samples * 32767).astype(np.int16)
    stereo = np.stack([integers, integers], axis=1)
    for whole in (integers, stereo, samples.astype(np.float64)):
        assert finals(live(whole)) == ["w1 w2 w3"]
    pieces = [Audio(samples[:9000], RATE), (RATE, samples[:0]), (RATE, samples[9000:])]
    asr = Transcriber(ScriptedEngine(), "scripted")
    assert finals(asr.stream(pieces, language="en")) == ["w1 w2 w3"]


# --- guesses that go wrong


def test_certain_words_stay_when_the_model_changes_its_mind():
    def script(window, options):
        if len(window) < 10:
            return repeat(window, options)
        return Hypothesis((*options.prefix, *say("Rubbish").tokens), -0.2, 0.0)

    results = live(signal(range(12), 1.0), engine=ScriptedEngine(script))
    assert_steady(results)
    certain = results[-2].text
    assert len(certain.split()) > 3
    assert results[-1].text == f"{certain.split(' Rub')[0]} Rubbish"


def test_certain_words_stay_when_a_guard_takes_the_rest():
    def script(window, options):
        loop = say("again and " * 20).tokens if len(window) > 8 else ()
        return Hypothesis((*options.prefix, *loop), -0.2, 0.0) if loop else repeat(window, options)

    results = live(signal(range(10), 1.0), engine=ScriptedEngine(script))
    assert len(results[-2].text.split()) > 3
    assert results[-1].final
    assert results[-1].text.startswith(results[-2].text.split(" again")[0])
    assert_steady(results)


def test_one_stream_leaves_nothing_to_the_next():
    asr = Transcriber(ScriptedEngine(), "scripted")
    samples = signal(1, 2, 3, 4, 5, 6)
    abandoned = asr.stream([(RATE, samples)] * 3, language="en")
    next(abandoned)
    again = [finals(asr.stream([(RATE, samples)], language="en")) for _ in range(2)]
    assert again == [[text(1, 2, 3, 4, 5, 6)]] * 2


# --- language and options


def by_length(window):
    """Says Japanese until it has heard two words and a half."""
    return {"ja": 0.6, "de": 0.4} if len(window) < 3 else {"ja": 0.1, "de": 0.9}


def test_the_language_is_settled_in_the_first_utterance_and_kept():
    engine = ScriptedEngine(likely=by_length)
    results = live(signal(range(12), 1.0, 1, 1.0), 0.25, engine, language=None)
    languages = [result.language for result in results]
    assert languages[0] == "ja"
    assert set(languages[3:]) == {"de"}
    assert engine.detected <= 7
    short = live(signal(1, 1.0, range(12), 1.0), engine=engine, language=None)
    assert {result.language for result in short} == {"ja"}


def test_noise_does_not_settle_the_language():
    def script(window, options):
        return say("") if window[0].text == "w100" else repeat(window, options)

    def likely(window):
        return {"ja": 0.9, "de": 0.1} if window[0].text == "w100" else {"ja": 0.1, "de": 0.9}

    engine = ScriptedEngine(script, likely=likely)
    results = live(signal([100] * 10, 1.0, range(10), 1.0), 0.25, engine, language=None)
    assert {r.language for r in results if r.final and r.text} == {"de"}
    assert finals(results)[-1] == text(*range(10))


@pytest.mark.parametrize("heard", range(2, 13))
def test_certain_words_keep_their_language(heard):
    def likely(window):
        return {"ja": 0.6, "de": 0.4} if len(window) < heard else {"ja": 0.1, "de": 0.9}

    engine = ScriptedEngine(likely=likely)
    results = live(signal(range(20), 1.0), 0.25, engine, language=None)
    certain = [result.language for result in results if result.text]
    assert len(certain) > 3
    assert len(set(certain)) == 1


def test_options_reach_every_guess():
    engine = ScriptedEngine()
    options = {"language": "de", "task": "translate", "beam_size": 2, "seed": 5}
    live(signal(range(8), 1.0), engine=engine, hot_words=["Zaphod"], **options)
    for _, given in engine.calls:
        assert (given.language, given.task, given.beam_size, given.seed) == (
            "de",
            "translate",
            2,
            5,
        )
        assert tokenizer("en", "transcribe").decode(list(given.prompt)) == " Zaphod"
    assert engine.detected == 0


def test_japanese_is_joined_without_spaces():
    def script(window, options):
        known = tokenizer("ja", "transcribe").decode(list(options.prefix))
        said = "今日はいい天気ですね。"[: len(window)]
        tokens = tokenizer("ja", "transcribe").encode(said[len(known) :])
        return Hypothesis((*options.prefix, *tokens), -0.2, 0.0)

    results = live(signal(range(10), 1.0), engine=ScriptedEngine(script), language="ja")
    assert results[-1].text == "今日はいい天気ですね"
    assert_steady([r for r in results if r.final])
    texts = [r.text for r in results]
    assert all(b.startswith(a) for a, b in pairwise(texts))
    assert len(set(texts)) > 3


# --- errors


def test_pieces_that_do_not_fit():
    asr = Transcriber(ScriptedEngine(), "scripted")
    samples = signal(1, 2)
    with pytest.raises(AudioError, match="changes from 16000 to 8000 Hz; begin a new stream"):
        list(asr.stream([(RATE, samples), (8000, samples)]))
    for piece, says in (
        (samples, "a piece of the stream is a ndarray"),
        ("talk.wav", "a piece of the stream is a str"),
        ((RATE, np.array([0.0, np.nan])), "NaN"),
        ((RATE, samples.astype(np.int64)), "int64"),
        ((0, samples), "rate 0"),
    ):
        with pytest.raises(AudioError, match=says):
            list(asr.stream([(RATE, samples), piece]))


def test_options_that_are_wrong():
    asr = Transcriber(ScriptedEngine(), "scripted")
    with pytest.raises(InputError, match="it has en, de, ja"):
        asr.stream([], language="xx")
    with pytest.raises(InputError, match="choose transcribe or translate"):
        asr.stream([], task="sing")
    with pytest.raises(TypeError, match="words"):
        asr.stream([], words=True)
