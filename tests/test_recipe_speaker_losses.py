"""The recipe of losses for voices: each by hand, and beside others' code."""

import math

import pytest
import torch
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("speaker_losses")


@pytest.fixture
def found(recipe):
    return recipe("speaker_losses")


def test_softmax_loss_is_torchs(lesson):
    logits, labels = torch.randn(7, 5), torch.randint(5, (7,))
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.allclose(lesson.softmax_loss(logits, labels), expected)


def test_aam_by_hand(lesson):
    loss = lesson.aam_loss(torch.tensor([[0.5, 0.0]]), torch.tensor([0]), math.pi / 6, 2.0)
    # 60 degrees and 30 make 90: both logits are 0
    assert float(loss) == pytest.approx(math.log(2), abs=1e-6)


def test_without_a_margin_aam_is_a_scaled_softmax(lesson):
    cosine, labels = torch.rand(6, 4) * 1.9 - 0.95, torch.randint(4, (6,))
    plain = lesson.softmax_loss(30 * cosine, labels)
    assert torch.allclose(lesson.aam_loss(cosine, labels, 0.0, 30.0), plain, rtol=1e-5)


@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_the_right_logit_falls_with_the_angle_everywhere(lesson, margin):
    angle = torch.linspace(0.01, math.pi - 0.01, 300)
    logits = lesson.aam_logits(angle.cos()[:, None], torch.zeros(300, dtype=int), margin, 1.0)
    assert (logits[:, 0].diff() < 0).all()
    wrong = lesson.aam_logits(torch.tensor([[0.1, 0.7]]), torch.tensor([0]), margin, 1.0)[0, 1]
    assert float(wrong) == pytest.approx(0.7)


@pytest.mark.parametrize("cosine", [1.0, -1.0])
def test_aam_has_a_slope_at_the_ends(lesson, cosine):
    x = torch.tensor([[cosine, 0.0]], requires_grad=True)
    lesson.aam_loss(x, torch.tensor([0])).backward()
    assert torch.isfinite(x.grad).all()


def test_triplets_by_hand(lesson):
    vectors, labels = torch.eye(2).repeat_interleave(2, 0), torch.tensor([0, 0, 1, 1])
    assert float(lesson.triplet_loss(vectors, labels, 0.3)) == 0  # siblings at 0, strangers at 1
    assert float(lesson.triplet_loss(vectors, labels, 1.5)) == pytest.approx(0.5)
    mixed = lesson.triplet_loss(vectors, torch.tensor([0, 1, 0, 1]), 0.3)  # the other way round
    assert float(mixed) == pytest.approx(1.3)


def test_ge2e_by_hand(lesson):
    batch = torch.eye(2)[:, None].expand(2, 3, 2)  # own mean at cosine 1, the other at 0
    loss = lesson.ge2e_loss(batch, scale=2.0)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)


def test_ge2e_leaves_a_recording_out_of_its_own_mean(lesson):
    batch = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
    # first: own mean without itself is (0, 1), cosine 0, the other's cosine 1; second: 1 to 0 less
    first = math.log(1 + math.exp(10))
    second = math.log(1 + math.exp(0.0))
    third = math.log(1 + math.exp(10 * (math.sqrt(0.5) - 1)))
    expected = (first + second + 2 * third) / 4
    assert float(lesson.ge2e_loss(batch)) == pytest.approx(expected, rel=1e-4)


def test_losses_are_the_references(found):
    assert abs(found["aam_by_hand"] - found["aam_of_code"]) < 1e-6
    assert found["aam_of_code"] > found["plain"]
    assert found["aam_difference"] < 1e-5
    assert found["aam_slope_difference"] < 1e-5
    assert abs(found["triplet_of_code"] - found["triplet_of_torch"]) < 1e-6
    assert found["triplet_of_code"] > 0
    assert abs(found["ge2e_of_code"] - found["ge2e_of_coqui"]) < 1e-5


def test_the_margin_draws_classes_together(found):
    assert found["spreads"]["AAM"] < found["spreads"]["Unit vectors"]
