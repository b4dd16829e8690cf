"""Guards: which text is believed, what is tried instead, and what is dropped with its reason."""

import pytest
from scripted_asr import RATE, ScriptedEngine, read, repeat, say, signal, tokenizer, words_in

from speechkit.asr import Transcriber
from speechkit.asr.engine import Hypothesis
from speechkit.asr.guards import (
    CLEAR_SPEECH,
    DOUBT,
    MAX_LETTERS_PER_S,
    REPETITION,
    SILENCE,
    TEMPERATURES,
    TOO_MUCH,
    compression_ratio,
    fault,
    is_silence,
)
from speechkit.errors import WeightsError

pytestmark = pytest.mark.usefixtures("amplitude_detector")

SPOKEN = list(range(20))  # 8 s
LOOP = say("again and " * 12)
DOUBTFUL = say("Hm.", log_probability=-1.5)
GOOD = say("Good.")


def scripted(*hypotheses, **options):
    """An engine that says these, one a call."""
    left = iter(hypotheses)
    return ScriptedEngine(lambda *_: next(left), **options)


def temperatures(engine):
    return [options.temperature for _, options in engine.calls]


# --- the measures


def test_compression_is_openai_s():
    from whisper.utils import compression_ratio as theirs

    for text in ("a", "Hello there.", "so it goes " * 9, "今日は" * 20):
        assert compression_ratio(text) == theirs(text)
    assert compression_ratio("") == 0


def test_the_bounds_of_text():
    loop = "so it goes " * 9
    assert compression_ratio(loop) > 2.4 > compression_ratio("so it goes " * 2)
    assert fault(say(""), "so it goes " * 2, 5.0) is None
    assert fault(say(""), loop, 60.0) == REPETITION
    assert fault(say("", log_probability=-1.0), "Yes.", 5.0) is None
    assert fault(say("", log_probability=-1.001), "Yes.", 5.0) == DOUBT
    letters = "abcdefghijklmnopqrstuvwxyzäöüß"
    enough = len(letters) / MAX_LETTERS_PER_S - 0.3
    assert fault(say(""), letters, enough + 0.001) is None
    assert fault(say(""), letters, enough - 0.001) == TOO_MUCH
    assert fault(say(""), letters + ", - . ! ?", enough + 0.001) is None
    assert fault(say(""), "", 0.0) is None


@pytest.mark.parametrize(
    ("no_speech", "log_probability", "peak", "silent"),
    [
        (0.01, -0.2, 1.0, False),
        (0.61, -1.01, 1.0, True),
        (0.6, -1.01, 1.0, False),
        (0.61, -1.0, 1.0, False),
        (0.01, -0.51, CLEAR_SPEECH - 0.001, True),  # the detector isn't sure either
        (0.01, -0.5, CLEAR_SPEECH - 0.001, False),
        (0.01, -0.51, CLEAR_SPEECH, False),
    ],
)
def test_silence_is_doubted_by_two(no_speech, log_probability, peak, silent):
    assert is_silence(say("x", log_probability, no_speech), peak) == silent


# --- what is tried instead


@pytest.mark.parametrize("bad", [LOOP, DOUBTFUL, say("much too much to say " * 3 + "x" * 240)])
@pytest.mark.parametrize("full_windows", [False, True])
def test_doubtful_text_climbs_the_temperatures_to_the_first_good_one(bad, full_windows):
    """An engine that reads short windows tries the whole 30 s first."""
    tries = [0.0, 0.2, 0.4] if full_windows else [0.0, 0.0, 0.2, 0.4]
    engine = scripted(*[bad] * (len(tries) - 1), GOOD, full_windows=full_windows)
    transcript = read(engine, SPOKEN, beam_size=3, seed=11, prompt="Zaphod")
    assert transcript.text == "Good."
    assert temperatures(engine) == tries
    for _, options in engine.calls:
        assert (options.beam_size, options.seed, options.language) == (3, 11, "en")
        assert tokenizer("en", "transcribe").decode(list(options.prompt)) == " Zaphod"


def test_without_retry_each_window_is_read_once():
    unsure = scripted(DOUBTFUL, GOOD)
    said = tokenizer("en", "transcribe").decode(list(DOUBTFUL.tokens)).strip()
    assert read(unsure, SPOKEN, retry=False).text == said
    loop = scripted(LOOP, GOOD)
    transcript = read(loop, SPOKEN, retry=False)
    assert transcript.text == ""
    assert len(transcript.dropped) == 1
    assert len(unsure.calls) == len(loop.calls) == 1


def test_the_second_try_sees_thirty_seconds():
    frames = []

    class Listening(ScriptedEngine):
        def encode(self, mel, lengths=None):
            frames.append(mel.shape[2])
            return super().encode(mel, lengths)

    left = iter([LOOP, GOOD])
    read(Listening(lambda *_: next(left)), SPOKEN)
    assert frames[0] < 3000
    assert frames[-1] == 3000


def test_a_good_text_is_not_tried_again():
    engine = scripted(GOOD)
    assert read(engine, SPOKEN).text == "Good."
    assert temperatures(engine) == [0.0]


def test_of_doubtful_texts_the_likeliest_is_taken():
    doubts = [say(f"Doubt {i}.", log_probability=-1.1 - abs(i - 3)) for i in range(7)]
    engine = scripted(*doubts)
    transcript = read(engine, SPOKEN)
    assert transcript.text == "Doubt 3."
    assert transcript.segments[0].confidence == pytest.approx(2.718281828**-1.1)
    assert temperatures(engine) == [0.0, *TEMPERATURES]


def test_doubt_is_better_than_repetition():
    engine = scripted(LOOP, LOOP, LOOP, DOUBTFUL, LOOP, LOOP, LOOP)
    assert read(engine, SPOKEN).text == "Hm."


def test_an_engine_that_cannot_draw_tries_no_temperatures():
    def script(_, options):
        if options.temperature > 0:
            raise WeightsError("they are quantised")
        return DOUBTFUL

    engine = ScriptedEngine(script)
    assert read(engine, SPOKEN).text == "Hm."
    assert temperatures(engine) == [0.0, 0.0, TEMPERATURES[1]]


def test_words_of_a_second_try_have_their_times():
    """The one that is good is placed, not the one that was tried first."""
    left = iter([LOOP])
    engine = ScriptedEngine(lambda window, options: next(left, None) or repeat(window, options))
    transcript = read(engine, 1.0, SPOKEN, words=True)
    assert words_in(transcript.text) == SPOKEN
    words = [word for segment in transcript.segments for word in segment.words]
    assert words[0].start == pytest.approx(1.0, abs=0.03)
    assert words[-1].end == pytest.approx(1.0 + 20 * 0.4 - 0.1, abs=0.03)


def test_one_bad_window_does_not_trouble_the_others():
    def script(window, options):
        bad = window[0].text == "w3" and not options.temperature
        return LOOP if bad else repeat(window, options)

    engine = ScriptedEngine(script)
    spread = [part for n in range(8) for part in (n, 2.0)]
    assert words_in(read(engine, *spread).text) == list(range(8))
    retried = [heard for heard, options in engine.calls if options.temperature]
    assert retried == ["w3"]


# --- what is dropped


@pytest.mark.parametrize(
    ("hypothesis", "reason"),
    [
        (LOOP, REPETITION),
        (say("Thanks for watching!", log_probability=-1.2, no_speech=0.7), SILENCE),
        (say("".join(chr(0x4E00 + 7 * i) for i in range(240))), TOO_MUCH),
    ],
)
def test_what_is_dropped_has_its_reason(hypothesis, reason):
    bad = {"w100": hypothesis}
    engine = ScriptedEngine(
        lambda window, options: bad.get(window[0].text) or repeat(window, options)
    )
    transcript = read(engine, 1, 3.0, 100, 4.0, 2)
    assert transcript.text == "w1 w2"
    (dropped,) = transcript.dropped
    said = tokenizer("en", "transcribe").decode(list(hypothesis.tokens)).strip()
    assert (dropped.text, dropped.reason) == (said, reason)
    assert dropped.start < 3.4 < 3.7 < dropped.end < 7.7
    asr = Transcriber(engine, "scripted")
    found = asr.segments((RATE, signal(1, 3.0, 100, 4.0, 2)), language="en")
    assert [s.text for s in found] == ["w1", "w2"]


def test_silence_is_not_tried_again():
    engine = scripted(say("you", log_probability=-1.2, no_speech=0.7))
    assert read(engine, SPOKEN).text == ""
    assert temperatures(engine) == [0.0]


def test_silence_without_words_is_not_worth_a_note():
    engine = ScriptedEngine(lambda *_: say("", log_probability=-1.2, no_speech=0.7))
    transcript = read(engine, SPOKEN)
    assert (transcript.text, transcript.dropped) == ("", ())


@pytest.mark.parametrize(("words", "least", "most"), [(1, 33, 80), (70, 224, 224)])
def test_a_loop_ends_with_the_time_there_is_to_speak(words, least, most):
    engine = ScriptedEngine()
    read(engine, [n * 37 % 512 for n in range(words)])
    assert least <= engine.calls[0][1].max_tokens <= most


def test_confidence_is_never_above_one():
    engine = ScriptedEngine(lambda *_: Hypothesis(GOOD.tokens, 0.1, 0.0))
    assert read(engine, SPOKEN).segments[0].confidence == 1.0
