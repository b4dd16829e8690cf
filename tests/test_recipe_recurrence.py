"""The recipe of recurrence: its cells and gradients by hand, and its measurements."""

import math

import pytest
import torch
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("recurrence")


@pytest.fixture
def found(recipe):
    return recipe("recurrence")


def test_a_network_of_one_number_by_hand(lesson):
    one = torch.ones(1, 1).double()
    states = lesson.rnn(torch.zeros(2, 1).double(), one[0], one, 0.5 * one, 0 * one[0])
    first = math.tanh(0.5)
    second = math.tanh(0.5 * first)
    assert states[:, 0].tolist() == pytest.approx([first, second])
    slopes = lesson.through_time(states, 0.5 * one)[:, 0, 0].tolist()
    expected = 0.5 * (1 - first**2)
    assert slopes == pytest.approx([expected, expected * 0.5 * (1 - second**2)])


def test_a_rotation_keeps_lengths(lesson):
    turned = lesson.orthogonal(5, seed=0)
    assert torch.allclose(turned @ turned.T, torch.eye(5).double())


@pytest.mark.parametrize("radius", [0.7, 1.2])
def test_without_slopes_the_gradient_is_the_bound(lesson, radius):
    product = lesson.through_time(torch.zeros(20, 4).double(), radius * lesson.orthogonal(4, 1))
    norms = torch.linalg.matrix_norm(product, ord=2)
    assert torch.allclose(norms, radius ** torch.arange(1, 21).double())


def test_clipping_by_hand(lesson):
    assert lesson.clip([torch.tensor([3.0]), torch.tensor([4.0])], 1.0)[1].item() == pytest.approx(
        0.8
    )
    assert lesson.clip([torch.tensor([3.0, 4.0])], 10.0)[0].tolist() == [3.0, 4.0]


def test_a_cell_with_open_gates_only_adds(lesson):
    # gates from the biases alone: i = f = o = 1, g = tanh(0.5)
    bias = torch.tensor([50.0, 50.0, 0.5, 50.0]).double()
    nothing, zero = torch.zeros(4, 1).double(), torch.zeros(1).double()
    states, cells, kept = lesson.lstm(
        torch.zeros(3, 1).double(), zero, zero, nothing, nothing, bias
    )
    assert cells[:, 0].tolist() == pytest.approx([k * math.tanh(0.5) for k in (1, 2, 3)])
    assert states[-1].item() == pytest.approx(math.tanh(3 * math.tanh(0.5)))
    assert kept.min() > 0.999


def test_the_tasks_by_hand(lesson):
    torch.manual_seed(0)
    digits, totals = lesson.local_task(3, 9)
    assert (totals[:, 5] == digits[:, 3:6].sum(dim=1) % lesson.DIGITS).all()
    tokens, wanted = lesson.recall_task(3, gap=4)
    pairs, asked = tokens[:, : lesson.PAIRS], tokens[:, lesson.PAIRS + 4 :]
    for row in range(3):
        values = {int(t) // lesson.VALUES: int(t) % lesson.VALUES for t in pairs[row]}
        answers = [values[int(t) - lesson.FILL - 1] for t in asked[row]]
        assert wanted[row, -lesson.PAIRS :].tolist() == answers
    assert (wanted[:, : lesson.PAIRS + 4] == lesson.IGNORED).all()


def test_the_transformer_does_not_see_the_future(lesson):
    model = lesson.new_pair(10, 3)["Transformer"]
    tokens = torch.randint(10, (1, 6))
    changed = tokens.clone()
    changed[0, -1] = (tokens[0, -1] + 1) % 10
    difference = (model(tokens) - model(changed)).abs()[0]
    assert difference[:-1].max() < 1e-6 < difference[-1].max()


def test_cells_and_gradients_are_torchs(found):
    assert found["rnn_difference"] < 1e-12
    assert found["product_difference"] < 1e-10
    assert found["lstm_difference"] < 1e-12
    assert found["slope_difference"] < 1e-10
    assert found["carousel_difference"] < 1e-12
    assert found["clip_difference"] < 1e-5


def test_gradients_vanish_and_explode(found):
    assert found["norms"][0.5][-1] < found["norms"][0.9][-1] < 1e-5
    assert found["norms"][1.5][-1] > 100
    assert found["depth"]["sigmoid"] < 1e-20 < 1e6 < found["depth"]["ReLU, gain 3"]
    assert found["kept_by_bias"][6.0][-1] > 0.5 > 1e-20 > found["kept_by_bias"][0.0][-1]


def test_each_model_has_its_task(found):
    local, recall = found["local"], found["recall"]
    assert sum(local["LSTM"].curve) > sum(local["Transformer"].curve)
    assert local["LSTM"].farther > local["Transformer"].farther
    assert recall["Transformer"].curve[-1] > recall["LSTM"].curve[-1] + 0.3


def test_linear_and_quadratic(found):
    assert found["doubling"]["LSTM"] == pytest.approx(2, abs=0.02)
    assert 3 < found["doubling"]["Transformer"] < 4
