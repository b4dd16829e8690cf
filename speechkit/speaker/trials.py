"""Trials of verification: a list of pairs of recordings, and how well they are told apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechkit.audio import Limits, load_audio
from speechkit.errors import AudioError, InputError
from speechkit.metrics import DetCurve, cllr, det_curve
from speechkit.speaker.calibration import log_ratio
from speechkit.speaker.encoder import SAMPLE_RATE, Embedding, SpeakerEncoder, similarity
from speechkit.speaker.quality import Quality, measure_quality

Progress = Callable[[float, float], object]


@dataclass(frozen=True, eq=False)
class TrialScores:
    """What verification says about each pair.

    Attributes:
        same: (n,) bool, whether it is one speaker.
        scores: (n,) cosines.
        log_ratios: (n,) natural log-likelihood ratios.
    """

    same: NDArray[np.bool_]
    scores: NDArray[np.float64]
    log_ratios: NDArray[np.float64]

    @property
    def det(self) -> DetCurve:
        """Both errors of the scores at every threshold."""
        return det_curve(self.scores, self.same)

    @property
    def cllr(self) -> float:
        """Cost of the log-likelihood ratios in bits."""
        return cllr(self.log_ratios, self.same)


def read_trials(path: str | os.PathLike[str]) -> list[tuple[bool, Path, Path]]:
    """Pairs from a list as VoxCeleb's: in each line 1 (one speaker) or 0, and two files.

    Files that are not absolute are looked for beside the list.

    Raises:
        InputError: the list can't be read, or a line of it.
    """
    source, trials = Path(path), []
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{source}: can't be read: {e}; give a list of trials") from e
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            raise InputError(
                f"{source}: line {number} is {line[:60]!r}; give 1 or 0, and two files"
            )
        trials.append((fields[0] == "1", source.parent / fields[1], source.parent / fields[2]))
    if len({label for label, _, _ in trials}) < 2:
        raise InputError(f"{source}: give pairs of both kinds, of one speaker and of two")
    return trials


def score_trials(
    path: str | os.PathLike[str],
    encoder: SpeakerEncoder,
    *,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> TrialScores:
    """Score every pair of a list; each recording is embedded once.

    Args:
        path: as `read_trials` takes it.
        progress: called with the recordings done and the recordings in all.

    Raises:
        InputError: as `read_trials`.
        AudioError: a recording that can't be embedded.
    """
    trials = read_trials(path)
    files = sorted({file for _, *pair in trials for file in pair})
    known: dict[Path, tuple[Embedding, Quality]] = {}
    for file in files:
        audio = load_audio(file, SAMPLE_RATE, limits=limits or Limits())
        try:
            known[file] = encoder.embed(audio), measure_quality(audio)
        except AudioError as e:
            raise AudioError(f"{file}: {e}") from e
        if progress:
            progress(len(known), len(files))
    scores, ratios = [], []
    for _, first, second in trials:
        (a, of_a), (b, of_b) = known[first], known[second]
        scores.append(similarity(a, b))
        ratios.append(log_ratio(scores[-1], of_a, of_b))
    same = np.array([label for label, _, _ in trials])
    return TrialScores(same, np.array(scores), np.array(ratios))
