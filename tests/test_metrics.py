"""Metrics of decisions: worked by hand, and against scikit-learn and speechbrain."""

import numpy as np
import pytest

from speechkit import InputError
from speechkit.metrics import cllr, det_curve, judge_decisions, min_cllr

# Three of one speaker, five of two; sorted: d d s d d s s(=d) ... worked out on paper below.
SCORES = [0.9, 0.7, 0.4, 0.8, 0.5, 0.3, 0.2, 0.1]
SAME = [True, True, True, False, False, False, False, False]


def _draw(seed, n=500):
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.3
    return np.round(rng.normal(1.5 * same, 1.0), 2), same  # rounded: there are equal scores


def test_det_by_hand():
    curve = det_curve(SCORES, SAME)
    np.testing.assert_allclose(curve.thresholds, [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9, np.inf])
    np.testing.assert_allclose(curve.false_accepts, [1, 0.8, 0.6, 0.4, 0.4, 0.2, 0.2, 0, 0])
    np.testing.assert_allclose(curve.false_rejects, [0, 0, 0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])
    # From (0.4, 1/3) to (0.2, 1/3) the curve is flat, so it meets the diagonal at 1/3.
    assert curve.eer == pytest.approx(1 / 3)
    assert 0.5 <= curve.eer_threshold <= 0.7
    # Prior 0.5: best is threshold 0.4 with 0.2, or 0.7 with (1/3 + 0.2) / 2; in units of 0.5.
    assert curve.min_dcf(0.5) == pytest.approx(0.4)
    # Prior 0.01: only a threshold without false accepts pays: 2/3 of the misses.
    assert curve.min_dcf(0.01) == pytest.approx(2 / 3)
    assert curve.threshold_at(0.2) == pytest.approx(0.7)
    assert curve.threshold_at(0.0) == pytest.approx(0.9)


def test_a_perfect_and_a_worthless_score():
    perfect = det_curve([3, 2, 1, 0], [True, True, False, False])
    assert perfect.eer == 0
    assert perfect.min_dcf(0.01) == 0
    worthless = det_curve([1, 1, 1, 1], [True, False, True, False])
    assert worthless.eer == pytest.approx(0.5)
    assert worthless.min_dcf(0.05) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_det_is_that_of_scikit_learn(seed):
    from sklearn.metrics import det_curve as theirs

    scores, same = _draw(seed)
    ours = det_curve(scores, same)
    accepts, rejects, thresholds = theirs(same, scores)
    for threshold, accept, reject in zip(thresholds, accepts, rejects, strict=True):
        at = np.searchsorted(ours.thresholds, threshold)
        assert ours.false_accepts[at] == pytest.approx(accept)
        assert ours.false_rejects[at] == pytest.approx(reject)


@pytest.mark.parametrize("seed", range(5))
def test_eer_and_min_dcf_are_those_of_speechbrain(seed):
    import torch
    from speechbrain.utils.metric_stats import EER, minDCF

    scores, same = _draw(seed)
    ours = det_curve(scores, same)
    positive, negative = (torch.tensor(scores[kind]) for kind in (same, ~same))
    theirs, _ = EER(positive, negative)
    assert ours.eer == pytest.approx(theirs, abs=0.01)  # theirs is a step, not a crossing
    for prior in (0.01, 0.05):
        cost, _ = minDCF(positive, negative, c_miss=1.0, c_fa=1.0, p_target=prior)
        assert ours.min_dcf(prior) * prior == pytest.approx(float(cost), abs=1e-3)


def test_cllr_by_hand():
    assert cllr([0, 0], [True, False]) == pytest.approx(1)
    # Ratios of 3 and 1/3, both right: log2(1 + 1/3).
    assert cllr([np.log(3), -np.log(3)], [True, False]) == pytest.approx(np.log2(4 / 3))
    assert cllr([-np.log(3), np.log(3)], [True, False]) == pytest.approx(2)
    assert cllr([50, -50], [True, False]) == pytest.approx(0, abs=1e-9)
    assert cllr([-2000, 2000], [True, False]) > 1000  # no overflow


def test_min_cllr_is_what_is_left_when_the_ratios_are_right():
    rng = np.random.default_rng(0)
    same = rng.random(40_000) < 0.5
    ratios = rng.normal(np.where(same, 2.0, -2.0), 2.0)  # equal variances: the ratio is x itself
    best = min_cllr(ratios, same)
    assert best == pytest.approx(cllr(ratios, same), abs=0.01)
    assert cllr(5 * ratios, same) > best + 0.1
    assert min_cllr(5 * ratios + 3, same) == pytest.approx(best)
    assert min_cllr([3, 2, 1, 0], [True, True, False, False]) == 0


@pytest.mark.parametrize("seed", range(3))
def test_decisions_are_those_of_scikit_learn(seed):
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    scores, same = _draw(seed)
    accepted = scores > 1
    ours = judge_decisions(accepted, same)
    precision, recall, f1, _ = precision_recall_fscore_support(same, accepted, average="binary")
    assert (ours.precision, ours.recall, ours.f1) == pytest.approx((precision, recall, f1))
    assert ours.accuracy == pytest.approx(accuracy_score(same, accepted))


def test_decisions_by_hand():
    judged = judge_decisions([True, True, False, False, False], [True, False, True, True, False])
    assert (judged.precision, judged.recall) == pytest.approx((1 / 2, 1 / 3))
    assert (judged.f1, judged.accuracy) == pytest.approx((0.4, 0.4))
    assert judge_decisions([False], [True]).precision == 1


@pytest.mark.parametrize(
    ("scores", "same", "message"),
    [
        ([1, 2], [True, True], "one kind"),
        ([1, np.nan], [True, False], "finite"),
        ([1, 2, 3], [True, False], "shape"),
        ([], [], "one kind"),
    ],
)
def test_what_cant_be_measured(scores, same, message):
    with pytest.raises(InputError, match=message):
        det_curve(scores, same)
    with pytest.raises(InputError, match=message):
        cllr(scores, same)
