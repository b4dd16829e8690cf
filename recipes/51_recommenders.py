r"""
Recommenders: which voice would this listener choose
====================================================

:Answers: question 20 (common recommender algorithms: popularity, neighbours, matrix factorisation,
    implicit feedback, two towers; how they are judged)
:Needs: no weights
:Takes: 20 s (12 s with ``--quick``) on two cores, weights fetched before

A recommender orders things for a person, so that what this person would choose stands at the top.
It learns from what many people have chosen or rated before. The common algorithms differ in what
they take from that: how often a thing is chosen, who is alike, a few hidden numbers for each person
and thing, or a description of the thing.

The things here are voices and the people are listeners. The choices are drawn from a model that is
written down, so the best possible order is known, and each algorithm can be held against it.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from common import QUICK, keep_picture
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
TOP = 10  # places that are shown

# %%
# Choices from a stated model
# ---------------------------
#
# To judge recommenders, it helps to know the truth, so the listeners here are made. A listener has
# a hidden taste, a voice has hidden qualities, and the better they fit, the likelier the voice is
# chosen. Some voices are liked by all, and some come into fashion while others go out of it.
#
# .. math::
#
#    s_{ui}(t) = p_u \cdot q_i + b_i + f_i t, \qquad
#    P(u \text{ chooses } i) \propto e^{s_{ui}(t)}, \qquad p_u, q_i \in \mathbb R^4, \; t \in [0, 1].
#
# No voice is chosen twice. Listeners differ in how much they listen. Each voice also has a
# description: 16 numbers that mix its qualities with noise, as an embedding of its sound would. The
# last ten voices are new: nobody has chosen them yet.

LISTENERS, VOICES, NEW = (400, 80, 10) if QUICK else (1200, 120, 10)
TASTES, FEATURES = 4, 16


@dataclass
class World:
    """What is true, and what was seen of it."""

    score: Array  # [listeners, voices] at time 0
    fashion: Array  # [voices]: what is added until time 1
    features: Array  # [voices, 16]
    listener: NDArray[np.int64]  # of each choice, in order of time
    voice: NDArray[np.int64]
    time: Array


def make_world(seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    taste, quality = rng.normal(size=(LISTENERS, TASTES)), rng.normal(size=(VOICES, TASTES))
    score = taste @ quality.T + rng.normal(size=VOICES)
    fashion = 2.0 * rng.normal(size=VOICES)
    noise = rng.normal(size=(VOICES, FEATURES))
    features = quality @ rng.normal(size=(TASTES, FEATURES)) + 0.5 * noise
    rows = []
    for u in range(LISTENERS):
        free = np.arange(VOICES) < VOICES - NEW
        for t in np.sort(rng.uniform(size=rng.integers(4, 25))):
            drawn = score[u] + fashion * t + rng.gumbel(size=VOICES)  # the largest: a softmax draw
            i = int(np.where(free, drawn, -np.inf).argmax())
            free[i] = False
            rows.append((t, u, i))
    time, listener, voice = zip(*sorted(rows), strict=True)
    return World(score, fashion, features, np.array(listener), np.array(voice), np.array(time))


def chosen(listener: Array, voice: Array) -> Array:
    """Choices as a matrix of zeros and ones: [listeners, voices]."""
    matrix = np.zeros((LISTENERS, VOICES))
    matrix[listener, voice] = 1
    return matrix


# %%
# The last choice of each listener is held out for the test, the rest is for training. The voices
# that a listener had before are not recommended again.

if __name__ == "__main__":
    world = make_world()
    last = np.array([np.flatnonzero(world.listener == u)[-1] for u in range(LISTENERS)])
    is_last = np.isin(np.arange(len(world.time)), last)
    seen = chosen(world.listener[~is_last], world.voice[~is_last])
    target = np.zeros(LISTENERS, np.int64)
    target[world.listener[is_last]] = world.voice[is_last]
    test_time = np.zeros(LISTENERS)
    test_time[world.listener[is_last]] = world.time[is_last]
    filled = seen.mean()
    print(f"{LISTENERS} listeners, {VOICES} voices, {int(seen.sum())} choices: ", end="")
    print(f"{filled:.1%} of the matrix is filled")
    assert seen[:, -NEW:].sum() == 0, "nobody has chosen the new voices"
    assert seen[np.arange(LISTENERS), target].sum() == 0, "the test is not in the training"

# %%
# Hit rate and NDCG
# -----------------
#
# A recommender is judged by its order, not by its scores. The hit rate at 10 is the share of
# listeners whose held-out choice is among the first ten. NDCG also counts where it stands: each
# place is worth less than the one before, and the best possible order has the value 1.
#
# .. math::
#
#    \mathrm{DCG@}k = \sum_{r=1}^{k} \frac{g_r}{\log_2(r + 1)}, \qquad
#    \mathrm{NDCG@}k = \frac{\mathrm{DCG@}k}{\mathrm{DCG@}k \text{ of the best order}}.
#
# :math:`g_r` is the gain of what stands at rank :math:`r`: here 1 for the held-out choice, else 0.


def ndcg(gain: Array, score: Array, k: int = TOP) -> Array:
    """Of each row: gains and scores [rows, things] -> [rows]."""
    discount = 1 / np.log2(np.arange(2, k + 2))
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]
    dcg = (np.take_along_axis(gain, order, axis=1) * discount[: order.shape[1]]).sum(axis=1)
    best = -np.sort(-gain, axis=1)[:, :k]
    return dcg / (best * discount[: best.shape[1]]).sum(axis=1)


def by_lot(score: Array) -> Array:
    """The scores, with equal ones put in an order drawn by lot."""
    return score + 1e-9 * np.random.default_rng(7).normal(size=score.shape)


def judge(score: Array, seen: Array, target: NDArray[np.int64]) -> tuple[float, float]:
    """Hit rate and NDCG at 10 of the held-out choices; what was seen is not recommended."""
    score = np.where(seen > 0, -np.inf, by_lot(score))
    held_out = score[np.arange(len(target)), target]
    rank = (score > held_out[:, None]).sum(axis=1) + 1
    gain = np.where(rank <= TOP, 1 / np.log2(rank + 1), 0)  # one thing to find: the best DCG is 1
    return float((rank <= TOP).mean()), float(gain.mean())


# %%
# By hand: of three things with gains 3, 0 and 1 the middle one is put first, then the last. At 2
# the DCG is :math:`0 + 1/\log_2 3`, the best one :math:`3 + 1/\log_2 3`. On random rows it is
# scikit-learn's. The truth and chance are the two ends of the scale.

if __name__ == "__main__":
    from sklearn.metrics import ndcg_score

    by_hand = (1 / math.log2(3)) / (3 + 1 / math.log2(3))
    by_code = float(ndcg(np.array([[3.0, 0, 1]]), np.array([[0.1, 0.9, 0.5]]), 2)[0])
    rng = np.random.default_rng(1)
    gains, scores = rng.integers(0, 4, (200, 30)).astype(float), rng.normal(size=(200, 30))
    ndcg_difference = abs(ndcg(gains, scores).mean() - ndcg_score(gains, scores, k=TOP))
    print(f"NDCG by hand {by_hand:.6f}, by code {by_code:.6f}; ", end="")
    print(f"beside scikit-learn {ndcg_difference:.1e}")
    assert abs(by_hand - by_code) < 1e-12, "the gain is not the one found by hand"
    assert ndcg_difference < 1e-12, "NDCG is not scikit-learn's"

    truth = world.score + world.fashion * test_time[:, None]
    truth[:, -NEW:] = -np.inf  # they can't be chosen yet
    results = {
        "chance": judge(rng.normal(size=seen.shape), seen, target),
        "the truth": judge(truth, seen, target),
    }
    for name, (hit, gain) in results.items():
        print(f"{name}: hit rate {hit:.1%}, NDCG {gain:.3f}")

# %%
# Popularity and neighbours
# -------------------------
#
# The simplest recommender shows everybody what most have chosen. It is the baseline: what does not
# beat it has learned nothing about the person. Neighbours are next. User neighbours recommend what
# people like you have chosen, item neighbours what is chosen by the same people as your things.
#
# .. math::
#
#    \cos(a, b) = \frac{a \cdot b}{\lVert a \rVert \lVert b \rVert}, \qquad
#    s_{ui} = \sum_{v \in N(u)} \cos(x_u, x_v)\, x_{vi}
#    \quad\text{or}\quad \sum_{j} x_{uj} \cos(x^j, x^i).
#
# :math:`x_u` is the listener's row of zeros and ones, :math:`x^i` the voice's column.


def alike(rows: Array) -> Array:
    """Cosines of all pairs of rows, 0 with themselves."""
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, 0)
    return cosine


def user_neighbours(seen: Array, count: int = 50) -> Array:
    near = alike(seen)
    least = -np.sort(-near, axis=1)[:, count - 1 : count]  # the weakest that still counts
    return np.where(near >= least, near, 0) @ seen


def item_neighbours(seen: Array) -> Array:
    return seen @ alike(seen.T)


if __name__ == "__main__":
    popularity = np.broadcast_to(seen.sum(axis=0), seen.shape)
    results["popularity"] = judge(popularity, seen, target)
    results["user neighbours"] = judge(user_neighbours(seen), seen, target)
    results["item neighbours"] = judge(item_neighbours(seen), seen, target)
    for name in ("popularity", "user neighbours", "item neighbours"):
        print(f"{name}: hit rate {results[name][0]:.1%}, NDCG {results[name][1]:.3f}")
    assert results["popularity"][0] > 1.3 * results["chance"][0], "fame helps everybody"
    for name in ("user neighbours", "item neighbours"):
        assert results[name][0] > results["popularity"][0] + 0.05, "taste helps more than fame"

# %%
# Matrix factorisation: ratings from a few numbers
# ------------------------------------------------
#
# Matrix factorisation gives each person and each thing a short vector, and a rating is the product
# of the two. It fills the gaps of a table of ratings, because the vectors are shared: a person's by
# all their ratings, a thing's by all of its own. The vectors are found by alternating least
# squares or by stochastic gradient descent.
#
# .. math::
#
#    L = \sum_{(u,i)} (r_{ui} - \mu - p_u \cdot q_i)^2
#    + \lambda \Bigl(\sum_u \lVert p_u \rVert^2 + \sum_i \lVert q_i \rVert^2\Bigr).
#
# With the voices held fixed, this is a ridge regression for each listener, so ALS solves it and
# then swaps the sides; the loss never rises. SGD takes a rating at a time and moves both vectors
# against its slope, with :math:`e = r_{ui} - \mu - p_u \cdot q_i`: it needs a step width, and no
# system of equations.
#
# .. math::
#
#    p_u = \Bigl(\sum_i q_i q_i^\top + \lambda I\Bigr)^{-1} \sum_i q_i (r_{ui} - \mu); \qquad
#    p_u \leftarrow p_u + \eta\,(e\, q_i - \lambda p_u / n_u).

RANK, RIDGE = 5, 3.0  # one more than the tastes: how much a voice is liked by all


def solve_side(other: Array, rating: Array, known: Array) -> Array:
    """The best vectors of one side: [m, rank], [n, m] and [n, m] -> [n, rank]."""
    ridge = RIDGE * np.eye(other.shape[1])
    gram = np.einsum("nm,mr,ms->nrs", known, other, other) + ridge  # [n, rank, rank]
    right = (known * rating) @ other  # [n, rank]
    return np.linalg.solve(gram, right[..., None])[..., 0]


def loss_of(p: Array, q: Array, rating: Array, known: Array) -> float:
    squares = (known * (rating - p @ q.T) ** 2).sum()
    return float(squares + RIDGE * ((p**2).sum() + (q**2).sum()))


def als(rating: Array, known: Array, rounds: int) -> tuple[Array, Array, list[float]]:
    """Vectors of both sides, and the loss after each half round; ratings without their mean."""
    q = np.random.default_rng(2).normal(size=(rating.shape[1], RANK))
    losses = []
    for _ in range(rounds):
        p = solve_side(q, rating, known)
        losses.append(loss_of(p, q, rating, known))
        q = solve_side(p, rating.T, known.T)
        losses.append(loss_of(p, q, rating, known))
    return p, q, losses


def sgd(rating: Array, known: Array, epochs: int, step: float = 0.05) -> tuple[Array, Array]:
    """The same vectors, a rating at a time, in ever shorter steps."""
    rng = np.random.default_rng(3)
    p = 0.3 * rng.normal(size=(rating.shape[0], RANK))
    q = 0.3 * rng.normal(size=(rating.shape[1], RANK))
    of_user, of_item = RIDGE / known.sum(axis=1), RIDGE / known.sum(axis=0)  # per rating
    pairs = np.argwhere(known > 0)
    for epoch in range(epochs):
        now = step * (1 - epoch / epochs)
        for u, i in rng.permutation(pairs):
            error = rating[u, i] - p[u] @ q[i]
            up = error * q[i] - of_user[u] * p[u]
            q[i] += now * (error * p[u] - of_item[i] * q[i])
            p[u] += now * up
    return p, q


# %%
# Some listeners rate some voices, with noise; a fifth of the ratings is held out. The baseline is
# the mean of the voice. One step of ALS is scikit-learn's ridge regression, and both ways arrive at
# about the same loss.

if __name__ == "__main__":
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(4)
    some = slice(0, 300)
    rating = (world.score + rng.normal(size=world.score.shape))[some, :-NEW]
    kind = rng.choice(3, p=(0.6, 0.32, 0.08), size=rating.shape)  # unknown, to train, to test
    known, held_out = (kind == 1).astype(float), kind == 2
    centred = rating - rating[known > 0].mean()
    p, q, losses = als(centred, known, rounds=20)
    p_sgd, q_sgd = sgd(centred, known, epochs=8 if QUICK else 30)
    sgd_loss = loss_of(p_sgd, q_sgd, centred, known)

    rows = known[0] > 0
    ridge = Ridge(alpha=RIDGE, fit_intercept=False).fit(q[rows], centred[0, rows])
    ridge_difference = float(np.abs(ridge.coef_ - solve_side(q, centred, known)[0]).max())
    assert ridge_difference < 1e-9, "a half round is a ridge regression"
    assert max(np.diff(losses)) < 1e-6 * losses[0], "no half round makes the loss larger"

    voice_mean = (known * centred).sum(axis=0) / known.sum(axis=0)
    guesses = {
        "mean of all": np.zeros_like(centred),
        "mean of the voice": np.broadcast_to(voice_mean, centred.shape),
        "ALS": p @ q.T,
        "SGD": p_sgd @ q_sgd.T,
    }
    rmse = {k: float(np.sqrt(np.mean((centred - g)[held_out] ** 2))) for k, g in guesses.items()}
    print("error of held-out ratings (RMSE; the noise alone is 1): ", end="")
    print(", ".join(f"{name} {error:.2f}" for name, error in rmse.items()))
    print(f"loss: ALS {losses[-1]:.0f}, SGD {sgd_loss:.0f}")
    assert rmse["ALS"] < 0.75 * rmse["mean of the voice"], "vectors know more than means"
    assert abs(sgd_loss / losses[-1] - 1) < (0.05 if QUICK else 0.01), "two ways to one loss"
    assert rmse["ALS"] > 0.95, "nothing foretells the noise"

# %%
# Implicit feedback: choices in place of ratings
# ----------------------------------------------
#
# Most people never rate: they choose, and a choice says yes, but silence does not say no. Implicit
# feedback takes every pair as a wish of 1 or 0 and believes the ones much more than the zeros. The
# zeros must not be left out, or the best answer is 1 for everything, and taste is not learned.
#
# .. math::
#
#    L = \sum_{u,i} c_{ui} (x_{ui} - p_u \cdot q_i)^2 + \lambda(\ldots), \qquad
#    c_{ui} = 1 + \alpha\, x_{ui}.
#
# It is solved by the same ridge regressions, now with weights.

BELIEF = 5.0  # alpha: how much more a choice counts than silence


def weighted_side(other: Array, wish: Array, ridge: float) -> Array:
    """The best vectors of one side: [m, rank], [n, m] -> [n, rank]."""
    belief = 1 + BELIEF * wish
    gram = np.einsum("nm,mr,ms->nrs", belief, other, other, optimize=True)
    right = (belief * wish) @ other
    return np.linalg.solve(gram + ridge * np.eye(other.shape[1]), right[..., None])[..., 0]


def implicit_als(seen: Array, rank: int = 8, ridge: float = 10.0, rounds: int = 10) -> Array:
    """Scores of all pairs: [listeners, voices]."""
    q = 0.1 * np.random.default_rng(5).normal(size=(seen.shape[1], rank))
    for _ in range(rounds):
        p = weighted_side(q, seen, ridge)
        q = weighted_side(p, seen.T, ridge)
    return p @ q.T


if __name__ == "__main__":
    factors = implicit_als(seen)
    results["factors, implicit"] = judge(factors, seen, target)
    p_ones, q_ones, _ = als(seen, seen, rounds=10)
    results["factors, ones only"] = judge(p_ones @ q_ones.T, seen, target)
    for name in ("factors, implicit", "factors, ones only"):
        print(f"{name}: hit rate {results[name][0]:.1%}, NDCG {results[name][1]:.3f}")
    assert results["factors, implicit"][0] > results["popularity"][0] + 0.05, "factors know tastes"
    assert results["factors, ones only"][0] < results["factors, implicit"][0] - 0.05, "zeros count"

# %%
# Two towers: a description helps where nothing was chosen yet
# ------------------------------------------------------------
#
# A new thing has no choices, so neither neighbours nor factors can say anything about it: that is
# the cold start. Two towers are two networks that map person and thing into one space. The tower of
# the things reads their description, so a new thing gets a vector at once. The order is that of the
# products, and a search for neighbours finds the best among millions.
#
# .. math::
#
#    s_{ui} = p_u \cdot g(f_i) + b_i, \qquad
#    L = -\frac1N \sum_{(u,i)} \log \frac{e^{s_{ui}}}{\sum_j e^{s_{uj}}}
#    + \frac{\lambda}{2N} \Bigl(\sum_u \lVert p_u \rVert^2 + \sum_i \lVert g(f_i) \rVert^2\Bigr) .
#
# The softmax goes over all voices; where there are millions, over those of the batch. The tower of
# the listeners is a table here, :math:`g` a linear layer, and :math:`b_i` a voice's fame, which a
# new voice does not have yet. With a dozen choices of each listener the vectors must be kept short,
# on both sides, as the ridge does for factors: :math:`\lambda` is 10, and 0 for comparison.


class TwoTowers(nn.Module):
    """Features [voices, 16] -> scores [listeners, voices]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.listener = nn.Embedding(LISTENERS, width)
        self.voice = nn.Linear(FEATURES, width)
        self.fame = nn.Parameter(torch.zeros(VOICES))
        nn.init.normal_(self.listener.weight, std=0.1)

    def forward(self, features: Tensor) -> Tensor:
        return self.listener.weight @ self.voice(features).T + self.fame


def train_towers(features: Tensor, seen: Tensor, shrink: float, steps: int = 250) -> TwoTowers:
    """Every voice that was chosen should be likelier than the rest of the old ones."""
    torch.manual_seed(6)
    model = TwoTowers()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    old = VOICES - NEW
    for _ in range(steps):
        log_p = model(features)[:, :old].log_softmax(dim=1)
        size = model.listener.weight.square().sum() + model.voice(features).square().sum()
        loss = (0.5 * shrink * size - (seen[:, :old] * log_p).sum()) / seen.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


def first_of_new(score: Array, wished: NDArray[np.int64], k: int = 3) -> float:
    """Share of the listeners whose wish is among the first k of the new voices."""
    order = np.argsort(-by_lot(score[:, -NEW:]), axis=1)[:, :k]
    return float((order == wished[:, None]).any(axis=1).mean())


# %%
# Ten new voices appear, and each listener would choose one of them, by the same model as before.
# Whoever knows choices only gives all ten the same score and has to draw lots: three guesses find
# the wish three times in ten. The truth is how well anybody could do.

if __name__ == "__main__":
    features = torch.tensor(world.features / world.features.std(axis=0)).float()
    for name, shrink in (("two towers, not kept short", 0.0), ("two towers", 10.0)):
        towers = train_towers(features, torch.tensor(seen).float(), shrink)
        tower_score = towers(features).detach().double().numpy()
        results[name] = judge(tower_score, seen, target)
        print(f"{name}: hit rate {results[name][0]:.1%}, NDCG {results[name][1]:.3f}")
    assert results["two towers"][0] > results["popularity"][0] + 0.05, "towers know tastes"
    assert results["two towers, not kept short"][0] < results["two towers"][0] - 0.05, "by heart"
    wish_score = (world.score + world.fashion)[:, -NEW:]
    wished = (wish_score + np.random.default_rng(8).gumbel(size=wish_score.shape)).argmax(axis=1)
    for score in (popularity, item_neighbours(seen), factors):
        assert np.ptp(score[:, -NEW:], axis=1).max() < 1e-12, "nothing tells new voices apart"
    cold = {
        "any of the others": first_of_new(popularity, wished),
        "two towers": first_of_new(tower_score, wished),
        "the truth": first_of_new((world.score + world.fashion), wished),
    }
    print("the wish among the first three of ten new voices (chance 30 %): ", end="")
    print(", ".join(f"{name} {share:.0%}" for name, share in cold.items()))
    assert abs(cold["any of the others"] - 0.3) < 0.07, "a lot finds three in ten"
    assert cold["two towers"] > 0.45, "the description tells what a new voice is like"

# %%
# Split by time, not at random
# ----------------------------
#
# A recommender is used on the future, so it must be tested on it. When choices are held out at
# random, the training holds what happened afterwards: which voices came into fashion, and what the
# same listener chose next. The result is better than any use of it will be.
#
# The same choices are foretold twice, the first of each listener in the last quarter of the time:
# once from all choices of the first three quarters, once from as many choices drawn from the whole
# time.

if __name__ == "__main__":
    START = 0.75
    late = np.flatnonzero(world.time >= START)
    tested = late[np.unique(world.listener[late], return_index=True)[1]]  # the first of each
    past = np.flatnonzero(world.time < START)
    others = np.setdiff1d(np.arange(len(world.time)), tested)
    mixed = np.random.default_rng(9).choice(others, min(len(past), len(others)), replace=False)
    before = chosen(world.listener[past], world.voice[past])
    who, what = world.listener[tested], world.voice[tested]
    by_split = {}
    for split, rows in (("by time", past), ("at random", mixed)):
        training = chosen(world.listener[rows], world.voice[rows])
        gone = np.maximum(before, training)[who]  # what was chosen is not recommended again
        everybody = np.broadcast_to(training.sum(axis=0), training.shape)
        for name, score in (("popularity", everybody), ("factors", implicit_als(training))):
            by_split[name, split] = judge(score[who], gone, what)[0]
    for (name, split), hit in by_split.items():
        print(f"{name}, split {split}: hit rate {hit:.1%}")
    leak = {n: by_split[n, "at random"] - by_split[n, "by time"] for n in ("popularity", "factors")}
    assert min(leak.values()) > 0.03, "knowing the future should help"

# %%
# Which recommender, when?
# ------------------------
#
# Popularity is for people about whom nothing is known, and the baseline for all others. Neighbours
# are simple, can be explained, and are hard to beat on a small table. Factors are small and fast.
# Towers with descriptions are for new things, and for many millions of them. Usually several find
# candidates, and one more model puts these in order.
#
# =================  ==========================  =====================================
# recommender        knows                       use it
# =================  ==========================  =====================================
# popularity         how often a thing is taken  for new people; as the baseline
# neighbours         who takes the same things   with few things; "because you chose"
# factors            a vector for each           with many choices and little memory
# two towers         descriptions                for new things; to search millions
# =================  ==========================  =====================================
#
# What a history is worth shows when listeners are parted by its length.

if __name__ == "__main__":
    few = seen.sum(axis=1) <= 8
    shown = {
        "item neighbours": item_neighbours(seen),
        "factors, implicit": factors,
        "two towers": tower_score,
    }
    by_history = {}
    for name, score in shown.items():
        by_history[name] = [
            judge(score[g], seen[g], target[g])[0] - judge(popularity[g], seen[g], target[g])[0]
            for g in (few, ~few)
        ]
        print(
            f"{name}: hit rate over popularity {by_history[name][0]:+.1%} with up to 8 choices, ",
            end="",
        )
        print(f"{by_history[name][1]:+.1%} with more")
    gain_few, gain_many = np.mean(list(by_history.values()), axis=0)
    assert gain_many > gain_few + (0 if QUICK else 0.02), "a longer history says more"
    others = [result[0] for name, result in results.items() if name != "the truth"]
    assert max(others) < results["the truth"][0] - 0.03, "nobody can know more than the truth"

    figure = Figure(figsize=(12.5, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.6, 1.1, 1))
    names = sorted(results, key=lambda name: results[name][0])
    left.barh(names, [100 * results[name][0] for name in names], color="tab:blue")
    left.axvline(100 * results["popularity"][0], color="0.3", linestyle="--", label="popularity")
    left.set(xlabel=f"hit rate at {TOP} (%)", title="The choice that was held out")
    left.legend(loc="lower right")
    middle.barh(list(cold), [100 * share for share in cold.values()], color="tab:green")
    middle.axvline(30, color="0.3", linestyle="--", label="chance")
    middle.set(xlabel="wish among the first 3 of 10 (%)", title="New voices")
    middle.legend(loc="lower right")
    for move, split in enumerate(("by time", "at random")):
        height = [100 * by_split[name, split] for name in leak]
        right.bar(np.arange(2) + 0.38 * move - 0.19, height, width=0.36, label=split)
    right.set_xticks(range(2), list(leak))
    right.set(ylabel=f"hit rate at {TOP} (%)", ylim=(0, 90), title="What a random split adds")
    right.legend(loc="upper left")
    keep_picture(figure, "recommenders_hits")

# %%
# What this recipe does not do
# ----------------------------
#
# The listeners are made, and the model that made them is a product of short vectors, which suits
# factors and towers; real tastes change and depend on the hour. What is shown is what gets chosen,
# and so teaches the next recommender: that loop is not here, nor is trying things out to learn
# (bandits). The settings of the two towers were chosen on the same held-out choices, so their rate
# is slightly too good. Nothing is said of variety, fairness, or of sequence models that read a
# history as a Transformer reads words.
#
# Exercises
# ---------
#
# 1. Set the fashion to zero. What is left of the leak, and why?
# 2. Give the two towers descriptions that are noise alone. Which numbers fall, and which do not?
# 3. Vary the belief from 0 to 50. Where is the best hit rate?
# 4. Divide the choices by the voice's popularity in the item neighbours. Who gains?
# 5. Replace the table of listeners by the mean description of their choices. Can a new listener be
#    served now?
#
# Papers
# ------
#
# * Sarwar, Karypis, Konstan, Riedl, 2001: Item-Based Collaborative Filtering Recommendation
#   Algorithms.
# * Järvelin, Kekäläinen, 2002: Cumulated Gain-Based Evaluation of IR Techniques.
# * Hu, Koren, Volinsky, 2008: Collaborative Filtering for Implicit Feedback Datasets.
# * Koren, Bell, Volinsky, 2009: Matrix Factorization Techniques for Recommender Systems.
# * Covington, Adams, Sargin, 2016: Deep Neural Networks for YouTube Recommendations.
# * Yi et al., 2019: Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations.
