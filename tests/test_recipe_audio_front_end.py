"""The recipe of the audio front end: its parts by hand, and its numbers beside the packages'."""

import math

import numpy as np
import pytest
import torch
from common import import_recipe

from speechkit import features


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("audio_front_end")


@pytest.fixture
def found(recipe):
    return recipe("audio_front_end")


@pytest.mark.parametrize(
    ("hertz", "rate", "expected"), [(1000, 8000, 1000), (5000, 8000, 3000), (15_000, 16_000, 1000)]
)
def test_where_a_tone_folds_to(lesson, hertz, rate, expected):
    assert lesson.folded(hertz, rate) == expected


def test_resampling_to_the_same_rate_changes_nothing(lesson):
    samples = np.random.default_rng(0).standard_normal(300)
    assert lesson.sinc_resample(samples, 100, 100)[80:-80] == pytest.approx(samples[80:-80])


def test_a_constant_is_in_the_first_bin_alone(lesson):
    spectrum = lesson.stft(torch.ones(8).double(), torch.ones(4).double(), 2)
    assert spectrum.shape == (3, 3)
    assert torch.allclose(spectrum.abs(), torch.tensor([4.0, 0, 0]).double()[:, None].expand(3, 3))


def test_two_places_with_a_dip_between(lesson):
    assert lesson.dips(np.array([1.0, 0.4, 1.0]), 0, 2)
    assert not lesson.dips(np.array([1.0, 0.6, 1.0]), 0, 2)


def test_a_shorter_window_needs_more_distance_in_frequency(lesson):
    assert lesson.tones_apart(128) == pytest.approx(2 * lesson.tones_apart(256), rel=0.05)
    assert lesson.clicks_apart(256) == pytest.approx(2 * lesson.clicks_apart(128), rel=0.05)


def test_the_corners_of_a_triangle(lesson):
    filters = lesson.mel_filters(16_000, 1600, 80)  # bins of 10 Hz
    assert (filters.sum(dim=1) * 10 - 1).abs().max() < 0.1  # area 1
    assert filters[:, 0].max() == 0


def test_the_cosine_transform_is_orthonormal(lesson):
    matrix = lesson.cosine_transform(6, 6)
    assert torch.allclose(matrix @ matrix.T, torch.eye(6).double())
    assert float(lesson.cosine_transform(1, 4)[0] @ torch.ones(4).double()) == pytest.approx(2)


def test_features_of_noise_equal_the_toolkits(lesson):
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(0)) * 0.1
    assert lesson.difference(lesson.whisper_features(noise), features.whisper_log_mel(noise)) < 1e-4
    assert lesson.difference(lesson.vits_features(noise), features.vits_mel(noise)) < 1e-3
    slopes = lesson.slopes(torch.arange(9.0)[None] ** 2)[0, 2:-2]
    assert slopes.tolist() == pytest.approx([4, 6, 8, 10, 12])  # of t², in its middle 2 t


def test_a_drawn_room_falls_by_60_db(lesson):
    room = lesson.drawn_room(0.5, seed=1).samples
    early, late = (np.square(room[a : a + 800]).mean() for a in (100, len(room) - 800))
    assert room[0] == 1
    assert 10 * math.log10(early / late) == pytest.approx(60 * 0.45 / 0.5, abs=3)


@pytest.mark.real
def test_each_step_equals_the_packages(found):
    assert found["stft_difference"] < 1e-12
    assert max(found["mel_differences"].values()) < 0.01
    assert found["mel_differences"]["filters, librosa"] < 1e-6
    assert max(found["mfcc_differences"].values()) < 0.02
    assert max(found["delta_differences"].values()) < 1e-4
    assert found["cmvn_difference"] < 1e-4


@pytest.mark.real
def test_what_is_measured(found):
    assert abs(found["alias_without_db"]) < 0.1 < 90 < -found["alias_with_db"]
    assert found["up_error_db"]["sk.Audio (soxr)"] < found["up_error_db"]["torchaudio"]
    assert found["measured"]["noise at 10 dB, dB"] == pytest.approx(10, abs=0.01)
    assert found["microphone"]["each recording"] < found["microphone"]["all recordings"] / 4
    assert found["shapes"]["Whisper: log-mel of 30 s"] == (80, 3000)
    assert found["shapes"]["VITS: samples, 22.05 kHz"][0] > 22_050
    assert found["shapes"]["ECAPA-TDNN: embedding"] == (192,)
