"""The features of the three models, and the classic ones: samples in, frames out.

Samples are floating-point tensors in [-1, 1], shape (n,) or (batch, n), and are computed in float32
on the device they lie on. Every result keeps the batch dimension that its input had.

A batch of unequal recordings is padded on the right and comes with `lengths`, one number per item:
integers count samples (in `deltas` and `cmvn`, frames), floats are shares of the padded length in
(0, 1], SpeechBrain's convention. What lies past the length of an item has no influence, and the
frames past it are 0, so each item equals the same recording alone.

All functions raise InputError for a tensor of wrong rank or type and for lengths that do not fit,
and AudioError for an empty tensor; what else they raise, each says.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.errors import AudioError, InputError

WHISPER_RATE, WHISPER_FFT, WHISPER_HOP = 16_000, 400, 160  # Hz, samples, samples
VITS_RATE, VITS_FFT, VITS_HOP, VITS_MELS = 22_050, 1024, 256, 80  # Hz, samples, samples, bins
ECAPA_RATE, ECAPA_FFT, ECAPA_HOP, ECAPA_MELS = 16_000, 400, 160, 80  # Hz, samples, samples, bins

Lengths: TypeAlias = Tensor | Sequence[int] | Sequence[float]


def whisper_log_mel(samples: Tensor, n_mels: int = 80, padding: int = 0) -> Tensor:
    """Whisper's log-mel spectrogram of 16 kHz samples: [.., n_mels, frames], 100 frames per second.

    `x = log10 max(M |STFT|², 1e-10)`, `y = (max(x, max x - 8) + 4) / 4`: Hann windows of 400
    samples, reflected edges, Slaney's mel filters `M` over 0 to 8000 Hz, the maximum taken over one
    recording. `padding` zeros are appended first (480,000 for Whisper's 30 s window); frames are
    (n + padding) // 160, since the last one is dropped.

    Source: Radford et al. 2022, section 2.2; openai-whisper, whisper/audio.py,
    `log_mel_spectrogram`, which takes the maximum over a whole batch instead.
    Raises InputError for another `n_mels` and negative padding; AudioError for fewer than 201
    samples (12.6 ms), padding included.
    """
    if n_mels not in (80, 128) or padding < 0:
        raise InputError(f"n_mels={n_mels}, padding={padding}; give 80 or 128 mels, zeros >= 0")
    batch = F.pad(_batch(samples, 1), (0, padding))
    _require(batch.shape[-1], WHISPER_FFT // 2 + 1, "Whisper's log-mel (padding=)")
    batch = F.pad(batch[:, None], (WHISPER_FFT // 2,) * 2, mode="reflect")[:, 0]
    power = _power(batch, WHISPER_FFT, WHISPER_HOP, "hann")[..., :-1]
    filters = _slaney_filters(WHISPER_RATE, WHISPER_FFT, n_mels, samples.device)
    log_mel = _apply(filters, power).clamp(min=1e-10).log10()
    log_mel = torch.maximum(log_mel, log_mel.amax(dim=(-2, -1), keepdim=True) - 8.0)
    return _like(samples, (log_mel + 4.0) / 4.0)


def vits_linear(samples: Tensor) -> Tensor:
    """The linear spectrogram that VITS's posterior encoder reads: [.., 513, frames], 86.1 per s.

    `s = sqrt(|STFT|² + 1e-6)` of 22.05 kHz samples: Hann windows of 1024 samples, hop 256, and
    (1024 - 256) / 2 = 384 samples reflected at each end, so that frames are n // 256.

    Source: Kim et al. 2021, section 2.1.3; coqui-tts, TTS/utils/audio/torch_transforms.py,
    `wav_to_spec`. Raises AudioError for fewer than 385 samples (17.5 ms).
    """
    batch, margin = _batch(samples, 1), (VITS_FFT - VITS_HOP) // 2
    _require(batch.shape[-1], margin + 1, "VITS's spectrogram")
    batch = F.pad(batch[:, None], (margin, margin), mode="reflect")[:, 0]
    power = _power(batch, VITS_FFT, VITS_HOP, "hann")
    return _like(samples, (power + 1e-6).sqrt())


def vits_linear_to_mel(linear: Tensor) -> Tensor:
    """VITS's log-mel from its linear spectrogram: [.., 513, frames] -> [.., 80, frames].

    `y = ln max(M s, 1e-5)`, `M` Slaney's mel filters over 0 to 11,025 Hz, natural logarithm.

    Source: coqui-tts, as above, `spec_to_mel`. Raises InputError for another number of bins.
    """
    batch = _batch(linear, 2)
    if batch.shape[-2] != VITS_FFT // 2 + 1:
        raise InputError(f"the spectrogram has {batch.shape[-2]} bins; vits_linear gives 513")
    filters = _slaney_filters(VITS_RATE, VITS_FFT, VITS_MELS, linear.device)
    return _apply(filters, batch).clamp(min=1e-5).log().reshape(*linear.shape[:-2], VITS_MELS, -1)


def vits_mel(samples: Tensor) -> Tensor:
    """The log-mel that VITS's reconstruction loss compares: [.., 80, frames], 86.1 per second.

    `vits_linear_to_mel(vits_linear(samples))` of 22.05 kHz samples.

    Source: coqui-tts, as above, `wav_to_mel`. Raises AudioError for fewer than 385 samples.
    """
    return vits_linear_to_mel(vits_linear(samples))


def ecapa_fbank(samples: Tensor, lengths: Lengths | None = None) -> Tensor:
    """The filter bank that ECAPA-TDNN reads: [.., frames, 80], 100 frames per second, mean 0.

    `x = 10 log10 max(M |STFT|², 1e-10)`, `y = max(x, max x - 80)`, then each bin's mean over the
    frames of the recording is subtracted: Hamming windows of 400 samples, zeros beyond the edges,
    80 triangles over 0 to 8000 Hz on the mel scale 2595 log10(1 + f / 700). Samples are at 16 kHz,
    frames are n // 160 + 1.

    Source: speechbrain, lobes/features.py, `Fbank(n_mels=80)`, then processing/features.py,
    `InputNormalization(norm_type="sentence", std_norm=False)`; the paper, Desplanques et al. 2020,
    has MFCCs. In a padded batch SpeechBrain rounds the shares to frames of the padded length; here
    an item equals its recording alone.
    Raises AudioError for fewer than 160 samples (10 ms): one frame less its own mean is nothing.
    """
    batch, counts = _cut(samples, lengths, ECAPA_HOP, "ECAPA's filter bank")
    frames = counts // ECAPA_HOP + 1
    power = _power(F.pad(batch, (ECAPA_FFT // 2,) * 2), ECAPA_FFT, ECAPA_HOP, "hamming")
    decibels = _decibels(_apply(_ecapa_filters(samples.device), power), frames)
    return _like(samples, cmvn(decibels, frames, variance=False).transpose(-1, -2))


def mfcc(
    samples: Tensor,
    sample_rate: int = 16_000,
    n_mfcc: int = 13,
    n_mels: int = 40,
    lengths: Lengths | None = None,
) -> Tensor:
    """Mel-frequency cepstral coefficients: [.., n_mfcc, frames], 100 frames per second.

    `x = 10 log10 max(M |STFT|², 1e-10)`, `y = max(x, max x - 80)`, then the orthonormal DCT-II
    `c_k = a_k Σ_m y_m cos(π k (m + 1/2) / n_mels)`, `a_0² = 1 / n_mels`, else `2 / n_mels`: Hann
    windows of 25 ms (`n_fft = 2 round(sample_rate / 80)`), hop 10 ms (`round(sample_rate / 100)`),
    zeros beyond the edges, Slaney's mel filters up to half the rate. Frames are n // hop + 1.

    Source: Davis and Mermelstein 1980; librosa, `feature.mfcc` with these settings. Raises
    InputError for a rate under 2000 Hz and `n_mfcc` > `n_mels`; AudioError for less than one hop.
    """
    if sample_rate < 2000 or not 1 <= n_mfcc <= n_mels:
        given = f"sample_rate={sample_rate}, n_mfcc={n_mfcc}, n_mels={n_mels}"
        raise InputError(f"{given}; give a rate of 2000 Hz or more and 1 <= n_mfcc <= n_mels")
    n_fft, hop = 2 * round(sample_rate / 80), round(sample_rate / 100)
    batch, counts = _cut(samples, lengths, hop, "the MFCC")
    frames = counts // hop + 1
    power = _power(F.pad(batch, (n_fft // 2,) * 2), n_fft, hop, "hann")
    filters = _slaney_filters(sample_rate, n_fft, n_mels, samples.device)
    decibels = _decibels(_apply(filters, power), frames)
    cepstra = _apply(_cosines(n_mfcc, n_mels, samples.device), decibels)
    return _like(samples, cepstra.masked_fill(~_mask(frames, cepstra.shape[-1]), 0.0))


def deltas(features: Tensor, width: int = 5, lengths: Lengths | None = None) -> Tensor:
    """The slope over time of features [.., bins, frames]: same shape, change per frame.

    `d_t = Σ_k k (x_{t+k} - x_{t-k}) / (2 Σ_k k²)`, k = 1 .. (width - 1) / 2: the least-squares line
    through `width` frames. The first and last frame are repeated beyond the edges, so any number of
    frames will do. Apply it twice for the acceleration.

    Source: Young et al., The HTK Book 3.4, section 5.9; equals librosa,
    `feature.delta(width=width, mode="nearest")`, whose default mode fits the edges otherwise.
    Raises InputError for a width that is even or below 3.
    """
    if width < 3 or width % 2 == 0:
        raise InputError(f"width is {width} frames; it must be odd and 3 or more")
    batch = _batch(features, 2)
    n, total, counts = width // 2, batch.shape[-1], _counts(lengths, batch)
    times = torch.arange(-n, total + n, device=batch.device)
    times = times.clamp(min=0).minimum(counts[:, None, None] - 1).expand(-1, batch.shape[1], -1)
    windows = batch.gather(-1, times).unfold(-1, width, 1)
    steps = torch.arange(-n, n + 1, dtype=batch.dtype, device=batch.device)
    slopes = (windows * steps).sum(-1) / steps.square().sum()
    return slopes.masked_fill(~_mask(counts, total), 0.0).reshape(features.shape)


def cmvn(features: Tensor, lengths: Lengths | None = None, variance: bool = True) -> Tensor:
    """Mean and variance normalisation of one recording's features [.., bins, frames]: same shape.

    `y = (x - μ) / max(σ, 1e-5)`, μ and σ² = mean (x - μ)² taken over the recording's own frames,
    for each bin; without `variance`, `y = x - μ`.

    Source: Viikki and Laurila 1998, over whole recordings. Raises what every function here does.
    """
    batch = _batch(features, 2)
    counts = _counts(lengths, batch)
    valid, n = _mask(counts, batch.shape[-1]), counts[:, None, None]
    # The shift leaves the result as it is, and makes a constant bin 0 instead of rounding noise.
    centred = (batch - batch[..., :1]).masked_fill(~valid, 0.0)
    centred = (centred - centred.sum(-1, keepdim=True) / n).masked_fill(~valid, 0.0)
    if variance:
        centred = centred / (centred.square().sum(-1, keepdim=True) / n).sqrt().clamp(min=1e-5)
    return centred.reshape(features.shape)


def _batch(tensor: Tensor, rank: int) -> Tensor:
    """The tensor in float32 with a batch dimension, once its rank, type and size are checked."""
    if not tensor.is_floating_point() or tensor.ndim not in (rank, rank + 1):
        shape = "[n] or [batch, n]" if rank == 1 else "[bins, frames] or [batch, bins, frames]"
        kind = str(tensor.dtype).removeprefix("torch.")
        raise InputError(f"the tensor is {kind} {list(tensor.shape)}; give floats of shape {shape}")
    if tensor.numel() == 0:
        raise AudioError(f"the tensor is empty, shape {list(tensor.shape)}; leave it out")
    return tensor.float().reshape(-1, *tensor.shape[-rank:])


def _like(samples: Tensor, result: Tensor) -> Tensor:
    return result if samples.ndim == 2 else result[0]


def _require(n: int, minimum: int, what: str) -> None:
    if n < minimum:
        raise AudioError(f"{n} samples are too few for {what}; give {minimum}, or append zeros")


def _counts(lengths: Lengths | None, batch: Tensor) -> Tensor:
    """Lengths as integers in 1..total, one per item; without lengths all are whole."""
    items, total = len(batch), batch.shape[-1]
    given = torch.as_tensor([total] * items if lengths is None else lengths, device="cpu")
    counts = (given.double() * total).round() if given.is_floating_point() else given
    if counts.shape != (items,) or not bool(((counts >= 1) & (counts <= total)).all()):
        wanted = f"{items} of them, integers from 1 to {total} or floats in (0, 1]"
        raise InputError(f"the lengths are {given.tolist()}; give {wanted}")
    return counts.long().to(batch.device)


def _cut(samples: Tensor, lengths: Lengths | None, hop: int, what: str) -> tuple[Tensor, Tensor]:
    """Samples as a batch with zeros past each item's length, and the lengths."""
    batch = _batch(samples, 1)
    counts = _counts(lengths, batch)
    _require(int(counts.min()), hop, what)
    return batch.masked_fill(~_mask(counts, batch.shape[-1])[:, 0], 0.0), counts


def _mask(counts: Tensor, total: int) -> Tensor:
    """True where a frame belongs to its item: [batch, 1, total]."""
    return torch.arange(total, device=counts.device) < counts[:, None, None]


def _apply(matrix: Tensor, batch: Tensor) -> Tensor:
    """The matrix times each item, in float32 even where autocast is on."""
    with torch.autocast(batch.device.type, enabled=False):
        return matrix @ batch


def _power(batch: Tensor, n_fft: int, hop: int, window: str) -> Tensor:
    """|STFT|² of frames that begin at each hop: [batch, n_fft // 2 + 1, frames]."""
    weights = _window(window, n_fft, batch.device)
    spectrum = torch.stft(batch, n_fft, hop, window=weights, center=False, return_complex=True)
    return torch.view_as_real(spectrum).square().sum(-1)


def _decibels(mel: Tensor, frames: Tensor) -> Tensor:
    """10 log10 of power, no lower than 80 dB under the loudest bin of the item's own frames."""
    decibels = 10.0 * mel.clamp(min=1e-10).log10()
    outside = ~_mask(frames, mel.shape[-1])
    loudest = decibels.masked_fill(outside, -math.inf).amax(dim=(-2, -1), keepdim=True)
    return torch.maximum(decibels, loudest - 80.0)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _window(name: str, size: int, device: torch.device) -> Tensor:
    return {"hann": torch.hann_window, "hamming": torch.hamming_window}[name](size).to(device)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _slaney_filters(rate: int, n_fft: int, n_mels: int, device: torch.device) -> Tensor:
    """Triangles of equal area on Slaney's mel scale, 0 to rate / 2 Hz: [n_mels, n_fft // 2 + 1].

    The scale is linear, 200/3 Hz per mel, up to 1000 Hz, then logarithmic, 27 mel per factor 6.4.
    In float64, as librosa's `filters.mel`: torchaudio's float32 filters move the log-mel by 1e-5.
    """
    top = 15.0 + 27.0 * math.log(rate / 2000) / math.log(6.4)
    mels = torch.linspace(0.0, top, n_mels + 2, dtype=torch.float64)
    edges = torch.where(mels < 15.0, mels * 200 / 3, 1000.0 * 6.4 ** ((mels - 15.0) / 27.0))
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * rate / n_fft
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    return (triangles.clamp(min=0.0) * 2.0 / (high - low)).float().to(device)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _ecapa_filters(device: torch.device) -> Tensor:
    """SpeechBrain's triangles, in its float32, as steep to the right as to the left: [80, 201]."""
    top = 2595.0 * math.log10(1.0 + ECAPA_RATE / 2 / 700.0)
    edges = 700.0 * (10.0 ** (torch.linspace(0.0, top, ECAPA_MELS + 2) / 2595.0) - 1.0)
    bins = torch.linspace(0.0, ECAPA_RATE / 2, ECAPA_FFT // 2 + 1)
    slope = (bins - edges[1:-1, None]) / (edges[1:-1] - edges[:-2])[:, None]
    return torch.minimum(slope + 1.0, 1.0 - slope).clamp(min=0.0).to(device)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _cosines(n_mfcc: int, n_mels: int, device: torch.device) -> Tensor:
    """The orthonormal DCT-II: [n_mfcc, n_mels]."""
    from torchaudio.functional import create_dct

    basis: Tensor = create_dct(n_mfcc, n_mels, norm="ortho")
    return basis.T.contiguous().to(device)
