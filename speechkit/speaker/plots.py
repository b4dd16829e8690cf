"""Pictures of voices: a map of embeddings, and the detection error trade-off."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechkit.errors import InputError, SpeechkitError
from speechkit.metrics import DetCurve
from speechkit.speaker.encoder import Embedding

LEAST = 4  # recordings for a map
MARKERS = "osv^D*Ph<>"
FORMATS = (".png", ".svg", ".pdf", ".jpg", ".webp")
TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
RANGE = (0.0005, 0.6)  # errors that a DET plot shows


def draw_map(voices: Mapping[str, Sequence[Embedding]], path: str | os.PathLike[str]) -> Path:
    """A point for each recording, near to those that sound alike, in its speaker's colour.

    t-SNE on cosine distances (van der Maaten and Hinton 2008): neighbours are true, distances between
    groups mean little.

    Args:
        voices: speaker → embeddings (192,).
        path: of the picture; its ending chooses the format.

    Raises:
        InputError: fewer than 4 recordings, or an unknown format.
        SpeechkitError: the file can't be written.
    """
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE

    owners = [name for name, many in voices.items() for _ in many]
    if len(owners) < LEAST:
        raise InputError(f"{len(owners)} recordings; a map needs at least {LEAST}: enroll more")
    points = TSNE(
        metric="cosine",
        init="random",
        perplexity=min(15.0, (len(owners) - 1) / 3),
        random_state=0,
    ).fit_transform(np.stack([one for many in voices.values() for one in many]))
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    handles = []
    for i, name in enumerate(voices):
        own = points[[owner == name for owner in owners]]
        marker = MARKERS[i // 10 % len(MARKERS)]
        handles.append(axes.scatter(*own.T, color=f"C{i % 10}", marker=marker, alpha=0.8))
    axes.set(xticks=[], yticks=[], title="Recordings near each other sound alike")
    if len(voices) <= 40:
        names = [name.replace("$", r"\$") for name in voices]
        figure.legend(handles, names, loc="outside right upper", fontsize="small")
    return _save(figure, path)


def draw_det(curves: Mapping[str, DetCurve], path: str | os.PathLike[str]) -> Path:
    """Misses against false accepts of each curve, on axes where normal scores give straight lines.

    Args:
        curves: label → curve.
        path: of the picture; its ending chooses the format.

    Raises:
        InputError: an unknown format.
        SpeechkitError: the file can't be written.
    """
    from matplotlib.figure import Figure
    from scipy.stats import norm

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    low, limits = RANGE[0], norm.ppf(RANGE)
    for label, curve in curves.items():
        accepts, rejects = (
            norm.ppf(np.clip(errors, low / 2, 1 - low / 2))
            for errors in (curve.false_accepts, curve.false_rejects)
        )
        (line,) = axes.step(accepts, rejects, where="post", label=f"{label}: EER {curve.eer:.2%}")
        eer = norm.ppf(np.clip(curve.eer, low, 1 - low))
        axes.plot(eer, eer, "o", color=line.get_color())
    axes.axline((0, 0), slope=1, color="0.8", linewidth=0.8)
    ticks, names = norm.ppf(TICKS), [f"{100 * tick:g}" for tick in TICKS]
    axes.set(xlim=limits, ylim=limits, xticks=ticks, yticks=ticks)
    axes.set_xticklabels(names)
    axes.set_yticklabels(names)
    axes.set(xlabel="strangers accepted, %", ylabel="true speakers rejected, %")
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    return _save(figure, path)


def check_picture(path: str | os.PathLike[str]) -> Path:
    """The path, if a picture can be written there.

    Raises:
        InputError: its ending names no format of pictures.
        SpeechkitError: there is no such folder.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise InputError(f"{target}: no format of pictures; end it with {', '.join(FORMATS)}")
    if not target.parent.is_dir():
        raise SpeechkitError(f"{target}: can't be written: there is no folder {target.parent}")
    return target


def _save(figure: Any, path: str | os.PathLike[str]) -> Path:
    target = check_picture(path)
    try:
        figure.savefig(target, dpi=150)
    except OSError as e:
        raise SpeechkitError(f"{target}: can't be written: {e}; choose another file") from e
    return target
