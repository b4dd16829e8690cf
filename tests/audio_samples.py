"""Sounds and files that the tests of audio make, and ways to measure them."""

import io

import av
import numpy as np
import pytest
import soundfile

from speechkit.audio import load_audio
from speechkit.errors import AudioError

RATE = 16_000

SOUNDFILE_KINDS = {
    "wav-8": ("WAV", "PCM_U8", 8e-3),
    "wav-16": ("WAV", "PCM_16", 5e-5),
    "wav-24": ("WAV", "PCM_24", 2e-7),
    "wav-32": ("WAV", "PCM_32", 1e-7),
    "wav-float": ("WAV", "FLOAT", 0),
    "wav-double": ("WAV", "DOUBLE", 0),
    "wav-ulaw": ("WAV", "ULAW", 2e-2),
    "wav-alaw": ("WAV", "ALAW", 2e-2),
    "wav-ima": ("WAV", "IMA_ADPCM", 5e-2),
    "wav-ms": ("WAV", "MS_ADPCM", 5e-2),
    "wav-gsm": ("WAV", "GSM610", 5e-1),
    "rf64": ("RF64", "PCM_16", 5e-5),
    "aiff": ("AIFF", "PCM_16", 5e-5),
    "flac": ("FLAC", "PCM_16", 5e-5),
    "ogg": ("OGG", "VORBIS", 5e-2),
    "opus": ("OGG", "OPUS", 5e-2),
    "mp3": ("MP3", "MPEG_LAYER_III", 5e-2),
}

FFMPEG_KINDS = {
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "aac": ("adts", "aac"),
    "webm": ("webm", "libopus"),
    "mka-pcm": ("matroska", "pcm_s16le"),
    "mkv-flac": ("matroska", "flac"),
    "mov-pcm": ("mov", "pcm_s24le"),
    "mpegts": ("mpegts", "aac"),
}


def tone(hz=440.0, seconds=1.0, rate=RATE, level=0.5):
    """A sine wave, float32, shape (n,)."""
    t = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def vowels(seconds, seed=0, rate=RATE):
    """Vowels of a falling pitch, which a speech detector takes for speech."""
    rng = np.random.default_rng(seed)
    formants = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)])
    parts = []
    while sum(map(len, parts)) < seconds * rate:
        n = round(rate * rng.uniform(0.12, 0.3))
        vowel, pitch = rng.choice(formants), rng.uniform(90, 140)
        phase = 2 * np.pi * np.cumsum(pitch * np.linspace(1.1, 0.9, n)) / rate
        partials = np.arange(1, 35)[:, None]
        gains = 0.02 + (1 / (1 + ((pitch * partials - vowel) / 80) ** 2)).sum(1, keepdims=True)
        syllable = (gains * np.sin(partials * phase) / partials**0.3).sum(0) * np.hanning(n)
        parts += [0.4 * syllable / np.abs(syllable).max(), rng.normal(0, 0.01, round(0.03 * rate))]
    return np.concatenate(parts)[: round(seconds * rate)].astype(np.float32)


def cut(signal, rng, longest):
    """The signal in pieces of random lengths, some of them empty."""
    at = 0
    while at < len(signal):
        size = rng.choice([0, 1, rng.randrange(1, longest)])
        yield signal[at : at + size]
        at += size


def sf_bytes(samples, rate=RATE, format="WAV", subtype=None):
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=format, subtype=subtype)
    return out.getvalue()


def av_bytes(samples, container, codec, rate=48_000, layout="mono", bits=None):
    """Encode samples, shape (channels, n), at `rate` with FFmpeg."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        if bits:
            stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(np.atleast_2d(samples), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, layout, rate)
        fifo = av.AudioFifo()
        for piece in resampler.resample(frame) + resampler.resample(None):
            fifo.write(piece)
        size = stream.codec_context.frame_size or 1024
        while (piece := fifo.read(size, partial=True)) is not None:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return out.getvalue()


def strength(samples, hz, rate):
    """Amplitude of the component at `hz`, from the middle of the signal through a Hann window."""
    middle = np.asarray(samples[len(samples) // 10 : -len(samples) // 10], np.float64)
    window = np.hanning(len(middle))
    wave = np.exp(-2j * np.pi * hz * np.arange(len(middle)) / rate)
    return 2 * abs((middle * window * wave).sum()) / window.sum()


def db(x):
    return 20 * np.log10(max(x, 1e-12))


def fails(source, *says, **options):
    """Assert that loading raises one AudioError of one line that says all of `says`."""
    with pytest.raises(AudioError) as caught:
        load_audio(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    for text in says:
        assert str(text) in message
    return message
