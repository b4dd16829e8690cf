"""The recipe that trains a small speaker network: its parts by hand, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from common import import_recipe

import speechkit as sk


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("speaker_training")


@pytest.fixture
def found(recipe):
    return recipe("speaker_training")


def vowel(pitch: float, resonance: float, rate: int = 22_050) -> sk.Audio:
    """A second of a buzz through one resonance."""
    pulses = np.zeros(rate)
    pulses[:: round(rate / pitch)] = 1.0
    t = np.arange(rate // 50) / rate
    ring = np.exp(-2 * np.pi * 80 * t) * np.sin(2 * np.pi * resonance * t)
    wave = np.convolve(pulses, ring)[:rate]
    return sk.Audio(wave / np.abs(wave).max() / 2, rate)


def pitch_and_resonance(audio: sk.Audio) -> tuple[float, float]:
    """Hz of the lowest lag that repeats, and Hz around which the power lies."""
    wave = audio.samples - audio.samples.mean()
    correlation = np.correlate(wave, wave, "full")[len(wave) :]
    lags = np.arange(1, len(correlation) + 1)
    usual = (lags > audio.sample_rate / 250) & (lags < audio.sample_rate / 60)
    power = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / audio.sample_rate)
    best = lags[usual][correlation[usual].argmax()]
    return audio.sample_rate / best, float((power * hertz).sum() / power.sum())


@pytest.mark.parametrize(
    ("pitch", "formants"), [(1.0, 1.0), (1.25, 1.25), (1.25, 1.0), (1.0, 1.2), (0.8, 1.1)]
)
def test_pitch_and_resonances_move_apart(lesson, pitch, formants):
    before = pitch_and_resonance(vowel(110, 1200))
    made = lesson.disguise(vowel(110, 1200), lesson.Throat(pitch, formants, 0.0))
    after = pitch_and_resonance(made)
    assert made.sample_rate == 16_000
    assert after[0] / before[0] == pytest.approx(pitch, rel=0.03)
    assert after[1] / before[1] == pytest.approx(formants, rel=0.05)


def test_a_tilt_makes_a_voice_bright(lesson):
    dull, bright = (
        pitch_and_resonance(lesson.disguise(vowel(110, 1200), lesson.Throat(1, 1, tilt)))[1]
        for tilt in (-3.0, 3.0)
    )
    assert bright > dull * 1.05


def test_a_short_recording_is_repeated(lesson):
    bank = torch.arange(6.0).reshape(3, 2)
    cut = lesson.stretch(bank, 1, 6)
    assert torch.allclose(cut.mean(dim=0), torch.zeros(2))
    assert (cut[:, 0] - cut[2, 0]).tolist() == [2.0, 4.0, 0.0, 2.0, 4.0, 0.0]


def people_of(lesson, count: int, each: int):
    """People whose bands are their own number, in noise a hundred more."""
    frames = lesson.CROP_FRAMES  # a stretch is a whole recording
    shape = torch.arange(float(frames))[:, None] / (frames - 1)
    clean = [[shape * (n + 1) * torch.ones(frames, 80) for _ in range(each)] for n in range(count)]
    return lesson.People(clean, [[bank * 100 for bank in person] for person in clean])


def test_a_batch_has_some_recordings_of_some_people(lesson):
    people, settings = people_of(lesson, 20, 4), lesson.Settings(masks=False, noise=False)
    batch, labels = lesson.draw_batch(people, settings, np.random.default_rng(0))
    assert batch.shape == (lesson.SPEAKERS * lesson.EACH, lesson.CROP_FRAMES, 80)
    assert len(set(labels.tolist())) == lesson.SPEAKERS
    assert torch.equal(labels[:: lesson.EACH], labels[1 :: lesson.EACH])
    spread = batch[..., 0].amax(1) - batch[..., 0].amin(1)
    assert torch.allclose(spread, labels + 1.0, atol=1e-3)  # of the one it says
    noisy, _ = lesson.draw_batch(people, replace(settings, noise=True), np.random.default_rng(0))
    assert noisy.abs().max() > batch.abs().max() * 2


def test_the_error_of_a_network_that_knows_is_zero_and_of_one_that_does_not_a_half(lesson):
    class Knows(torch.nn.Module):
        def forward(self, x):
            level = (x[..., 0].amax(1) - x[..., 0].amin(1)).log()
            return torch.stack([level.cos(), level.sin()], dim=1)

    class Deaf(torch.nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 2)

    people = people_of(lesson, 5, 3)
    assert lesson.errors(Knows(), people)[0] == 0
    assert lesson.errors(Deaf(), people) == (0.5, 0.5)


@pytest.mark.parametrize("loss", ["aam", "softmax", "triplet", "ge2e"])
def test_each_loss_has_a_slope(lesson, loss):
    torch.manual_seed(0)
    vectors = torch.randn(lesson.SPEAKERS * lesson.EACH, 192, requires_grad=True)
    labels = torch.arange(lesson.SPEAKERS).repeat_interleave(lesson.EACH)
    settings = lesson.Settings(loss=loss)
    value = lesson.loss_of(settings, vectors, labels, torch.randn(lesson.SPEAKERS, 192))
    value.backward()
    assert value > 0
    assert vectors.grad.abs().sum() > 0


def test_real_people_are_read_from_folders(lesson, tmp_path):
    for name, count in (("ada", 3), ("ben", 1), ("cy", 4)):
        (tmp_path / name).mkdir()
        for number in range(count):
            vowel(110, 900, 8000).save(tmp_path / name / f"{number}.wav")
    assert [len(person) for person in lesson.real_people(tmp_path)] == [3, 4]


@pytest.mark.real
def test_it_learns_people_it_has_never_heard(found):
    assert found["eer_after"][0] < 0.85 * found["eer_before"][0]  # more in the full mode
    assert found["loss_means"][-1] < found["loss_means"][0]
    assert found["published_eer"] < 0.2  # they are people to a network that knows real ones
    assert len(found["table"]) >= 2
    assert all(0 <= rate <= 1 for rates in found["table"].values() for rate in rates)
