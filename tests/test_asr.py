"""`Transcriber` on a scripted engine: order, silence, several recordings, languages.

Recordings are words made of tones (`scripted_asr`); the stand-in for the speech detector hears them.
"""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scripted_asr import (
    RATE,
    ScriptedEngine,
    babble,
    places,
    read,
    repeat,
    say,
    signal,
    spread,
    text,
    tokenizer,
    words_in,
)

from speechkit.asr import Transcriber
from speechkit.asr.engine import Hypothesis
from speechkit.audio import Audio, Limits
from speechkit.errors import AudioError, InputError
from speechkit.runtime import threads

pytestmark = pytest.mark.usefixtures("amplitude_detector")

PAUSES = (0.2, 0.6, 1.5, 4.0)


def flat(parts):
    return [part for part in parts if isinstance(part, int)]


# --- words, whole and in order


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("full_windows", [False, True])
def test_every_word_of_a_long_recording_is_read_once_and_in_order(
    threads, full_windows, monkeypatch
):
    monkeypatch.setattr("speechkit.asr.transcriber.threads", lambda: threads)
    for seed in range(2):
        parts = babble(random.Random(seed), 150, PAUSES)
        engine = ScriptedEngine(full_windows=full_windows)
        transcript = read(engine, *parts, words=True)
        assert words_in(transcript.text) == flat(parts)
        assert transcript.duration == pytest.approx(len(signal(*parts)) / RATE)
        assert len(engine.batches) >= 3
        assert 1 < max(engine.batches) <= 8
        found = [word for segment in transcript.segments for word in segment.words]
        for word, (_, start, end) in zip(found, places(*parts), strict=True):
            assert (word.start, word.end) == pytest.approx((start, end), abs=0.03)


def test_speech_without_pauses_is_cut_between_its_words():
    words = [n % 512 for n in range(0, 300 * 7, 7)]
    engine = ScriptedEngine()
    assert words_in(read(engine, words).text) == words
    assert len(engine.calls) >= 4


def test_segments_hold_the_text_and_the_words_have_its_order():
    parts = babble(random.Random(7), 60, PAUSES)
    transcript = read(ScriptedEngine(), *parts, words=True)
    assert transcript.text == " ".join(s.text for s in transcript.segments)
    for segment in transcript.segments:
        assert " ".join(w.text for w in segment.words) == segment.text
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
        assert segment.confidence == pytest.approx(np.exp(-0.2))
        assert {(w.probability, w.source) for w in segment.words} == {(0.9, "aligned")}
    bounds = [t for s in transcript.segments for w in s.words for t in (w.start, w.end)]
    assert bounds == sorted(bounds)
    plain = read(ScriptedEngine(), *parts)
    assert all(s.words == () for s in plain.segments)
    assert [(s.start, s.end, s.text) for s in plain.segments] == [
        (s.start, s.end, s.text) for s in transcript.segments
    ]


def test_long_pauses_and_full_stops_end_segments():
    def script(window, options):
        said = " ".join(h.text + "." * (h.text == "w4") for h in window)
        return say(said)

    transcript = read(ScriptedEngine(script), 1, 2, 0.9, 3, 4, 5, 6)
    assert [s.text for s in transcript.segments] == ["w1 w2", "w3 w4.", "w5 w6"]


def test_japanese_is_joined_without_spaces_and_its_translation_with_them():
    tokens = tuple(tokenizer("ja", "transcribe").encode("今日は。"))
    japanese = ScriptedEngine(lambda *_: Hypothesis(tokens, -0.2, 0.01))
    transcript = read(japanese, 1, 2, 3, 4.0, 5, 6, 7, language="ja", words=True)
    assert transcript.text == "今日は。今日は。"
    for segment in transcript.segments:
        assert "".join(w.text for w in segment.words) == segment.text
    english = ScriptedEngine(lambda *_: say("It is well-known."))
    options = {"language": "ja", "task": "translate", "words": True}
    transcript = read(english, [1] * 5, 4.0, [5] * 5, **options)
    assert transcript.text == "It is well-known. It is well-known."
    assert [w.text for w in transcript.segments[0].words] == ["It", "is", "well-known."]


# --- silence


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.3])
def test_where_nobody_speaks_nothing_is_read(level):
    engine = ScriptedEngine()
    asr = Transcriber(engine, "scripted")
    transcript = asr.transcribe((RATE, np.full(40 * RATE, level, np.float32)), words=True)
    assert (transcript.text, transcript.segments, transcript.dropped) == ("", (), ())
    assert transcript.duration == 40.0
    assert (transcript.language, transcript.language_probability) == ("en", 0.0)
    assert asr.transcribe((RATE, signal(3.0)), language="de").language_probability == 1.0
    assert engine.calls == []
    assert engine.detected == 0


def test_an_empty_reading_is_no_segment():
    transcript = read(ScriptedEngine(lambda *_: say("")), 1, 2)
    assert (transcript.text, transcript.segments, transcript.dropped) == ("", (), ())


# --- results while they come


def test_segments_come_before_the_rest_is_read():
    engine = ScriptedEngine()
    asr = Transcriber(engine, "scripted")
    found = asr.segments((RATE, signal(*spread(*range(100)))), language="en", words=True)
    assert engine.calls == []
    first = next(found)
    assert (first.text, first.words[0].text) == ("w0", "w0")
    assert len(engine.calls) <= 8
    assert [s.text for s in found] == [text(n) for n in range(1, 100)]


def test_segments_are_those_of_the_transcript():
    parts = babble(random.Random(3), 60, PAUSES)
    source = (RATE, signal(*parts))
    asr = Transcriber(ScriptedEngine(), "scripted")
    assert tuple(asr.segments(source, words=True)) == asr.transcribe(source, words=True).segments


def test_segments_raise_what_transcribe_raises():
    asr = Transcriber(ScriptedEngine(), "scripted")
    with pytest.raises(AudioError, match="no such file"):
        list(asr.segments("gone.wav"))
    with pytest.raises(InputError, match="it has en, de, ja"):
        asr.segments((RATE, signal(1)), language="xx")
    limited = asr.segments((RATE, signal(*spread(*range(60)))), limits=Limits(seconds=100))
    with pytest.raises(AudioError, match=r"Limits\.seconds"):
        list(limited)


def test_progress_goes_up_to_the_length_of_the_recording(tmp_path):
    path = tmp_path / "talk.flac"
    samples = signal(*spread(*range(40)), 5.0)
    soundfile.write(path, samples, RATE)
    for source in (path, (RATE, samples), Audio(samples, RATE).resample(44_100)):
        seen: list[tuple[float, float]] = []
        asr = Transcriber(ScriptedEngine(), "scripted")
        asr.transcribe(source, language="en", progress=lambda *now, seen=seen: seen.append(now))
        done, totals = zip(*seen, strict=True)
        assert list(done) == sorted(done)
        assert totals[0] == pytest.approx(len(samples) / RATE, abs=1e-3)
        assert len(set(totals)) == 1
        assert done[-1] == totals[-1]
        assert len(set(done)) > 30


def test_what_is_left_early_is_not_read():
    release = threading.Event()

    def script(window, options):
        if window[0].text != "w0":
            release.wait(10)
        return repeat(window, options)

    engine = ScriptedEngine(script)
    asr = Transcriber(engine, "scripted")
    asr._workers = ThreadPoolExecutor(1)
    first_alone = [*spread(0), *spread(*range(1, 200))]
    found = asr.segments((RATE, signal(*first_alone)), language="en")
    threading.Timer(0.5, release.set).start()
    next(found)
    read_by_then = len(engine.calls)
    found.close()
    asr._workers.shutdown(wait=True)
    assert len(engine.calls) <= read_by_then + 8, "only the batch under way ends"


def test_a_header_that_promises_too_much_is_refused_before_anything_is_read(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, signal(*spread(*range(60))), RATE)
    engine = ScriptedEngine()
    with pytest.raises(AudioError, match=r"long\.wav: over the limit of 130 seconds"):
        Transcriber(engine, "s").transcribe(path, limits=Limits(seconds=130), language="en")
    assert engine.calls == []


# --- several recordings


def test_several_recordings_are_read_as_each_alone():
    rng = random.Random(5)
    sources = [
        (RATE, signal(*babble(rng, seconds, PAUSES), 0.3)) for seconds in (1, 70, 3, 0.5, 20)
    ]
    sources.insert(2, (RATE, np.zeros(RATE, np.float32)))
    alone = Transcriber(ScriptedEngine(), "scripted")
    expected = [alone.transcribe(source, words=True) for source in sources]
    together = ScriptedEngine()
    found = list(Transcriber(together, "scripted").transcribe_many(sources, words=True))
    assert found == expected
    assert len(together.batches) < len(alone.engine.batches)


def test_an_error_stands_in_its_place_and_the_others_go_on(tmp_path):
    (bad := tmp_path / "bad.wav").write_text("no audio")
    long = signal(*spread(*range(30)))
    sources = [
        tmp_path / "gone.wav",
        (RATE, signal(1)),
        bad,
        (RATE, signal(2)[:1000]),
        (RATE, long),
        (RATE, signal(*spread(3, 4))),
    ]
    asr = Transcriber(ScriptedEngine(), "scripted")
    found = list(asr.transcribe_many(sources, limits=Limits(seconds=60)))
    assert [isinstance(result, AudioError) for result in found] == [1, 0, 1, 1, 1, 0]
    assert [str(found[i]).split(":")[0] for i in (0, 2)] == [str(tmp_path / "gone.wav"), str(bad)]
    assert "give at least 0.1 s" in str(found[3])
    assert "Limits.seconds" in str(found[4])
    assert [found[i].text for i in (1, 5)] == ["w1", "w3 w4"]


def test_python_threads_to_come_keep_torch_s_threads():
    Transcriber(ScriptedEngine(), "scripted")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == threads()


def test_recordings_are_taken_when_they_are_needed():
    taken = []

    def sources():
        for n in range(100):
            taken.append(n)
            yield (RATE, signal(n))

    seen: list[tuple[float, float]] = []
    asr = Transcriber(ScriptedEngine(), "scripted")
    found = asr.transcribe_many(sources(), progress=lambda *now: seen.append(now))
    assert taken == []
    assert next(found).text == "w0"
    assert len(taken) <= 20
    assert [t.text for t in found] == [text(n) for n in range(1, 100)]
    assert seen == [(n, 0) for n in range(1, 101)]


def test_progress_of_several_recordings_counts_them():
    seen: list[tuple[float, float]] = []
    asr = Transcriber(ScriptedEngine(), "scripted")
    sources = [(RATE, signal(1)), "gone.wav", (RATE, signal(2))]
    list(asr.transcribe_many(sources, progress=lambda *now: seen.append(now)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert list(asr.transcribe_many([])) == []


@pytest.mark.parametrize("one", ["talk.wav", b"RIFF", Path("talk.wav")])
def test_one_recording_is_no_list(one):
    asr = Transcriber(ScriptedEngine(), "scripted")
    with pytest.raises(InputError, match="is one recording; give a list of recordings"):
        asr.transcribe_many(one)
    with pytest.raises(InputError, match="it has en, de, ja"):
        asr.transcribe_many([], language="xx")


# --- languages


def by_number(window):
    """German until a word above 99 is heard."""
    high = any(int(h.text[1:]) > 99 for h in window)
    return {"en": 0.8, "de": 0.15, "ja": 0.05} if high else {"en": 0.3, "de": 0.6, "ja": 0.1}


def test_the_language_is_detected_once_when_none_is_given():
    engine = ScriptedEngine()
    transcript = read(engine, *spread(*range(60)), language=None)
    assert (transcript.language, transcript.language_probability) == ("de", 0.7)
    assert engine.detected == 1
    assert {options.language for _, options in engine.calls} == {"de"}


@pytest.mark.parametrize(("given", "used"), [("en", "en"), ("JA", "ja")])
def test_a_given_language_is_certain_and_not_detected(given, used):
    engine = ScriptedEngine()
    transcript = read(engine, 1, language=given)
    assert (transcript.language, transcript.language_probability) == (used, 1.0)
    assert engine.calls[0][1].language == used
    assert engine.detected == 0


def test_a_model_of_english_detects_nothing():
    engine = ScriptedEngine(multilingual=False)
    transcript = read(engine, 1, language=None)
    assert (transcript.language, transcript.language_probability) == ("en", 1.0)
    assert engine.detected == 0


def test_the_language_is_that_of_the_first_thirty_seconds_of_speech():
    """However the speech lies in windows, and whoever shares the batch."""
    early = [*spread(*range(10)), 200, 2.0, *spread(*range(20, 60))]
    late = [*spread(*range(60)), 200, 2.0, 1, 2, 3]
    for parts, language in ((early, "en"), (late, "de")):
        asr = Transcriber(ScriptedEngine(likely=by_number), "scripted")
        source = (RATE, signal(*parts))
        assert asr.transcribe(source).language == language
        assert next(iter(asr.detect_language(source))) == language
        shorts = [(RATE, signal(n)) for n in range(7)]
        *_, last = asr.transcribe_many([*shorts, source])
        assert last.language == language


def test_each_of_several_recordings_has_its_language():
    engine = ScriptedEngine(likely=by_number)
    numbers = [1, 300, 2, 301, 302, 3]
    found = list(Transcriber(engine, "s").transcribe_many((RATE, signal(n)) for n in numbers))
    assert [t.language for t in found] == ["en" if n > 99 else "de" for n in numbers]
    assert [t.text for t in found] == [text(n) for n in numbers]
    assert {(heard, o.language) for heard, o in engine.calls} == {
        (text(n), "en" if n > 99 else "de") for n in numbers
    }
    assert engine.detected == len(numbers)


def test_detection_sorts_the_languages_and_judges_silence_too():
    asr = Transcriber(ScriptedEngine(), "scripted")
    for samples in (signal(1, 2), np.zeros(RATE, np.float32), signal(*range(100))):
        found = asr.detect_language((RATE, samples))
        assert list(found.items()) == [("de", 0.7), ("en", 0.2), ("ja", 0.1)]


# --- one call and the next


def test_nothing_leaks_from_one_call_into_the_next():
    asr = Transcriber(ScriptedEngine(likely=by_number), "scripted")
    parts = babble(random.Random(9), 40, PAUSES)
    first = asr.transcribe((RATE, signal(*parts)), words=True)
    other = asr.transcribe((RATE, signal(5, 6)), prompt="Zaphod", language="ja", task="translate")
    assert (other.text, other.language) == ("w5 w6", "ja")
    with pytest.raises(AudioError):
        asr.transcribe((RATE, signal(*parts)), limits=Limits(seconds=1))
    next(asr.segments((RATE, signal(*parts))))
    asr.warm_up()
    assert asr.transcribe((RATE, signal(*parts)), words=True) == first
    assert asr.engine.calls[-1][1].prompt == ()
