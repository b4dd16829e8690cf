"""The recipe of classical learners: each by hand, and what their comparison shows."""

import numpy as np
import pytest
from common import import_recipe

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("classical")


@pytest.fixture
def found(recipe):
    return recipe("classical")


def test_a_line_through_points_of_a_line(lesson):
    x = np.array([[0.0], [1.0], [3.0]])
    assert lesson.linear_regression(x, 2 * x[:, 0] - 1) == pytest.approx([2, -1])


def test_logistic_offset_is_the_log_odds(lesson):
    weights = lesson.logistic_regression(np.zeros((4, 1)), np.array([1.0, 1, 1, 0]))
    assert weights == pytest.approx([0, np.log(3)])


def test_logistic_gradient_vanishes(lesson):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), (rng.random(50) < 0.4).astype(float)
    w = lesson.logistic_regression(x, y, c=2.0)
    one = lesson.with_one(x)
    slope = one.T @ (lesson.sigmoid(one @ w) - y) + np.append(w[:-1] / 2, 0)
    assert np.abs(slope).max() < 1e-9


@pytest.mark.parametrize(("k", "expected"), [(1, [0, 1]), (3, [0, 1]), (5, [1, 1])])
def test_neighbours_vote(lesson, k, expected):
    x, y = np.array([[0.0], [1], [10], [11], [12]]), np.array([0, 0, 1, 1, 1])
    assert lesson.nearest_neighbours(x, y, np.array([[0.4], [9.0]]), k).tolist() == expected


def test_gini_by_hand(lesson):
    assert lesson.gini(np.array([0, 0, 0])) == 0
    assert lesson.gini(np.array([0, 1])) == pytest.approx(0.5)
    assert lesson.gini(np.array([0, 1, 2, 2])) == pytest.approx(1 - 1 / 16 - 1 / 16 - 1 / 4)


def test_the_split_finds_the_column_that_matters(lesson):
    x = np.array([[5.0, 0.0], [1.0, 1.0], [4.0, 2.0], [2.0, 3.0]])
    gain, feature, threshold = lesson.best_split(x, np.array([0, 0, 1, 1]))
    assert (gain, feature, threshold) == (pytest.approx(0.5), 1, 1.5)


def test_an_impure_left_side_costs(lesson):
    split = lesson.best_split(np.arange(4.0)[:, None], np.array([0, 1, 0, 0]))
    assert split == (pytest.approx(3 / 8 - 1 / 4), 0, 1.5)


def test_a_pure_node_is_not_split(lesson):
    assert lesson.best_split(np.arange(3.0)[:, None], np.zeros(3, int))[0] == 0


def test_bias_and_variance_by_hand(lesson):
    bias, variance = lesson.bias_and_variance(np.array([[1.0, 2], [3, 2]]), np.array([1.0, 0]))
    assert (bias, variance) == (pytest.approx((1 + 4) / 2), pytest.approx(0.5))


def test_boosting_by_hand(lesson):
    x, y = np.arange(6.0)[:, None], np.array([0.0, 0, 0, 6, 6, 6])
    rounds = lesson.boosted(x, y, np.array([[0.0], [5.0]]))
    assert rounds[0].tolist() == [3, 3]  # the mean; then a fifth of the residual of 3 each round
    assert rounds[1] == pytest.approx([3 - 0.6, 3 + 0.6])
    assert rounds[2] == pytest.approx([3 - 0.6 - 0.48, 3 + 0.6 + 0.48])


def test_the_street_of_two_points(lesson):
    x = np.array([[0.0, 0.0], [0.0, 4.0]])
    w = lesson.widest_street(x, np.array([-1.0, 1.0]), 1e3)
    assert w == pytest.approx([0, 0.5, -1], abs=1e-3)


def test_folds_hold_out_whole_groups(lesson):
    groups = np.array([0, 0, 1, 1])
    seen = []

    def remember(x, y, asked):
        seen.append((len(x), len(asked)))
        return np.zeros(len(asked), int)

    shares = lesson.accuracies(
        remember, np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 0]), groups
    )
    assert seen == [(2, 2), (2, 2)]
    assert shares.tolist() == [0.5, 1.0]


def test_they_equal_scikit_learn(found):
    assert found["linear_difference"] < 1e-8
    assert found["logistic_difference"] < 1e-5
    assert found["knn_equal"]
    assert found["boost_difference"] < 1e-6
    assert found["svm_difference"] < 1e-3


def test_what_averages_and_rounds_change(found):
    assert found["parts"]["bagging"][1] < 0.6 * found["parts"]["one tree"][1]
    assert found["parts"]["boosting, all"][0] < 0.5 * found["rounds"][10][0]


def test_speech_is_learned(found):
    assert found["mean_accuracy"]["speaker", "5 neighbours"] > 0.7
    assert found["mean_accuracy"]["digit", "SVM, RBF kernel"] > 0.6
