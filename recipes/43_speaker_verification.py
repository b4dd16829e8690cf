r"""
Speaker verification: scores, errors, tuning
============================================

:Answers: questions 25 (speaker verification: metrics and tuning), 17 (equal error rate; precision,
    recall, F1)
:Needs: the weights of ``spkrec-ecapa-voxceleb``; the voice ``en_US-joe-medium``; trials of real
    recordings are used where there are some, else the voice is played as from tapes of several
    speeds
:Takes: about 1 min (15 s with ``--quick``) on two cores, weights fetched before

Verification asks of two recordings whether one person speaks in both. A network makes a vector of
each (``40_ecapa_tdnn.py``), the cosine of the angle between the vectors is the score, and the
answer is yes when the score is at least a threshold. Two questions remain. How good is a system
that can be wrong in two ways? And what can be tuned once the network is trained: the threshold, the
scores, what a score means?

``44_speaker_training.py`` goes on with training.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import EVAL, QUICK, RATE, keep_picture
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.nn import functional as F

import speechkit as sk

Array = NDArray[np.float64]
Recordings = dict[str, sk.Audio]
Trials = list[tuple[bool, str, str]]  # one speaker?, and the names of two recordings

# %%
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
# Precision, recall and F1 describe the accepted pairs at one threshold. Precision is the share of
# the accepted that are right, recall the share of the right ones that are accepted (one minus the
# misses), and F1 their harmonic mean, which is low when either is.
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

TAPES = 0.82 * 1.055 ** np.arange(9)  # speeds; neighbours differ by almost a semitone
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
# Half of the trials choose it, for the least cost; the other half says what it is worth. It moves
# with what an error costs: where a stranger must not enter, it is high.


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
    assert tuned[0.01][1] <= tuned[0.5][1] < 0.2, "too many strangers enter, by the other half"

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
# equal error rate stays. What is gained: the right threshold is known for every prior without
# tuning, :math:`\ell \ge \log \frac{1-\pi}{\pi}` where both errors cost the same. The cost in bits,
# Cllr, is 0 for a perfect judge and 1 for one who says nothing.


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
    keep_picture(draw_errors({"cosine": scores, "s-norm": normed}, same), "speaker_errors")

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
# 1. Draw F1 over the threshold. Where is its peak, and why not at the equal error rate?
# 2. Give the cohort's size :math:`K` values from 20 to 7,205. What does the gain do?
# 3. Cut one side of every trial to its first second. Which measure suffers most?
# 4. Enrol with the mean of three recordings in place of one. How far does the error fall?
#
# Papers
# ------
#
# - Martin, Doddington, Kamm, Ordowski, Przybocki, 1997: The DET Curve in Assessment of Detection
#   Task Performance.
# - Brümmer, du Preez, 2006: Application-Independent Evaluation of Speaker Detection.
# - Matějka, Novotný, Plchot, Burget, Diez Sánchez, Černocký, 2017: Analysis of Score
#   Normalization in Multilingual Speaker Recognition.
