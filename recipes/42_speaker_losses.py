r"""
Losses that teach voices: softmax, AAM-softmax, triplet, GE2E
=============================================================

:Answers: questions 3 (losses that learn to compare: softmax, AAM-softmax, triplet, GE2E), 25
    (speaker verification: losses)
:Needs: no weights
:Takes: about 15 s (10 s with ``--quick``) on two cores, weights fetched before

A speaker network is trained on some thousand people and used on others. It must not only tell its
training speakers apart: it must put any two recordings of one person near each other, and
recordings of two people apart, in the only measure that is used later, the angle. What it is
trained for, the loss says. Each of the four here is derived, written out, and checked against
somebody else's code.

``44_speaker_training.py`` trains with all four.
"""

import math

import torch
from common import QUICK, keep_picture
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

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
# pushed down by as much as it is believed. But a logit is :math:`z_j = w_j \cdot e = \lVert w_j
# \rVert \lVert e \rVert \cos\theta_j`. The loss falls when vectors merely grow longer, and with
# long vectors it is content as soon as the right speaker is ahead, be it by little. Verification
# compares angles, of speakers that no classifier has seen: it needs room between them.


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
    value_difference = float(
        (softmax_loss(logits, labels) - F.cross_entropy(logits, labels)).detach().abs()
    )
    by_formula = (logits.softmax(1) - F.one_hot(labels, 5)).detach() / len(labels)
    slope_difference = float((logits.grad - by_formula).abs().max())
    print(f"slope of the cross-entropy, formula against autograd: {slope_difference:.1e}")
    assert value_difference < 1e-6, "the loss is not torch's"
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
# what the margin does: :math:`\mathrm d \cos(\theta+m)/\mathrm d\theta = -\sin(\theta + m)` does
# not vanish at :math:`\theta = 0`, so the pull goes on where the plain cosine has stopped pulling.
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
    aam_difference = float(((our_loss - their_loss).abs() / their_loss).detach())
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
    assert spreads["AAM"] < spreads["Unit vectors"], "the margin should draw the classes together"
    keep_picture(draw_toy(toy, toy_labels), "speaker_margin")

# %%
# Triplet and GE2E: losses without a classifier
# ---------------------------------------------
#
# The triplet loss and GE2E need no classifier: they compare recordings with recordings. A
# classifier needs a weight vector for each training speaker; these two do not. They train exactly
# what verification does, but a batch shows them only few comparisons, and most of these are too
# easy to teach anything.
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
# -----------------
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

# %%
# What this does not do
# ---------------------
#
# The toy has six classes and two dimensions; ``44_speaker_training.py`` trains on speech. Other
# losses are not here: the additive cosine margin (AM-softmax), several centres for each speaker,
# prototypes with an angle, the contrastive losses of self-supervised training.
#
# Exercises
# ---------
#
# 1. Replace the additive angle by an additive cosine, :math:`s(\cos\theta - m)`, and draw its
#    curve.
# 2. Give the toy margins from 0 to 1. Where does the spread stop falling, and why?
# 3. Take the mean over all triplets in place of the hardest. How many of them are zero after a
#    while?
# 4. Train the toy with triplets. Do the classes still have one direction each?
#
# Papers
# ------
#
# - Schroff, Kalenichenko, Philbin, 2015: FaceNet: A Unified Embedding for Face Recognition and
#   Clustering.
# - Hermans, Beyer, Leibe, 2017: In Defense of the Triplet Loss for Person Re-Identification.
# - Wan, Wang, Papir, Lopez Moreno, 2018: Generalized End-to-End Loss for Speaker Verification.
# - Deng, Guo, Xue, Zafeiriou, 2019: ArcFace: Additive Angular Margin Loss for Deep Face
#   Recognition.
# - Xiang, Wang, Huang, Qian, Yu, 2019: Margin Matters: Towards More Discriminative Deep Neural
#   Network Embeddings for Speaker Recognition.
