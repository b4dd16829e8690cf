"""The recipe of speaker verification: errors by hand, and its numbers on the real weights."""

import numpy as np
import pytest
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("speaker_verification")


@pytest.fixture
def found(recipe):
    return recipe("speaker_verification")


TRUTH = np.array([True, True, False, False])


@pytest.mark.parametrize(
    ("scores", "rate"),
    [([4, 3, 2, 1], 0.0), ([1, 2, 3, 4], 1.0), ([1, 1, 1, 1], 0.5), ([4, 2, 3, 1], 0.5)],
)
def test_equal_error_rate_by_hand(lesson, scores, rate):
    from speechkit.metrics import det_curve

    found = lesson.equal_error_rate(np.array(scores, float), TRUTH)[0]
    assert found == pytest.approx(rate)
    assert found == pytest.approx(det_curve(scores, TRUTH).eer)


def test_detection_cost(lesson):
    assert lesson.min_dcf(np.array([4.0, 3, 2, 1]), TRUTH, 0.01) == 0
    assert lesson.min_dcf(np.ones(4), TRUTH, 0.01) == 1  # as bad as not listening
    # accept the first only: half of the true speakers are missed, no stranger enters
    assert lesson.min_dcf(np.array([4.0, 1, 3, 2]), TRUTH, 0.01) == pytest.approx(0.5)


def test_precision_recall_f1(lesson):
    accepted = np.array([True, False, True, False])
    assert lesson.precision_recall_f1(accepted, TRUTH) == (0.5, 0.5, 0.5)
    assert lesson.precision_recall_f1(np.zeros(4, bool), TRUTH) == (1.0, 0.0, 0.0)
    assert lesson.precision_at(0.5, 0.9, 0.1) == pytest.approx(0.9)
    assert lesson.precision_at(0.1, 0.9, 0.1) == pytest.approx(0.5)


def test_a_rare_true_speaker_asks_for_a_higher_threshold(lesson):
    rng = np.random.default_rng(0)
    same = rng.random(4000) < 0.5
    scores = rng.normal(same * 2.0, 1.0)
    low, high = (lesson.cheapest_threshold(scores, same, prior) for prior in (0.5, 0.01))
    assert low == pytest.approx(1.0, abs=0.4)  # normal scores at 0 and 2: half way
    assert high > low + 1


def test_normalisation_takes_off_what_everybody_scores(lesson):
    rng = np.random.default_rng(0)
    cohort, first, second = (rng.normal(size=(n, 8)) for n in (400, 5, 5))
    scores = (first * second).sum(1)
    normed = lesson.s_norm(scores, first, second, cohort)
    near = [np.sort(cohort @ side[0])[-300:] for side in (first, second)]
    by_hand = np.mean([(scores[0] - n.mean()) / n.std() for n in near])
    assert normed[0] == pytest.approx(by_hand)
    assert np.allclose(normed, lesson.s_norm(scores, second, first, cohort))  # symmetric


@pytest.mark.real
def test_metrics_are_speechkits(found):
    assert found["metric_difference"] < 1e-12
    assert found["eer_difference"] < 1e-12


@pytest.mark.real
def test_verification_of_the_trials(found):
    assert len(found["scores"]) == len(found["trials"]) >= 50
    assert found["trial_eer"] < 0.2
    assert found["scores"][found["same"]].mean() > found["scores"][~found["same"]].mean() + 0.3
    assert found["gain_low"] <= found["snorm_gain"] <= found["gain_high"]
    assert found["cohort"].shape == (7205, 192)
    assert found["cost_calibrated"] < found["cost_raw"]
