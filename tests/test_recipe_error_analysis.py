"""The recipe of error analysis: its measures by hand, its leaks, and the causes that add up."""

from itertools import combinations

import numpy as np
import pytest
from common import import_recipe

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("error_analysis")


@pytest.fixture
def found(recipe):
    return recipe("error_analysis")


def test_confusion_by_hand(lesson):
    truth, said = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    matrix = lesson.confusion_matrix(truth, said, 3)
    assert matrix.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    precision, recall, f1 = lesson.precision_recall_f1(matrix)
    assert precision == pytest.approx([1, 1 / 2, 1 / 2])
    assert recall == pytest.approx([2 / 3, 1 / 2, 1])
    assert f1 == pytest.approx([4 / 5, 1 / 2, 2 / 3])


def test_roc_by_hand(lesson):
    scores, positive = np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False])
    alarms, hits = lesson.roc(scores, positive)
    assert alarms.tolist() == [0, 0, 0.5, 1]
    assert hits.tolist() == [0, 0.5, 1, 1]
    assert lesson.area(scores, positive) == pytest.approx((4 - 0.5) / 4)


def test_equal_error_rate_by_hand(lesson):
    scores = np.array([0.9, 0.7, 0.6, 0.3, 0.5, 0.4, 0.2, 0.1])
    assert lesson.equal_error_rate(scores, np.arange(8) < 4) == pytest.approx(0.25)


def test_calibration_by_hand(lesson):
    p, positive = np.array([0.85, 0.85, 0.85, 0.85, 0.15, 1.0]), np.array([1, 1, 1, 0, 0, 1], bool)
    mean, share, count = lesson.reliability(p, positive)
    assert count.tolist() == [1, 4, 1]
    assert share.tolist() == [0, 0.75, 1]
    assert mean == pytest.approx([0.15, 0.85, 1])
    assert lesson.calibration_error(p, positive) == pytest.approx((0.15 + 4 * 0.1) / 6)


def test_best_columns(lesson):
    y = np.array([0, 1, 0, 1])
    x = np.column_stack([[1.0, 1, 2, 2], y * -3.0, [0, 1, 1, 1]])
    assert lesson.best_columns(x, y, 2).tolist() == [1, 2]


def test_the_bootstrap_of_certainty_is_a_point(lesson):
    rng = np.random.default_rng(0)
    assert lesson.bootstrap_range(np.ones((5, 2)), rng).tolist() == [1, 1]
    low, high = lesson.bootstrap_range(np.eye(2).repeat(50, axis=0)[:, :1], rng)
    assert low == pytest.approx(0.4, abs=0.03)  # 100 coins: two standard errors are 0.1
    assert high == pytest.approx(0.6, abs=0.03)


def test_shapley_of_causes_that_hide_each_other(lesson):
    causes = lesson.CAUSES
    off = [frozenset(c) for size in range(5) for c in combinations(causes, size)]
    alone = lesson.shapley({s: 1 - 0.1 * len(s) for s in off})
    assert list(alone.values()) == pytest.approx([0.1] * 4)
    both = {s: 0.0 if {causes[0], causes[1]} <= s else 1.0 for s in off}  # only together
    assert list(lesson.shapley(both).values()) == pytest.approx([0.5, 0.5, 0, 0])


def test_switches(lesson):
    every = frozenset(lesson.CAUSES)
    _, _, touched = lesson.made_world(2000, every, 0, test=True)
    assert not touched["label noise"].any()
    assert not touched["shift"].any()
    _, _, touched = lesson.made_world(2000, frozenset(), 0, test=False)
    assert touched["label noise"].any()
    assert not touched["shift"].any()  # the training has one microphone


def test_measures_equal_references(found):
    assert found["prf_difference"] < 1e-12
    assert found["roc_difference"] < 1e-9


def test_leaks_flatter(found):
    assert found["walks"][True] - found["walks"][False] > 0.1
    assert found["meaningless"][False] - found["meaningless"][True] > 0.2
    assert found["leak"][True] - found["leak"][False] > 0.25


def test_the_other_eight_per_cent(found):
    assert found["start"] == pytest.approx(0.08, abs=0.015)
    assert sum(found["value"].values()) == pytest.approx(found["start"] - found["end"])
    assert found["right_share"]["recordings"] > found["right_share"]["windows"] + 0.1
