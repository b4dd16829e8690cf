r"""
From the waveform to features
=============================

:Answers: questions 12 (audio preprocessing: features, augmentation, the libraries), 16 (what goes
    into a model and what comes out)
:Needs: the voice ``en_US-joe-medium``; the weights of Whisper base and of
    ``spkrec-ecapa-voxceleb`` for their shapes; librosa to be compared with
:Takes: 30 s (15 s with ``--quick``) on two cores, weights fetched before

An audio front end turns the numbers of a microphone into the numbers that a network reads. A
second of speech is 16,000 samples, most of which say nothing alone. The front end brings all
recordings to one sample rate, cuts them into short frames, measures how loud each band of
frequencies is in each frame, and takes away what the microphone did. What it loses, no network
finds again. Every step is written out here and held against the function that the toolkit uses
and against the packages of the field.
"""

import io
import math

import numpy as np
import torch
from common import QUICK, RATE, import_recipe, keep_picture, keep_sound, recorded, say
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

import speechkit as sk
from speechkit import augment, features

SENTENCE = "She sells six fresh fish, and asks the price of each."

# %%
# Sampling, and what aliasing sounds like
# ---------------------------------------
#
# Sampling measures the sound pressure at equal distances in time. A sample rate of 16,000 per
# second holds frequencies up to half of that, 8,000 hertz, called the Nyquist frequency. A tone
# above it gives the same samples as a tone below it: that is aliasing, and no later step can undo
# it.
#
# With sample rate :math:`r`, a cosine of frequency :math:`f` and one that is a multiple of
# :math:`r` away meet at every sample, so the tone is heard folded to :math:`f'`:
#
# .. math::
#
#    \cos\Bigl(2\pi f \frac nr\Bigr) = \cos\Bigl(2\pi (f - kr) \frac nr\Bigr) \text{ for every whole }
#    k, \qquad f' = \Bigl| f - r\, \mathrm{round}(f/r) \Bigr| .
#
# Taking every second sample halves the rate, and folds all that lies above the new Nyquist
# frequency. A filter that first removes the upper half makes such a tone silent in place of wrong.


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    """A sine of amplitude 0.5: [seconds * rate]."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def folded(hertz: float, rate: float) -> float:
    """Where a tone is heard after sampling, in Hz."""
    return abs(hertz - rate * round(hertz / rate))


def loudest_hertz(samples: np.ndarray, rate: int) -> float:
    """The frequency of the largest bin of the spectrum of the whole signal."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


def level_db(samples: np.ndarray) -> float:
    """Power in decibels; a sine of amplitude 1 has -3."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def show(what: str, numbers: dict[str, float], form: str = ".1e") -> None:
    """Named numbers, one a line."""
    for name, number in numbers.items():
        print(f"{what}: {name}: {number:{form}}")


if __name__ == "__main__":
    heard = {f: loudest_hertz(tone(f, RATE)[::2], RATE // 2) for f in (1000, 3000, 5000, 7000)}
    print("tones, and where they are heard with every second sample, in Hz:", heard)
    for hertz, found_hertz in heard.items():
        assert abs(found_hertz - folded(hertz, RATE / 2)) < 1.5, "the tone is not where it folds to"
    high = sk.Audio(tone(5000, RATE).astype(np.float32), RATE)
    middle = slice(800, -800)  # without the ends, where the tone is cut off
    alias_without_db = level_db(high.samples[::2][middle]) - level_db(high.samples)
    alias_with_db = level_db(high.resample(RATE // 2).samples[middle]) - level_db(high.samples)
    print(f"5000 Hz at 8 kHz: {alias_without_db:.1f} dB without filter, {alias_with_db:.0f} with")
    assert abs(alias_without_db) < 0.1, (
        "without a filter, nothing is lost: it is in the wrong place"
    )
    assert alias_with_db < -90, "the filter should remove what cannot be held"

    when = np.arange(3 * RATE) / RATE
    sweep = sk.Audio((0.5 * np.sin(np.pi * (RATE / 2 / 3) * when**2)).astype(np.float32), RATE)
    speech = say(SENTENCE)
    bare = [sk.Audio(sound.samples[::2].copy(), RATE // 2) for sound in (sweep, speech)]
    filtered = [sound.resample(RATE // 2) for sound in (sweep, speech)]
    for number, name in enumerate(("sweep", "speech")):
        keep_sound(bare[number], f"aliasing_{name}_no_filter")
        keep_sound(filtered[number], f"aliasing_{name}_filtered")

# %%
# The picture of the sweep is the whole story: it rises to 8 kHz, and comes down again where the
# filter is missing. In speech, it is the sounds of "s", "sh" and "f" that fold, and become harsh.


def spectrogram_db(samples: np.ndarray, window: int, hop: int) -> np.ndarray:
    """For pictures: decibels [frequencies, frames]."""
    wave, shape = torch.tensor(np.asarray(samples, np.float32)), torch.hann_window(window)
    spectrum = torch.stft(wave, window, hop, window=shape, return_complex=True)
    return (20 * spectrum.abs().clamp(min=1e-6).log10()).numpy()


def draw(axes, decibels: np.ndarray, seconds: float, top: float, title: str, unit: str = "kHz"):
    """[frequencies, frames], to 80 dB below the loudest; `top` is where the frequencies end."""
    image = axes.imshow(
        decibels - decibels.max(), vmin=-80, extent=(0, seconds, 0, top), aspect="auto",
        origin="lower", cmap="magma",
    )  # fmt: skip
    axes.set(xlabel="time (s)", ylabel=f"frequency ({unit})", title=title)
    return image


if __name__ == "__main__":
    figure = Figure(figsize=(13, 6.2), layout="constrained")
    panels = figure.subplots(2, 3)
    titles = ("16 kHz", "Every second sample: it folds", "Filtered first")
    for row, sounds in zip(panels, zip((sweep, speech), bare, filtered, strict=True), strict=True):
        for axes, sound, title in zip(row, sounds, titles, strict=True):
            rate = sound.sample_rate
            decibels = spectrogram_db(sound.samples, rate // 40, rate // 160)
            image = draw(axes, decibels, sound.duration, rate / 2000, title)
    figure.colorbar(image, ax=panels, label="dB below the loudest", shrink=0.6)
    keep_picture(figure, "front_end_aliasing")

# %%
# Resampling
# ----------
#
# Resampling finds the values between the samples. Where a signal has no frequencies above the
# Nyquist frequency, its samples determine it at every instant, as a sum of shifted sinc functions:
# sines divided by their argument. To go down in rate, the same sum is made with a lower cut-off,
# which is the filter.
#
# .. math::
#
#    x(t) = \sum_n x_n\, c\, \mathrm{sinc}\bigl(c\,(rt - n)\bigr), \qquad
#    \mathrm{sinc}(u) = \frac{\sin \pi u}{\pi u}, \qquad c = \min(1, r'/r) .
#
# :math:`r` is the old rate and :math:`r'` the new one. The sum is endless, so every resampler cuts
# it off with a window, and they differ in how long it is. soxr, which stands behind
# ``sk.Audio.resample``, takes a long one. A straight line between two samples is the shortest, and
# is wrong where the tone is high.


def sinc_resample(samples: np.ndarray, old: int, new: int, reach: int = 64) -> np.ndarray:
    """The sum above, with a Kaiser window over `reach` samples to each side."""
    cut = min(1.0, new / old)
    instants = np.arange(len(samples) * new // old) * old / new  # in old samples
    near = np.floor(instants)[:, None] + np.arange(-reach + 1, reach + 1)  # [new, 2 reach]
    distance = instants[:, None] - near
    window = np.i0(9 * np.sqrt(np.clip(1 - (distance / reach) ** 2, 0, 1))) / np.i0(9)
    values = np.pad(samples, reach)[(near + reach).astype(int).clip(0, len(samples) + reach)]
    return (values * cut * np.sinc(cut * distance) * window).sum(axis=1)


if __name__ == "__main__":
    import librosa
    import torchaudio

    new, middle = 22_050, slice(2000, -2000)
    source, truth = (tone(6000, rate) for rate in (RATE, new))
    high = tone(5000, RATE)
    ways = {
        "straight lines": lambda x, a, b: np.interp(
            np.arange(len(x) * b // a) * a / b, np.arange(len(x)), x
        ),
        "the sum above": sinc_resample,
        "torchaudio": lambda x, a, b: torchaudio.functional.resample(torch.tensor(x), a, b).numpy(),
        "sk.Audio (soxr)": lambda x, a, b: sk.Audio(x, a).resample(b).samples,
    }
    up_error_db, alias_db = {}, {}
    for name, way in ways.items():
        error = way(source.astype(np.float32), RATE, new) - truth
        up_error_db[name] = level_db(error[middle]) - level_db(truth)
        down = way(high.astype(np.float32), RATE, 8000)
        alias_db[name] = level_db(down[middle]) - level_db(high)
    show("error of a 6 kHz tone at 22.05 kHz, dB", up_error_db, ".0f")
    show("what is left of a 5 kHz tone at 8 kHz, dB", alias_db, ".0f")
    assert up_error_db["straight lines"] > -20, "a line is no sine"
    assert up_error_db["the sum above"] < -80, "the sum is not the signal"
    assert alias_db["straight lines"] > -1, "a line has no filter"
    assert up_error_db["sk.Audio (soxr)"] < -80, "soxr should keep what both rates can hold"
    assert alias_db["sk.Audio (soxr)"] < -100, "and nothing else"

# %%
# The short-time Fourier transform
# --------------------------------
#
# The short-time Fourier transform says which frequencies sound when. It takes a short stretch of
# the signal, a frame, fades its ends with a window, and compares it with sines and cosines of all
# frequencies that fit. Then it moves on by a hop and does it again.
#
# .. math::
#
#    X_{tk} = \sum_{n=0}^{N-1} w_n\, x_{tH+n}\, e^{-2\pi i kn/N}, \qquad
#    f_k = k\,\frac rN, \qquad k = 0, \dots, N/2 .
#
# Frame :math:`t` begins at sample :math:`tH`. Its power is :math:`|X_{tk}|^2`. The window is there
# because a frame that is cut off sharply seems to hold frequencies that are not in the sound.


def stft(samples: Tensor, window: Tensor, hop: int) -> Tensor:
    """By the sum itself: [n] -> complex [N / 2 + 1, frames]."""
    size = len(window)
    frames = samples.unfold(0, size, hop) * window  # [frames, N]
    k, n = torch.arange(size // 2 + 1), torch.arange(size)
    angle = -2 * math.pi * (k[:, None] * n % size).to(samples.dtype) / size  # [N / 2 + 1, N]
    return torch.polar(torch.ones_like(angle), angle) @ frames.to(angle.dtype).T.to(torch.cdouble)


WINDOW, HOP = 400, 160  # samples: 25 ms and 10 ms at 16 kHz

if __name__ == "__main__":
    wave = torch.tensor(speech.samples).double()
    hann = torch.hann_window(WINDOW, dtype=torch.double)
    ours = stft(wave, hann, HOP)
    torchs = torch.stft(wave, WINDOW, HOP, window=hann, center=False, return_complex=True)
    stft_difference = float((ours - torchs).abs().max() / torchs.abs().max())
    print(f"{speech.duration:.2f} s of speech -> {list(ours.shape)}")
    print(f"from torch.stft: {stft_difference:.1e} of the largest")
    assert stft_difference < 1e-12, "the transform is not torch's"
    near_1k, far = torch.tensor(tone(1010, RATE)), 13  # bins below 500 Hz
    astray_db = {}
    for name, shape in (("no window", torch.ones(WINDOW).double()), ("Hann", hann)):
        power = stft(near_1k, shape, HOP)[:, 10].abs().square()
        astray_db[name] = float(10 * (power[:far].sum() / power.sum()).log10())
        tone_bin = int(power.argmax())
    print(f"a tone of 1010 Hz is loudest in bin {tone_bin}: {tone_bin * RATE / WINDOW:.0f} Hz")
    show("share of its power that seems to lie below 500 Hz, dB", astray_db, ".0f")
    assert tone_bin == round(1010 * WINDOW / RATE), "bin k is at k r / N"
    assert astray_db["Hann"] < astray_db["no window"] - 30, "a window keeps a tone in its place"

# %%
# Window and hop: apart in frequency or apart in time
# ---------------------------------------------------
#
# A long window tells close frequencies apart, a short one tells close moments apart, and no window
# does both. The length of the window times the smallest distance of two tones is a constant. The
# hop only has to be short enough that every sample is heard by some frame.
#
# A Hann window of :math:`T` seconds spreads a tone over :math:`4/T` hertz, and smears a click over
# :math:`T` seconds. Measured below: two equal tones count as apart when the middle between them is
# 3 dB lower than both, and so do two clicks, over time.


def dips(profile: np.ndarray, first: int, second: int) -> bool:
    """Whether the power has a dip of 3 dB somewhere between two places where it is large."""
    between = profile[first : second + 1]
    return 2 * between.min() < min(profile[first], profile[second])


def tones_apart(window: int) -> float:
    """The smallest distance of two tones, in Hz, that a window of so many samples shows."""
    when = (np.arange(window) - window / 2) / RATE  # both tones in phase in the middle: the worst
    fade, size = np.hanning(window + 1)[:-1], 1 << 15  # of the padded transform
    for bins in range(4, 8000, 4):  # between the tones
        low, high = (4096 + sign * bins // 2 for sign in (-1, 1))
        both = sum(np.exp(2j * np.pi * k * RATE / size * when) for k in (low, high))
        if dips(np.abs(np.fft.fft(fade * both, size)) ** 2, low, high):
            return bins * RATE / size
    return math.nan


def clicks_apart(window: int) -> float:
    """The smallest distance of two clicks, in seconds, that frames at every sample show."""
    fade = np.hanning(window + 1)[:-1]
    for distance in range(2, 2 * window):
        click = np.zeros(6 * window)
        click[[2 * window, 2 * window + distance]] = 1
        power = np.convolve(click, fade**2)  # of a frame: that of its samples (Parseval)
        if dips(power, 2 * window + window // 2, 2 * window + distance + window // 2):
            return distance / RATE
    return math.nan


if __name__ == "__main__":
    sizes = (64, 128, 400) if QUICK else (64, 128, 256, 400, 1024)
    apart = {size: (tones_apart(size), clicks_apart(size)) for size in sizes}
    for size, (hertz, seconds) in apart.items():
        print(
            f"{1000 * size / RATE:.1f} ms tell {hertz:.0f} Hz apart or {1000 * seconds:.1f} ms",
            end="",
        )
        print(f"; window times tones {size / RATE * hertz:.2f}")
    products = [size / RATE * hertz for size, (hertz, _) in apart.items()]
    assert max(products) / min(products) < 1.1, "length times distance should be constant"
    assert apart[64][1] < apart[400][1] / 5, "a short window should see clicks apart"
    least_heard = {}
    for hop in (WINDOW // 4, HOP, WINDOW // 2, WINDOW):
        weight = np.zeros(40 * WINDOW)
        for start in range(0, len(weight) - WINDOW, hop):
            weight[start : start + WINDOW] += hann.numpy()
        inside = weight[4 * WINDOW : -4 * WINDOW]
        least_heard[f"hop {hop}"] = float(inside.min() / inside.mean())
    show("weight of the sample that is heard least, of the mean", least_heard, ".3f")
    assert least_heard[f"hop {WINDOW // 2}"] > 0.999, "half a window hears all alike"
    assert least_heard[f"hop {WINDOW}"] < 0.001, "a whole window is deaf at its seams"

    when = np.arange(RATE // 2) / RATE
    mixed = 0.2 * np.sin(2 * np.pi * 2000 * when) + 0.2 * np.sin(2 * np.pi * 2100 * when)
    mixed[[4000, 4128]] += 6.0  # two clicks, 8 ms apart
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, size in zip(panels, (64, 400, 1024), strict=True):
        decibels = spectrogram_db(mixed, size, 8)
        image = draw(axes, decibels, 0.5, 8, f"Window of {1000 * size / RATE:.0f} ms")
        axes.set(xlim=(0.15, 0.36), ylim=(1.2, 2.9))
    figure.colorbar(image, ax=panels, label="dB below the loudest")
    keep_picture(figure, "front_end_windows")

# %%
# Mel bands and their logarithm
# -----------------------------
#
# A mel spectrogram sums the power of the frames in bands that are narrow at low frequencies and
# wide at high ones, as hearing is. The logarithm turns loudness ratios into differences, so that a
# quiet consonant counts beside a loud vowel. Eighty numbers a frame are left of two hundred and
# one.
#
# .. math::
#
#    m(f) = \begin{cases} 3f/200 & f < 1000 \\ 15 + 27 \ln(f/1000) / \ln 6.4 & \text{else}
#    \end{cases}, \qquad
#    y_{tm} = \log \sum_k M_{mk} |X_{tk}|^2 .
#
# :math:`M` holds triangles whose corners lie evenly in mel (this is Slaney's scale), each of area
# 1. The three models of the toolkit differ in the rest: Whisper keeps eight powers of ten below the
# loudest, VITS sums magnitudes at 22,050 Hz, ECAPA-TDNN has another scale and another window, and
# is built in ``40_ecapa_tdnn.py``.


def mel_filters(rate: int, size: int, bands: int) -> Tensor:
    """The weight of each frequency in each band: [bands, size / 2 + 1]."""
    mels = torch.linspace(0, 15 + 27 * math.log(rate / 2000) / math.log(6.4), bands + 2).double()
    corners = torch.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))  # Hz
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    hertz = torch.arange(size // 2 + 1) * rate / size
    rising, falling = (hertz - low) / (centre - low), (high - hertz) / (high - centre)
    return torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)


def power_of(samples: Tensor, size: int, hop: int, margin: int, mode: str = "reflect") -> Tensor:
    """|X|² of a recording lengthened at both ends: [n] -> [size / 2 + 1, frames]."""
    padded = F.pad(samples[None, None].double(), (margin, margin), mode=mode)[0, 0]
    return stft(padded, torch.hann_window(size, dtype=torch.double), hop).abs().square()


def whisper_features(samples: Tensor) -> Tensor:
    """Whisper's log-mel: [n] -> [80, frames]."""
    bands = mel_filters(RATE, 400, 80) @ power_of(samples, 400, 160, 200)[:, :-1]
    logs = bands.clamp(min=1e-10).log10()
    return (logs.clamp(min=float(logs.max()) - 8) + 4) / 4


def vits_features(samples: Tensor) -> Tensor:
    """VITS's log-mel at 22.05 kHz: [n] -> [80, frames]."""
    magnitude = (power_of(samples, 1024, 256, 384) + 1e-6).sqrt()  # [513, frames]
    return (mel_filters(22_050, 1024, 80) @ magnitude).clamp(min=1e-5).log()


def difference(ours: Tensor, theirs: Tensor | np.ndarray) -> float:
    """The largest one between two arrays of one shape."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} against {tuple(theirs.shape)}"
    return float((ours.double() - torch.as_tensor(theirs).double()).abs().max())


if __name__ == "__main__":
    samples = torch.tensor(speech.samples)
    samples_22k = torch.tensor(speech.resample(22_050).samples)
    filters = mel_filters(RATE, 400, 80)
    librosas = librosa.filters.mel(sr=RATE, n_fft=400, n_mels=80)
    torchaudios = torchaudio.functional.melscale_fbanks(
        201, 0.0, RATE / 2, 80, RATE, norm="slaney", mel_scale="slaney"
    )
    whispers, vits = features.whisper_log_mel(samples), features.vits_mel(samples_22k)
    bank = import_recipe("ecapa_tdnn").filter_bank(samples)
    mel_differences = {
        "filters, librosa": difference(filters, librosas),
        "filters, torchaudio": difference(filters, torchaudios.T),
        "Whisper's, speechkit": difference(whisper_features(samples), whispers),
        "VITS's, speechkit": difference(vits_features(samples_22k), vits),
        "ECAPA-TDNN's, speechkit": difference(bank, features.ecapa_fbank(samples)),
    }
    show("log-mel, largest difference", mel_differences)
    assert mel_differences["filters, librosa"] < 1e-6, "the filters are not librosa's"
    assert mel_differences["filters, torchaudio"] < 1e-5, "not torchaudio's, which are float32"
    assert mel_differences["Whisper's, speechkit"] < 1e-4, "float32 beside float64"
    assert mel_differences["VITS's, speechkit"] < 1e-3, "float32 beside float64, in quiet bands"
    assert mel_differences["ECAPA-TDNN's, speechkit"] < 0.01, "decibels of quiet bands, in float32"

# %%
# MFCC: a cosine transform of the log-mel
# ---------------------------------------
#
# Mel-frequency cepstral coefficients describe the shape of a spectrum by a few cosines.
# Neighbouring mel bands rise and fall together; the coefficients hardly do, so a simple model can
# treat them one by one. The first thirteen keep the broad shape, which the resonances of throat and
# mouth make, and leave out fine ripples over the bands. The transform is one matrix, so a network
# can form it in its first layer: the models of the toolkit read the log-mel.
#
# .. math::
#
#    c_{tk} = a_k \sum_{m=0}^{M-1} y_{tm} \cos\frac{\pi k (m + \frac12)}{M}, \qquad
#    a_0 = \sqrt{1/M}, \quad a_k = \sqrt{2/M} .


def cosine_transform(kept: int, bands: int) -> Tensor:
    """The orthonormal DCT-II: [kept, bands]."""
    k, m = (torch.arange(n, dtype=torch.double) for n in (kept, bands))
    scale = ((2 - (k == 0).double()) / bands).sqrt()  # a constant has twice a cosine's power
    return scale[:, None] * (math.pi * k[:, None] * (m + 0.5) / bands).cos()


def decibel_bands(samples: Tensor, bands: int = 40) -> Tensor:
    """Log-mel in decibels, at most 80 below the loudest: [n] -> [bands, frames]."""
    power = power_of(samples, WINDOW, HOP, WINDOW // 2, mode="constant")
    decibels = 10 * (mel_filters(RATE, WINDOW, bands) @ power).clamp(min=1e-10).log10()
    return decibels.clamp(min=float(decibels.max()) - 80)


def neighbour_correlation(rows: Tensor) -> float:
    """Mean absolute correlation of each row with the next one: [bins, frames] -> one number."""
    return float(torch.corrcoef(rows).diagonal(1).abs().mean())


if __name__ == "__main__":
    import scipy.fft

    bands = decibel_bands(samples)
    cepstra = cosine_transform(13, 40) @ bands
    settings = {"n_fft": WINDOW, "hop_length": HOP, "n_mels": 40}
    torchaudio_mfcc = torchaudio.transforms.MFCC(
        RATE, 13,
        melkwargs=settings | {"norm": "slaney", "mel_scale": "slaney", "pad_mode": "constant"},
    )  # fmt: skip
    librosa_mfcc = librosa.feature.mfcc(y=speech.samples, sr=RATE, n_mfcc=13, **settings)
    scipys = scipy.fft.dct(bands.numpy(), axis=0, norm="ortho")[:13]
    mfcc_differences = {
        "the transform, scipy": difference(cepstra, scipys),
        "speechkit": difference(cepstra, features.mfcc(samples)),
        "librosa": difference(cepstra, librosa_mfcc),
        "torchaudio": difference(cepstra, torchaudio_mfcc(samples)),
    }
    show(f"MFCC of up to {cepstra.abs().max():.0f}, largest difference", mfcc_differences)
    assert mfcc_differences["the transform, scipy"] < 1e-10, "not the cosine transform"
    assert max(mfcc_differences.values()) < 0.02, "float32, in the decibels of quiet bands"
    together, alone = neighbour_correlation(bands), neighbour_correlation(cepstra)
    print(f"correlation of neighbours: mel bands {together:.2f}, cepstral coefficients {alone:.2f}")
    fine = float((cosine_transform(13, 40) @ cosine_transform(40, 40)[20]).abs().max())
    print(f"of a ripple of ten waves over the bands, the first 13 coefficients keep {fine:.1e}")
    assert fine < 1e-12, "it is another cosine"
    assert alone < together / 2, "the transform should take the likeness of neighbours away"

# %%
# Deltas: how features move
# -------------------------
#
# Deltas are the slope of each feature over time. A single frame says how the sound is; its delta
# says whether it is opening or closing. They are meant for models that look at one frame at a time.
# A network with convolutions over time can form them itself, because they are a convolution with
# five fixed weights.
#
# .. math::  d_t = \frac{\sum_{k=1}^{2} k\,(x_{t+k} - x_{t-k})}{2 \sum_{k=1}^{2} k^2}
#
# This is the slope of the line that fits five frames best. Beyond the ends, the first and the last
# frame are repeated.


def slopes(rows: Tensor, reach: int = 2) -> Tensor:
    """Deltas over time: [bins, frames] -> [bins, frames]."""
    padded = F.pad(rows[None], (reach, reach), mode="replicate")[0]
    k = torch.arange(-reach, reach + 1, dtype=rows.dtype)
    return padded.unfold(1, 2 * reach + 1, 1) @ k / k.square().sum()


if __name__ == "__main__":
    slope, numbers = slopes(cepstra), cepstra.numpy()
    delta_differences = {
        "speechkit": difference(slope, features.deltas(cepstra)),
        "librosa": difference(slope, librosa.feature.delta(numbers, width=5, mode="nearest")),
        "torchaudio": difference(slope, torchaudio.functional.compute_deltas(cepstra)),
    }
    show("deltas, largest difference", delta_differences)
    assert max(delta_differences.values()) < 1e-4, "one part is float32"
    ramp = slopes(3.0 * torch.arange(10.0)[None])[0]
    print("slope of 0, 3, 6, 9, ...:", ramp.tolist())
    assert ramp[2:-2].tolist() == [3.0] * 6, "the slope of a line is its slope"

# %%
# Normalisation, and why per recording
# ------------------------------------
#
# A microphone multiplies each frequency by a factor that stays the same for a recording. In the
# logarithm this is a constant for each band, so taking the mean of the recording away takes the
# microphone away. A mean over all recordings cannot do that, because each has another microphone.
# Dividing by the standard deviation also evens out how far the levels move. A room is taken away
# only as far as its echoes are shorter than a frame.
#
# .. math::
#
#    \log\bigl(|H_k|^2 |X_{tk}|^2\bigr) = \log |H_k|^2 + \log |X_{tk}|^2, \qquad
#    \hat y_{tm} = \frac{y_{tm} - \mu_m}{\sigma_m} .
#
# :math:`H_k` is the factor of the microphone; :math:`\mu_m` and :math:`\sigma_m` are the mean and
# the standard deviation of band :math:`m` over the frames of the recording. For a whole band the
# first equation is nearly true, as a microphone differs little within it.


def normalised(rows: Tensor, like: Tensor) -> Tensor:
    """Mean and variance normalisation of [bins, frames], with those of `like`."""
    spread = (like - like.mean(1, keepdim=True)).square().mean(1, keepdim=True).sqrt()
    return (rows - like.mean(1, keepdim=True)) / spread


if __name__ == "__main__":
    others = [audio for audio, _ in recorded(count=2)]
    others = others or [say("The rain had stopped, and the street was empty.", seed=1)]
    pooled = torch.cat([bands, *(decibel_bands(torch.tensor(a.samples)) for a in others)], dim=1)
    cheap = np.convolve(speech.samples, [0.5, -0.35, 0.1])[: len(speech.samples)]  # little bass
    other_bands = decibel_bands(torch.tensor(cheap.astype(np.float32)))
    cmvn_difference = difference(normalised(bands, bands), features.cmvn(bands))
    ways = {"all recordings": (pooled, pooled), "each recording": (bands, other_bands)}
    microphone = {
        name: float((normalised(bands, a) - normalised(other_bands, b)).square().mean().sqrt())
        for name, (a, b) in ways.items()
    }
    print(f"from speechkit.features.cmvn: {cmvn_difference:.1e}")
    show("one sentence, two microphones, standard deviations apart; mean of", microphone, ".3f")
    assert cmvn_difference < 1e-4, "the normalisation is not the toolkit's"
    assert 4 * microphone["each recording"] < microphone["all recordings"], "it should be gone"

# %%
# Augmentation: what each kind is for
# -----------------------------------
#
# Augmentation changes training recordings in ways that must not change the answer, so that the
# model learns to ignore them. Each kind stands for something that will happen to real recordings.
# It is drawn anew each time a recording is used, and it is no use at all if it does not resemble
# what will come.
#
# ==================  ====================================  ========================================
# kind                what it stands for                    beware
# ==================  ====================================  ========================================
# noise at some SNR   other sources of sound                a second voice is speech, not noise
# room                walls: late copies of the sound       the direct sound must stay in its place
# speed               other people, other tempo             pitch moves too: another speaker
# gain                distance, recorders, clipping         features with a mean removed ignore it
# codec               telephones, compressed files          a telephone leaves nothing above 4 kHz
# SpecAugment         masked features: no single band or    as labels stay, masks must stay short
#                     moment may decide alone
# ==================  ====================================  ========================================
#
# The signal-to-noise ratio, SNR, is :math:`10 \log_{10}(\sum s^2 / \sum n^2)` decibels, for a
# signal :math:`s` and a noise :math:`n`.


def drawn_room(seconds: float, seed: int) -> sk.Audio:
    """An impulse response: the direct sound, then noise that falls by 60 dB in `seconds`."""
    when = np.arange(round(seconds * RATE)) / RATE
    tail = (
        0.1 * np.random.default_rng(seed).standard_normal(len(when)) * 10 ** (-3 * when / seconds)
    )
    return sk.Audio(np.where(when > 0.003, tail, when == 0).astype(np.float32), RATE)


if __name__ == "__main__":
    hiss = sk.Audio(0.3 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32), RATE)
    quiet = augment.change_gain(speech, -12)
    noisy = augment.add_noise(quiet, hiss, 10.0, seed=1)
    snr = level_db(quiet.samples) - level_db(noisy.samples - quiet.samples)
    click = sk.Audio(np.eye(1, RATE, 1000, dtype=np.float32)[0], RATE)
    wet_click = augment.add_reverb(click, drawn_room(0.5, seed=2)).samples
    late = float(np.square(wet_click[1000 + RATE // 20 :]).sum() / np.square(wet_click).sum())
    pure = sk.Audio(tone(440, RATE).astype(np.float32), RATE)
    fast = augment.change_speed(pure, 1.1)
    phone = augment.pass_codec(speech, "phone")
    masked = augment.spec_augment(bands, time_width=40, bin_width=6, seed=3)
    bright = [spectrogram_db(a.samples, WINDOW, HOP)[106:].max() for a in (speech, phone)]
    same = features.cmvn(decibel_bands(torch.tensor(quiet.samples))), features.cmvn(bands)
    measured = {
        "gain: change after mean and variance": difference(*same),
        "gain of -12 dB, dB": level_db(quiet.samples) - level_db(speech.samples),
        "noise at 10 dB, dB": snr,
        "room: direct sound at sample": int(np.abs(wet_click).argmax()),
        "room: power later than 50 ms, %": 100 * late,
        "speed 1.1: shorter by": pure.duration / fast.duration,
        "speed 1.1: 440 Hz becomes, Hz": loudest_hertz(fast.samples, RATE),
        "telephone: loudest above 4.2 kHz, dB": bright[1] - bright[0],
        "SpecAugment: masked, %": 100 * float((masked != bands).double().mean()),
    }
    show("measured", measured, ".2f")
    assert abs(measured["gain of -12 dB, dB"] + 12) < 0.01, "the gain is not what was asked"
    assert measured["gain: change after mean and variance"] < 0.01, "a constant in the logarithm"
    assert abs(snr - 10) < 0.01, "the ratio is not what was asked"
    assert measured["room: direct sound at sample"] == 1000, "the sound should not move"
    assert late > 0.01, "a room goes on sounding"
    assert abs(measured["speed 1.1: 440 Hz becomes, Hz"] - 484) < 2, "the pitch goes along"
    assert measured["telephone: loudest above 4.2 kHz, dB"] < -30, "a telephone ends at 4 kHz"
    assert 1 < measured["SpecAugment: masked, %"] < 75, "some of it, not all"

    kinds = {
        "as it was": speech,
        "noise, 10 dB": noisy,
        "room, 0.5 s": augment.add_reverb(speech, drawn_room(0.5, seed=2)),
        "speed 1.25": augment.change_speed(speech, 1.25),
        "telephone": phone,
    }
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    shown = {name: decibel_bands(torch.tensor(a.samples)) for name, a in kinds.items()}
    shown["SpecAugment"] = masked
    panels = figure.subplots(2, 3, sharey=True).flat
    for axes, (name, rows) in zip(panels, shown.items(), strict=True):
        image = draw(axes, rows.numpy(), rows.shape[1] * HOP / RATE, 40, name, "mel band")
    figure.colorbar(image, ax=figure.axes, label="dB below the loudest")
    keep_picture(figure, "front_end_augmentation")
    for name in ("noise, 10 dB", "room, 0.5 s", "telephone"):
        keep_sound(kinds[name], f"augmented_{name.split(',')[0]}")

# %%
# What goes into each model and what comes out
# --------------------------------------------
#
# A recogniser maps a waveform to a text, a synthesiser maps a text to a waveform, and a speaker
# encoder maps a waveform to one vector. The recogniser and the speaker encoder read spectral
# features, and the synthesiser writes samples directly. The kind of output decides the kind of
# network: a sequence that is shorter than the sound, one that is longer than the text, or one
# vector for all.
#
# The shapes are those of the real models. Whisper hears windows of 30 seconds, so a shorter
# recording is filled with silence; the second of its two convolutions halves the 3,000 frames. VITS
# reads phonemes, the sounds of a language, into which its characters are turned first.

if __name__ == "__main__":
    voice, ecapa = sk.load_tts(), sk.load_speaker_encoder()
    window = features.whisper_log_mel(samples, padding=30 * RATE - len(samples))
    bank = features.ecapa_fbank(samples)
    spoken = voice.synthesize(SENTENCE, seed=0)
    shapes = {
        "Whisper: samples, 16 kHz": tuple(samples.shape),
        "Whisper: log-mel of 30 s": tuple(window.shape),
        "VITS: characters": (len(SENTENCE),),
        "VITS: samples, 22.05 kHz": tuple(spoken.samples.shape),
        "VITS: read in training only, linear": tuple(features.vits_linear(samples_22k).shape),
        "VITS: compared in training only, mel": tuple(features.vits_mel(samples_22k).shape),
        "ECAPA-TDNN: samples, 16 kHz": tuple(samples.shape),
        "ECAPA-TDNN: filter bank": tuple(bank.shape),
        "ECAPA-TDNN: embedding": ecapa.embed(speech).shape,
    }
    if not QUICK:  # the network itself takes some seconds to load
        whisper = sk.load_asr("base")
        shapes["Whisper: states of the encoder"] = (
            whisper.engine.encode(window[None]).window[0].shape
        )
        print("Whisper: text:", whisper.transcribe(speech, language="en").text)
        assert shapes["Whisper: states of the encoder"] == (1500, 512), "3,000 frames are halved"
    for name, shape in shapes.items():
        print(f"{name}: {list(shape)}")
    assert shapes["Whisper: log-mel of 30 s"] == (80, 3000), "100 frames a second"
    assert shapes["ECAPA-TDNN: filter bank"][0] == len(samples) // HOP + 1, "100 frames a second"
    assert shapes["ECAPA-TDNN: embedding"] == (192,), "one vector, however long the recording"

# %%
# Which library does what
# -----------------------
#
# Each audio library has its own part of the work. soundfile reads and writes files that libsndfile
# knows. PyAV reads what FFmpeg knows. soxr resamples. torch computes transforms in batches, with
# gradients. torchaudio and librosa hold ready-made features, librosa for arrays and torchaudio for
# tensors.
#
# ==========  ======================================  ==============================================
# library     takes and gives                         here it is
# ==========  ======================================  ==============================================
# soundfile   wav, flac, ogg, opus, mp3 <-> numpy     the first reader, every file that is written
# av          m4a, webm, video -> numpy               the reader of what soundfile cannot read
# soxr        numpy -> numpy at another rate          every change of rate and of speed
# torch       tensors, a GPU, gradients               the transform of every feature
# torchaudio  tensors -> resampled, mel, MFCC         the cosine transform of MFCC
# librosa     numpy -> mel, MFCC, pitch, beats        a reference in the tests
# ==========  ======================================  ==============================================
#
# A file of 16-bit integers moves each sample by at most one and a half steps of 1/32768, which is
# measured below. Both readers are asked which files they know.

if __name__ == "__main__":
    import av
    import soundfile

    memory = io.BytesIO()
    soundfile.write(memory, speech.samples, RATE, subtype="PCM_16", format="WAV")
    steps = 32768 * float(np.abs(sk.load_audio(memory.getvalue()).samples - speech.samples).max())
    print(f"wav of 16 bits: the largest error is {steps:.2f} steps")
    known = {"soundfile": {kind.lower() for kind in soundfile.available_formats()}}
    known["av"] = av.formats_available
    readers = {
        ending: [name for name, formats in known.items() if ending in formats]
        for ending in ("wav", "flac", "mp3", "mp4", "webm")
    }
    print("who knows the file:", readers)
    assert steps <= 1.5, "half a step of rounding, and a full scale of 32767"
    assert readers["mp4"] == ["av"] != readers["wav"], "each has its own"

# %%
# What this recipe does not do
# ----------------------------
#
# It finds no pitch and no formants, separates no sources and takes no noise away. It does not show
# learned front ends, which replace the bands by trained filters. Whether an augmentation helps is
# not measured here; ``44_speaker_training.py`` does that for one network.
#
# Exercises
# ---------
#
# 1. Sample a tone of 15 kHz at 16 kHz. Where is it heard? Check it with `folded`.
# 2. Shorten `reach` in `sinc_resample`. At which reach is a straight line as good?
# 3. Put a Hamming window into `tones_apart`. What becomes of the constant?
# 4. Rebuild the 40 mel bands from 13 coefficients with the transposed transform. What is gone?
# 5. Take the mean over the last second only, as a live system must. When does it fail?
#
# Papers
# ------
#
# * Shannon, 1949: Communication in the Presence of Noise.
# * Davis, Mermelstein, 1980: Comparison of Parametric Representations for Monosyllabic Word
#   Recognition in Continuously Spoken Sentences.
# * Viikki, Laurila, 1998: Cepstral Domain Segmental Feature Vector Normalization for Noise Robust
#   Speech Recognition.
# * Ko, Peddinti, Povey, Khudanpur, 2015: Audio Augmentation for Speech Recognition.
# * Park et al., 2019: SpecAugment: A Simple Data Augmentation Method for Automatic Speech
#   Recognition.
