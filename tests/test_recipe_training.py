"""The recipe of training: steps by hand, beside torch's, and when to stop."""

import math

import pytest
import torch
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("training")


@pytest.fixture
def found(recipe):
    return recipe("training")


@pytest.mark.parametrize("name", ["SGD", "momentum", "Adam", "AdamW"])
def test_steps_are_torchs(lesson, name):
    start = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    def loss(theta):
        return (theta**4).sum() + theta.prod()

    ways = [run(name, loss, start, 0.02, 30) for run in (lesson.descend, lesson.torchs)]
    assert torch.allclose(*ways, atol=1e-9)
    assert not torch.equal(ways[0][-1], start)


def test_steps_by_hand(lesson):
    one, state = torch.ones(1), {}
    assert float(lesson.sgd(one, 2 * one, {}, 0.1)) == pytest.approx(0.8)
    assert float(lesson.momentum(one, one, state, 0.1)) == pytest.approx(0.9)
    assert float(lesson.momentum(one, one, state, 0.1)) == pytest.approx(1 - 0.19)
    assert float(lesson.adam(one, 1e-3 * one, {}, 0.1)) == pytest.approx(0.9, abs=1e-5)
    assert float(lesson.adamw(one, one, {}, 0.1, decay=0.5)) == pytest.approx(0.85, abs=1e-6)


def test_the_schedule_by_hand(lesson):
    shares = [lesson.share_of_rate(k, steps=14, warm=4) for k in (0, 2, 4, 9, 14)]
    assert shares == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_clipping_keeps_the_direction(lesson):
    gradients = [torch.tensor([3.0]), torch.tensor([0.0, 4.0])]  # of norm 5 together
    short = lesson.clipped(gradients, 1.0)
    assert torch.cat(short).tolist() == pytest.approx([0.6, 0.0, 0.8])
    assert torch.equal(torch.cat(lesson.clipped(gradients, 6.0)), torch.cat(gradients))


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([3.0, 2.0, 1.0], 2, (3, 3)),  # still falling at the end
        ([3.0, 1.0, 2.0, 2.0, 0.5], 2, (2, 4)),  # the last one is not seen
        ([3.0, 1.0, 2.0, 2.0, 0.5], 3, (5, 5)),
        ([1.0, 1.0, 1.0], 1, (1, 2)),
    ],
)
def test_when_to_stop(lesson, losses, patience, expected):
    assert lesson.stop_at(losses, patience) == expected


def test_the_best_weights_are_kept(lesson):
    generator = torch.Generator().manual_seed(0)
    part = torch.randn(30, 160, generator=generator), torch.randint(10, (30,), generator=generator)
    other = torch.randn(30, 160, generator=generator), torch.randint(10, (30,), generator=generator)
    run = lesson.Run("Adam", 0.01, 0, 8, (part, other))
    run.network.load_state_dict(run.best)
    assert lesson.judge(run.network, other)[0] == pytest.approx(min(run.valid), abs=1e-6)
    assert run.train[-1] < run.train[0]


@pytest.mark.real
def test_what_the_recipe_measures(found):
    assert max(found["step_differences"].values()) < 1e-7
    assert found["moved"]["SGD"] == 0 < found["moved"]["Adam"]
    assert found["needed"]["momentum"] < found["needed"]["SGD"]
    assert max(found["means"].values()) < math.log(10) / 3
    assert found["kept"] < found["ended"] <= len(found["long"].valid)
    assert found["at_best"][0] < found["at_end"][0]
    assert found["weight_16"].item() == 1
    parts = [found[f"{name}_part"][1] for name in ("train", "valid", "test")]
    assert sum(map(len, parts)) <= 40
    assert all(set(labels.tolist()) == set(range(10)) for labels in parts)


def test_what_diverges_never_arrives(lesson):
    assert lesson.steps_needed("SGD", 0.1, most=300) == 301
    assert 300 < lesson.steps_needed("SGD", 0.009, most=800) < 500
