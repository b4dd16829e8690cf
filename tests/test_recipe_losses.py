"""The recipe of losses: each by hand, beside torch's, and what each asks for."""

import math

import pytest
import torch
from common import import_recipe
from torch.nn import functional as F


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("losses")


@pytest.fixture
def found(recipe):
    return recipe("losses")


def test_cross_entropy_by_hand(lesson):
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])  # probabilities 3/4 and 1/2
    loss = lesson.cross_entropy(logits, torch.tensor([0, 1]))
    assert float(loss) == pytest.approx(math.log(4 / 3 * 2) / 2, abs=1e-6)


def test_huber_by_hand(lesson):
    loss = lesson.huber(torch.tensor([0.5, 3.0]), torch.zeros(2))
    assert float(loss) == pytest.approx((0.125 + 2.5) / 2)
    wide = lesson.huber(torch.tensor([3.0]), torch.zeros(1), bend=2.0)
    assert float(wide) == pytest.approx(4.0)
    assert float(F.huber_loss(torch.tensor([3.0]), torch.zeros(1), delta=2.0)) == float(wide)


@pytest.mark.parametrize(
    ("path", "text"),
    [((0, 0), ()), ((1, 1, 2), (1, 2)), ((1, 0, 1), (1, 1)), ((0, 2, 2, 0, 1), (2, 1))],
)
def test_paths_collapse(lesson, path, text):
    assert lesson.collapse(path) == text


def test_ctc_by_hand(lesson):
    # half blank, half "a": three of the four paths of two frames say "a"
    log_p = torch.full((2, 2), 0.5).log()
    assert lesson.ctc(log_p, (1,)) == pytest.approx(math.log(4 / 3), abs=1e-6)


@pytest.mark.parametrize("text", [(1,), (2, 2), (1, 2, 1), (1, 1, 2)])
def test_ctc_is_the_sum_and_torchs(lesson, text):
    log_p = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).log_softmax(1)
    expected = lesson.ctc_of_all_paths(log_p, text)
    assert lesson.ctc(log_p, text) == pytest.approx(expected, abs=1e-5)
    assert float(lesson.torch_ctc(log_p, [text])) == pytest.approx(expected, abs=1e-5)


def test_kl_of_gaussians_by_hand(lesson):
    one = torch.tensor(1.0)
    assert float(lesson.kl_gaussians(one, one, one, one)) == 0
    assert float(lesson.kl_gaussians(one, one, 3 * one, one)) == pytest.approx(2.0)


def test_info_nce_of_perfect_pairs(lesson):
    pairs = torch.eye(4)
    loss = lesson.info_nce(pairs, pairs, temperature=0.5)
    assert float(loss) == pytest.approx(math.log(1 + 3 * math.exp(-2)), abs=1e-6)


def test_features_are_of_every_layer(lesson):
    critic = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.Conv1d(2, 1, 3))
    layers = lesson.features(critic, torch.ones(9))
    assert [layer.shape for layer in layers] == [(1, 2, 7), (1, 1, 5)]
    real, generated = [torch.zeros(2), torch.zeros(4)], [torch.ones(2), 2 * torch.ones(4)]
    assert float(lesson.feature_matching(real, generated)) == 3


@pytest.mark.real
def test_losses_are_torchs(found):
    assert abs(found["entropy_difference"]) < 1e-6
    assert max(map(abs, found["mean_differences"])) < 1e-5
    assert found["gaussian_difference"] < 1e-4
    assert max(found["ctc_values"]) - min(found["ctc_values"]) < 1e-5
    assert abs(found["triplet_difference"]) < 1e-5


@pytest.mark.real
def test_each_is_the_wrong_one_somewhere(found):
    assert found["gap"] > found["smoothed_gap"] + 0.1
    assert abs(found["slopes"]["mse"] - 2) > 1 > abs(found["slopes"]["l1"] - 2)
    assert abs(found["between"]) < 0.2  # between the answers -2 and 2
    assert found["short_by"] == pytest.approx(1 - math.exp(-0.32), abs=0.05)
    assert found["choosing"][0] == pytest.approx(2, abs=0.1)
    assert found["guess_error"] == pytest.approx(2 * found["mean_error"], rel=0.3)
    assert found["power_left"] < 1.3 / len(found["takes"])
