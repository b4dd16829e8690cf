"""Speech detection: the network's own numbers however the signal comes in, and stretches of speech."""

import itertools
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from audio_samples import RATE, cut, tone, vowels

from speechkit.audio import Audio, Limits
from speechkit.encode import save_audio
from speechkit.errors import AudioError, InputError
from speechkit.vad import FRAME, SpeechDetector, detect_speech, speech_frames

SILENCE = np.zeros(RATE, np.float32)


@pytest.fixture(scope="module")
def talk():
    """0.7 s of silence, 3 s of speech, 1 s of noise, 2 s of speech, 1 s of silence, part of a frame."""
    noise = np.random.default_rng(0).normal(0, 0.02, RATE).astype(np.float32)
    parts = [SILENCE[:11_200], vowels(3), noise, vowels(2, seed=1), SILENCE, SILENCE[:77]]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def silero():
    """The package's own front end for whole signals; importing it would leave torch one thread."""
    threads = torch.get_num_threads()
    silero_vad = pytest.importorskip("silero_vad")
    torch.set_num_threads(threads)
    return silero_vad.load_silero_vad(sequence=True)


def probabilities(detector, pieces):
    return np.concatenate([*(detector.feed(piece) for piece in pieces), detector.finish()])


# --- probabilities


def test_probabilities_are_those_of_silero_s_own_front_end(silero, talk):
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    long = np.concatenate([talk] * 3)  # more than one block of 512 frames
    assert len(long) > 512 * FRAME
    for signal in (talk, long, noise, talk[:FRAME], talk[: FRAME + 1], talk[:100]):
        ours = probabilities(SpeechDetector(), [signal])
        np.testing.assert_allclose(ours, silero.audio_forward(signal), atol=1e-6)


def test_probabilities_do_not_depend_on_where_the_signal_was_cut(talk):
    whole = probabilities(SpeechDetector(), [talk])
    assert len(whole) == -(-len(talk) // FRAME)
    assert whole.min() < 0.02 < 0.98 < whole.max()
    rng = random.Random(0)
    for longest in (3 * FRAME, 40_000, len(talk)):
        pieces = probabilities(SpeechDetector(), cut(talk, rng, longest))
        np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_a_probability_is_given_as_soon_as_its_frame_is_whole(talk):
    detector = SpeechDetector()
    given = [len(detector.feed(talk[i : i + 100])) for i in range(0, 5000, 100)]
    totals = np.cumsum(given)
    assert totals.tolist() == [(i + 100) // FRAME for i in range(0, 5000, 100)]


def test_a_detector_begins_anew_after_the_end(talk):
    detector = SpeechDetector()
    first = probabilities(detector, [talk])
    np.testing.assert_array_equal(probabilities(detector, [talk]), first)
    detector.feed(talk[:20_000])
    detector.reset()
    np.testing.assert_array_equal(probabilities(detector, [talk]), first)
    assert len(detector.finish()) == 0


def test_samples_of_other_types_are_the_same_signal(talk):
    integers = np.rint(talk * 32767).astype(np.int16)
    expected = probabilities(SpeechDetector(), [integers.astype(np.float32) / 32768])
    for samples in (integers, integers / 32768):
        assert samples.dtype != np.float32
        np.testing.assert_array_equal(probabilities(SpeechDetector(), [samples]), expected)
    with pytest.raises(AudioError, match="type int64"):
        SpeechDetector().feed(integers.astype(np.int64))
    with pytest.raises(AudioError, match="one channel at 16 kHz"):
        SpeechDetector().feed(talk[:, None])


def test_two_detectors_do_not_disturb_each_other(talk):
    one, other = SpeechDetector(), SpeechDetector()
    mixed = []
    for i in range(0, len(talk), 4096):
        mixed.append(one.feed(talk[i : i + 4096]))
        other.feed(talk[::-1][i : i + 4096])
    mixed.append(one.finish())
    np.testing.assert_allclose(
        np.concatenate(mixed), probabilities(SpeechDetector(), [talk]), atol=1e-5
    )


def test_torch_keeps_its_threads():
    code = (
        "import torch; torch.set_num_threads(2); import speechkit.vad as vad; "
        "vad.SpeechDetector(); assert torch.get_num_threads() == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- stretches


def test_speech_is_found_where_it_is(talk):
    first, second = detect_speech((RATE, talk))
    for stretch, start, end in ((first, 0.7, 3.7), (second, 4.7, 6.7)):
        assert stretch.start == pytest.approx(start, abs=0.1)
        assert stretch.end == pytest.approx(end, abs=0.35)


@pytest.mark.real
def test_a_spoken_sentence_is_found_between_silences(voice):
    speech = voice.synthesize("Good morning. What is the capital of France?").resample(RATE).samples
    found = detect_speech((RATE, np.concatenate([SILENCE, speech, SILENCE])), min_pause=1.0)
    assert len(found) == 1
    assert found[0].start == pytest.approx(1.0, abs=0.3)
    assert found[0].end == pytest.approx(1.0 + len(speech) / RATE, abs=0.4)


@pytest.mark.parametrize("kind", ["silence", "noise", "loud noise", "hum", "tone", "clicks"])
def test_what_is_no_speech_gives_no_stretch(kind):
    n, rng = np.arange(8 * RATE), np.random.default_rng(0)
    signal = {
        "silence": 0.0 * n,
        "noise": rng.normal(0, 0.02, len(n)),
        "loud noise": rng.uniform(-0.9, 0.9, len(n)),
        "hum": 0.3 * np.sin(2 * np.pi * 50 * n / RATE),
        "tone": tone(440, 8),
        "clicks": 0.5 * (n % 8000 < 20),
    }[kind]
    assert detect_speech((RATE, signal.astype(np.float32))) == []


def test_sources_of_any_kind_and_rate_agree(talk, tmp_path):
    audio = Audio(talk, RATE)
    expected = detect_speech(audio)
    path = save_audio(audio, tmp_path / "talk.wav")
    fast = audio.resample(44_100)
    for source in (
        path,
        path.read_bytes(),
        (RATE, talk),
        fast,
        save_audio(fast, tmp_path / "a.mp3"),
    ):
        found = detect_speech(source)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.start == pytest.approx(theirs.start, abs=0.1)
            assert ours.end == pytest.approx(theirs.end, abs=0.1)


def test_the_last_stretch_ends_with_the_recording():
    speech = vowels(2.0)[:31_900]
    assert detect_speech((RATE, speech))[-1].end == 31_900 / RATE


def test_pauses_and_short_speech_are_told_apart_by_their_length(talk):
    both = detect_speech((RATE, talk), min_pause=3.0)
    assert len(both) == 1
    assert [s.end - s.start > 2.5 for s in detect_speech((RATE, talk), min_speech=2.5)] == [True]
    assert len(detect_speech((RATE, talk), min_pause=0.0)) >= 2
    assert detect_speech((RATE, talk), min_speech=60) == []


def test_a_higher_threshold_finds_less(talk):
    spoken = [
        sum(s.end - s.start for s in detect_speech((RATE, talk), threshold=threshold))
        for threshold in (0.05, 0.5, 0.999)
    ]
    assert spoken[0] >= spoken[1] > spoken[2]
    assert spoken[0] < 6.5, "a low threshold must not take the silences in"


def frames(*runs):
    """Probabilities from (probability, frames) pairs."""
    return np.concatenate([np.full(count, value, np.float32) for value, count in runs])


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([(0.0, 5)], []),
        ([(0.49, 5)], []),
        ([(0.5, 1)], [(0, 1)]),
        ([(0.1, 3), (0.9, 4), (0.1, 9)], [(3, 7)]),
        ([(0.4, 3), (0.9, 4), (0.4, 2), (0.1, 9)], [(3, 9)]),  # begins at 0.5, goes on above 0.35
        ([(0.9, 4), (0.1, 2), (0.9, 4)], [(0, 10)]),
        ([(0.9, 4), (0.1, 3), (0.9, 4)], [(0, 4), (7, 11)]),
        ([(0.9, 4), (0.1, 3), (0.4, 4)], [(0, 4)]),
        ([(0.9, 4), (0.1, 2), (0.4, 1), (0.1, 2), (0.9, 1)], [(0, 10)]),
    ],
)
def test_stretches_of_frames(runs, found):
    assert list(speech_frames(frames(*runs), 0.5, 3)) == found


def test_stretches_are_in_order_apart_and_hold_every_likely_frame():
    rng = np.random.default_rng(0)
    for _ in range(300):
        speech = rng.random(rng.integers(0, 200)).astype(np.float32) ** rng.integers(1, 6)
        pause = int(rng.integers(1, 8))
        found = list(speech_frames(speech, 0.5, pause))
        inside = np.zeros(len(speech), bool)
        for start, end in found:
            assert speech[start] >= 0.5
            assert speech[end - 1] >= 0.35
            inside[start:end] = True
        assert not np.any((speech >= 0.5) & ~inside)
        for (_, end), (start, _) in itertools.pairwise(found):
            assert start - end >= pause


# --- errors


@pytest.mark.parametrize("threshold", [0, 1, -0.5, 50, float("nan")])
def test_a_threshold_that_is_no_probability(threshold):
    with pytest.raises(InputError, match="give a probability between 0 and 1"):
        detect_speech((RATE, SILENCE), threshold=threshold)


def test_audio_that_cannot_be_read(tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        detect_speech(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match="empty recording"):
        detect_speech((RATE, SILENCE[:0]))
    with pytest.raises(AudioError, match=r"Limits\.seconds"):
        detect_speech((RATE, SILENCE), limits=Limits(seconds=0.5))


def test_less_than_a_frame_holds_no_speech():
    for size in (1, 10, FRAME - 1):
        assert detect_speech((RATE, SILENCE[:size])) == []
