"""Diarisation error rate by pyannote.metrics: no collar, overlap counted."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from speechkit import Turn

PARTS = ("missed detection", "false alarm", "confusion")


class DiarizationScore:
    """The error over some recordings."""

    def __init__(self) -> None:
        self._metric = DiarizationErrorRate(collar=0.0, skip_overlap=False)
        self._sums = dict.fromkeys(("total", *PARTS), 0.0)

    def add(self, truth: Iterable[Turn], found: Iterable[Turn], seconds: float) -> None:
        """Count a recording of `seconds`."""
        whole = Timeline([Segment(0, seconds)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parts = self._metric(_annotation(truth), _annotation(found), uem=whole, detailed=True)
        for key in self._sums:
            self._sums[key] += parts[key]

    def rate(self, *parts: str) -> float:
        """In percent of the speaker time: the sum of some parts, by default of all."""
        return 100 * sum(self._sums[part] for part in parts or PARTS) / self._sums["total"]

    def __str__(self) -> str:
        shares = ", ".join(f"{part} {self.rate(part):.1f}" for part in PARTS)
        return f"DER {self.rate():5.1f} % ({shares})"


def _annotation(turns: Iterable[Turn]) -> Annotation:
    annotation = Annotation()
    for i, turn in enumerate(turns):
        annotation[Segment(turn.start, turn.end), i] = turn.speaker
    return annotation
