"""Augmentation: each effect does what it says, by measure."""

import numpy as np
import pytest
import torch

from speechkit import Audio, AudioError, InputError, augment

RATE = 16_000


def _tone(hertz=440.0, seconds=1.0, level=0.3, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    return Audio((level * np.sin(2 * np.pi * hertz * t)).astype(np.float32), rate)


def _noise(seconds=1.0, seed=1):
    return Audio(
        (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype("f4"),
        RATE,
    )


def _power_db(samples):
    return 10 * np.log10(np.square(samples, dtype=np.float64).mean())


@pytest.mark.parametrize("snr", [20, 5, 0, -5])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 5.0])  # of noise: repeated, equal, cut
def test_noise_has_the_ratio_that_was_asked_for(snr, seconds):
    speech = _tone(level=0.05)
    noisy = augment.add_noise(speech, _noise(seconds), snr)
    added = noisy.samples - speech.samples
    assert _power_db(speech.samples) - _power_db(added) == pytest.approx(snr, abs=0.01)
    assert len(noisy.samples) == len(speech.samples)


def test_noise_that_does_not_fit_turns_all_down():
    speech = _tone(level=0.9)
    noisy = augment.add_noise(speech, _noise(), 0)
    assert np.abs(noisy.samples).max() == pytest.approx(1)
    scale = np.dot(noisy.samples, speech.samples) / np.dot(speech.samples, speech.samples)
    rest = noisy.samples - scale * speech.samples
    assert _power_db(scale * speech.samples) - _power_db(rest) == pytest.approx(0, abs=0.2)


def test_the_seed_chooses_the_place():
    speech, noise = _tone(), _noise(10)
    a, b, c = (augment.add_noise(speech, noise, 10, seed=s).samples for s in (1, 1, 2))
    assert a.tobytes() == b.tobytes()
    assert np.abs(a - c).max() > 0.01


def test_a_place_where_the_noise_is_silent_is_not_taken():
    click = Audio(np.eye(1, 20 * RATE, 5, dtype=np.float32)[0], RATE)
    for seed in range(5):
        noisy = augment.add_noise(_tone(), click, 60, seed=seed)
        assert np.count_nonzero(noisy.samples != _tone().samples) == 1


def test_noise_of_another_rate_is_resampled():
    noisy = augment.add_noise(_tone(rate=22_050), _noise(), 10)
    assert noisy.sample_rate == 22_050


def test_a_room_is_not_late_and_not_louder():
    click = Audio(np.eye(1, RATE, 1000, dtype=np.float32)[0], RATE)
    response = np.zeros(4000, np.float32)
    response[[300, 1300]] = 0.5, 0.25  # direct sound after 300 samples, an echo 1000 later
    wet = augment.add_reverb(click, Audio(response, RATE)).samples
    assert np.flatnonzero(np.abs(wet) > 1e-4).tolist() == [1000, 2000]
    assert wet[2000] / wet[1000] == pytest.approx(0.5)
    assert np.square(wet).sum() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 2.0])
def test_speed_moves_length_and_pitch(factor):
    fast = augment.change_speed(_tone(440), factor)
    assert fast.duration == pytest.approx(1 / factor, rel=0.001)
    spectrum = np.abs(np.fft.rfft(fast.samples))
    assert np.argmax(spectrum) / fast.duration == pytest.approx(440 * factor, abs=2)


def test_gain_and_clipping():
    tone = _tone(level=0.3)
    soft = augment.change_gain(tone, -20)
    np.testing.assert_allclose(soft.samples, 0.1 * tone.samples, atol=1e-7)
    assert np.abs(augment.change_gain(tone, 20).samples).max() == 1


@pytest.mark.parametrize("codec", augment.CODECS)
@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_a_codec_keeps_the_tone_and_loses_something(codec, rate):
    tone = _tone(440, rate=rate)
    out = augment.pass_codec(tone, codec)
    assert (out.sample_rate, len(out.samples)) == (rate, len(tone.samples))
    assert not np.array_equal(out.samples, tone.samples)
    spectrum = np.abs(np.fft.rfft(out.samples))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)
    assert _power_db(out.samples) == pytest.approx(_power_db(tone.samples), abs=1.5)


def test_minutes_pass_every_codec():
    assert augment.pass_codec(_noise(200), "vorbis").duration == 200


def test_a_phone_has_nothing_above_four_kilohertz():
    out = augment.pass_codec(_noise(2), "phone")
    spectrum = np.abs(np.fft.rfft(out.samples)) ** 2
    assert spectrum[2 * 4200 :].sum() < 1e-3 * spectrum.sum()


def test_spec_augment_masks_stretches_with_the_mean():
    features = torch.randn(2, 80, 300, generator=torch.Generator().manual_seed(0))
    kept = features.clone()
    out = augment.spec_augment(features, seed=3)
    assert torch.equal(features, kept)
    changed = out != features
    assert torch.equal(changed[0], changed[1])
    frames, bins = changed[0].all(dim=0), changed[0].all(dim=1)
    assert 0 < frames.sum() <= 80
    assert 0 < bins.sum() <= 20
    assert torch.equal(changed[0], frames[None, :] | bins[:, None])
    for i in range(2):
        assert torch.allclose(out[i][changed[i]], features[i].mean())
    assert torch.equal(out, augment.spec_augment(features, seed=3))
    assert not torch.equal(out, augment.spec_augment(features, seed=4))
    assert torch.equal(augment.spec_augment(features, time_masks=0, bin_masks=0), features)
    assert augment.spec_augment(torch.ones(3, 1)).shape == (3, 1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: augment.add_noise(_tone(), Audio(np.zeros(100, np.float32), RATE), 0), AudioError),
        (lambda: augment.add_noise(_tone(), _noise(), float("nan")), InputError),
        (lambda: augment.add_noise(_tone(), _noise(), 4000), InputError),
        (lambda: augment.add_noise(_tone(), _noise(), 0, seed=-1), InputError),
        (lambda: augment.add_reverb(_tone(), Audio(np.zeros(9, np.float32), RATE)), AudioError),
        (lambda: augment.change_speed(_tone(), 3), InputError),
        (lambda: augment.change_gain(_tone(), 100), InputError),
        (lambda: augment.pass_codec(_tone(), "fax"), InputError),
        (lambda: augment.spec_augment(torch.ones(5)), InputError),
        (lambda: augment.spec_augment(torch.ones(5, 5), time_width=-1), InputError),
    ],
)
def test_senseless_arguments(call, error):
    with pytest.raises(error):
        call()
