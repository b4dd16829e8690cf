"""How good are decisions about two classes, such as "one speaker" and "two": EER, minDCF, Cllr, F1.

Everywhere `scores` is (n,), higher for a likelier match; `same` (n,) bool says what is true; a trial is
accepted when its score is at least the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speechkit.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DetCurve:
    """Detection error trade-off: both errors at every threshold that changes one.

    Attributes:
        thresholds: (k,) ascending; the first accepts all, the last, infinity, none.
        false_accepts: (k,) share of the different pairs that are accepted, falling from 1 to 0.
        false_rejects: (k,) share of the same pairs that are rejected, rising from 0 to 1.
    """

    thresholds: Array
    false_accepts: Array
    false_rejects: Array

    @property
    def eer(self) -> float:
        """Equal error rate, 0 to 1: where the curve, drawn with straight lines, has equal errors."""
        return self._cross()[0]

    @property
    def eer_threshold(self) -> float:
        """The threshold at the equal error rate."""
        return self._cross()[1]

    def _cross(self) -> tuple[float, float]:
        gap = self.false_rejects - self.false_accepts  # rises from -1 to 1
        after = int(np.argmax(gap >= 0))
        before = after - 1
        share = -gap[before] / (gap[after] - gap[before])

        def between(values: Array) -> float:
            return float(values[before] + share * (values[after] - values[before]))

        threshold = between(self.thresholds) if np.isfinite(self.thresholds[after]) else np.inf
        return between(self.false_rejects), float(threshold)

    def min_dcf(self, prior: float, cost_miss: float = 1.0, cost_accept: float = 1.0) -> float:
        """The lowest detection cost of any threshold, with the better of "all" and "none" as 1.

        `C = cost_miss · P_miss · prior + cost_accept · P_accept · (1 - prior)`; NIST's SRE 2018 plan.

        Args:
            prior: how often a trial is of one speaker, 0 to 1 exclusive; 0.01 and 0.05 are usual.
        """
        if not 0 < prior < 1:
            raise InputError(f"prior is {prior}; give a probability between 0 and 1")
        miss, accept = cost_miss * prior, cost_accept * (1 - prior)
        costs = miss * self.false_rejects + accept * self.false_accepts
        return float(costs.min() / min(miss, accept))

    def threshold_at(self, false_accepts: float) -> float:
        """The lowest threshold at which at most this share of different pairs is accepted."""
        return float(self.thresholds[np.argmax(self.false_accepts <= false_accepts)])


def det_curve(scores: ArrayLike, same: ArrayLike) -> DetCurve:
    """Both errors at every threshold.

    Raises:
        InputError: shapes that differ, a score that is not finite, or only one class.
    """
    values, truth = _checked(scores, same)
    order = np.argsort(values, kind="stable")
    values, truth = values[order], truth[order]
    first = np.flatnonzero(np.diff(values, prepend=-np.inf))  # of equal scores
    rejected_same = np.concatenate([[0], np.cumsum(truth)])[[*first, len(values)]]
    rejected = np.array([*first, len(values)])
    return DetCurve(
        np.append(values[first], np.inf),
        1 - (rejected - rejected_same) / (~truth).sum(),
        rejected_same / truth.sum(),
    )


def cllr(log_ratios: ArrayLike, same: ArrayLike) -> float:
    """Cost of log-likelihood ratios (natural logarithm), in bits: 0 is perfect, 1 says nothing.

    `1/2 (mean log2(1 + e^-l) over the same + mean log2(1 + e^l) over the different)`; Brümmer and du
    Preez 2006. Ratios that are too bold cost more than none.

    Raises:
        InputError: as `det_curve`.
    """
    values, truth = _checked(log_ratios, same)
    of_same = np.logaddexp(0, -values[truth]).mean()
    of_different = np.logaddexp(0, values[~truth]).mean()
    return float((of_same + of_different) / (2 * np.log(2)))


def min_cllr(scores: ArrayLike, same: ArrayLike) -> float:
    """`cllr` of the best ratios that keep the scores' order: what calibration can't mend.

    Pool-adjacent-violators gives them; a share that is 0 or 1 costs nothing where it is right.

    Raises:
        InputError: as `det_curve`.
    """
    from sklearn.isotonic import IsotonicRegression

    values, truth = _checked(scores, same)
    odds = truth.sum() / (~truth).sum()
    posterior = IsotonicRegression(y_min=0, y_max=1).fit_transform(values, truth.astype(float))
    with np.errstate(divide="ignore"):
        ratios = np.log(posterior) - np.log1p(-posterior) - np.log(odds)
    of_same = np.logaddexp(0, -ratios[truth]).mean()
    of_different = np.logaddexp(0, ratios[~truth]).mean()
    return float((of_same + of_different) / (2 * np.log(2)))


@dataclass(frozen=True)
class Decisions:
    """How a yes-or-no decision fares; each is 0 to 1.

    Attributes:
        precision: share of the accepted that are right; 1 if nothing is accepted.
        recall: share of the right ones that are accepted.
        f1: harmonic mean of both.
        accuracy: share of all decisions that are right.
    """

    precision: float
    recall: float
    f1: float
    accuracy: float


def judge_decisions(accepted: ArrayLike, same: ArrayLike) -> Decisions:
    """Precision, recall, F1 and accuracy of decisions (n,) bool.

    Raises:
        InputError: shapes that differ, or nothing to accept.
    """
    taken, truth = np.asarray(accepted, bool), np.asarray(same, bool)
    if taken.shape != truth.shape or not truth.any():
        raise InputError("give as many decisions as truths, with at least one that is true")
    hits = int((taken & truth).sum())
    precision = hits / int(taken.sum()) if taken.any() else 1.0
    recall = hits / int(truth.sum())
    f1 = 2 * hits / int(taken.sum() + truth.sum())
    return Decisions(precision, recall, f1, float((taken == truth).mean()))


def _checked(scores: ArrayLike, same: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    values, truth = np.asarray(scores, np.float64), np.asarray(same, bool)
    if values.ndim != 1 or values.shape != truth.shape:
        raise InputError(
            f"scores have shape {values.shape}, truths {truth.shape}; both must be (n,)"
        )
    if not np.isfinite(values).all():
        raise InputError("a score is not finite; remove it or give it a number")
    if truth.all() or not truth.any():
        raise InputError("all pairs are of one kind; give some of one speaker and some of two")
    return values, truth
