"""The recipe of latent spaces: each method by hand, and what the weight of the KL divergence does."""

import math

import numpy as np
import pytest
import torch
from common import import_recipe

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("latent_spaces")


@pytest.fixture
def found(recipe):
    return recipe("latent_spaces")


def test_pca_of_points_on_a_line(lesson):
    axes, singular = lesson.pca(np.outer([1.0, 2, 3], [3, 4]) + 7, 1)
    assert np.abs(axes[0]) == pytest.approx([0.6, 0.8])
    assert singular == pytest.approx([5 * math.sqrt(2), 0], abs=1e-9)


def test_scatters_by_hand(lesson):
    within, between = lesson.scatters(np.array([[0.0], [2], [6], [8]]), np.array([0, 0, 1, 1]))
    assert float(within[0, 0]) == pytest.approx(4)
    assert float(between[0, 0]) == pytest.approx(4 * 9)
    assert lesson.separation(np.array([[0.0], [2], [6], [8]]), np.array([0, 0, 1, 1])) == 9


def test_lda_finds_the_class(lesson):
    x = np.random.default_rng(0).normal(size=(100, 2)) * [20, 1]
    label = np.arange(100) % 2
    direction = lesson.lda(x + np.outer(label, [0, 5]), label, 1)[0]
    assert abs(direction[0] / direction[1]) < 0.05


def test_neighbour_probabilities(lesson):
    p = lesson.neighbour_probabilities(np.random.default_rng(0).normal(size=(20, 3)), 5)
    assert p.sum() == pytest.approx(1)
    assert np.allclose(p, p.T)
    corners = np.eye(4)  # all at the same distance: any width gives the same
    equal = lesson.neighbour_probabilities(corners, 2)
    assert equal[~np.eye(4, dtype=bool)] == pytest.approx([1 / 12] * 12)
    assert lesson.map_loss(equal, np.eye(4)[:, :2] * 0) == pytest.approx(0, abs=1e-9)


def test_a_perplexity_of_one_looks_at_the_nearest(lesson):
    p = lesson.neighbour_probabilities(np.array([[0.0], [1], [10], [12]]), 1.001)
    assert p[0, 1] == pytest.approx(1 / 4, abs=0.01)
    assert p[0, 2] < 0.01


def test_kl_by_hand(lesson):
    mean, variance = torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([[1.0, 1.0], [1.0, 4.0]])
    expected = [0, 0.5 * (1 + 4 + 4 - 1 - math.log(4))]
    assert lesson.kl_to_standard(mean, variance.log()).tolist() == pytest.approx(expected)


def test_draws_have_the_cloud(lesson):
    torch.manual_seed(0)
    codes = lesson.draw(torch.full((50_000, 1), 2.0), torch.full((50_000, 1), math.log(9.0)))
    assert float(codes.mean()) == pytest.approx(2, abs=0.05)
    assert float(codes.std()) == pytest.approx(3, abs=0.05)


def test_frechet_by_hand(lesson):
    x = np.random.default_rng(0).normal(size=(200, 3))
    assert lesson.frechet(x, x) == pytest.approx(0, abs=1e-5)
    assert lesson.frechet(x, x + np.array([3, 4, 0])) == pytest.approx(5)
    wider = x - x.mean(axis=0)
    expected = math.sqrt(np.trace(np.cov(wider.T)))  # deviations of s and 2 s: a distance of s
    assert lesson.frechet(wider, 2 * wider) == pytest.approx(expected)


def test_they_equal_the_references(found):
    assert found["pca_difference"] < 1e-8
    assert found["lda_cosine"] > 1 - 1e-6
    assert abs(found["tsne_loss"] - found["mapper"].kl_divergence_) < 1e-3
    assert found["elbo_difference"] < 1e-5


def test_both_gradients_are_right_and_one_is_calmer(found):
    assert found["gradient"]["through"] == pytest.approx(3, abs=0.03)
    assert found["gradient"]["score"] == pytest.approx(3, abs=0.15)
    assert found["scatter"]["score"] > 3 * found["scatter"]["through"]


def test_the_weight_of_the_kl(found):
    assert found["sampled"][1.0] < found["sampled"][None]
    assert found["nats"][1.0] > found["nats"][1000.0]
    assert found["restored"][1000.0] > found["restored"][1.0]
