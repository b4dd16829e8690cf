"""The pictures of Look inside. Their ink is grey, so that they can be read on white and on black."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import speechkit as sk

Array = NDArray[np.float32]
INK, LINE, SHADE = "#808a9b", "#6d72f6", "#6d72f633"
WIDTH = 7.0  # inches
STRESS, LENGTH = "ˈˌ", "ːˑ"


def _figure(height: float, rows: int = 1, **more: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, 1, **more)
    for axis in np.atleast_1d(axes):
        axis.set_facecolor("none")
        axis.tick_params(colors=INK, labelsize=10)
        for spine in axis.spines.values():
            spine.set_color(INK)
    return figure, axes


def _label(axis: Any, x: str = "", y: str = "") -> None:
    axis.set_xlabel(x, color=INK, fontsize=11)
    axis.set_ylabel(y, color=INK, fontsize=11)


def wave(audio: sk.Audio, speech: Sequence[sk.Stretch]) -> Figure:
    """The samples, and where somebody speaks."""
    figure, axis = _figure(2.0)
    # Of thousands of samples in one column of pixels the lowest and the highest are seen.
    columns = np.array_split(audio.samples, min(1500, len(audio.samples)))
    times = np.linspace(0, audio.duration, len(columns))
    low, high = [c.min() for c in columns], [c.max() for c in columns]
    axis.fill_between(times, low, high, color=LINE, linewidth=0.4)
    for stretch in speech:
        axis.axvspan(stretch.start, stretch.end, color=SHADE, linewidth=0)
    axis.set_xlim(0, audio.duration)
    _label(axis, "seconds", "amplitude")
    return figure


def spectrogram(audio: sk.Audio) -> Figure:
    """The power of each frequency over time, in dB below the loudest."""
    figure, axis = _figure(2.8)
    decibels, top = decibels_of(audio)
    axis.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=(0, audio.duration, 0, top),
        cmap="magma",
        vmin=-80,
        vmax=0,
    )
    _label(axis, "seconds", "kHz")
    return figure


def decibels_of(audio: sk.Audio, size: int = 512, hop: int = 128) -> tuple[Array, float]:
    """(frequencies, frames) in dB below the loudest, and the highest frequency in kHz."""
    samples = np.pad(audio.samples, (0, max(0, size - len(audio.samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2
    decibels = 10 * np.log10(power.T + 1e-10)
    return decibels - decibels.max(), audio.sample_rate / 2000


def log_mel(mel: Array, seconds: float) -> Figure:
    """What Whisper hears: (80, frames)."""
    figure, axis = _figure(2.4)
    extent = (0, seconds, 0, len(mel))
    axis.imshow(mel, origin="lower", aspect="auto", extent=extent, cmap="magma")
    _label(axis, "seconds", "mel band")
    return figure


def attention(labels: Sequence[str], weights: Array, moment_s: float) -> Figure:
    """Where Whisper looks for each token: (tokens, moments)."""
    figure, axis = _figure(max(2.2, 0.6 + 0.2 * len(labels)))
    extent = (0, weights.shape[1] * moment_s, len(labels) - 0.5, -0.5)
    axis.imshow(
        weights,
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmax=float(np.quantile(weights, 0.995)),
        interpolation="nearest",
    )
    axis.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    axis.tick_params(axis="y", labelsize=9, length=0)
    _label(axis, "seconds")
    return figure


def durations(speech: sk.Speech) -> Figure:
    """The spectrogram of a spoken sentence, and the stretch that each phoneme was given."""
    figure, (top, axis) = _figure(3.4, 2, sharex=True, height_ratios=(1, 5))
    decibels, highest = decibels_of(speech)
    axis.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=(0, speech.duration, 0, highest),
        cmap="magma",
        vmin=-80,
        vmax=0,
    )
    top.set_axis_off()
    for word in speech.words:
        middle = (word.start + word.end) / 2
        top.text(middle, 0.65, _plain(word.text), color=INK, fontsize=9, ha="center")
    for symbols, start, end in _sounds(speech):
        axis.axvline(start, color="white", linewidth=0.5, alpha=0.5)
        top.text((start + end) / 2, 0.05, _plain(symbols), color=INK, fontsize=9, ha="center")
    _label(axis, "seconds", "kHz")
    return figure


def _sounds(speech: sk.Speech) -> list[tuple[str, float, float]]:
    """The phonemes with their stress and length marks: symbols, start and end in seconds."""
    found: list[tuple[str, float, float]] = []
    stress, since = "", None
    for phoneme in speech.phonemes:
        if phoneme.symbol in STRESS:
            stress, since = phoneme.symbol, phoneme.start
        elif phoneme.symbol in LENGTH and found:
            symbols, start, _ = found.pop()
            found.append((symbols + phoneme.symbol, start, phoneme.end))
        elif phoneme.symbol.isalpha():
            start = phoneme.start if since is None else since
            found.append((stress + phoneme.symbol, start, phoneme.end))
            stress, since = "", None
    return found


def _plain(text: str) -> str:
    """For matplotlib, which reads formulas between dollars."""
    return text.replace("$", r"\$")


def pooling(audio: sk.Audio, weights: Array, frame_s: float) -> Figure:
    """How much each moment counts for whose voice it is: (frames,), 1 on average."""
    figure, axis = _figure(2.2)
    times = np.arange(len(weights)) * frame_s
    axis.fill_between(times, weights, color=SHADE, linewidth=0)
    axis.plot(times, weights, color=LINE, linewidth=1.2)
    axis.axhline(1, color=INK, linewidth=0.8, linestyle="--")
    axis.set_xlim(0, audio.duration)
    axis.set_ylim(0)
    _label(axis, "seconds", "weight, equal as 1")
    return figure
