"""The recipe of time series: its parts by hand, and its measurements."""

import math

import pytest
import torch
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("time_series")


@pytest.fixture
def found(recipe):
    return recipe("time_series")


def test_windows_of_a_part_have_their_futures_in_it(lesson):
    values = torch.arange(20.0)
    series = lesson.Series("count", "1", 2, values, 0.0, 1.0, (10, 14), past=4, future=2)
    starts = {p: series.windows(p)[1][:, 0].tolist() for p in ("train", "validation", "test")}
    assert starts["train"] == [4, 5, 6, 7, 8]
    assert starts["validation"] == [10, 11, 12]
    assert starts["test"] == [14, 15, 16, 17, 18]
    assert series.windows("test")[0][0].tolist() == [10, 11, 12, 13]


def test_a_line_and_a_season_are_taken_apart(lesson):
    wave = torch.tensor([1.0, 0.0, -2.0, 1.0]).double()
    x = 3 * torch.arange(24.0).double() + wave.repeat(6)
    trend, season, rest = lesson.take_apart(x, 4)
    assert torch.allclose(season[:4], wave)
    assert torch.allclose(trend[2:-2], 3 * torch.arange(24.0).double()[2:-2])
    assert rest[2:-2].abs().max() < 1e-9


def test_seasonal_naive_by_hand(lesson):
    past = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert lesson.seasonal_naive(past, 2, 3).tolist() == [[3, 4, 3]]
    assert lesson.seasonal_naive(past, 2, 3, drift=True).tolist() == [[5, 6, 5]]


def test_dlinear_is_one_linear_map(lesson):
    torch.manual_seed(0)
    model = lesson.DLinear(12, 3, 5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(7, 12)
    assert torch.allclose(model(x), model.folded()(x), atol=1e-4)


@pytest.mark.parametrize("patch", [1, 4, 12])
def test_operations_are_counted(lesson, patch):
    model = lesson.PatchTransformer(24, 5, patch)
    assert lesson.counted(lambda: model(torch.zeros(1, 24))) == lesson.patch_cost(24, 5, patch)[0]


@pytest.mark.parametrize("reach", [1, 4, 16])
def test_local_attention_is_a_band(lesson, reach):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 16, 8).double()
    band = (torch.arange(16)[:, None] - torch.arange(16)).abs() <= reach
    expected = lesson.attention(q, k, v, band)[0]
    assert torch.allclose(lesson.local(q, k, v, reach), expected)


def test_the_running_sum_does_not_see_the_future(lesson):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 10, 4).double()
    other = k.clone()
    other[-1] += 1
    change = (lesson.linear_running(q, k, v) - lesson.linear_running(q, other, v)).abs()
    assert change[:-1].max() == 0 < change[-1].max()


def test_an_exponent(lesson):
    assert lesson.exponent([1, 2, 4], [5, 20, 80]) == pytest.approx(2)


def test_without_a_ridge_the_map_is_found(lesson):
    torch.manual_seed(0)
    x, w = torch.randn(50, 4).double(), torch.randn(4, 2).double()
    assert torch.allclose(lesson.ridge(x, x @ w, 1e-9), w, atol=1e-6)


def test_what_must_be_equal(found):
    assert found["decompose_difference"] < 1e-8
    assert found["fold_difference"] < 1e-3
    assert found["patch_difference"] < 1e-5
    assert max(g for name, g in found["gaps"].items() if "softmax" not in name) < 1e-10


def test_normalisation_carries_a_trend(found):
    tested = found["tested"]
    assert min(tested["patches"]) > 1.5 * max(tested["patches, normalised"])
    assert max(tested["patches, normalised"]) < tested["seasonal naive"][0]
    assert all(math.isfinite(e) for errors in tested.values() for e in errors)


def test_square_and_line(found):
    assert found["exponents"]["full"][:2] == pytest.approx((2, 2))
    assert found["exponents"]["local"][:2] == pytest.approx((1, 1))
    assert found["exponents"]["linear"][:2] == pytest.approx((1, 1))
