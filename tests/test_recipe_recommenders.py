"""The recipe of recommenders: measures and solvers by hand, and what each algorithm gains."""

import math

import numpy as np
import pytest
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("recommenders")


@pytest.fixture
def found(recipe):
    return recipe("recommenders")


def test_ndcg_by_hand(lesson):
    gain, score = np.array([[0.0, 1.0, 1.0]]), np.array([[3.0, 2.0, 1.0]])
    expected = (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3))
    assert lesson.ndcg(gain, score, 3)[0] == pytest.approx(expected)
    assert lesson.ndcg(gain, -score, 3)[0] == pytest.approx((1 + 1 / math.log2(3)) * expected / (
        1 / math.log2(3) + 1 / 2
    ))  # fmt: skip


def test_what_was_seen_is_not_recommended(lesson):
    score = np.arange(20.0, 0, -1)[None]  # the first is best
    seen = np.zeros((1, 20))
    target = np.array([10])  # rank 11
    assert lesson.judge(score, seen, target) == (0.0, 0.0)
    seen[0, 0] = 1
    hit, gain = lesson.judge(score, seen, target)  # rank 10
    assert (hit, gain) == (1.0, pytest.approx(1 / math.log2(11)))


def test_neighbours_by_hand(lesson):
    seen = np.array([[1.0, 1, 0], [1, 1, 1], [0, 0, 1]])
    assert lesson.alike(seen)[0] == pytest.approx([0, 2 / math.sqrt(6), 0])
    nearest = lesson.user_neighbours(seen, count=1)
    assert nearest[0] == pytest.approx(2 / math.sqrt(6) * seen[1])
    by_item = lesson.item_neighbours(seen)  # voices 0 and 1 have the same two listeners
    assert by_item[0] == pytest.approx([1, 1, 2 * 0.5])


def test_a_side_is_solved(lesson):
    rng = np.random.default_rng(0)
    other, rating = rng.normal(size=(9, 3)), rng.normal(size=(2, 9))
    known = (rng.uniform(size=(2, 9)) < 0.7).astype(float)
    best = lesson.solve_side(other, rating, known)
    for row in range(2):
        used = known[row] > 0
        slope = other[used].T @ (other[used] @ best[row] - rating[row, used])
        assert slope + lesson.RIDGE * best[row] == pytest.approx(0, abs=1e-9)


def test_als_never_rises_and_sgd_arrives(lesson):
    rng = np.random.default_rng(1)
    rating = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 20))
    known = np.ones_like(rating)
    _, _, losses = lesson.als(rating, known, rounds=10)
    assert max(np.diff(losses)) <= 1e-9 * losses[0]
    assert lesson.loss_of(*lesson.sgd(rating, known, 20), rating, known) < 1.1 * losses[-1]


def test_a_world_has_no_choice_twice_and_no_new_voice(lesson):
    world = lesson.make_world(3)
    pairs = set(zip(world.listener.tolist(), world.voice.tolist(), strict=True))
    assert len(pairs) == len(world.time)
    assert world.voice.max() < lesson.VOICES - lesson.NEW
    assert (np.diff(world.time) >= 0).all()


def test_what_each_gains(found):
    hit = {name: result[0] for name, result in found["results"].items()}
    assert hit["chance"] < hit["popularity"] < hit["factors, implicit"] < hit["the truth"]
    for name in ("user neighbours", "item neighbours", "two towers"):
        assert hit["popularity"] + 0.05 < hit[name] < hit["the truth"]
    assert found["ndcg_difference"] < 1e-12
    assert found["ridge_difference"] < 1e-9
    assert found["cold"]["two towers"] > 0.45 > found["cold"]["any of the others"]
    assert min(found["leak"].values()) > 0.03
