"""The recipe of norms: both by hand, beside torch's, with padding and small batches."""

import pytest
import torch
from common import import_recipe
from torch import nn
from torch.nn import functional as F


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("normalisation")


@pytest.fixture
def found(recipe):
    return recipe("normalisation")


def test_layer_norm_by_hand(lesson):
    x = torch.tensor([[[1.0, 5.0], [3.0, 5.0]]])  # two channels, two frames
    expected = torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]])
    assert torch.allclose(lesson.LayerNorm(2)(x), expected, atol=1e-4)


def test_batch_norm_by_hand(lesson):
    norm = lesson.BatchNorm(1)
    out = norm(torch.tensor([[[0.0, 2.0]], [[4.0, 6.0]]]))  # mean 3, variance 5
    assert torch.allclose(out.flatten() * 5**0.5, torch.tensor([-3.0, -1.0, 1.0, 3.0]), atol=1e-4)
    assert float(norm.mean) == pytest.approx(0.3)
    assert float(norm.variance) == pytest.approx(0.9 + 0.1 * 5 * 4 / 3)
    assert norm.eval()(torch.tensor([[[0.3]]])).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_slopes_are_torchs(lesson, training):
    ours, theirs = lesson.BatchNorm(3).train(training), nn.BatchNorm1d(3).train(training)
    x = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    slopes = []
    for norm in (ours, theirs):
        leaf = x.clone().requires_grad_()
        norm(leaf).pow(3).sum().backward()
        slopes.append(leaf.grad)
    assert torch.allclose(*slopes, atol=1e-4)


def test_a_mask_hides_the_padding(lesson):
    items = [torch.randn(2, 4) + 3, torch.randn(2, 7) - 1]
    batch, mask = lesson.padded(items, longest=9)
    assert batch.shape == (2, 2, 9)
    assert mask.sum(dim=(1, 2)).tolist() == [4, 7]
    mean, variance, n = lesson.statistics(batch, mask)
    joined = torch.cat(items, dim=1)
    assert n == 11
    assert torch.allclose(mean, joined.mean(dim=1), atol=1e-5)
    assert torch.allclose(variance, joined.var(dim=1, correction=0), atol=1e-5)
    garbage = batch + 100 * (1 - mask)
    assert torch.equal(lesson.statistics(F.pad(garbage, (0, 2)), F.pad(mask, (0, 2)))[0], mean)


def test_what_is_counted(lesson):
    network = nn.Sequential(nn.LayerNorm(2), nn.Sequential(nn.BatchNorm1d(2), nn.LayerNorm(3)))
    assert lesson.count(network, nn.LayerNorm) == 2
    assert lesson.weight_normed(network) == 0
    normed = nn.utils.parametrizations.weight_norm(nn.Conv1d(1, 1, 1))
    assert lesson.weight_normed(nn.Sequential(normed, nn.Conv1d(1, 1, 1))) == 1


@pytest.mark.real
def test_what_the_recipe_measures(found):
    assert found["formula_difference"] < 1e-3
    assert found["moved_by_padding"]["batch norm"] > 0.1
    assert found["moved_by_padding"]["layer norm"] == 0
    assert found["mode_cosines"][2] < 0.9 < found["in_company"]
    assert found["norms"]["Whisper"] == (32, 0, 0)
    assert found["norms"]["ECAPA-TDNN"] == (0, 31, 0)
    assert found["norms"]["VITS, text"] == (12, 0, 0)
    assert found["means"]["batch norm", 2] > 2 * found["means"]["batch norm", 16]
