r"""
Speaker verification: losses, scores and errors
===============================================

**Answers** question 25 (speaker verification: losses, metrics, tuning), the metrics of question 17
(equal error rate; precision, recall, F1), and the part of question 3 on losses that learn to
compare (softmax and AAM-softmax, triplet, GE2E). ``06_speaker_training.py`` goes on with training.

**Needs** the weights of ``spkrec-ecapa-voxceleb`` and of the voice ``en_US-joe-medium``, which are
fetched when missing. Trials of real recordings are used where there are some; where there are none,
the voice is played as from tapes of several speeds.

**Takes** about 25 s in quick mode and a minute in full, on two processor cores.

Verification asks of two recordings whether one person speaks in both. A network makes a vector of
each (``05_ecapa_tdnn.py``), the cosine of the angle between the vectors is the score, and the
answer is yes when the score is at least a threshold. Three questions remain. What should the
network be trained for, when the speakers that it will meet are not those it was trained on? How
good is a system that can be wrong in two ways? And what can be tuned once the network is trained?
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import EVAL, QUICK, RATE, keep_picture
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import speechkit as sk

Array = NDArray[np.float64]
Recordings = dict[str, sk.Audio]
Trials = list[tuple[bool, str, str]]  # one speaker?, and the names of two recordings
NEAR_ONE = 1e-7  # keeps the slope of the arc cosine finite

# %%
# Softmax: naming the speakers of the training
# --------------------------------------------
#
# The plainest way is to train a classifier that names the training speakers, and then to throw the
# classifier away and keep the vector before it. Its loss is the cross-entropy: minus the logarithm
# of the probability that it gives to the right speaker.
#
# .. math::
#
#    p_j = \frac{e^{z_j}}{\sum_k e^{z_k}}, \qquad L = -\log p_y = \log \sum_k e^{z_k} - z_y,
#    \qquad \frac{\partial L}{\partial z_j} = p_j - [j = y].
#
# The slope is the probability minus what it should be: the right logit is pulled up, every other is
# pushed down by as much as it is believed. But a logit is :math:`z_j = w_j \cdot e =
# \lVert w_j \rVert \lVert e \rVert \cos\theta_j`. The loss falls when vectors merely grow longer,
# and it is content as soon as the right speaker is ahead, be it by little. Verification compares
# angles, of speakers that no classifier has seen: it needs room between them.


def softmax_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy: [batch, classes] and [batch] -> one number."""
    right = logits.gather(1, labels[:, None])[:, 0]  # z_y
    return (logits.logsumexp(dim=1) - right).mean()


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Of every angle between two sets of vectors: [n, size], [m, size] -> [n, m]."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).transpose(-1, -2)


if __name__ == "__main__":
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 5, requires_grad=True), torch.tensor([0, 2, 2, 4])
    softmax_loss(logits, labels).backward()
    by_formula = (logits.softmax(1) - F.one_hot(labels, 5)).detach() / len(labels)
    slope_difference = float((logits.grad - by_formula).abs().max())
    print(f"slope of the cross-entropy, formula against autograd: {slope_difference:.1e}")
    assert slope_difference < 1e-6, "the slope is not p - [j = y]"

# %%
# AAM-softmax: the same with a margin
# -----------------------------------
#
# AAM-softmax (ArcFace) changes three things. Both vectors are scaled to length 1, so only the angle
# is left. The cosine is multiplied by a scale, since cosines alone are too close together for
# a softmax. And the right speaker's angle is counted as larger than it is by a margin: the loss is
# only content when the vector is nearer to its own speaker by that margin than to any other.
#
# .. math::
#
#    z_j = \begin{cases} s \cos(\theta_y + m) & j = y \\ s \cos\theta_j & j \ne y \end{cases},
#    \qquad L = \log\sum_j e^{z_j} - z_y .
#
# For :math:`\theta_y > \pi - m` the cosine would rise again, and the loss would push the wrong way.
# There :math:`\cos\theta_y - m \sin m` takes over, which lies lower and falls on. The slope shows
# what the margin does: :math:`\mathrm d \cos(\theta+m)/\mathrm d\theta = -\sin(\theta + m)` does not
# vanish at :math:`\theta = 0`, so the pull goes on where the plain cosine has stopped pulling.
#
# Why a scale? With 7,205 speakers and :math:`s = 1` the right one can have a probability of no more
# than :math:`e / (e + 7204\,e^{-1})`, even if every other vector pointed the opposite way.


def aam_logits(cosine: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """Cosines [batch, classes] -> logits, the right speaker's angle counted as larger."""
    angle = cosine.clamp(NEAR_ONE - 1, 1 - NEAR_ONE).arccos()  # theta
    turned = torch.where(
        angle < math.pi - margin,
        (angle + margin).cos(),
        cosine - margin * math.sin(margin),
    )
    is_right = F.one_hot(labels, cosine.shape[1]).bool()
    return scale * torch.where(is_right, turned, cosine)


def aam_loss(cosine: Tensor, labels: Tensor, margin: float = 0.2, scale: float = 30.0) -> Tensor:
    """AAM-softmax: [batch, classes] and [batch] -> one number; margin in radians."""
    return softmax_loss(aam_logits(cosine, labels, margin, scale), labels)


# %%
# A value by hand: two speakers, cosines 0.8 to the right one and 0.3 to the other, a margin of 0.2
# and a scale of 5. Then many random ones beside speechbrain's classes, slopes included.

if __name__ == "__main__":
    turned_by_hand = 0.8 * math.cos(0.2) - 0.6 * math.sin(0.2)  # cos(a + m), since sin a = 0.6
    aam_by_hand = math.log(1 + math.exp(5 * 0.3 - 5 * turned_by_hand))
    aam_of_code = float(aam_loss(torch.tensor([[0.8, 0.3]]), torch.tensor([0]), 0.2, 5.0))
    plain = float(aam_loss(torch.tensor([[0.8, 0.3]]), torch.tensor([0]), 0.0, 5.0))
    print(f"AAM-softmax by hand {aam_by_hand:.6f}, by code {aam_of_code:.6f}; ", end="")
    print(f"without the margin {plain:.6f}")
    assert abs(aam_by_hand - aam_of_code) < 1e-6, "the loss is not the formula's"

    from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

    reference_loss = LogSoftmaxWrapper(AdditiveAngularMargin(margin=0.2, scale=30))
    random_cosines, random_labels = torch.rand(512, 50) * 2 - 1, torch.randint(50, (512,))
    ours, theirs = random_cosines.clone().requires_grad_(), random_cosines.requires_grad_()
    our_loss = aam_loss(ours, random_labels)
    their_loss = reference_loss(theirs[:, None], random_labels[:, None])
    our_loss.backward()
    their_loss.backward()
    aam_difference = float((our_loss - their_loss).abs() / their_loss)
    aam_slope_difference = float((ours.grad - theirs.grad).abs().max())
    print(f"beside speechbrain: loss {aam_difference:.1e} (relative), ", end="")
    print(f"slopes {aam_slope_difference:.1e}")
    assert aam_difference < 1e-5, "the loss is not speechbrain's"
    assert aam_slope_difference < 1e-5, "the slopes are not speechbrain's"

    bound = math.e / (math.e + 7204 / math.e)
    print(f"with a scale of 1 no probability of 7,205 exceeds {bound:.4f}")

# %%
# What the margin does to angles
# ------------------------------
#
# A toy makes it visible. Points of six classes overlap in 20 dimensions; a small network maps them
# to two, and is trained three times: with softmax, with the same on unit vectors, and with a
# margin. Softmax spreads a class along a ray, near or far as it is sure or not. The margin draws
# each class together around one direction. The spread is measured on new points, as the mean angle
# to the mean direction of their class.

TOY_CLASSES, TOY_SIZE, TOY_NOISE = 6, 20, 0.9


def toy_points(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points of six classes: [count, 20], and their classes [count]."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(TOY_CLASSES, TOY_SIZE, generator=torch.Generator().manual_seed(5))
    labels = torch.randint(TOY_CLASSES, (count,), generator=generator)
    return centres[labels] + TOY_NOISE * torch.randn(count, TOY_SIZE, generator=generator), labels


def toy_training(kind: str, steps: int) -> tuple[Tensor, Tensor]:
    """Two-dimensional embeddings of new points, and the six directions of the classifier."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Linear(TOY_SIZE, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )
    directions = nn.Parameter(torch.randn(TOY_CLASSES, 2))
    optimiser = torch.optim.Adam([*network.parameters(), directions], lr=0.003)
    points, labels = toy_points(1500, seed=6)
    for _ in range(steps):
        found = network(points)
        if kind == "softmax":
            loss = softmax_loss(found @ directions.T, labels)
        else:
            margin = 0.4 if kind == "margin" else 0.0
            loss = aam_loss(cosines(found, directions), labels, margin, scale=15.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return network(toy_points(600, seed=7)[0]), directions.detach()


def spread(found: Tensor, labels: Tensor) -> float:
    """Mean angle, in degrees, between an embedding and the mean direction of its class."""
    angles = []
    for label in labels.unique():
        own = F.normalize(found[labels == label], dim=-1)
        centre = F.normalize(own.mean(dim=0, keepdim=True), dim=-1)
        angles.append((own @ centre.T).clamp(-1, 1).arccos()[:, 0])
    return float(torch.cat(angles).mean().rad2deg())


def draw_toy(results: dict[str, tuple[Tensor, Tensor]], labels: Tensor) -> Figure:
    """The plane of the embeddings, one panel for each loss; and what the margin does to a logit."""
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    first, *panels = figure.subplots(1, 1 + len(results))
    angle = torch.linspace(0, math.pi, 200)
    right = torch.zeros(200, dtype=torch.long)
    for margin in (0.0, 0.2, 0.4):
        logit = aam_logits(angle.cos()[:, None], right, margin, 1.0)[:, 0]
        first.plot(angle.rad2deg(), logit, label=f"margin {margin:.1f}")
    first.set(xlabel="angle to the right speaker, degrees", ylabel="logit / scale")
    first.set_title("A margin lowers the right logit")
    first.legend()
    for axes, (name, (found, directions)) in zip(panels, results.items(), strict=True):
        axes.scatter(*found.T, c=labels, cmap="tab10", vmax=9, s=6)
        length = float(found.norm(dim=1).quantile(0.95))
        for x, y in F.normalize(directions, dim=1) * length:
            axes.plot([0, x], [0, y], color="0.3", linewidth=0.8)
        axes.set(xlabel="embedding, first number", ylabel="second number", aspect="equal")
        axes.set_title(f"{name}: spread {spread(found, labels):.1f}°")
    return figure


if __name__ == "__main__":
    toy_labels = toy_points(600, seed=7)[1]
    toy_steps = 300 if QUICK else 800
    toy = {
        name: toy_training(kind, toy_steps)
        for name, kind in (("Softmax", "softmax"), ("Unit vectors", "unit"), ("AAM", "margin"))
    }
    spreads = {name: spread(found, toy_labels) for name, (found, _) in toy.items()}
    for name, degrees in spreads.items():
        print(f"{name}: a new point lies {degrees:.1f} degrees from the middle of its class")
    assert spreads["AAM"] < spreads["Softmax"], "the margin should draw the classes together"
    keep_picture(draw_toy(toy, toy_labels), "06_margin")

# %%
# Triplet and GE2E: losses without a classifier
# ---------------------------------------------
#
# A classifier needs a weight vector for each training speaker. Two other losses compare recordings
# with recordings. They train exactly what verification does, but a batch shows them only few
# comparisons, and most of these are too easy to teach anything.
#
# The triplet loss takes a recording, another of the same speaker and one of a stranger, and wants
# the stranger farther away by a margin. The distance is one minus the cosine. Most triplets satisfy
# that after a while, so for each recording of a batch the hardest are taken: its farthest sibling
# and its nearest stranger ("batch hard").
#
# .. math:: L = \max\bigl(0,\; d(a, p) - d(a, n) + m\bigr), \qquad d(a, b) = 1 - \cos(a, b).


def triplet_loss(embeddings: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Batch-hard triplets: [batch, size] and [batch] -> one number."""
    distance = 1 - cosines(embeddings, embeddings)
    same = labels[:, None] == labels
    farthest = distance.masked_fill(~same, -math.inf).amax(dim=1)  # of the own speaker
    nearest = distance.masked_fill(same, math.inf).amin(dim=1)  # of all others
    return (farthest - nearest + margin).clamp(min=0).mean()


# %%
# GE2E (generalised end to end) is enrolment in miniature. A batch has some recordings of some
# speakers. Each recording is compared with the mean of each speaker, its own speaker's mean without
# itself, and a softmax over the speakers has to find its own. The scale :math:`w` and the offset
# :math:`b` are learned.
#
# .. math::
#
#    z_{ji,k} = w \cos(e_{ji}, c_k) + b, \qquad c_k = \frac1M \sum_i e_{ki}, \qquad
#    c_j^{(-i)} = \frac{1}{M-1} \sum_{i' \ne i} e_{ji'} \text{ for } k = j .


def ge2e_loss(embeddings: Tensor, scale: float | Tensor = 10.0, offset: float = -5.0) -> Tensor:
    """[speakers, recordings, size] -> one number; at least two recordings of each."""
    speakers, each = embeddings.shape[:2]
    total = embeddings.sum(dim=1)  # [speakers, size]
    score = cosines(embeddings, total)  # [speakers, recordings, speakers]; the mean's direction
    without_itself = total[:, None] - embeddings
    own = F.cosine_similarity(embeddings, without_itself, dim=-1)[..., None]
    is_own = torch.eye(speakers, dtype=torch.bool)[:, None]
    logits = scale * torch.where(is_own, own, score) + offset
    return softmax_loss(logits.flatten(0, 1), torch.arange(speakers).repeat_interleave(each))


# %%
# Both against others' code: the triplets of four vectors in a plane against torch, and GE2E against
# coqui-tts, whose class clamps cosines at zero, which nothing here reaches.

if __name__ == "__main__":
    from TTS.encoder.losses import GE2ELoss

    degrees = torch.tensor([0.0, 30.0, 50.0, 180.0]).deg2rad()  # two of one speaker, two of another
    plane = torch.stack([degrees.cos(), degrees.sin()], dim=1)
    triplet_of_code = float(triplet_loss(plane, torch.tensor([0, 0, 1, 1]), margin=0.3))
    sibling, stranger = torch.tensor([1, 0, 3, 2]), torch.tensor([2, 2, 1, 1])  # the hardest
    triplet_of_torch = float(
        F.triplet_margin_with_distance_loss(
            plane,
            plane[sibling],
            plane[stranger],
            distance_function=lambda a, b: 1 - F.cosine_similarity(a, b),
            margin=0.3,
        )
    )
    batch = torch.rand(5, 4, 16, generator=torch.Generator().manual_seed(0))
    ge2e_of_code, ge2e_of_coqui = float(ge2e_loss(batch)), float(GE2ELoss()(batch))
    print(f"triplet loss {triplet_of_code:.6f}, torch {triplet_of_torch:.6f}; ", end="")
    print(f"GE2E {ge2e_of_code:.6f}, coqui-tts {ge2e_of_coqui:.6f}")
    assert abs(triplet_of_code - triplet_of_torch) < 1e-6, "the triplet loss is not torch's"
    assert abs(ge2e_of_code - ge2e_of_coqui) < 1e-5, "GE2E is not coqui's"

# %%
# Which loss, when?
#
# ============  =======================  ====================================  ====================
# loss          compares with            needs                                 use it
# ============  =======================  ====================================  ====================
# softmax       a vector per speaker     labels                                to name known people
# AAM-softmax   a vector per speaker,    labels; a margin and a scale          to verify strangers:
#               by angle, with margin                                          the usual choice
# triplet       two other recordings     batches with siblings; mining of      when there are too
#                                        hard triplets                         many classes
# GE2E          the mean of each         batches of some recordings of some    to train enrolment
#               speaker of the batch     speakers                              itself
# ============  =======================  ====================================  ====================
#
# Two errors, and one number for both
# -----------------------------------
#
# A system can accept a stranger and it can reject the true speaker. A higher threshold makes the
# first rarer and the second more frequent. The equal error rate is where both are the same; it says
# how well the scores separate, whatever the threshold.
#
# .. math::
#
#    P_\text{fa}(\tau) = \frac{\#\{\text{strangers with } s \ge \tau\}}{\#\{\text{strangers}\}},
#    \qquad
#    P_\text{miss}(\tau) = \frac{\#\{\text{true speakers with } s < \tau\}}{\#\{\text{true}\}},
#    \qquad \text{EER}: P_\text{fa} = P_\text{miss}.
#
# The detection cost weighs the errors by what they cost and by how often the true speaker comes.
# Its minimum over all thresholds, divided by the cost of a system that does not listen, is minDCF:
# 1 means as bad as not listening.
#
# .. math::
#
#    \text{minDCF} = \min_\tau \frac{C_\text{miss}\, \pi\, P_\text{miss}(\tau)
#    + C_\text{fa}\, (1-\pi)\, P_\text{fa}(\tau)}{\min(C_\text{miss}\, \pi,\; C_\text{fa}(1-\pi))}.


def error_rates(scores: Array, same: Array) -> tuple[Array, Array, Array]:
    """Thresholds, false accepts and misses; a score is accepted from the threshold on."""
    thresholds = np.append(np.unique(scores), np.inf)
    of_same, of_strangers = np.sort(scores[same]), np.sort(scores[~same])
    misses = np.searchsorted(of_same, thresholds) / len(of_same)  # share below the threshold
    accepts = 1 - np.searchsorted(of_strangers, thresholds) / len(of_strangers)
    return thresholds, accepts, misses


def equal_error_rate(scores: Array, same: Array) -> tuple[float, float]:
    """Where misses and false accepts cross, on straight lines, and the threshold there."""
    thresholds, accepts, misses = error_rates(scores, same)
    gap = misses - accepts  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = gap[after - 1] / (gap[after - 1] - gap[after])  # how far along the straight line
    rate = misses[after - 1] + share * (misses[after] - misses[after - 1])
    return float(rate), float(thresholds[after - 1])


def min_dcf(scores: Array, same: Array, prior: float) -> float:
    """The least detection cost; both errors cost 1, and the true speaker comes in `prior`."""
    _, accepts, misses = error_rates(scores, same)
    costs = prior * misses + (1 - prior) * accepts
    return float(costs.min() / min(prior, 1 - prior))


# %%
# Precision, recall, F1
# ---------------------
#
# They describe the accepted pairs at one threshold. Precision is the share of the accepted that are
# right, recall the share of the right ones that are accepted (one minus the misses), and F1 their
# harmonic mean, which is low when either is.
#
# .. math::
#
#    P = \frac{TP}{TP + FP}, \qquad R = \frac{TP}{TP + FN}, \qquad
#    F_1 = \frac{2PR}{P + R} = \frac{2\,TP}{2\,TP + FP + FN}.
#
# Precision depends on how often the true speaker comes, the equal error rate does not: :math:`P =
# \pi R / (\pi R + (1-\pi) P_\text{fa})`. So say the prior :math:`\pi` beside a precision.


def precision_recall_f1(accepted: Array, same: Array) -> tuple[float, float, float]:
    """Of decisions [n] of truth [n]; precision is 1 when nothing is accepted."""
    hits = int((accepted & same).sum())  # TP
    precision = hits / int(accepted.sum()) if accepted.any() else 1.0
    recall = hits / int(same.sum())
    return precision, recall, 2 * hits / int(accepted.sum() + same.sum())


def precision_at(prior: float, recall: float, false_accepts: float) -> float:
    """Precision where the true speaker comes in a share `prior` of all trials."""
    right = prior * recall
    return right / (right + (1 - prior) * false_accepts)


# %%
# Eight trials by hand. At a threshold of 0.5 one of four true speakers (0.3) is missed and one of
# four strangers (0.5) is accepted: the equal error rate is 25 %. At 0.4 five are accepted, three of
# them rightly: precision 3/5, recall 3/4, F1 2/3. The code and speechkit say the same, here and on
# 5,000 random scores with many ties.

if __name__ == "__main__":
    from speechkit.metrics import det_curve, judge_decisions

    eight = np.array([0.9, 0.7, 0.6, 0.3, 0.5, 0.4, 0.2, 0.1])
    truth = np.array([True] * 4 + [False] * 4)
    eer_of_eight, _ = equal_error_rate(eight, truth)
    prf_of_eight = precision_recall_f1(eight >= 0.4, truth)
    print(f"eight trials: EER {eer_of_eight:.0%}; at 0.4 precision, recall, F1 ", end="")
    print(", ".join(f"{value:.3f}" for value in prf_of_eight))
    assert eer_of_eight == 0.25, "the equal error rate is not the one found by hand"
    assert np.allclose(prf_of_eight, (3 / 5, 3 / 4, 2 / 3)), "the shares are not those by hand"

    rng = np.random.default_rng(0)
    many_same = rng.random(5000) < 0.3
    many = np.round(rng.normal(many_same * 1.5, 1.0), 2)
    curve, judged = det_curve(many, many_same), judge_decisions(many >= 1.0, many_same)
    metric_difference = max(
        abs(equal_error_rate(many, many_same)[0] - curve.eer),
        abs(min_dcf(many, many_same, 0.01) - curve.min_dcf(0.01)),
        *np.abs(
            np.subtract(
                precision_recall_f1(many >= 1.0, many_same),
                (judged.precision, judged.recall, judged.f1),
            )
        ),
    )
    print(f"largest difference from speechkit.metrics: {metric_difference:.1e}")
    assert metric_difference < 1e-12, "the metrics are not speechkit's"
    print("precision with 5 % of both errors: ", end="")
    print(", ".join(f"{precision_at(p, 0.95, 0.05):.0%} at prior {p}" for p in (0.5, 0.1, 0.01)))

# %%
# Trials, from the recordings to the errors
# -----------------------------------------
#
# A trial is a pair of recordings and the truth. Every recording is embedded once; the score of a
# trial is one product of two vectors of length 1. Without a folder of trials the voice speaks some
# sentences and each is played as from tapes of several speeds: a person for each speed.

TAPES = 0.82 * 1.055 ** np.arange(9)  # speeds; neighbours differ by a semitone
SENTENCES = (
    "The harbour was empty when the storm came in.",
    "Seven red apples fell from the old tree.",
    "He promised to write as soon as he arrived.",
    "Most of the money had already been spent.",
)


def taped_trials() -> tuple[Recordings, Trials]:
    """Recordings by name, and every pair of them, from the one voice at several speeds."""
    from itertools import combinations

    from speechkit.augment import change_speed

    voice = sk.load_tts("en_US-joe-medium")
    recordings = {}
    for number, text in enumerate(SENTENCES):
        speech = voice.synthesize(text, seed=number)
        for tape, factor in enumerate(TAPES):
            recordings[f"{tape}/{number}"] = change_speed(speech, factor).resample(RATE)
    pairs = combinations(recordings, 2)
    return recordings, [(a.split("/")[0] == b.split("/")[0], a, b) for a, b in pairs]


def recorded_trials(folder: Path, seconds: float) -> tuple[Recordings, Trials]:
    """Recordings by name, each cut to its first seconds, and the folder's list of trials."""
    from speechkit.speaker.trials import read_trials

    trials = [(same, str(a), str(b)) for same, a, b in read_trials(folder / "trials.txt")]
    names = sorted({name for _, *pair in trials for name in pair})
    waves = {name: sk.load_audio(name, RATE).samples for name in names}
    return {
        name: sk.Audio(wave[: int(seconds * RATE)], RATE) for name, wave in waves.items()
    }, trials


def quality(scores: Array, same: Array) -> str:
    """The measures of a list of scores, in words."""
    rate, threshold = equal_error_rate(scores, same)
    costs = f"minDCF {min_dcf(scores, same, 0.01):.3f} at 1 %, {min_dcf(scores, same, 0.05):.3f} at"
    return f"EER {rate:.2%} at {threshold:.3f}; {costs} 5 %"


if __name__ == "__main__":
    real_trials = (EVAL / "sv" / "trials.txt").is_file()
    if real_trials:
        recordings, trials = recorded_trials(EVAL / "sv", seconds=2 if QUICK else 60)
    else:
        recordings, trials = taped_trials()
    encoder = sk.load_speaker_encoder()
    names = list(recordings)
    vectors = encoder.embed_many([recordings[name] for name in names])  # [n, 192], length 1
    place = {name: number for number, name in enumerate(names)}
    first = vectors[[place[a] for _, a, _ in trials]]
    second = vectors[[place[b] for _, _, b in trials]]
    same = np.array([truth for truth, _, _ in trials])
    scores = (first * second).sum(axis=1).astype(np.float64)
    print(f"{len(trials)} trials, {same.sum()} of one speaker; {len(names)} recordings")
    print(f"cosine: {quality(scores, same)}")
    trial_eer = equal_error_rate(scores, same)[0]
    eer_difference = abs(trial_eer - det_curve(scores, same).eer)
    assert eer_difference < 1e-12, "the equal error rate is not speechkit's"
    assert trial_eer < 0.2, "the network does not know the voices"

# %%
# Tuning: the threshold
# ---------------------
#
# The threshold is the first thing to tune, and it must not be tuned on the trials that judge it.
# Half of the trials choose it, for the least cost or for the best F1; the other half says what it
# is worth. It moves with what an error costs: where a stranger must not enter, it is high.


def cheapest_threshold(scores: Array, same: Array, prior: float) -> float:
    """The threshold of the least detection cost."""
    thresholds, accepts, misses = error_rates(scores, same)
    return float(thresholds[np.argmin(prior * misses + (1 - prior) * accepts)])


if __name__ == "__main__":
    chosen = np.random.default_rng(1).permutation(len(trials)) % 2 == 0  # the half that chooses
    print("threshold   false accepts   misses   precision   recall   F1   (on the other half)")
    tuned = {}
    for prior in (0.5, 0.05, 0.01):
        threshold = cheapest_threshold(scores[chosen], same[chosen], prior)
        accepted, judge = scores[~chosen] >= threshold, same[~chosen]
        shares = precision_recall_f1(accepted, judge)
        tuned[prior] = (threshold, float(accepted[~judge].mean()), 1 - shares[1], *shares)
        print("  ".join(f"{value:9.3f}" for value in tuned[prior]) + f"   for a prior of {prior}")
    assert tuned[0.01][0] >= tuned[0.5][0], "rarer true speakers ask for a higher threshold"

# %%
# Tuning: score normalisation
# ---------------------------
#
# Some recordings score high with everybody: noisy ones, or voices like many others. Adaptive s-norm
# compares a score with how its two recordings score against a cohort of other speakers, of which
# the nearest :math:`K` count.
#
# .. math::
#
#    s' = \frac12 \Bigl( \frac{s - \mu_K(a)}{\sigma_K(a)} + \frac{s - \mu_K(b)}{\sigma_K(b)} \Bigr),
#
# with mean and deviation of the :math:`K` highest cosines of :math:`a` with the cohort. The cohort
# costs no audio: the rows of the classifier with which ECAPA-TDNN was trained, one for each of
# 7,205 speakers, are what the loss drew their recordings to.
#
# Whether it helps is a matter of the trials. The gain is printed with the range that a bootstrap
# gives: the trials are drawn anew, with repetition, 500 times. A range that contains zero says that
# these trials show no gain.

NEAREST = 300  # of the cohort


def near_cohort(vectors: Array, cohort: Array) -> tuple[Array, Array]:
    """Mean and deviation of each vector's highest cosines with the cohort: two of [n]."""
    highest = np.partition(vectors @ cohort.T, -NEAREST, axis=1)[:, -NEAREST:]
    return highest.mean(axis=1), highest.std(axis=1)


def s_norm(scores: Array, first: Array, second: Array, cohort: Array) -> Array:
    """Scores [n] of pairs of vectors [n, size], normalised by both sides' nearest strangers."""
    sides = [near_cohort(side, cohort) for side in (first, second)]
    return sum((scores - mean) / deviation for mean, deviation in sides) / 2


def bootstrap(gain: Callable[[NDArray[np.int_]], float], count: int) -> tuple[float, float]:
    """The range that holds 95 % of the gains on trials drawn with repetition."""
    rng = np.random.default_rng(0)
    gains = [gain(rng.integers(count, size=count)) for _ in range(500)]
    return float(np.quantile(gains, 0.025)), float(np.quantile(gains, 0.975))


if __name__ == "__main__":
    file = sk.hub.fetch("spkrec-ecapa-voxceleb") / "classifier.ckpt"
    [rows] = torch.load(file, map_location="cpu", weights_only=True).values()
    cohort = F.normalize(rows, dim=1).numpy()  # [7205, 192]
    normed = s_norm(scores, first, second, cohort)
    print(f"s-norm: {quality(normed, same)}; cohort {cohort.shape}")

    def gain(drawn: NDArray[np.int_]) -> float:
        """By how much the equal error rate is lower with s-norm on the drawn trials."""
        before = equal_error_rate(scores[drawn], same[drawn])[0]
        return before - equal_error_rate(normed[drawn], same[drawn])[0]

    snorm_gain = gain(np.arange(len(trials)))
    gain_low, gain_high = bootstrap(gain, len(trials))
    print(f"s-norm lowers the EER by {snorm_gain:.2%}; 95 % of draws: ", end="")
    print(f"{gain_low:.2%} to {gain_high:.2%}")
    by_hand = np.sort(first[0] @ cohort.T)[::-1][:NEAREST]
    assert np.isclose(near_cohort(first[:1], cohort)[0][0], by_hand.mean()), "not the nearest"

# %%
# Tuning: from a score to a probability
# -------------------------------------
#
# A cosine of 0.4 is no probability. Calibration fits a straight line, :math:`\ell = as + b`, by
# logistic regression, so that :math:`\ell` is the logarithm of how much likelier the score is for
# one speaker than for two. With a prior :math:`\pi` the probability of one speaker is the sigmoid
# of :math:`\ell + \log \frac{\pi}{1-\pi}`. The line does not change the order of the scores, so the
# equal error rate stays; it makes one threshold right for every prior. Its cost in bits, Cllr, is 0
# for a perfect judge and 1 for one who says nothing.


if __name__ == "__main__":
    from sklearn.linear_model import LogisticRegression

    from speechkit.metrics import cllr

    line = LogisticRegression(C=1e3, class_weight="balanced")  # both kinds weigh alike
    line.fit(scores[chosen, None], same[chosen])
    a, b = float(line.coef_[0, 0]), float(line.intercept_[0])
    cost_raw = cllr(scores[~chosen], same[~chosen])  # the cosine taken for a ratio
    cost_calibrated = cllr(a * scores[~chosen] + b, same[~chosen])
    print(f"log ratio = {a:.1f} x score {b:+.1f}; cost of it {cost_calibrated:.3f} bits, ", end="")
    print(f"of the bare cosine {cost_raw:.3f}")
    assert cost_calibrated < cost_raw, "calibration should lower the cost"

# %%
# The picture
# -----------
#
# To the left the scores of both kinds of pairs: where they overlap, errors begin. To the right the
# detection error trade-off: one point for each threshold, on axes where normally distributed scores
# give straight lines. Nearer to the corner below on the left is better; the grey diagonal holds the
# equal error rates.

TICKS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4)  # errors at the axes' marks


def draw_errors(systems: dict[str, Array], same: Array) -> Figure:
    """Histograms of the first system's scores, and the trade-off of all."""
    from scipy.stats import norm

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    scores = next(iter(systems.values()))
    bins = np.linspace(scores.min(), scores.max(), 40)
    for kind, label in ((~same, "two speakers"), (same, "one speaker")):
        left.hist(scores[kind], bins, alpha=0.6, label=label)
    left.axvline(equal_error_rate(scores, same)[1], color="0.3", linestyle="--", label="EER")
    left.set(xlabel="cosine", ylabel="trials", title="Scores of one and of two speakers")
    left.legend()
    for name, values in systems.items():
        _, accepts, misses = error_rates(values, same)
        curve = [norm.ppf(np.clip(errors, 5e-4, 0.6)) for errors in (accepts, misses)]
        rate = equal_error_rate(values, same)[0]
        right.step(*curve, where="post", label=f"{name}: EER {rate:.2%}")
    right.axline((0, 0), slope=1, color="0.8", linewidth=0.8)
    marks, limits = norm.ppf(TICKS), norm.ppf([5e-4, 0.55])
    right.set(xlim=limits, ylim=limits, xticks=marks, yticks=marks, aspect="equal")
    right.set_xticklabels([f"{100 * tick:g}" for tick in TICKS])
    right.set_yticklabels([f"{100 * tick:g}" for tick in TICKS])
    right.set(xlabel="strangers accepted, %", ylabel="true speakers rejected, %")
    right.set_title("Detection error trade-off")
    right.legend()
    return figure


if __name__ == "__main__":
    keep_picture(draw_errors({"cosine": scores, "s-norm": normed}, same), "06_errors")

# %%
# What this does not do
# ---------------------
#
# The trials are few, and they share recordings, so the errors are rough: the bootstrap treats
# trials as independent and its ranges are too narrow. It does not compare with PLDA, an older back
# end that models how a speaker varies between recordings. It does not know how long or how noisy a
# recording is; ``speechkit.speaker.calibration`` does. And nothing here notices a recording that is
# played back or a voice that is cloned.
#
# Exercises
# ---------
#
# 1. Replace the additive angle by an additive cosine, :math:`s(\cos\theta - m)`, and draw its
#    curve.
# 2. Draw F1 over the threshold. Where is its peak, and why not at the equal error rate?
# 3. Give the cohort's size :math:`K` values from 20 to 7,205. What does the gain do?
# 4. Cut one side of every trial to its first second. Which measure suffers most?
# 5. Enrol with the mean of three recordings in place of one. How far does the error fall?
#
# Papers
# ------
#
# - Martin, Doddington, Kamm, Ordowski, Przybocki, 1997: The DET Curve in Assessment of Detection
#   Task Performance.
# - Brümmer, du Preez, 2006: Application-Independent Evaluation of Speaker Detection.
# - Schroff, Kalenichenko, Philbin, 2015: FaceNet: A Unified Embedding for Face Recognition and
#   Clustering.
# - Hermans, Beyer, Leibe, 2017: In Defense of the Triplet Loss for Person Re-Identification.
# - Matějka, Novotný, Plchot, Burget, Diez Sánchez, Černocký, 2017: Analysis of Score
#   Normalization in Multilingual Speaker Recognition.
# - Wan, Wang, Papir, Lopez Moreno, 2018: Generalized End-to-End Loss for Speaker Verification.
# - Deng, Guo, Xue, Zafeiriou, 2019: ArcFace: Additive Angular Margin Loss for Deep Face
#   Recognition.
# - Xiang, Wang, Huang, Qian, Yu, 2019: Margin Matters: Towards More Discriminative Deep Neural
#   Network Embeddings for Speaker Recognition.
