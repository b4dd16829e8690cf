r"""
Classical learners on speech features
=====================================

:Answers: questions 13 (k-nearest neighbours and its k; decision trees, random forests, bagging and
    boosting), 14 (classification, logistic regression, linear regression: how they relate and
    differ)
:Needs: the voice ``en_US-joe-medium``
:Takes: 35 s (15 s with ``--quick``) on two cores, weights fetched before

A classical learner maps a row of numbers to an answer, by a rule simple enough to be written on a
page. Linear and logistic regression, nearest neighbours, trees, their averages and sums, and the
support vector machine are written out here, checked against scikit-learn, and asked who speaks and
what is said.
"""

import numpy as np
import torch
from common import QUICK, RATE, keep_picture
from matplotlib.figure import Figure
from numpy.typing import NDArray

import speechkit as sk
from speechkit.augment import change_speed
from speechkit.features import mfcc

Array = NDArray[np.float64]
Labels = NDArray[np.int_]

# %%
# Speech as a table
# -----------------
#
# A classical learner needs rows of equal length, but recordings differ in length. The mean of each
# feature over time is the simplest way from one to the other: a recording of any length becomes 13
# numbers, its mean mel-frequency cepstral coefficients. What happens within the recording is lost.
#
# The voice says ten digits, several times each, and every recording is played as from tapes of
# three speeds: three made speakers. Two questions can be asked of each row: which speaker, and
# which digit? The answer is always asked for what was not in the training: the speaker of a digit
# that was never heard, or the digit of a speaker who was never heard.

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TAPES = (0.9, 1.0, 1.1)  # speed of each made speaker, 1
TAKES = 2 if QUICK else 4  # how often each digit is said


def spoken_table() -> tuple[Array, Labels, Labels]:
    """Mean MFCCs [recordings, 13], speakers [recordings], digits [recordings]."""
    voice = sk.load_tts("en_US-joe-medium")
    rows, speakers, digits = [], [], []
    for take in range(TAKES):
        for digit, word in enumerate(DIGITS):
            said = voice.synthesize(f"{word}.", seed=take).resample(RATE)
            for speaker, speed in enumerate(TAPES):
                samples = torch.tensor(change_speed(said, speed).samples)
                rows.append(mfcc(samples).mean(dim=1).numpy())  # [13, frames] -> [13]
                speakers.append(speaker)
                digits.append(digit)
    return np.array(rows, float), np.array(speakers), np.array(digits)


def standardised(x: Array) -> Array:
    """Every column with mean 0 and deviation 1."""
    return (x - x.mean(axis=0)) / x.std(axis=0)


if __name__ == "__main__":
    table, speakers, digits = spoken_table()
    print(f"{table.shape[0]} recordings, {table.shape[1]} features each; ", end="")
    print(f"{len(TAPES)} speakers, {len(DIGITS)} digits")

# %%
# Linear regression: a straight line through numbers
# --------------------------------------------------
#
# Linear regression predicts a number: a weighted sum of the features, with the weights that make
# the squared error smallest. They come from one linear system, without any search. It is the
# likeliest line if the numbers scatter around it by a normal distribution.
#
# .. math::
#
#    \hat y = w \cdot x + b, \qquad L = \sum_i (\hat y_i - y_i)^2, \qquad
#    \nabla_w L = 2 X^\top (\hat y - y) = 0 \;\Rightarrow\; w = (X^\top X)^{-1} X^\top y .
#
# The 1 that is appended to every row makes :math:`b` one more weight. Below it predicts the speed
# of the tape from the voice, for digits that were not in the training.


def with_one(x: Array) -> Array:
    """A column of ones, for the offset: [n, d] -> [n, d + 1]."""
    return np.column_stack([x, np.ones(len(x))])


def linear_regression(x: Array, y: Array) -> Array:
    """Weights [d + 1] of the smallest squared error, the offset last."""
    one = with_one(x)
    return np.linalg.solve(one.T @ one, one.T @ y)


if __name__ == "__main__":
    from sklearn.linear_model import LinearRegression, LogisticRegression

    scaled, speed = standardised(table), np.array(TAPES)[speakers]
    weights, reference = linear_regression(scaled, speed), LinearRegression().fit(scaled, speed)
    linear_difference = np.abs(weights - [*reference.coef_, reference.intercept_]).max()
    print(f"linear regression beside scikit-learn: {linear_difference:.1e}")
    assert linear_difference < 1e-8, "the weights are not scikit-learn's"

    held_out = digits >= 7  # digits that the line never saw
    fitted = linear_regression(scaled[~held_out], speed[~held_out])
    speed_error = np.abs(with_one(scaled[held_out]) @ fitted - speed[held_out]).mean()
    guess_error = np.abs(speed[held_out] - speed[~held_out].mean()).mean()
    print(f"speed of the tape: mean error {speed_error:.3f}, of the mean speed {guess_error:.3f}")
    assert speed_error < guess_error, "the line should know more than the mean"

# %%
# Logistic regression: the same score, another loss and output
# ------------------------------------------------------------
#
# Logistic regression predicts a class. It computes the same weighted sum as linear regression, but
# puts it through a sigmoid, so that the output is a probability, and minimises the cross-entropy
# in place of the squared error. Despite its name it is a classifier.
#
# .. math::
#
#    z = w \cdot x + b, \qquad p = \frac{1}{1 + e^{-z}}, \qquad
#    L = -\sum_i \bigl( y_i \log p_i + (1 - y_i) \log(1 - p_i) \bigr) + \frac{\lVert w \rVert^2}{2C} .
#
# Up to a factor and the penalty, both gradients have one form, :math:`X^\top(\text{output} - y)`.
# But here the output is no straight line in the weights, so there is no closed form, and Newton's
# method takes a few steps:
#
# .. math::
#
#    g = X^\top (p - y) + w / C, \qquad H = X^\top \mathrm{diag}\bigl(p (1-p)\bigr) X + I / C,
#    \qquad w \leftarrow w - H^{-1} g .
#
# The penalty :math:`\lVert w \rVert^2 / 2C` (not on the offset) keeps the weights finite: where a
# line can separate the classes, larger weights are always better.


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def logistic_regression(x: Array, y: Array, c: float = 1.0, steps: int = 30) -> Array:
    """Weights [d + 1] of the smallest cross-entropy with a penalty, the offset last."""
    one = with_one(x)
    penalty = np.append(np.full(x.shape[1], 1 / c), 0.0)  # none on the offset
    w = np.zeros(x.shape[1] + 1)
    for _ in range(steps):
        p = sigmoid(one @ w)
        gradient = one.T @ (p - y) + penalty * w
        hessian = (one.T * (p * (1 - p))) @ one + np.diag(penalty)
        w = w - np.linalg.solve(hessian, gradient)
    return w


def two_best(x: Array, y: Labels) -> list[int]:
    """The two columns whose class means differ most, in deviations: for pictures."""
    means = np.array([x[y == label].mean(axis=0) for label in np.unique(y)])
    return list(np.argsort(means.std(axis=0))[-2:])


# %%
# Both on one data set: the slowest and the fastest speaker, two features, the classes written as 0
# and 1. Both draw a straight line as a boundary, where the score passes 0.5 or the probability
# does. That of linear regression has the direction of linear discriminant analysis, which separates
# the two class means as far as the scatter within the classes allows: so linear regression can
# classify. But its output leaves the range from 0 to 1 and is no probability. And a point far out
# on the right side is an error to the squared loss, and turns its line; logistic regression is
# content with it, and its line hardly moves.


def turned_by(fit, x: Array, y: Array, far: Array) -> float:
    """Angle in degrees by which a boundary turns when a point of class 1 is added at `far`."""
    before, after = fit(x, y)[:2], fit(np.vstack([x, far]), np.append(y, 1.0))[:2]
    cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


if __name__ == "__main__":
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    pair, columns = speakers != 1, two_best(scaled, speakers)
    plane, label = scaled[pair][:, columns], (speakers[pair] == 2).astype(float)
    line, curve = linear_regression(plane, label), logistic_regression(plane, label)
    logistic = LogisticRegression(C=1.0, tol=1e-10).fit(plane, label)
    logistic_difference = np.abs(curve - [*logistic.coef_[0], logistic.intercept_[0]]).max()
    print(f"logistic regression beside scikit-learn: {logistic_difference:.1e}")
    assert logistic_difference < 1e-5, "the weights are not scikit-learn's"

    score, probability = with_one(plane) @ line, sigmoid(with_one(plane) @ curve)
    beyond = float(((score < 0) | (score > 1)).mean())
    agree = float(((score > 0.5) == (probability > 0.5)).mean())
    print(f"outputs beyond 0 and 1: {beyond:.0%} of linear regression's; ", end="")
    print(f"the two agree on the class of {agree:.0%}")
    assert beyond > 0.02, "a straight line should leave the range"
    assert agree > 0.85, "both draw a straight line through the same points"

    discriminant = LinearDiscriminantAnalysis().fit(plane, label).coef_[0]
    lda_cosine = discriminant @ line[:2] / np.linalg.norm(discriminant) / np.linalg.norm(line[:2])
    print(f"cosine of its direction and linear discriminant analysis's: {lda_cosine:.9f}")
    assert lda_cosine > 1 - 1e-8, "least squares on two classes is Fisher's direction"

    across = np.array([-curve[1], curve[0]]) / np.linalg.norm(curve[:2])  # along the boundary
    inwards = curve[:2] / np.linalg.norm(curve[:2])
    far = 10 * inwards + 10 * across  # far on the right side, where class 1 is certain
    turns = [turned_by(f, plane, label, far) for f in (linear_regression, logistic_regression)]
    print(f"one sure point far out turns the line of linear regression by {turns[0]:.2f} degrees, ")
    print(f"of logistic regression by {turns[1]:.2f}")
    assert turns[0] > 10 > 2 > turns[1], "to the cross-entropy a sure point is no error"

# %%
# k-nearest neighbours, and the choice of k
# -----------------------------------------
#
# A k-nearest-neighbours classifier keeps all training rows and gives a new one the class that most
# of its k nearest rows have. There is nothing to train, and all work is done when it is asked. With
# a small k the boundary follows every single row, noise included; with a large k it becomes smooth
# and at last says the commonest class everywhere.
#
# k is chosen by cross-validation: the rows are divided into folds, each fold is predicted from the
# others, and the k with the best mean accuracy is taken. On the training rows themselves k = 1 is
# always right, for every row is its own neighbour; so those rows cannot choose k. Distances mix the
# features, so these are brought to one scale first.


def nearest_neighbours(x: Array, y: Labels, asked: Array, k: int) -> Labels:
    """The commonest class of the k nearest rows: [n, d], [n], [m, d] -> [m]."""
    distance = ((asked[:, None] - x[None]) ** 2).sum(axis=2)  # [m, n]
    nearest = y[np.argsort(distance, axis=1)[:, :k]]  # [m, k]
    votes = (nearest[:, :, None] == np.arange(y.max() + 1)).sum(axis=1)  # [m, classes]
    return votes.argmax(axis=1)


def accuracies(fit_predict, x: Array, y: Labels, groups: Labels) -> Array:
    """Accuracy in each fold; a fold holds all rows of one group, which the training lacks."""
    found = []
    for group in np.unique(groups):
        out = groups == group
        mean, deviation = x[~out].mean(axis=0), x[~out].std(axis=0)  # of the training alone
        train, test = (x[~out] - mean) / deviation, (x[out] - mean) / deviation
        found.append(np.mean(fit_predict(train, y[~out], test) == y[out]))
    return np.array(found)


if __name__ == "__main__":
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = KNeighborsClassifier(5).fit(scaled[~held_out], speakers[~held_out])
    ours = nearest_neighbours(scaled[~held_out], speakers[~held_out], scaled[held_out], 5)
    knn_equal = bool((ours == neighbours.predict(scaled[held_out])).all())
    assert knn_equal, "the neighbours' votes are not scikit-learn's"

    KS = [k for k in (1, 3, 5, 9, 15, 25, 41, 65, 101) if k <= len(table) * 0.9]
    by_k = {
        k: accuracies(lambda x, y, a, k=k: nearest_neighbours(x, y, a, k), table, speakers, digits)
        for k in KS
    }
    training = {k: (nearest_neighbours(scaled, speakers, scaled, k) == speakers).mean() for k in KS}
    for k in KS:
        error = by_k[k].std(ddof=1) / len(by_k[k]) ** 0.5
        print(f"k {k:3d}: on the training rows {training[k]:.0%}, in cross-validation ", end="")
        print(f"{by_k[k].mean():.0%} ± {error:.0%} (standard error)")
    everywhere = nearest_neighbours(scaled[::2], speakers[::2], scaled, len(scaled[::2]))
    assert len(np.unique(everywhere)) == 1, "k as large as the table: one class for every row"
    best_k = max(KS, key=lambda k: by_k[k].mean())
    print(f"chosen: k = {best_k}")
    assert training[1] == 1.0 > by_k[1].mean(), "a row is its own neighbour"
    assert by_k[best_k].mean() > by_k[KS[-1]].mean() + 0.1, "too large a k is too smooth"

# %%
# A decision tree: one question after another
# -------------------------------------------
#
# A decision tree asks whether one feature is above a threshold, and goes left or right, until it
# reaches a leaf that says a class. Each question is chosen so that the two sides become as pure as
# possible. The Gini impurity measures that: the chance that two rows drawn from a node differ in
# class.
#
# .. math::
#
#    G = 1 - \sum_c p_c^2, \qquad
#    \text{gain} = G - \frac{n_\text{left}}{n} G_\text{left} - \frac{n_\text{right}}{n} G_\text{right} .
#
# Six rows by hand: the feature is 1 to 6, the classes are A A A B A B. At the root
# :math:`G = 1 - (4/6)^2 - (2/6)^2 = 4/9`. Split at 3.5, the left side is pure; the right one has
# :math:`1 - (1/3)^2 - (2/3)^2 = 4/9`. The gain is :math:`4/9 - \frac{3}{6} \cdot 4/9 = 2/9`; no
# other threshold gains as much.


def gini(y: Labels) -> float:
    """Chance that two rows, drawn with repetition, differ in class."""
    return float(1 - ((np.bincount(y) / len(y)) ** 2).sum())


def best_split(x: Array, y: Labels) -> tuple[float, int, float]:
    """The largest gain, with the feature and the threshold that give it."""
    best = (0.0, 0, np.inf)
    for feature in range(x.shape[1]):
        values = np.unique(x[:, feature])
        for threshold in (values[1:] + values[:-1]) / 2:  # halfway between neighbours
            left = x[:, feature] <= threshold
            share = left.mean()
            gain = gini(y) - share * gini(y[left]) - (1 - share) * gini(y[~left])
            if gain > best[0] + 1e-12:
                best = (gain, feature, float(threshold))
    return best


if __name__ == "__main__":
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    six_split = best_split(np.arange(1.0, 7.0)[:, None], np.array([0, 0, 0, 1, 0, 1]))
    print(f"six rows: gain {six_split[0]:.4f} (by hand {2 / 9:.4f}) at {six_split[2]}")
    assert abs(six_split[0] - 2 / 9) < 1e-12, "the gain is not the one by hand"
    assert six_split[2] == 3.5, "the threshold is not the one by hand"
    stump = DecisionTreeClassifier(max_depth=1).fit(table, speakers)
    gain, feature, threshold = best_split(table, speakers)
    reference_gain = stump.tree_.impurity[0] - (
        stump.tree_.impurity[1:] @ stump.tree_.weighted_n_node_samples[1:] / len(table)
    )
    print(f"first question to the speech: is feature {feature} above {threshold:.2f}? ", end="")
    print(f"gain {gain:.4f}, scikit-learn's {reference_gain:.4f}")
    assert abs(gain - reference_gain) < 1e-9, "scikit-learn finds another split"

# %%
# Bagging lowers the variance, boosting the bias
# ----------------------------------------------
#
# Bagging averages learners that vary, boosting adds up learners that are too simple.
#
# Bagging trains many deep trees, each on rows drawn with repetition, and averages them. A deep tree
# has little bias but changes much with its training data: it has a high variance. The average
# changes less. A random forest lets each question choose among a few random features only, so that
# its trees are less alike, and the average of less similar trees varies less. It pays with bias.
#
# For :math:`B` trees of variance :math:`\sigma^2` with a correlation :math:`\rho` between any two:
#
# .. math:: \mathrm{Var}\Bigl(\frac1B \sum_b f_b\Bigr) = \rho \sigma^2 + \frac{1 - \rho}{B} \sigma^2 .
#
# More trees remove the second part only; the forest's random features lower :math:`\rho`. Boosting
# goes the other way. It starts from weak trees, with a high bias, and each new one is fitted to
# what the sum of the others still gets wrong. So the bias falls from round to round. For a squared
# error the new tree is fitted to the residual:
#
# .. math:: f_{m} = f_{m-1} + \eta\, h_m, \qquad h_m \text{ fitted to } y - f_{m-1}(x) .
#
# A toy shows both. Training sets are drawn many times from a known function of ten numbers, of
# which five matter. Over the draws, the squared distance of the mean prediction from the truth is
# the squared bias, and the mean squared scatter around that mean prediction is the variance.

DRAWS, BAGGED, ROUNDS, RATE_OF_LEARNING = (15, 20, 100, 0.2) if QUICK else (60, 50, 200, 0.2)


def truth(x: Array) -> Array:
    """Friedman's function: five of ten columns matter."""
    waves = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    return waves + 10 * x[:, 3] + 5 * x[:, 4]


def bagged(x: Array, y: Array, asked: Array, seed: int, features: int | None) -> Array:
    """Each tree's predictions [trees, m]; `features` are tried for each question, or all."""
    from sklearn.tree import DecisionTreeRegressor

    rng, out = np.random.default_rng(seed), []
    for number in range(BAGGED):
        rows = rng.integers(len(x), size=len(x))  # with repetition
        tree = DecisionTreeRegressor(max_features=features, random_state=seed * 1000 + number)
        out.append(tree.fit(x[rows], y[rows]).predict(asked))
    return np.array(out)


def boosted(x: Array, y: Array, asked: Array) -> Array:
    """Predictions after every round [rounds + 1, m], of trees that ask one question."""
    from sklearn.tree import DecisionTreeRegressor

    here, there = np.full(len(x), y.mean()), [np.full(len(asked), y.mean())]
    for _ in range(ROUNDS):
        tree = DecisionTreeRegressor(max_depth=1, random_state=0).fit(x, y - here)
        here = here + RATE_OF_LEARNING * tree.predict(x)
        there.append(there[-1] + RATE_OF_LEARNING * tree.predict(asked))
    return np.array(there)


def bias_and_variance(predictions: Array, right: Array) -> tuple[float, float]:
    """Squared bias and variance of predictions [draws, m], means over the m points."""
    bias = ((predictions.mean(axis=0) - right) ** 2).mean()
    return float(bias), float(predictions.var(axis=0).mean())


if __name__ == "__main__":
    from sklearn.ensemble import GradientBoostingRegressor

    rng = np.random.default_rng(0)
    points = rng.random((200, 10))
    runs = {"one tree": [], "bagging": [], "forest": []}
    first_trees, boosting = {"bagging": [], "forest": []}, []
    for draw in range(DRAWS):
        x = rng.random((100, 10))
        y = truth(x) + rng.normal(size=100)
        runs["one tree"].append(DecisionTreeRegressor(random_state=0).fit(x, y).predict(points))
        for name, features in (("bagging", None), ("forest", 3)):
            trees = bagged(x, y, points, draw, features)
            runs[name].append(trees.mean(axis=0))
            first_trees[name].append(trees[:10])
        boosting.append(boosted(x, y, points))
    reference = GradientBoostingRegressor(
        n_estimators=ROUNDS, learning_rate=RATE_OF_LEARNING, max_depth=1, random_state=0
    )
    boost_difference = np.abs(reference.fit(x, y).predict(points) - boosting[-1][-1]).max()
    print(f"boosting beside scikit-learn: {boost_difference:.1e}")
    assert boost_difference < 1e-6, "the rounds are not scikit-learn's"

    boosting = np.array(boosting)  # [draws, rounds + 1, m]
    parts = {name: bias_and_variance(np.array(p), truth(points)) for name, p in runs.items()}
    rounds = [bias_and_variance(boosting[:, r], truth(points)) for r in range(ROUNDS + 1)]
    parts["boosting, 10 rounds"], parts["boosting, all"] = rounds[10], rounds[-1]
    for name, (bias, variance) in parts.items():
        print(
            f"{name:20s} bias² {bias:5.2f}   variance {variance:5.2f}   sum {bias + variance:5.2f}"
        )
    predicted, rho = {}, {}
    for name, few in first_trees.items():
        trees = np.array(few)  # [draws, 10, m]
        own = trees.var(axis=0).mean()  # sigma²
        of_ten = trees.mean(axis=1).var(axis=0).mean()
        shared = (of_ten - own / 10) / 0.9  # rho sigma², from the formula for ten trees
        rho[name], predicted[name] = shared / own, shared + (own - shared) / BAGGED
        print(
            f"{name}: rho {rho[name]:.2f}; by the formula {BAGGED} trees have a variance of ",
            end="",
        )
        print(f"{predicted[name]:.2f}, measured {parts[name][1]:.2f}")
        assert abs(predicted[name] / parts[name][1] - 1) < 0.1, "from ten trees to all"
    assert rho["forest"] < rho["bagging"], "random features should make trees less alike"
    assert parts["forest"][1] < parts["bagging"][1], "so their average varies less"
    assert parts["forest"][0] > parts["bagging"][0], "at the price of some bias"
    assert parts["bagging"][1] < 0.6 * parts["one tree"][1], "averaging should lower the variance"
    assert parts["boosting, all"][0] < 0.5 * rounds[10][0], "boosting should lower the bias"
    assert parts["boosting, all"][1] > rounds[10][1], "and pays with some variance"

# %%
# Support vector machine: the widest street
# -----------------------------------------
#
# A support vector machine chooses, of all lines that separate two classes, the one with the widest
# margin: the empty street between them. Only the rows at the kerb hold it in place, the support
# vectors; all others could be removed. Where the classes overlap, rows inside the street cost as
# much as they are inside, times C.
#
# .. math::
#
#    \min_{w, b} \; \tfrac12 \lVert w \rVert^2 + C \sum_i \max\bigl(0,\; 1 - y_i (w \cdot x_i + b)\bigr),
#    \qquad y_i = \pm 1, \qquad \text{width} = \frac{2}{\lVert w \rVert} .
#
# By hand: two points, (0, 0) of class -1 and (2, 2) of class 1. The widest street runs across their
# connection, :math:`w = (1/2, 1/2)`, :math:`b = -1`, and is as wide as they are apart,
# :math:`2 \sqrt 2`. A kernel replaces every dot product by a likeness, such as
# :math:`e^{-\gamma \lVert a - b \rVert^2}`, and the boundary bends.


def widest_street(x: Array, y: Array, c: float) -> Array:
    """Weights [d + 1] of the soft margin, by a search that needs no slopes: few unknowns only."""
    from scipy.optimize import minimize

    def cost(w: Array) -> float:
        return w[:-1] @ w[:-1] / 2 + c * np.maximum(0, 1 - y * (with_one(x) @ w)).sum()

    settings = {"xatol": 1e-9, "fatol": 1e-9, "maxiter": 5000}
    w = np.zeros(x.shape[1] + 1)
    for _ in range(3):  # started anew where it ended: the search can stop in a crease
        w = minimize(cost, w, method="Nelder-Mead", options=settings).x
    return w


if __name__ == "__main__":
    from sklearn.svm import SVC

    two_points = widest_street(np.array([[0.0, 0.0], [2.0, 2.0]]), np.array([-1.0, 1.0]), 1e3)
    print(
        f"two points: w, b {np.round(two_points, 4)}, street {2 / np.linalg.norm(two_points[:2]):.4f}"
    )
    assert np.allclose(two_points, [0.5, 0.5, -1.0], atol=1e-4), "the street is not the one by hand"

    few = slice(0, 60)
    sign = 2 * label[few] - 1
    street = widest_street(plane[few], sign, 1.0)
    machine = SVC(kernel="linear", C=1.0, tol=1e-8).fit(plane[few], sign)
    svm_difference = np.abs(street - [*machine.coef_[0], machine.intercept_[0]]).max()
    print(f"soft margin beside scikit-learn: {svm_difference:.1e}; ", end="")
    print(f"{len(machine.support_)} support vectors of {len(sign)}")
    assert svm_difference < 1e-3, "two solvers of one problem"
    again = SVC(kernel="linear", C=1.0, tol=1e-8)
    again.fit(plane[few][machine.support_], sign[machine.support_])
    removed_change = np.abs(again.coef_ - machine.coef_).max()
    print(f"without the other rows the weights change by {removed_change:.1e}")
    assert removed_change < 1e-4, "only support vectors hold the line"

# %%
# All of them on the speech
# -------------------------
#
# A difference between two learners means something only if it is larger than its scatter from fold
# to fold. Here a fold leaves out one digit when the speaker is asked for, and one speaker when the
# digit is. Learners are compared fold by fold, because some folds are hard for all of them: the
# standard error of the mean difference is what the difference has to exceed, by about two times.


def learners() -> dict:
    """Each learner as a function of training rows, their classes and the rows asked about."""
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    makers = {
        "logistic regression": lambda: LogisticRegression(max_iter=1000),
        "5 neighbours": lambda: KNeighborsClassifier(5),
        "decision tree": lambda: DecisionTreeClassifier(random_state=0),
        "random forest": lambda: RandomForestClassifier(100, random_state=0),
        "boosting": lambda: GradientBoostingClassifier(
            n_estimators=30, max_depth=2, random_state=0
        ),
        "SVM, RBF kernel": lambda: SVC(C=10.0),
    }
    return {name: lambda x, y, a, m=make: m().fit(x, y).predict(a) for name, make in makers.items()}


if __name__ == "__main__":
    results = {}
    for question, answer, groups in (("speaker", speakers, digits), ("digit", digits, speakers)):
        for name, fit_predict in learners().items():
            results[question, name] = accuracies(fit_predict, table, answer, groups)
        names = list(learners())
        best = max(names, key=lambda name: results[question, name].mean())
        print(
            f"{question}: mean accuracy ± standard error of {len(results[question, best])} folds; ",
            end="",
        )
        print(f"behind {best}")
        for name in names:
            folds, behind = (
                results[question, name],
                results[question, best] - results[question, name],
            )
            root = len(folds) ** 0.5
            print(f"  {name:20s} {folds.mean():.1%} ± {folds.std(ddof=1) / root:.1%}   ", end="")
            print(f"{behind.mean():5.1%} ± {behind.std(ddof=1) / root:.1%}")
    mean_accuracy = {key: float(folds.mean()) for key, folds in results.items()}
    assert min(mean_accuracy["speaker", name] for name in names) > 0.45, "chance is 1/3"
    assert max(mean_accuracy["digit", name] for name in names) > 0.6, "chance is 1/10"
    assert mean_accuracy["digit", "random forest"] > mean_accuracy["digit", "decision tree"] + 0.05

# %%
# The boundaries
# --------------
#
# In two dimensions each learner shows its hand. Logistic regression cuts with straight lines, a
# tree with steps along the axes. Neighbours give islands, a forest frayed steps, a kernel smooth
# curves. The two features are the ones in which the three speakers differ most.


def draw_boundaries(x: Array, y: Labels, columns: list[int]) -> Figure:
    figure = Figure(figsize=(12, 7), layout="constrained")
    low, high = x.min(axis=0) - 0.4, x.max(axis=0) + 0.4
    grid = np.stack(
        np.meshgrid(*(np.linspace(a, b, 150) for a, b in zip(low, high, strict=True))), -1
    )
    for axes, (name, fit_predict) in zip(
        figure.subplots(2, 3).flat, learners().items(), strict=True
    ):
        region = fit_predict(x, y, grid.reshape(-1, 2)).reshape(150, 150)
        extent = (low[0], high[0], low[1], high[1])
        axes.imshow(region, origin="lower", extent=extent, aspect="auto", cmap="Pastel1", vmax=8)
        for speaker, speed in enumerate(TAPES):
            axes.scatter(*x[y == speaker].T, s=12, color=f"C{(3, 0, 2)[speaker]}", label=f"{speed}")
        axes.set(xlabel=f"mean MFCC {columns[0]}, deviations", title=name)
        axes.set_ylabel(f"mean MFCC {columns[1]}, deviations")
    figure.legend(
        *axes.get_legend_handles_labels(), title="tape's speed", loc="outside right upper"
    )
    return figure


def draw_choices(by_k: dict, training: dict, rounds: list, parts: dict) -> Figure:
    """The choice of k; bias and variance of the averages and along the rounds of boosting."""
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    error = [folds.std(ddof=1) / len(folds) ** 0.5 for folds in by_k.values()]
    means = [folds.mean() for folds in by_k.values()]
    left.errorbar(list(by_k), means, error, fmt="o-", capsize=3, label="digits left out")
    left.plot(list(training), list(training.values()), "s--", label="training rows")
    left.set(xscale="log", xlabel="neighbours, k", ylabel="accuracy (1)", title="Choosing k")
    left.legend()
    names = ("one tree", "bagging", "forest")
    middle.bar(names, [parts[name][0] for name in names], label="bias²")
    bottom = [parts[name][0] for name in names]
    middle.bar(names, [parts[name][1] for name in names], bottom=bottom, label="variance")
    middle.set(ylabel="squared error (1)", title="Averages: the variance falls")
    middle.legend()
    right.plot([bias for bias, _ in rounds], label="bias²")
    right.plot([variance for _, variance in rounds], label="variance")
    right.set(xlabel="rounds of boosting", ylabel="squared error (1)")
    right.set_title("Boosting: the bias falls")
    right.legend()
    return figure


if __name__ == "__main__":
    keep_picture(draw_boundaries(scaled[:, columns], speakers, columns), "classical_boundaries")
    keep_picture(draw_choices(by_k, training, rounds, parts), "classical_choices")

# %%
# Which learner, when?
# --------------------
#
# Start with the simplest learner, because it says what the others have to beat. Then the forest,
# which needs no scaling and hardly any tuning; then boosting, or a kernel if rows are few.
#
# ====================  ==================================  ==================================
# learner               use it                              mind
# ====================  ==================================  ==================================
# linear regression     to predict a number; as a baseline  far-off rows
# logistic regression   for probabilities that can be       it draws straight lines only
#                       explained; as a baseline
# k-NN                  few rows, few features, a good      scale; slow when asked; many
#                       distance                            useless features
# decision tree         when a rule must be read            it changes much with the data
# random forest         tables of mixed columns             size; it cannot extrapolate
# boosting              tables, for the last per cent       rounds and rate must be tuned
# SVM                   few rows, many features             scale; C and the kernel's width
# ====================  ==================================  ==================================

# %%
# What this recipe does not do
# ----------------------------
#
# The three speakers are one voice at three speeds, and each digit varies only as the synthesiser
# varies it. Real speakers are easier to tell apart in one way, as they differ in more than their
# speed, and harder in another, as each of them varies more from take to take. The mean over time
# drops the order of sounds. Folds are few, and standard errors of three folds are rough. Naive
# Bayes and AdaBoost are missing.
#
# Exercises
# ---------
#
# 1. Append the deviations of the MFCCs to their means. Which learner gains most?
# 2. Leave out the scaling in `accuracies`. Which learners suffer, and which do not notice?
# 3. Draw folds at random, so that the same digit stands on both sides. How far does accuracy rise?
# 4. Give Newton's method no penalty on two classes that a line separates. What do the weights do?
# 5. Boost trees of depth 6. When does the variance outweigh the bias?
#
# Papers
# ------
#
# - Cover, Hart, 1967: Nearest Neighbor Pattern Classification.
# - Breiman, Friedman, Olshen, Stone, 1984: Classification and Regression Trees.
# - Friedman, 1991: Multivariate Adaptive Regression Splines.
# - Cortes, Vapnik, 1995: Support-Vector Networks.
# - Breiman, 1996: Bagging Predictors.
# - Breiman, 2001: Random Forests.
# - Friedman, 2001: Greedy Function Approximation: A Gradient Boosting Machine.
