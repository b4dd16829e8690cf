"""Each feature against the package it comes from, on synthetic signals and on recorded speech.

The tolerances are a few times the largest difference measured over 27 recordings.
"""

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr
import torch
import whisper.audio
from speechbrain.lobes.features import Fbank
from speechbrain.processing.features import InputNormalization
from torch.testing import assert_close
from TTS.utils.audio import torch_transforms

from speechkit import features
from speechkit.errors import AudioError, InputError


def synthetic(seconds: float, pitch: float, seed: int, rate: int) -> np.ndarray:
    """Gliding pulses through three formants, a noise burst, a faint tail, digital silence."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    phase = np.cumsum(pitch * (1 + 0.2 * np.sin(2 * np.pi * 1.5 * t)) / rate)
    signal = np.diff(np.floor(phase), prepend=0.0) + 0.003 * rng.standard_normal(t.size)
    for formant, width in ((650, 90), (1200, 110), (2600, 160)):
        radius = np.exp(-np.pi * width / rate)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant / rate), radius**2]
        signal = scipy.signal.lfilter([1 - radius], poles, signal)
    signal *= 0.5 / np.abs(signal).max()
    signal[t > 0.4 * seconds] = 0.1 * rng.standard_normal(np.count_nonzero(t > 0.4 * seconds))
    signal[t > 0.6 * seconds] *= 1e-3
    signal[t > 0.8 * seconds] = 0.0
    return signal.astype(np.float32)


def recorded(folder: Path) -> list[tuple[np.ndarray, int]]:
    """The first recording of each of five data sets, at most 5 s of it, with its rate."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    firsts = {row["dataset"]: folder / row["audio"] for row in reversed(rows)}
    loaded = []
    for name in sorted(firsts)[:5]:
        samples, rate = soundfile.read(firsts[name], dtype="float32", always_2d=True)
        loaded.append((samples.mean(axis=1)[: 5 * rate], rate))
    return loaded


@pytest.fixture(scope="module", params=["synthetic", "speech"])
def recordings(request):
    """A function from a sample rate to recordings of different lengths at that rate."""
    if request.param == "synthetic":
        settings = [(2.03, 110.0, 0), (1.2345, 220.0, 1), (0.317, 90.0, 2)]
        return lambda rate: [torch.from_numpy(synthetic(*each, rate)) for each in settings]
    raw = recorded(request.getfixturevalue("eval_dir") / "asr_en")
    return lambda rate: [torch.from_numpy(soxr.resample(x, source, rate)) for x, source in raw]


@pytest.fixture
def voice() -> torch.Tensor:
    return torch.from_numpy(synthetic(1.0, 120.0, 3, 16_000))


def padded(items: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch whose padding is loud and NaN by turns: it shows in every result that it touches."""
    lengths = torch.tensor([item.shape[-1] for item in items])
    batch = torch.full((len(items), *items[0].shape[:-1], int(lengths.max())), 1e3)
    batch[..., ::2] = torch.nan
    for row, item in zip(batch, items, strict=True):
        row[..., : item.shape[-1]] = item
    return batch, lengths


@pytest.mark.parametrize("n_mels", [80, 128])
def test_whisper_filters_equal_the_packaged_ones(n_mels):
    ours = features._slaney_filters(16_000, 400, n_mels, torch.device("cpu"))
    assert_close(ours, whisper.audio.mel_filters("cpu", n_mels), rtol=3e-7, atol=0)


@pytest.mark.parametrize("padding", [0, 16_000])
@pytest.mark.parametrize("n_mels", [80, 128])
def test_whisper_log_mel_equals_openai_whisper(recordings, n_mels, padding):
    for samples in recordings(16_000):
        ours = features.whisper_log_mel(samples, n_mels, padding)
        reference = whisper.audio.log_mel_spectrogram(samples, n_mels, padding)
        assert ours.shape == (n_mels, (len(samples) + padding) // 160)
        assert_close(ours, reference, rtol=0, atol=1e-6)


def test_whisper_batch_item_keeps_its_own_maximum(voice):
    quiet = 1e-4 * voice.flip(0)
    both = features.whisper_log_mel(torch.stack([voice, quiet]))
    assert_close(both[0], features.whisper_log_mel(voice), rtol=0, atol=1e-6)
    assert_close(both[1], features.whisper_log_mel(quiet), rtol=0, atol=1e-6)


def test_vits_spectrograms_equal_coqui(recordings):
    for samples in recordings(22_050):
        wave = samples[None, None]
        linear = torch_transforms.wav_to_spec(wave, 1024, 256, 1024)[0]
        mel = torch_transforms.spec_to_mel(linear, 1024, 80, 22_050, 0, None)
        direct = torch_transforms.wav_to_mel(wave, 1024, 80, 22_050, 256, 1024, 0, None)[0]
        assert linear.shape == (513, len(samples) // 256)
        assert_close(features.vits_linear(samples), linear, rtol=1e-6, atol=1e-6)
        assert_close(features.vits_linear_to_mel(linear), mel, rtol=0, atol=3e-6)
        assert_close(features.vits_mel(samples), direct, rtol=0, atol=3e-6)


def test_vits_batch_equals_single(recordings):
    first, second = (x[:6000] for x in recordings(22_050)[:2])
    both = torch.stack([first, second])
    for function in (features.vits_linear, features.vits_mel):
        assert_close(function(both)[1], function(second), rtol=1e-6, atol=3e-6)
    silence = torch.zeros(513, 1)
    floor = torch_transforms.spec_to_mel(silence, 1024, 80, 22_050, 0, None)
    assert_close(features.vits_linear_to_mel(silence), floor)
    with pytest.raises(InputError, match="80 bins"):
        features.vits_linear_to_mel(features.vits_mel(both))


def speechbrain_fbank(samples: torch.Tensor) -> torch.Tensor:
    normalise = InputNormalization(norm_type="sentence", std_norm=False)
    return normalise(Fbank(n_mels=80)(samples[None]), torch.ones(1))[0]


def test_ecapa_fbank_equals_speechbrain(recordings):
    for samples in recordings(16_000):
        ours = features.ecapa_fbank(samples)
        assert ours.shape == (len(samples) // 160 + 1, 80)
        assert_close(ours, speechbrain_fbank(samples), rtol=0, atol=5e-5)


@pytest.mark.parametrize("relative", [False, True])
def test_ecapa_batch_equals_single(recordings, relative):
    items = [x[: len(x) - cut] for cut, x in zip((0, 37, 0), recordings(16_000), strict=False)]
    batch, lengths = padded(items)
    result = features.ecapa_fbank(batch, lengths / batch.shape[1] if relative else lengths)
    for item, row in zip(items, result, strict=True):
        frames = len(item) // 160 + 1
        assert_close(row[:frames], features.ecapa_fbank(item), rtol=0, atol=5e-5)
        assert not row[frames:].any()


def test_ecapa_floor_follows_the_item_and_not_what_follows_it():
    """The tail of a loud last sample reaches a frame past the end, which must not set the floor."""
    items = [torch.zeros(8000), torch.zeros(3319)]
    items[0][4000], items[1][50], items[1][3318] = 1.0, 1e-7, 1.0
    batch, lengths = padded(items)
    alone = features.ecapa_fbank(items[1])
    assert_close(features.ecapa_fbank(batch, lengths)[1, :21], alone, rtol=0, atol=5e-5)


def librosa_mfcc(samples: torch.Tensor, rate: int, n_mfcc: int = 13) -> torch.Tensor:
    n_fft, hop = 2 * round(rate / 80), round(rate / 100)
    settings = {"n_mfcc": n_mfcc, "n_mels": 40, "n_fft": n_fft, "hop_length": hop}
    return torch.from_numpy(librosa.feature.mfcc(y=samples.numpy(), sr=rate, **settings))


@pytest.mark.parametrize(("rate", "n_mfcc"), [(8000, 40), (16_000, 13), (22_050, 20)])
def test_mfcc_equals_librosa(recordings, rate, n_mfcc):
    for samples in recordings(rate):
        ours = features.mfcc(samples, rate, n_mfcc)
        assert_close(ours, librosa_mfcc(samples, rate, n_mfcc), rtol=0, atol=1e-3)


def test_mfcc_batch_equals_single(recordings):
    items = recordings(16_000)
    batch, lengths = padded(items)
    for item, row in zip(items, features.mfcc(batch, lengths=lengths), strict=True):
        alone = features.mfcc(item)
        assert_close(row[:, : alone.shape[1]], alone, rtol=0, atol=1e-3)
        assert not row[:, alone.shape[1] :].any()


@pytest.mark.parametrize("frames", [None, 3, 1])
@pytest.mark.parametrize("width", [3, 5, 9])
def test_deltas_equal_librosa(recordings, width, frames):
    for samples in recordings(16_000):
        cepstra = features.mfcc(samples)[:, :frames]
        reference = librosa.feature.delta(cepstra.numpy(), width=width, mode="nearest")
        ours = features.deltas(cepstra, width)
        assert_close(ours, torch.from_numpy(reference), rtol=0, atol=5e-5)


def test_deltas_of_a_line():
    """Slope 2 inside; at the edges the repeated frames take from it, as the formula says."""
    line = 2.0 * torch.arange(7.0)[None]
    expected = torch.tensor([[1.0, 1.6, 2.0, 2.0, 2.0, 1.6, 1.0]])
    assert_close(features.deltas(line, 5), expected)


def test_cmvn_equals_the_formula(recordings):
    for samples in recordings(16_000):
        x = features.mfcc(samples).double()
        centred = x - x.mean(1, keepdim=True)
        normal = centred / (centred**2).mean(1, keepdim=True).sqrt()
        assert_close(features.cmvn(x), normal.float(), rtol=0, atol=5e-6)
        assert_close(features.cmvn(x, variance=False), centred.float(), rtol=0, atol=2e-4)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("function", [features.deltas, features.cmvn])
def test_feature_batch_equals_single(function, relative):
    generator = torch.Generator().manual_seed(4)
    items = [torch.randn(5, frames, generator=generator) + 3.0 for frames in (40, 27, 2)]
    batch, lengths = padded(items)
    result = function(batch, lengths=lengths / 40 if relative else lengths)
    for item, row in zip(items, result, strict=True):
        frames = item.shape[-1]
        assert_close(row[:, :frames], function(item), rtol=0, atol=2e-6)
        assert not row[:, frames:].any()


def test_cmvn_of_a_constant_bin_and_of_one_frame_is_zero():
    assert not features.cmvn(torch.full((3, 1000), -99.9)).any()
    assert not features.cmvn(torch.randn(3, 1)).any()


def test_ten_milliseconds(voice):
    short = voice[2000:2160]
    assert_close(features.ecapa_fbank(short), speechbrain_fbank(short), rtol=0, atol=5e-5)
    with pytest.warns(UserWarning, match="n_fft"):
        reference = librosa_mfcc(short, 16_000)
    assert_close(features.mfcc(short), reference, rtol=0, atol=1e-3)
    whole_window = features.whisper_log_mel(short, padding=480_000 - 160)
    reference = whisper.audio.log_mel_spectrogram(short, padding=480_000 - 160)
    assert_close(whole_window, reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "fewest", "shape"),
    [
        (features.whisper_log_mel, 201, (80, 1)),
        (features.vits_linear, 385, (513, 1)),
        (features.vits_mel, 385, (80, 1)),
        (features.ecapa_fbank, 160, (2, 80)),
        (features.mfcc, 160, (13, 2)),
    ],
)
def test_samples_are_checked(function, fewest, shape):
    assert function(torch.zeros(fewest)).shape == shape
    assert function(torch.zeros(3, 5000)).isfinite().all()
    with pytest.raises(AudioError, match=f"{fewest - 1} samples are too few .* {fewest}"):
        function(torch.zeros(fewest - 1))
    for shape in [(0,), (2, 0), (0, 16_000)]:
        with pytest.raises(AudioError, match="empty"):
            function(torch.zeros(shape))
    for wrong in [torch.tensor(0.0), torch.zeros(2, 3, 4), torch.zeros(16_000, dtype=torch.int16)]:
        with pytest.raises(InputError, match="give floats of shape"):
            function(wrong)


@pytest.mark.parametrize("function", [features.deltas, features.cmvn])
def test_features_are_checked(function):
    with pytest.raises(AudioError, match="empty"):
        function(torch.zeros(13, 0))
    with pytest.raises(InputError, match="bins, frames"):
        function(torch.zeros(13))


@pytest.mark.parametrize(
    "lengths", [[400], [400, 0], [400, 401], [1.0, 1.5], [0.0, 1.0], [1.0, float("nan")]]
)
def test_wrong_lengths_are_refused(lengths):
    with pytest.raises(InputError, match="integers from 1 to 400 or floats"):
        features.ecapa_fbank(torch.zeros(2, 400), lengths)


def test_an_item_that_is_too_short_is_refused():
    with pytest.raises(AudioError, match="159 samples"):
        features.ecapa_fbank(torch.zeros(2, 400), [400, 159])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: features.whisper_log_mel(x, n_mels=40),
        lambda x: features.whisper_log_mel(x, padding=-1),
        lambda x: features.mfcc(x, n_mfcc=41),
        lambda x: features.mfcc(x, n_mfcc=0),
        lambda x: features.mfcc(x, sample_rate=1999),
        lambda x: features.deltas(x[None], width=4),
        lambda x: features.deltas(x[None], width=1),
    ],
)
def test_wrong_settings_are_refused(voice, call):
    with pytest.raises(InputError, match=r"; give|must be"):
        call(voice)


def test_gradients_flow_after_a_call_in_inference_mode(voice):
    for cached in (features._window, features._slaney_filters):
        cached.cache_clear()
    with torch.inference_mode():
        features.vits_mel(voice)
    voice.requires_grad_()
    features.vits_mel(voice).sum().backward()
    assert voice.grad is not None
    assert voice.grad.abs().max() > 0


@pytest.mark.parametrize(
    "function", [features.whisper_log_mel, features.ecapa_fbank, features.mfcc]
)
def test_autocast_leaves_the_precision(voice, function):
    with torch.autocast("cpu", torch.bfloat16):
        result = function(voice)
    assert torch.equal(result, function(voice))
