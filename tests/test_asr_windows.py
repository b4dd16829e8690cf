"""Windows of speech, cut out of scripted probabilities: where they begin and end, and that none is lost.

The stand-in for the detector takes the largest sample of a frame for the probability of speech, so a
signal of constant frames says what the probabilities are.
"""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from audio_samples import cut

from speechkit.asr.windows import Cutting, Windower
from speechkit.vad import FRAME, FRAME_S, SAMPLE_RATE

pytestmark = pytest.mark.usefixtures("amplitude_detector")

SMALL = Cutting(max_window=60 * FRAME_S, max_pause=10 * FRAME_S, margin=4 * FRAME_S)
WIDE = replace(SMALL, max_pause=4 * FRAME_S, margin=10 * FRAME_S)  # the margin outlasts a pause


def frames(*runs):
    """Probabilities from (probability, frames) pairs."""
    return np.concatenate([np.full(count, value, np.float32) for value, count in runs])


def windows_of(speech, cutting=SMALL, pieces=None, offset=0, rest=0):
    """The windows of a signal of these probabilities; `rest` samples of the last frame are missing."""
    signal = np.repeat(np.asarray(speech, np.float32), FRAME)
    signal = signal[: len(signal) - rest]
    windower = Windower(cutting, offset)
    found = []
    for piece in pieces(signal) if pieces else [signal]:
        found += windower.feed(piece)
    return [*found, *windower.finish()]


def bounds(windows):
    """First frame and the frame after the last of each window."""
    return [(w.start // FRAME, w.start // FRAME + len(w.speech)) for w in windows]


def frame_by_frame(signal):
    return np.split(signal, range(FRAME, len(signal), FRAME))


# --- where windows begin and end


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(0.0, 100)], []),
        ([(0.49, 100)], []),
        ([(0.0, 20), (0.5, 1), (0.0, 20)], [(16, 25)]),  # a margin of 4 on either side
        ([(0.0, 2), (0.9, 10), (0.0, 1)], [(0, 13)]),  # as much of it as there is
        ([(0.9, 10)], [(0, 10)]),
        ([(0.0, 9), (0.9, 10), (0.0, 9), (0.9, 10), (0.0, 9)], [(5, 42)]),  # a short pause
        ([(0.9, 10), (0.0, 10), (0.9, 10)], [(0, 14), (16, 30)]),  # a long one
        ([(0.9, 10), (0.0, 40), (0.9, 10)], [(0, 14), (46, 60)]),
        ([(0.9, 10), (0.36, 20), (0.9, 10)], [(0, 40)]),  # 0.36 goes on with speech
        ([(0.9, 10), (0.34, 20), (0.9, 10)], [(0, 14), (26, 40)]),  # 0.34 does not
        ([(0.36, 20), (0.9, 10), (0.36, 20)], [(16, 50)]),  # nor does 0.36 begin it
    ],
)
def test_windows_of_speech(runs, expected):
    found = windows_of(frames(*runs))
    assert bounds(found) == expected


def test_a_window_holds_its_samples_and_probabilities():
    speech = np.random.default_rng(0).random(50).astype(np.float32)
    windows = windows_of(speech)
    signal = np.repeat(speech, FRAME)
    assert windows
    for window in windows:
        np.testing.assert_array_equal(window.samples, signal[window.start :][: len(window.samples)])
        first = window.start // FRAME
        np.testing.assert_array_equal(window.speech, speech[first:][: len(window.speech)])
        assert window.start_s == window.start / SAMPLE_RATE
        assert window.duration == len(window.samples) / SAMPLE_RATE
        assert window.end_s == pytest.approx(window.start_s + window.duration)


def test_the_last_frame_may_be_part_of_one():
    (window,) = windows_of(frames((0.0, 20), (0.9, 10)), rest=300)
    assert window.start + len(window.samples) == 30 * FRAME - 300
    assert len(window.speech) == 30 - 16


def test_the_offset_is_added_to_the_start():
    speech = frames((0.0, 20), (0.9, 10), (0.0, 40), (0.9, 10))
    plain, moved = windows_of(speech), windows_of(speech, offset=123_457)
    assert [w.start + 123_457 for w in plain] == [w.start for w in moved]


def test_a_window_is_given_as_soon_as_its_pause_is_long_enough():
    windower = Windower(SMALL)
    given = []
    for i, value in enumerate([0.0] * 20 + [0.9] * 5 + [0.0] * 30):
        if list(windower.feed(np.full(FRAME, value, np.float32))):
            given.append(i)
    assert given == [20 + 5 + 10 - 1]
    assert list(windower.finish()) == []


# --- speech that is longer than a window


def test_long_speech_is_cut_in_its_longest_pause():
    speech = frames((0.9, 33), (0.1, 2), (0.9, 5), (0.1, 4), (0.9, 5), (0.1, 3), (0.9, 60))
    assert bounds(windows_of(speech))[0] == (0, 42)


def test_of_equal_pauses_the_last_is_taken():
    speech = frames((0.9, 33), (0.1, 2), (0.9, 5), (0.1, 2), (0.9, 5), (0.1, 2), (0.9, 30))
    assert bounds(windows_of(speech)) == [(0, 48), (48, 79)]


def test_a_pause_in_the_first_half_does_not_count():
    speech = frames((0.9, 10), (0.1, 8), (0.9, 30), (0.1, 1), (0.9, 30))
    assert bounds(windows_of(speech))[0] == (0, 49)


def test_without_a_pause_the_least_likely_frame_is_taken():
    speech = frames((0.9, 40), (0.8, 1), (0.7, 1), (0.8, 1), (0.9, 40))
    assert bounds(windows_of(speech)) == [(0, 41), (41, 83)]
    lone = frames((0.9, 35), (0.5, 1), (0.9, 9), (0.6, 3), (0.9, 40))  # its neighbours count too
    assert bounds(windows_of(lone))[0] == (0, 46)


def test_speech_goes_on_behind_a_cut_at_the_lower_threshold():
    speech = frames((0.9, 59), (0.1, 2), (0.4, 20))
    assert bounds(windows_of(speech)) == [(0, 60), (60, 81)]


def test_behind_a_cut_and_a_long_silence_speech_begins_anew():
    for quiet, found in ((4, [(0, 60), (60, 83)]), (6, [(0, 60)])):
        speech = frames((0.9, 59), (0.1, 2), (0.1, quiet - 1), (0.4, 19 - (quiet - 4)))
        for pieces in (None, frame_by_frame):
            assert bounds(windows_of(speech, pieces=pieces)) == found


def test_speech_as_long_as_a_window_is_not_cut():
    assert bounds(windows_of(frames((0.9, 60)))) == [(0, 60)]
    assert bounds(windows_of(frames((0.0, 4), (0.9, 46), (0.0, 30)))) == [(0, 54)]
    assert bounds(windows_of(frames((0.9, 61)))) == [(0, 31), (31, 61)]


# --- whatever comes in


def random_speech(rng, stretches=25):
    """Probabilities with stretches and pauses of all lengths; half the time with doubtful frames."""
    runs = []
    for _ in range(rng.randrange(1, stretches)):
        runs.append((rng.choice([0.9, 0.9, 0.6, 0.4]), rng.choice([1, 3, 10, 30, 55, 61, 130])))
        runs.append((rng.choice([0.0, 0.2, 0.4]), rng.choice([1, 2, 5, 9, 10, 11, 25, 70])))
    speech = frames(*runs)
    if rng.random() < 0.5:
        noise = np.random.default_rng(rng.randrange(1000)).uniform(-0.15, 0.15, len(speech))
        speech = np.clip(speech + noise, 0, 1).astype(np.float32)
    return speech


@pytest.mark.parametrize("cutting", [SMALL, WIDE])
def test_no_speech_is_lost_or_doubled_and_no_window_is_too_long(cutting):
    rng = random.Random(0)
    for _ in range(300):
        speech, rest = random_speech(rng), rng.randrange(FRAME)
        windows = windows_of(speech, cutting, rest=rest)
        total = len(speech) * FRAME - rest
        taken = np.zeros(total, int)
        for window in windows:
            assert 0 < len(window.samples) <= 60 * FRAME
            assert window.start + len(window.samples) <= total
            assert len(window.speech) == -(-len(window.samples) // FRAME)
            taken[window.start : window.start + len(window.samples)] += 1
        assert taken.max(initial=0) <= 1
        loud = np.repeat(speech >= 0.5, FRAME)[:total]
        assert np.all(taken[loud] == 1)
        for one, next_one in itertools.pairwise(windows):
            assert one.start < next_one.start


def test_the_margin_is_kept_where_nothing_has_to_be_cut():
    rng = random.Random(1)
    for _ in range(200):
        pairs = [(rng.randrange(1, 47), rng.randrange(10, 40)) for _ in range(20)]
        speech = frames((0.0, 30), *((p, n) for m, k in pairs for p, n in ((0.9, m), (0.1, k))))
        starts = 30 + np.cumsum([0, *(m + k for m, k in pairs)])[:-1]
        ends = starts + [m for m, _ in pairs]
        assert bounds(windows_of(speech)) == [
            (max(start - 4, before), end + 4)
            for start, end, before in zip(starts, ends, [0, *(ends + 4)[:-1]], strict=True)
        ]


@pytest.mark.parametrize("cutting", [SMALL, WIDE])
def test_windows_do_not_depend_on_how_the_signal_was_fed(cutting):
    rng = random.Random(2)
    for _ in range(150):
        speech, rest = random_speech(rng, 7), rng.randrange(FRAME)
        whole = windows_of(speech, cutting, rest=rest)
        longest = rng.choice([5000, 20_000, 100_000])
        for pieces in (frame_by_frame, lambda s, n=longest: cut(s, rng, n)):
            again = windows_of(speech, cutting, pieces, rest=rest)
            assert bounds(again) == bounds(whole)
            for a, b in zip(again, whole, strict=True):
                np.testing.assert_array_equal(a.samples, b.samples)


def test_a_wide_margin_does_not_reach_into_the_next_word():
    speech = frames((0.9, 20), (0.1, 6), (0.9, 20))
    assert bounds(windows_of(speech, WIDE)) == [(0, 24), (24, 46)]


def test_nothing_and_next_to_nothing():
    assert windows_of([]) == []
    assert bounds(windows_of([0.9], rest=FRAME - 1)) == [(0, 1)]


def test_memory_does_not_grow_in_silence():
    windower = Windower(SMALL)
    for _ in range(100):
        assert list(windower.feed(np.zeros(SAMPLE_RATE, np.float32))) == []
    assert len(windower._samples) < 5 * FRAME


# --- live: what is under way


def fed(*runs, offset=0):
    windower = Windower(SMALL, offset)
    assert list(windower.feed(np.repeat(frames(*runs), FRAME))) == []
    return windower


def test_pending_is_the_speech_that_has_begun():
    assert fed((0.0, 50)).pending() is None
    assert fed((0.4, 50)).pending() is None
    pending = fed((0.0, 50), (0.9, 10), (0.0, 3), offset=1000).pending()
    assert (pending.start, len(pending.samples)) == (1000 + 46 * FRAME, 17 * FRAME)
    np.testing.assert_array_equal(pending.speech, frames((0.0, 4), (0.9, 10), (0.0, 3)))


def test_pending_is_gone_with_its_window():
    windower = fed((0.0, 50), (0.9, 10))
    (window,) = windower.feed(np.zeros(20 * FRAME, np.float32))
    assert (window.start // FRAME, len(window.speech)) == (46, 18)
    assert windower.pending() is None


def test_pending_may_be_cut_and_goes_on_behind_the_cut():
    windower = fed((0.0, 50), (0.9, 30), offset=1600)
    window = windower.cut(0.1 + 60 * FRAME_S)
    assert (window.start, len(window.samples)) == (1600 + 46 * FRAME, 14 * FRAME)
    pending = windower.pending()
    assert (pending.start, len(pending.samples)) == (1600 + 60 * FRAME, 20 * FRAME)
    (last,) = windower.finish()
    assert (last.start, len(last.samples)) == (pending.start, len(pending.samples))


@pytest.mark.parametrize(("end_s", "size"), [(-1.0, 1), (0.0, 1), (1e6, 20)])
def test_a_cut_stays_within_what_is_pending(end_s, size):
    windower = fed((0.9, 20))
    window = windower.cut(end_s)
    assert (window.start, len(window.speech)) == (0, size)
    assert (windower.pending() is None) == (size == 20)


def test_random_cuts_lose_and_double_nothing():
    rng = random.Random(3)
    for _ in range(100):
        speech = random_speech(rng)
        windower, found = Windower(SMALL), []
        for piece in cut(np.repeat(speech, FRAME), rng, 20_000):
            found += windower.feed(piece)
            pending = windower.pending()
            if pending and rng.random() < 0.2:
                found.append(windower.cut(pending.start_s + rng.random() * pending.duration))
        found += windower.finish()
        taken = np.zeros(len(speech) * FRAME, int)
        for window in found:
            taken[window.start : window.start + len(window.samples)] += 1
        assert taken.max(initial=0) <= 1
        assert np.all(taken[np.repeat(speech >= 0.5, FRAME)] == 1)
