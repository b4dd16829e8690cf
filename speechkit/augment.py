"""What happens to speech on its way: noise, rooms, other speeds and levels, codecs, masked features.

Each function gives a new `Audio` of the same sample rate. What is drawn follows from the seed.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit.audio import Audio, AudioSource, load_audio
from speechkit.decode import BLOCK
from speechkit.errors import AudioError, InputError
from speechkit.runtime import check_seed

# name → sample rate, libsndfile's format and encoding
CODECS = {
    "phone": (8_000, "WAV", "ULAW"),  # G.711
    "gsm": (8_000, "WAV", "GSM610"),
    "mp3": (16_000, "MP3", "MPEG_LAYER_III"),
    "opus": (16_000, "OGG", "OPUS"),
    "vorbis": (16_000, "OGG", "VORBIS"),
}
SPEEDS = (0.5, 2.0)


def add_noise(source: AudioSource, noise: AudioSource, snr_db: float, *, seed: int = 0) -> Audio:
    """Noise under the speech, from a place of the noise that is drawn; a short one is repeated.

    `snr_db = 10 log10 (Σ speech² / Σ noise²)`, over the whole recording. The sum is turned down where
    it would not fit into [-1, 1], which leaves the ratio as it is.

    Args:
        source, noise: whatever `load_audio` takes; the noise is resampled.
        snr_db: signal-to-noise ratio; 20 is a quiet room, 0 as loud as the speech.
        seed: of the place, from 0.

    Raises:
        AudioError: audio that can't be read, or silent noise.
        InputError: a ratio beyond ±100 dB, or a seed out of range.
    """
    check_seed(seed)
    if not -100 <= snr_db <= 100:
        raise InputError(f"snr_db is {snr_db}; give -100 to 100")
    speech = load_audio(source)
    wave = load_audio(noise, speech.sample_rate).samples
    if not np.any(wave):
        raise AudioError("the noise is silent; give a recording of noise")
    drawn, loudest = np.random.default_rng(seed).integers(len(wave)), np.abs(wave).argmax()
    for start in (drawn, loudest):  # the latter where nothing is heard in the drawn place
        piece = np.take(wave, np.arange(start, start + len(speech.samples)), mode="wrap")
        power = np.square(piece, dtype=np.float64).sum()
        if power > 0:
            break
    wanted = np.square(speech.samples, dtype=np.float64).sum() / 10 ** (snr_db / 10)
    return _fitting(speech.samples + np.sqrt(wanted / power) * piece, speech.sample_rate)


def add_reverb(source: AudioSource, impulse_response: AudioSource) -> Audio:
    """The speech in a room: convolved with the room's impulse response.

    As long as before, not delayed (the response's largest sample is taken for the direct sound) and
    as loud.

    Raises:
        AudioError: audio that can't be read, or a silent impulse response.
    """
    from scipy.signal import fftconvolve

    speech = load_audio(source)
    response = load_audio(impulse_response, speech.sample_rate).samples
    if not np.any(response):
        raise AudioError("the impulse response is silent; give the recording of a room")
    direct = int(np.argmax(np.abs(response)))
    wet = fftconvolve(speech.samples, response)[direct : direct + len(speech.samples)]
    level = np.sqrt(np.square(wet).sum() / max(np.square(speech.samples).sum(), 1e-20))
    return _fitting(wet / level if level > 0 else wet, speech.sample_rate)


def change_speed(source: AudioSource, factor: float) -> Audio:
    """Faster (above 1) or slower, 0.5 to 2; the pitch changes with it, as with a tape.

    Raises:
        AudioError: audio that can't be read.
        InputError: a factor out of range.
    """
    import soxr

    if not SPEEDS[0] <= factor <= SPEEDS[1]:
        raise InputError(f"factor is {factor}; give {SPEEDS[0]} to {SPEEDS[1]}")
    audio = load_audio(source)
    return _fitting(soxr.resample(audio.samples, factor, 1.0, quality="VHQ"), audio.sample_rate)


def change_gain(source: AudioSource, gain_db: float) -> Audio:
    """Louder or softer; what does not fit into [-1, 1] is clipped, as in a recorder that is turned up.

    Raises:
        AudioError: audio that can't be read.
        InputError: a gain beyond ±60 dB.
    """
    if not -60 <= gain_db <= 60:
        raise InputError(f"gain_db is {gain_db}; give -60 to 60")
    audio = load_audio(source)
    return Audio(np.clip(audio.samples * 10 ** (gain_db / 20), -1, 1), audio.sample_rate)


def pass_codec(source: AudioSource, codec: str) -> Audio:
    """Encoded and decoded again: what a telephone or a compressed file leaves of it.

    Args:
        codec: phone (G.711 µ-law, 8 kHz), gsm (06.10, 8 kHz), mp3, opus or vorbis (16 kHz, libsndfile's
            own bit rate).

    The length is that of before; the delay of a codec stays.

    Raises:
        AudioError: audio that can't be read.
        InputError: an unknown codec.
    """
    import soundfile

    if codec not in CODECS:
        raise InputError(f"codec {codec!r} is unknown; choose one of {', '.join(CODECS)}")
    rate, kind, encoding = CODECS[codec]
    audio = load_audio(source)
    memory = io.BytesIO()
    encoded = audio.resample(rate).samples
    with soundfile.SoundFile(memory, "w", rate, 1, encoding, format=kind) as file:
        for start in range(0, len(encoded), BLOCK):  # libvorbis crashes on minutes at once
            file.write(encoded[start : start + BLOCK])
    memory.seek(0)
    samples = np.asarray(soundfile.read(memory, dtype="float32")[0])
    decoded = _fitting(samples, rate).resample(audio.sample_rate).samples[: len(audio.samples)]
    missing = len(audio.samples) - len(decoded)
    return Audio(np.pad(decoded, (0, missing)), audio.sample_rate)


def spec_augment(
    features: torch.Tensor,
    *,
    time_masks: int = 2,
    time_width: int = 40,
    bin_masks: int = 2,
    bin_width: int = 10,
    seed: int = 0,
) -> torch.Tensor:
    """Masked stretches of time and frequency, filled with each feature map's mean.

    Source: Park et al. 2019, "SpecAugment", without time warping.

    Args:
        features: (..., bins, frames); a copy is changed, each item of the batch in the same places.
        time_masks, bin_masks: how many.
        time_width, bin_width: the widest, in frames and bins; widths are drawn from 0 to it, and at most
            half of the map.

    Raises:
        InputError: fewer than two dimensions, a negative number, or a seed out of range.
    """
    check_seed(seed)
    if features.ndim < 2 or min(time_masks, time_width, bin_masks, bin_width) < 0:
        raise InputError("give features (..., bins, frames), and numbers of 0 or more")
    random = np.random.default_rng(seed)
    out = features.clone()
    mean = features.mean(dim=(-2, -1), keepdim=True)
    for axis, count, widest in ((-1, time_masks, time_width), (-2, bin_masks, bin_width)):
        size = features.shape[axis]
        for _ in range(count):
            width = int(random.integers(min(widest, size // 2) + 1))
            start = int(random.integers(size - width + 1))
            out.narrow(axis, start, width).copy_(mean.expand_as(out.narrow(axis, start, width)))
    return out


def _fitting(samples: NDArray[np.floating], rate: int) -> Audio:
    """The signal, turned down where it goes beyond [-1, 1]."""
    peak = float(np.abs(samples).max(initial=0.0))
    return Audio((samples / max(1.0, peak)).astype(np.float32), rate)
