"""Words with their times: whole, in order, out of pauses, and grouped into sentences."""

import itertools
import random

import numpy as np
import pytest

from speechkit.asr import Word
from speechkit.asr.engine import TimedWord
from speechkit.asr.openai import timed_words
from speechkit.asr.windows import Window
from speechkit.asr.words import interpolate_words, place_words, segment_of, sentences
from speechkit.vad import FRAME, FRAME_S, SAMPLE_RATE

EPSILON = 6e-4  # times are rounded to milliseconds


def window(*runs, start_s=0.0, rest=0):
    """A window of (probability, frames) pairs; `rest` samples of its last frame are missing."""
    speech = np.concatenate([np.full(count, value, np.float32) for value, count in runs])
    samples = np.zeros(len(speech) * FRAME - rest, np.float32)
    return Window(round(start_s * SAMPLE_RATE), samples, speech)


def aligned(*words):
    """(text, start, end) as the alignment gives them: a token for each letter."""
    return [TimedWord(text, tuple(map(ord, text)), a, b, 0.5) for text, a, b in words]


def times(words):
    return [(w.text, w.start, w.end, w.source) for w in words]


SPEECH = window((0.9, 100))  # 3.2 s


# --- place_words


def test_words_stay_where_the_alignment_puts_them():
    given = aligned((" One", 0.2, 0.5), (" two", 0.5, 0.9), (" three.", 1.4, 2.0))
    assert times(place_words(given, SPEECH, spaced=True)) == [
        (" One", 0.2, 0.5, "aligned"),
        (" two", 0.5, 0.9, "aligned"),
        (" three.", 1.4, 2.0, "aligned"),
    ]


def test_times_are_the_recording_s():
    late = window((0.9, 100), start_s=12.5)
    (word,) = place_words(aligned((" One", 0.2, 0.5)), late, spaced=True)
    assert (word.start, word.end) == (12.7, 13.0)


def test_parts_of_a_word_are_joined():
    given = [
        TimedWord(" well", (1,), 0.1, 0.3, 0.9),
        TimedWord("-known", (2, 3), 0.3, 0.6, 0.3),
        TimedWord(" $45", (4, 5), 0.6, 0.9, 1.0),
        TimedWord(".50,", (6, 7), 0.9, 1.3, 0.5),
    ]
    words = place_words(given, SPEECH, spaced=True)
    assert times(words) == [
        (" well-known", 0.1, 0.6, "aligned"),
        (" $45.50,", 0.6, 1.3, "aligned"),
    ]
    assert [w.probability for w in words] == pytest.approx([0.5, 0.75])


def test_a_mark_has_a_probability_of_its_own():
    from whisper.timing import WordTiming

    given = (
        (' "', 0.2),
        ("Well", 0.9),
        (",", 0.4),
        (" yes", 0.8),
        (".", 0.6),
        ('"', 0.1),
        (" I", 1.0),
    )
    given += (" no", 0.7), (")", 0.3), (".", 0.5)
    timings = [WordTiming(text, [i], i, i + 1, p) for i, (text, p) in enumerate(given)]
    words = place_words(timed_words(timings), window((0.9, 300)), spaced=True)
    assert [(w.text, w.probability, w.mark_probability) for w in words] == [
        (' "Well,', 0.9, 0.4),
        (' yes."', 0.8, 0.6),
        (" I", 1.0, 1.0),
        (" no).", 0.7, 0.5),
    ]
    assert [w.mark_probability for w in segment_of(words, 1.0, True).words] == [0.4, 0.6, 1.0, 0.5]


def test_the_last_part_of_a_joined_word_has_its_mark():
    given = [
        TimedWord(" well", (1,), 0.1, 0.3, 0.9),
        TimedWord("-known.", (2,), 0.3, 0.6, 0.3, 0.7),
    ]
    assert [w.mark_probability for w in place_words(given, SPEECH, spaced=True)] == [0.7]


def test_words_of_a_script_without_spaces_are_not_joined():
    words = place_words(aligned(("今日", 0.1, 0.4), ("は", 0.4, 0.5)), SPEECH, spaced=False)
    assert [w.text for w in words] == ["今日", "は"]


def test_the_first_word_may_lack_its_space():
    words = place_words(aligned(("One", 0.1, 0.4), (" two", 0.4, 0.5)), SPEECH, spaced=True)
    assert [w.text for w in words] == ["One", " two"]


def test_blank_words_are_left_out():
    for spaced in (True, False):
        words = place_words(aligned((" ", 0.1, 0.4), (" two", 0.4, 0.5)), SPEECH, spaced)
        assert [w.text for w in words] == [" two"]


PAUSED = window((0.9, 30), (0.1, 40), (0.9, 30))  # speech to 0.96 s and from 2.24 s on


@pytest.mark.parametrize(
    ("start", "end", "placed"),
    [
        (0.5, 0.9, (0.5, 0.9, "aligned")),
        (0.5, 1.9, (0.5, 0.992, "aligned")),  # dragged into the pause
        (1.2, 2.6, (2.208, 2.6, "aligned")),
        (0.9, 2.9, (2.208, 2.9, "aligned")),  # over it: the longer part
        (0.2, 2.4, (0.2, 0.992, "aligned")),
        (1.1, 1.3, (0.992, 0.992, "interpolated")),  # inside it: the nearer edge
        (1.9, 2.1, (2.208, 2.208, "interpolated")),
        (0.5, 0.5, (0.5, 0.5, "interpolated")),
    ],
)
def test_no_word_lies_in_a_pause(start, end, placed):
    (word,) = place_words(aligned((" One", start, end)), PAUSED, spaced=True)
    assert (word.start, word.end, word.source) == pytest.approx(placed)


@pytest.mark.parametrize(("frames", "kept"), [(15, True), (16, False)])
def test_a_pause_is_longer_than_half_a_second(frames, kept):
    short = window((0.9, 30), (0.1, frames), (0.9, 30))
    (word,) = place_words(aligned((" One", 0.5, 1.9)), short, spaced=True)
    assert (word.end == 1.9) == kept


def test_silence_at_either_end_of_a_window_holds_no_word():
    margins = window((0.1, 25), (0.9, 10), (0.1, 25))
    words = place_words(aligned((" One", 0.0, 1.0), (" two", 1.0, 1.9)), margins, spaced=True)
    assert times(words) == [(" One", 0.768, 1.0, "aligned"), (" two", 1.0, 1.152, "aligned")]


def test_times_that_run_back_or_out_of_the_window_are_held():
    given = aligned((" One", 1.0, 2.0), (" two", 0.2, 0.9), (" three", 3.0, 5.0), (" four", 6, 7))
    assert times(place_words(given, SPEECH, spaced=True)) == [
        (" One", 1.0, 2.0, "aligned"),
        (" two", 2.0, 2.0, "interpolated"),
        (" three", 3.0, 3.2, "aligned"),
        (" four", 3.2, 3.2, "interpolated"),
    ]


def test_any_alignment_comes_out_orderly_and_out_of_pauses():
    rng = random.Random(0)
    for _ in range(500):
        runs = [
            (rng.choice([0.9, 0.4, 0.3, 0.0]), rng.randrange(1, 60))
            for _ in range(rng.randrange(1, 10))
        ]
        runs.append((0.9, 1))
        here = window(*runs, start_s=rng.randrange(100), rest=rng.randrange(FRAME))
        marks = [rng.uniform(0, here.duration * 1.1) for _ in range(2 * rng.randrange(20))]
        if rng.random() < 0.7:
            marks.sort()
        if rng.random() < 0.5:
            marks = [round(mark, 1) for mark in marks]  # some have no length
        given = aligned(
            *(
                (f" w{i}", min(a, b), max(a, b))
                for i, (a, b) in enumerate(zip(marks[::2], marks[1::2], strict=True))
            )
        )
        placed = place_words(given, here, spaced=True)
        assert [w.text for w in placed] == [w.text for w in given]
        bounds = [here.start_s, *(t for w in placed for t in (w.start, w.end)), here.end_s]
        assert all(b - a > -EPSILON for a, b in itertools.pairwise(bounds))
        assert bounds[1:-1] == sorted(bounds[1:-1])
        for word, was in zip(placed, given, strict=True):
            start, end = word.start - here.start_s, word.end - here.start_s
            assert_outside_of_pauses(start, end, here)
            if word.source == "aligned":
                assert start < was.end + EPSILON
                assert end > was.start - EPSILON
                assert end > start - EPSILON
            else:
                assert min(was.end, end) - max(was.start, start) < EPSILON


def assert_outside_of_pauses(start, end, here):
    """No word reaches further than a frame into silence of more than half a second."""
    quiet = here.speech < 0.35
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        begin, stop = (first + 1) * FRAME_S, (after - 1) * FRAME_S
        if stop - begin > 0.5:
            assert min(end, stop) - max(start, begin) < EPSILON


# --- interpolate_words


def test_interpolated_words_share_the_window_by_their_letters():
    here = window((0.9, 100), start_s=10)
    words = interpolate_words(" Go on!  Now ", here, spaced=True)
    assert [w.text for w in words] == [" Go", " on!", " Now"]
    assert [w.start for w in words] == pytest.approx(
        [10, 10 + 3.2 * 3 / 11, 10 + 3.2 * 7 / 11], abs=1e-3
    )
    assert [w.end for w in words] == [*[w.start for w in words[1:]], 13.2]
    assert {(w.probability, w.source) for w in words} == {(0.0, "interpolated")}


def test_interpolated_letters_of_a_script_without_spaces():
    words = interpolate_words("今日は 晴れ。", SPEECH, spaced=False)
    assert "".join(w.text for w in words) == "今日は 晴れ。"
    assert all(w.text.strip() for w in words)
    assert words[0].start == 0
    assert words[-1].end == 3.2


def test_no_text_has_no_words():
    for spaced in (True, False):
        assert interpolate_words("  ", SPEECH, spaced) == ()
        assert place_words([], SPEECH, spaced) == ()


# --- sentences and segments


def spoken(*words):
    """(text, start, end) as words of a recording."""
    return [Word(text, start, end, 0.5) for text, start, end in words]


def groups(*words):
    return [" ".join(w.text for w in group) for group in sentences(spoken(*words))]


def test_a_sentence_ends_with_its_mark():
    said = [("It", 0, 0.6), ("is.", 0.6, 1.2), ("Is", 1.2, 2), ("it?", 2, 3), ("Yes", 3, 4)]
    assert groups(*said) == ["It is.", "Is it?", "Yes"]


@pytest.mark.parametrize(
    "end",
    [".", "?", "!", "…", "。", "？", "！", "؟", "۔", "।", '."', ".)", "?'", "!”", ".»", "。」"],
)
def test_marks_of_many_scripts_and_quotes_behind_them(end):
    assert groups((f"One{end}", 0, 1.5), ("two", 1.5, 2)) == [f"One{end}", "two"]


def test_other_marks_do_not_end_a_sentence():
    assert groups(("One,", 0, 1.5), ("two;", 1.5, 3), ("3.5", 3, 4), ("x", 4, 5)) == [
        "One, two; 3.5 x"
    ]


def test_a_sentence_of_less_than_a_second_goes_on():
    assert groups(("Mr.", 0, 0.4), ("Brown.", 0.4, 1.0), ("Yes.", 1, 2)) == ["Mr. Brown.", "Yes."]


def test_a_pause_ends_a_segment():
    assert groups(("One", 0, 1), ("two", 1.8, 2.5), ("three", 3.31, 4)) == ["One two", "three"]


def test_no_words_are_no_sentence():
    assert groups() == []


def test_every_word_is_in_one_sentence():
    rng = random.Random(1)
    for _ in range(200):
        at, words = 0.0, []
        for i in range(rng.randrange(60)):
            at += rng.choice([0, 0, 0.1, 1.0])
            length = rng.choice([0, 0.1, 0.5])
            words.append(Word(f"w{i}{rng.choice(['', '', ',', '.', '?'])}", at, at + length, 0.5))
            at += length
        found = list(sentences(words))
        assert [word for group in found for word in group] == words
        assert all(found)


def test_a_segment_has_the_text_and_the_times_of_its_words():
    words = [Word(" It", 1.0, 1.5, 0.5), Word(" is", 1.5, 2.0, 0.9, "interpolated")]
    segment = segment_of(words, 0.7, with_words=True)
    assert (segment.text, segment.start, segment.end, segment.confidence) == (
        "It is",
        1.0,
        2.0,
        0.7,
    )
    assert segment.words == (Word("It", 1.0, 1.5, 0.5), Word("is", 1.5, 2.0, 0.9, "interpolated"))
    assert segment_of(words, 0.7, with_words=False).words == ()
    japanese = [Word("今日", 1.0, 1.5, 0.5), Word("は", 1.5, 2.0, 0.9)]
    assert segment_of(japanese, 0.7, with_words=False).text == "今日は"
