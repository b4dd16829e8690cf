r"""
Losses: what each one asks for
==============================

:Answers: question 3 (which loss, and when: cross-entropy, KL, MSE, L1, Huber, CTC, contrastive,
    triplet, adversarial, feature matching)
:Needs: the voice ``en_US-joe-medium``
:Takes: 35 s (15 s with ``--quick``) on two cores, weights fetched before

A loss is one number that says how wrong a network is, and training makes that number small. What
exactly it asks for decides what is learned: squared error asks for the mean of all right answers,
absolute error for their median, cross-entropy for their probabilities. Each loss here is derived,
written out, compared with torch's, and then given a task for which it is the wrong one.

AAM-softmax, triplets and GE2E stand in depth in ``42_speaker_losses.py``, the five losses of VITS in
``32_vits_objective.py``.
"""

import math
from collections.abc import Callable
from itertools import product

import torch
from common import QUICK, RATE, keep_picture, say
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]

# %%
# Cross-entropy: the probability of what happened
# -----------------------------------------------
#
# Cross-entropy is minus the logarithm of the probability that the network gave to the right answer.
# Making it small is the same as maximum likelihood: the whole set of answers becomes as probable as
# it can be. It is also the same as bringing the network's distribution near the true one, since
# cross-entropy is the entropy of the truth, which nobody can change, plus the KL divergence.
#
# .. math::
#
#    -\frac1N \sum_n \log q(y_n) \;\to\; H(p, q) = -\sum_y p_y \log q_y
#    = \underbrace{-\sum_y p_y \log p_y}_{H(p)} +
#      \underbrace{\sum_y p_y \log \frac{p_y}{q_y}}_{\mathrm{KL}(p \,\|\, q) \,\ge\, 0} .
#
# So the best :math:`q` is :math:`p`: the frequencies. Below, logits that start equal are trained on
# ten answers of three kinds.


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits [batch, classes] and labels [batch] -> one number."""
    log_q = logits - logits.logsumexp(dim=1, keepdim=True)
    return -log_q.gather(1, labels[:, None]).mean()


def kl_discrete(p: Tensor, q: Tensor) -> Tensor:
    """How much worse q describes p than p itself does, in nats."""
    return (p * (p / q).log()).sum()


def minimise(loss: Callable[[], Tensor], parameters: list[Tensor], steps: int, rate: float) -> None:
    """So many steps of Adam, the rate falling to zero."""
    optimiser = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        schedule.step()


if __name__ == "__main__":
    torch.manual_seed(0)
    random_logits, random_labels = torch.randn(6, 5), torch.randint(5, (6,))
    entropy_difference = float(
        cross_entropy(random_logits, random_labels) - F.cross_entropy(random_logits, random_labels)
    )
    answers = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    free = torch.zeros(3, requires_grad=True)
    minimise(lambda: cross_entropy(free.expand(10, 3), answers), [free], 300, 0.05)
    learned = free.detach().softmax(0)
    truth, other = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    entropy, crossed = -(truth * truth.log()).sum(), -(truth * other.log()).sum()
    sum_difference = float(crossed - entropy - kl_discrete(truth, other))
    torch_kl = F.kl_div(other.log(), truth, reduction="sum")  # torch wants log q first, then p
    kl_difference = float(kl_discrete(truth, other) - torch_kl)
    print(f"learned from 5, 3 and 2 answers: {[round(q, 4) for q in learned.tolist()]}")
    print(f"cross-entropy {crossed:.4f} = entropy {entropy:.4f} + KL {crossed - entropy:.4f} nats")
    assert abs(entropy_difference) < 1e-6, "the cross-entropy is not torch's"
    assert abs(kl_difference) < 1e-6, "KL is not torch's"
    assert abs(sum_difference) < 1e-6, "cross-entropy is not entropy plus KL"
    assert (learned - truth).abs().max() < 1e-3, "the best distribution is not the frequencies"

# %%
# The wrong one: labels with errors
# ---------------------------------
#
# Cross-entropy believes every label. A wrong label that the network calls improbable costs much, so
# a large network learns the errors by heart and becomes sure of them. It then gives high
# probabilities on new data and is right less often than they say. Label smoothing, which takes some
# of the probability from the label and spreads it over all classes, keeps the network modest: it
# need not make it right more often.
#
# Below, two labels in five are drawn anew at random. The mean probability that the network gives to
# its answers on new points, whose labels are clean, is compared with how often it is right.

NOISY = 0.4  # share of the labels that are drawn anew


def clouds(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points of five overlapping classes: [count, 20], and their classes [count]."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(5, 20, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(5, (count,), generator=generator)
    return centres[labels] + 1.5 * torch.randn(count, 20, generator=generator), labels


def small_network(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of so many numbers."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, outputs),
    )


def noisy_training(smoothing: float, steps: int) -> tuple[float, float]:
    """Mean probability of what is said, and share that is right, both on new, clean points."""
    points, labels = clouds(400, seed=2)
    drawn = torch.rand(400, generator=torch.Generator().manual_seed(3)) < NOISY
    labels = torch.where(drawn, clouds(400, seed=6)[1], labels)  # these labels mean nothing
    torch.manual_seed(0)
    network = small_network(20, 64, 5)
    minimise(
        lambda: F.cross_entropy(network(points), labels, label_smoothing=smoothing),
        list(network.parameters()),
        steps,
        0.01,
    )
    new_points, new_labels = clouds(2000, seed=4)
    with torch.no_grad():
        confidence, said = network(new_points).softmax(1).max(dim=1)
    return confidence.mean().item(), (said == new_labels).float().mean().item()


if __name__ == "__main__":
    noisy = {amount: noisy_training(amount, 150 if QUICK else 500) for amount in (0.0, 0.3)}
    for amount, (confidence, right) in noisy.items():
        print(f"smoothing {amount:.1f}: says {confidence:.2f}, is right {right:.2f}")
    gap, smoothed_gap = (confidence - right for confidence, right in noisy.values())
    assert gap > 0.2, "it should be too sure of itself"
    assert smoothed_gap < gap - 0.1, "smoothing should keep it modest"

# %%
# MSE and L1: the mean and the median
# -----------------------------------
#
# The mean squared error asks for the mean of all right answers. The absolute error, L1, asks for
# their median. Each is maximum likelihood for its own noise: squared error for Gaussian noise,
# absolute error for Laplace noise, which is often small and sometimes large. The Huber loss is
# squared near zero and absolute far out.
#
# .. math::
#
#    \frac{\mathrm d}{\mathrm da} \sum_n (y_n - a)^2 = 0 \;\Rightarrow\; a = \frac1N \sum_n y_n,
#    \qquad
#    \frac{\mathrm d}{\mathrm da} \sum_n |y_n - a| = \#\{y_n < a\} - \#\{y_n > a\} = 0
#
#    -\log \mathcal N(y; a, \sigma) = \frac{(y - a)^2}{2 \sigma^2} + \text{const}, \qquad
#    -\log \mathrm{Laplace}(y; a, b) = \frac{|y - a|}{b} + \text{const}


def mse(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean of the squared differences."""
    return ((found - wanted) ** 2).mean()


def l1(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean of the absolute differences."""
    return (found - wanted).abs().mean()


def huber(found: Tensor, wanted: Tensor, bend: float = 1.0) -> Tensor:
    """Half the square up to `bend`, from there on straight with the same slope."""
    away = (found - wanted).abs()
    return torch.where(away < bend, away**2 / 2, bend * (away - bend / 2)).mean()


def best_answer(loss: Loss, sample: Tensor) -> float:
    """The one number that a loss likes best as the answer to a whole sample."""
    answer = torch.zeros(1, requires_grad=True)
    minimise(lambda: loss(answer.expand_as(sample), sample), [answer], 300, 0.05)
    return answer.item()


if __name__ == "__main__":
    torch.manual_seed(0)
    first, second = 3 * torch.randn(50), torch.randn(50)
    mean_differences = [
        float(ours(first, second) - theirs(first, second))
        for ours, theirs in ((mse, F.mse_loss), (l1, F.l1_loss), (huber, F.huber_loss))
    ]
    skewed = (0.8 * torch.randn(2001)).exp()  # like durations: many short, few long
    best_mse, best_l1 = best_answer(mse, skewed), best_answer(l1, skewed)
    print(f"a skewed sample: mean {skewed.mean():.3f}, median {skewed.median():.3f}")
    print(f"trained answer: by MSE {best_mse:.3f}, by L1 {best_l1:.3f}")
    assert max(map(abs, mean_differences)) < 1e-5, "the losses are not torch's"
    assert abs(best_mse - skewed.mean()) < 0.01, "MSE does not ask for the mean"
    assert abs(best_l1 - skewed.median()) < 0.02, "L1 does not ask for the median"

    spread_ratio = {}  # of the median's error to the mean's, over many samples of 101 numbers
    for name, sample in (
        ("Gaussian", torch.randn(4000, 101)),
        ("Laplace", torch.distributions.Laplace(0.0, 1.0).sample((4000, 101))),
    ):
        spread_ratio[name] = float(sample.median(dim=1)[0].std() / sample.mean(dim=1).std())
        print(f"{name} noise: the median errs {spread_ratio[name]:.2f} times as much as the mean")
    assert spread_ratio["Laplace"] < 0.9 < 1.1 < spread_ratio["Gaussian"], "each has its own noise"

# %%
# The wrong ones: outliers, sums, two answers
# -------------------------------------------
#
# Squared error is wrong with outliers: an error ten times as large counts a hundred times, and a
# few bad measurements bend the whole fit. Absolute error is wrong where answers must add up, as
# durations do: medians of skewed numbers add up to too little. Both are wrong where there are two
# right answers, because what lies between them may be no answer at all.

HUMP, WIDTH = 2.0, 0.5  # two right answers, -2 and 2, each with some noise


def two_humps(count: int) -> Tensor:
    """Half of the answers near -2, half near 2."""
    return HUMP * (2 * torch.randint(2, (count,)) - 1) + WIDTH * torch.randn(count)


def hump_density(x: Tensor) -> Tensor:
    """The density of `two_humps`."""
    return (Normal(-HUMP, WIDTH).log_prob(x).exp() + Normal(HUMP, WIDTH).log_prob(x).exp()) / 2


def fitted_slope(loss: Loss, x: Tensor, y: Tensor) -> float:
    """Of the straight line that a loss likes best."""
    line = torch.zeros(2, requires_grad=True)
    minimise(lambda: loss(line[0] + line[1] * x, y), [line], 400, 0.05)
    return line[1].item()


if __name__ == "__main__":
    torch.manual_seed(0)
    x = torch.linspace(-2, 2, 100)
    y = 1 + 2 * x + 0.2 * torch.randn(100)
    y[-5:] -= 20  # five bad measurements of a hundred
    slopes = {loss.__name__: fitted_slope(loss, x, y) for loss in (mse, l1, huber)}
    print("slope 2, five outliers; fitted:", {name: round(s, 2) for name, s in slopes.items()})
    assert abs(slopes["mse"] - 2) > 5 * max(abs(slopes[k] - 2) for k in ("l1", "huber")), "bent"

    short_by = 1 - best_l1 / best_mse
    print(f"{len(skewed)} durations, each answered by L1: their sum is {short_by:.0%} too short")
    assert short_by > 0.2, "medians of skewed durations should add up to too little"

    humps = two_humps(4000)
    between = best_answer(mse, humps)
    share_there = float(((humps - between).abs() < WIDTH).float().mean())
    l1_flat = [float(l1(torch.tensor(a), humps)) for a in (-1.0, 0.0, 1.0)]
    print(f"two right answers: MSE says {between:.2f}, near which lie {share_there:.1%} of them")
    print("L1 of the answers -1, 0 and 1:", [round(loss, 3) for loss in l1_flat])
    assert share_there < 0.01, "MSE's answer should be no answer"
    assert max(l1_flat) - min(l1_flat) < 0.1, "L1 should not care where between them"

# %%
# The same on a real voice
# ------------------------
#
# One text can be spoken in many right ways, so a network that is trained by squared error on
# waveforms would say their mean. Waves of different takes cancel: the mean of N of them has about
# one Nth of the power. The mean of spectrograms is smeared. And a shift by one millisecond is a
# large distance between waves and a small one between mel spectrograms: what is compared matters as
# much as the loss.


def starts_loud(wave: Tensor, length: int) -> Tensor:
    """So many samples from the first loud one on."""
    loud = int((wave.abs() > 0.1 * wave.abs().max()).nonzero()[0])
    return F.pad(wave[loud:], (0, length))[:length]


def relative(found: Tensor, wanted: Tensor) -> float:
    """L1, as a share of the mean distance of what is wanted from its own median."""
    return float(l1(found, wanted) / l1(wanted.median().expand_as(wanted), wanted))


def draw_takes(one: Tensor, mean: Tensor) -> Figure:
    """The log-mel spectrogram of one take, and the mean of all: [bands, frames]."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    extent = (0, one.shape[1] / 100, 0, len(one))
    for axes, mel, title in zip(panels, (one, mean), ("One take", "Mean of takes"), strict=True):
        image = axes.imshow(
            mel, origin="lower", aspect="auto", extent=extent, vmin=-1, vmax=1.5, cmap="magma"
        )
        axes.set(xlabel="seconds", ylabel="mel band", title=title)
    figure.colorbar(image, ax=panels, label="level, a step of 1 is 40 dB")
    return figure


if __name__ == "__main__":
    from speechkit.features import whisper_log_mel

    takes = torch.stack(
        [
            starts_loud(
                torch.tensor(say("Good morning, everybody.", seed=s).samples), RATE * 3 // 2
            )
            for s in range(3 if QUICK else 12)
        ]
    )
    mels = whisper_log_mel(takes)
    power_left = float(takes.mean(dim=0).square().mean() / takes.square().mean())
    detail_left = float(mels.mean(dim=0).diff(dim=0).abs().mean() / mels.diff(dim=1).abs().mean())
    moved = takes[:1].roll(RATE // 1000, dims=1)
    wave_distance = relative(moved, takes[:1])
    mel_distance = relative(whisper_log_mel(moved), mels[:1])
    print(f"mean of {len(takes)} takes: {power_left:.0%} of the power of one")
    print(f"mean of their log-mels: {detail_left:.0%} of the differences between bands")
    print(f"moved by 1 ms: L1 of waves {wave_distance:.2f}, of log-mels {mel_distance:.2f}")
    assert power_left < 1.3 / len(takes), "the takes should cancel"
    assert detail_left < 0.85, "the mean should be smeared"
    assert wave_distance > 5 * mel_distance, "a wave should notice what nobody hears"
    keep_picture(draw_takes(mels[0], mels.mean(dim=0)), "losses_mean_of_takes")

# %%
# KL of two Gaussians: covering or choosing
# -----------------------------------------
#
# The KL divergence says how badly one distribution stands in for another. For two Gaussians it is a
# formula, so a variational autoencoder needs no samples for it. It is not symmetric. With the truth
# first it punishes every place that is left out, so it covers; with the truth second it punishes
# every place that should be empty, so it chooses.
#
# .. math::
#
#    \mathrm{KL}\bigl(\mathcal N(\mu, \sigma) \,\|\, \mathcal N(m, s)\bigr) =
#    \mathbb E\Bigl[\tfrac{(x - m)^2}{2 s^2} - \tfrac{(x - \mu)^2}{2 \sigma^2}\Bigr] + \log \frac s\sigma
#    = \log \frac s\sigma + \frac{\sigma^2 + (\mu - m)^2}{2 s^2} - \frac12 .
#
# The wrong one: the covering KL, with a single Gaussian for two humps. It puts its peak where there
# is nothing. The choosing KL finds one hump, and does not know of the other.


def kl_gaussians(mean: Tensor, std: Tensor, mean_2: Tensor, std_2: Tensor) -> Tensor:
    """KL of N(mean, std) from N(mean_2, std_2), in nats."""
    return (std_2 / std).log() + (std**2 + (mean - mean_2) ** 2) / (2 * std_2**2) - 0.5


def fit_humps(truth_first: bool) -> tuple[float, float]:
    """Mean and standard deviation of the Gaussian that is nearest to the two humps."""
    x = torch.arange(-6, 6, 0.02)
    p, free = hump_density(x), torch.tensor([1.0, 0.0], requires_grad=True)  # mean, log of std

    def loss() -> Tensor:
        log_q = Normal(free[0], free[1].exp()).log_prob(x)
        terms = p * (p.log() - log_q) if truth_first else log_q.exp() * (log_q - p.log())
        return 0.02 * terms.sum()

    minimise(loss, [free], 300, 0.05)
    return free[0].item(), free[1].exp().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    mean, std, mean_2, std_2 = (
        torch.randn(20),
        torch.rand(20) + 0.2,
        torch.randn(20),
        torch.rand(20) + 0.2,
    )
    by_torch = kl_divergence(Normal(mean, std), Normal(mean_2, std_2))
    gaussian_difference = float((kl_gaussians(mean, std, mean_2, std_2) - by_torch).abs().max())
    covering, choosing = fit_humps(truth_first=True), fit_humps(truth_first=False)
    at_peak = [float(hump_density(torch.tensor(fit[0]))) for fit in (covering, choosing)]
    print(f"KL of two Gaussians beside torch: {gaussian_difference:.1e}")
    for name, fit, density in zip(
        ("covering", "choosing"), (covering, choosing), at_peak, strict=True
    ):
        print(
            f"{name} fit: mean {fit[0]:5.2f}, std {fit[1]:.2f}; true density at its peak {density:.4f}"
        )
    assert gaussian_difference < 1e-4, "the formula is not torch's"
    assert abs(covering[1] - math.sqrt(HUMP**2 + WIDTH**2)) < 0.02, "it matches mean and variance"
    assert at_peak[0] < 0.01 < 0.3 < at_peak[1], "one covers, one chooses"

# %%
# CTC: the sum over all alignments
# --------------------------------
#
# CTC trains a network that labels frames when only the order of the labels is known, not their
# times. It adds up the probabilities of all paths that collapse to the right text: repeats are
# merged, then blanks are dropped. A recursion over the frames adds them without listing them.
#
# .. math::
#
#    P(y) = \sum_{\pi : \, \mathrm{collapse}(\pi) = y} \; \prod_t p_t(\pi_t), \qquad
#    \alpha_t(s) = p_t(y'_s) \bigl[\alpha_{t-1}(s) + \alpha_{t-1}(s-1) + \alpha_{t-1}(s-2)\bigr]
#
# Here :math:`y'` is the text with a blank around every label. The last term, which skips a blank,
# is allowed only between two different labels.


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """Repeats merged, then blanks (0) dropped."""
    return tuple(b for a, b in zip((0, *path), path, strict=False) if b != a and b != 0)


def ctc_of_all_paths(log_p: Tensor, text: tuple[int, ...]) -> float:
    """By listing: [frames, symbols] -> minus the log of the sum over every path that fits."""
    paths = product(range(log_p.shape[1]), repeat=len(log_p))
    fitting = [path for path in paths if collapse(path) == text]
    scores = [sum(log_p[t, symbol] for t, symbol in enumerate(path)) for path in fitting]
    return -float(torch.stack(scores).logsumexp(dim=0))


def ctc(log_p: Tensor, text: tuple[int, ...]) -> float:
    """By the recursion: [frames, symbols] -> minus the log of the probability of the text."""
    spread = torch.zeros(2 * len(text) + 1, dtype=torch.long)  # y': blank, a, blank, b, blank
    spread[1::2] = torch.tensor(text)
    may_skip = F.pad((spread[2:] != 0) & (spread[2:] != spread[:-2]), (2, 0))
    alpha = log_p[0, spread].masked_fill(torch.arange(len(spread)) > 1, -math.inf)
    for row in log_p[1:]:
        one = F.pad(alpha[:-1], (1, 0), value=-math.inf)  # from the symbol before
        two = F.pad(alpha[:-2], (2, 0), value=-math.inf).masked_fill(~may_skip, -math.inf)
        alpha = row[spread] + torch.stack([alpha, one, two]).logsumexp(dim=0)
    return -float(alpha[-2:].logsumexp(dim=0))  # it ends in the last label or the blank after it


def torch_ctc(log_p: Tensor, texts: list[tuple[int, ...]]) -> Tensor:
    """torch's, for some texts of one length and the same frames: [texts]."""
    return F.ctc_loss(
        log_p[:, None].expand(-1, len(texts), -1),
        torch.tensor(texts),
        [len(log_p)] * len(texts),
        [len(text) for text in texts],
        reduction="none",
    )


def either_order(frames: int) -> float:
    """The lowest CTC loss when the text is "ab" half of the time and "ba" the other half."""
    lowest = math.inf
    for seed in range(2 if QUICK else 4):
        logits = torch.randn(frames, 3, generator=torch.Generator().manual_seed(seed))
        logits.requires_grad_()
        minimise(
            lambda z=logits: torch_ctc(z.log_softmax(1), [(1, 2), (2, 1)]).mean(),
            [logits],
            300,
            0.1,
        )
        lowest = min(lowest, torch_ctc(logits.log_softmax(1), [(1, 2), (2, 1)]).mean().item())
    return lowest


# %%
# The wrong one: a sound with two right texts. Given the sound, CTC's frames do not know what other
# frames said. Where "ab" and "ba" are equally right, each path mixes the two, and half
# of the probability goes to texts that are never right. A decoder that writes one token after the
# other chooses once, then remembers: log 2. Nor can CTC write a text longer than the frames.

if __name__ == "__main__":
    torch.manual_seed(0)
    log_p = torch.randn(6, 4).log_softmax(1)
    ctc_values = [
        ctc(log_p, (1, 1, 3)),
        ctc_of_all_paths(log_p, (1, 1, 3)),
        float(torch_ctc(log_p, [(1, 1, 3)])),
    ]
    fits = sum(collapse(path) == (1, 1, 3) for path in product(range(4), repeat=6))
    print(
        f"{fits} of {4**6} paths fit; recursion, listing, torch:", [round(v, 6) for v in ctc_values]
    )
    assert max(ctc_values) - min(ctc_values) < 1e-5, "the three sums differ"
    both_orders = {frames: either_order(frames) for frames in ((2, 4) if QUICK else (2, 4, 8))}
    print(
        "'ab' or 'ba', loss after training, by frames:",
        {k: round(v, 3) for k, v in both_orders.items()},
    )
    print(
        f"log 4 is {math.log(4):.3f}; a decoder that remembers what it wrote: log 2 = {math.log(2):.3f}"
    )
    assert min(both_orders.values()) > math.log(2) + 0.3, "CTC should not reach it"
    too_long = ctc(log_p[:3], (1, 1, 3))  # two equal labels need a blank between them: 4 frames
    assert math.isinf(too_long), "there is no path"
    assert math.isinf(float(torch_ctc(log_p[:3], [(1, 1, 3)]))), "nor does torch find one"

# %%
# Contrastive: find the partner in the batch
# ------------------------------------------
#
# A contrastive loss needs pairs, not labels: two views of one thing, such as two crops of a
# recording, or a picture and its caption. Each view must find its partner among all the partners in
# the batch. InfoNCE is that as a cross-entropy, with similarities for logits.
#
# .. math::
#
#    L = -\frac1N \sum_i \log
#         \frac{e^{a_i \cdot b_i / \tau}}{\sum_j e^{a_i \cdot b_j / \tau}} .
#
# All vectors are scaled to length 1, so the product of two is their cosine. The lower the
# temperature :math:`\tau`, the more the nearest strangers count beside the others.


def info_nce(a: Tensor, b: Tensor, temperature: float = 0.1) -> Tensor:
    """Partners in the same rows: [batch, size] twice -> one number."""
    similarity = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature  # [batch, batch]
    return (similarity.logsumexp(dim=1) - similarity.diagonal()).mean()


def triplet(anchor: Tensor, sibling: Tensor, stranger: Tensor, margin: float = 1.0) -> Tensor:
    """The stranger should be farther away than the sibling, by a margin: [batch, size] thrice."""
    near = (anchor - sibling).norm(dim=1)
    return (near - (anchor - stranger).norm(dim=1) + margin).clamp(min=0).mean()


# %%
# The wrong one: a batch in which some strangers are not strangers, such as two recordings of one
# speaker that are not marked as partners. They are pushed apart although they belong together,
# below from a cosine of nearly 1.

if __name__ == "__main__":
    torch.manual_seed(0)
    views = torch.randn(16, 8), torch.randn(16, 8)
    cosine = F.cosine_similarity(views[0][:, None], views[1][None], dim=2)
    nce_difference = float(info_nce(*views) - F.cross_entropy(cosine / 0.1, torch.arange(16)))
    assert abs(nce_difference) < 1e-5, "it is not the cross-entropy over the batch"
    twins = (torch.eye(8).repeat_interleave(2, 0) + 0.01 * torch.randn(16, 8)).requires_grad_()
    twins_before = F.cosine_similarity(twins[::2], twins[1::2]).mean().item()
    minimise(lambda: info_nce(twins, twins), [twins], 200, 0.02)
    twins_after = F.cosine_similarity(twins[::2], twins[1::2]).mean().item()
    print(f"twins called strangers: their cosine goes from {twins_before:.2f} to {twins_after:.2f}")
    assert twins_before > 0.95 > 0.5 > twins_after, "false strangers should be pushed apart"

# %%
# Triplet: nearer than a stranger
# -------------------------------
#
# The triplet loss compares three: a thing, its sibling and a stranger. The stranger should be
# farther away than the sibling by a margin. It needs no classifier and no large batch. It is the
# wrong one when triplets are drawn at random: soon most of them are right already, cost nothing and
# teach nothing. ``42_speaker_losses.py`` takes the hardest of a batch instead.
#
# .. math::
#
#    L = \max\bigl(0,\; \lVert a - p \rVert - \lVert a - n \rVert + m\bigr),
#
# for a thing :math:`a`, its sibling :math:`p`, a stranger :math:`n` and the margin :math:`m`.
# Below, made points stand for vectors of classes that training has already drawn apart.

if __name__ == "__main__":
    torch.manual_seed(0)
    three = torch.randn(3, 20, 8)
    triplet_difference = float(triplet(*three) - F.triplet_margin_loss(*three))
    # five classes, drawn together as after some training: [classes, members, size]
    trained = 1.2 * torch.randn(5, 1, 8) + 0.5 * torch.randn(5, 400, 8)
    anchor, sibling = trained, trained.roll(1, dims=1)
    stranger = trained.roll(1, dims=0)  # of the next class
    room = (anchor - stranger).norm(dim=2) - (anchor - sibling).norm(dim=2)
    idle = float((room >= 1.0).float().mean())
    print(f"{room.numel()} triplets at random: {idle:.0%} of them cost nothing")
    assert abs(triplet_difference) < 1e-5, "the triplet loss is not torch's"
    assert idle > 0.8, "most triplets should be idle"

# %%
# Adversarial: be taken for real
# ------------------------------
#
# An adversarial loss does not compare with one right answer. A critic learns to tell real answers
# from generated ones, and the generator learns to be taken for real. So it may give any right
# answer, where MSE gives the mean of all. With least squares the critic wants 1 for real and 0 for
# generated, and the generator wants its own to get 1.
#
# .. math::
#
#    \min_D \sum_x p(x) (D(x) - 1)^2 + q(x) D(x)^2 \;\Rightarrow\; D^*(x) = \frac{p(x)}{p(x) + q(x)},
#    \qquad \min_G \mathbb E\bigl[(D(G(z)) - 1)^2\bigr] .
#
# The best critic says one half where real and generated are equally frequent.


def critic_loss(real: Tensor, generated: Tensor) -> Tensor:
    """What the critic says of both -> one number."""
    return ((real - 1) ** 2).mean() + (generated**2).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """What the critic says of the generated -> one number."""
    return ((generated - 1) ** 2).mean()


def duel(steps: int) -> Tensor:
    """Answers of a generator that was trained against a critic on the two humps: [2000]."""
    torch.manual_seed(0)
    generator, critic = small_network(2, 64, 1), small_network(1, 64, 1)
    g, d = (
        torch.optim.Adam(n.parameters(), lr=0.002, betas=(0.5, 0.9)) for n in (generator, critic)
    )
    for _ in range(steps):
        real, fake = two_humps(256)[:, None], generator(torch.randn(256, 2))
        d.zero_grad()
        critic_loss(critic(real), critic(fake.detach())).backward()
        d.step()
        g.zero_grad()
        generator_loss(critic(fake)).backward()
        g.step()
    with torch.no_grad():
        return generator(torch.randn(2000, 2))[:, 0]


def draw_two_answers(answers: Tensor, mean: float, fits: dict[str, tuple[float, float]]) -> Figure:
    """The two humps, and what each loss makes of them."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    x = torch.linspace(-5, 5, 500)
    axes.fill_between(x, hump_density(x), color="0.85", label="right answers")
    axes.hist(answers, bins=60, range=(-5, 5), density=True, histtype="step", label="adversarial")
    for name, (centre, width) in fits.items():
        axes.plot(x, Normal(centre, width).log_prob(x).exp(), label=f"KL, {name}")
    axes.axvline(mean, color="black", linestyle="--", label="MSE")
    axes.set(xlabel="answer (no unit)", ylabel="density", title="Two right answers, four losses")
    axes.legend()
    return figure


# %%
# The wrong one: where the answer itself is scored. A guess that looks right is not the right one:
# when each answer is scored against the one that was meant, a guess that is as varied as the truth
# has twice the squared error of the mean. And how the answers spread around each right one is
# learned only roughly, as the picture shows.

if __name__ == "__main__":
    torch.manual_seed(0)
    said = torch.randn(2, 50)
    by_mse = F.mse_loss(said[0], torch.ones(50)) + F.mse_loss(said[1], torch.zeros(50))
    adversarial_difference = float(critic_loss(*said) - by_mse)
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.3, 0.6])
    table = torch.zeros(3, requires_grad=True)
    minimise(lambda: (p * (table - 1) ** 2 + q * table**2).sum(), [table], 200, 0.05)
    critic_difference = float((table.detach() - p / (p + q)).abs().max())
    print(f"best critic, trained against p / (p + q): {critic_difference:.1e}")
    assert abs(adversarial_difference) < 1e-5, "it is not least squares"
    assert critic_difference < 1e-3, "the best critic is not p / (p + q)"

    answers = duel(600 if QUICK else 2500)
    near_one = float(((answers.abs() - HUMP).abs() < 3 * WIDTH).float().mean())
    left = float((answers < 0).float().mean())
    truths = two_humps(2000)
    guess_error, mean_error = float(mse(answers, truths)), float(mse(torch.zeros(2000), truths))
    print(f"adversarial answers: {near_one:.0%} near a right one, {left:.0%} of them on the left")
    print(f"squared error of its answers {guess_error:.2f}, of MSE's answer {mean_error:.2f}")
    assert near_one > 0.9, "its answers should be taken for real"
    assert guess_error > 1.5 * mean_error, "a guess should cost more than the mean"
    fits = {"covering": covering, "choosing": choosing}
    keep_picture(draw_two_answers(answers, between, fits), "losses_two_answers")

# %%
# Feature matching: alike in the critic's eyes
# --------------------------------------------
#
# Feature matching is an L1 distance, taken inside the critic: the layers that it computes for a
# generated sound should be those of the real one. It is meant to give the generator a steadier
# slope than the critic's verdict does. It needs a real sound for each generated one.
#
# .. math:: L = \sum_l \frac{1}{N_l} \bigl\lVert D_l(y) - D_l(\hat y) \bigr\rVert_1 .
#
# The wrong one: alone. It asks for nothing that the critic cannot see. A critic that first averages
# 4 samples is blind to a tone of 4 kHz at a rate of 16 kHz, whatever its weights are: its
# distance is nil, and the L1 of the wave is not.


def features(critic: nn.Sequential, wave: Tensor) -> list[Tensor]:
    """What every layer of a critic says of a wave [samples]."""
    found, x = [], wave[None, None]
    for layer in critic:
        x = layer(x)
        found.append(x)
    return found


def feature_matching(real: list[Tensor], generated: list[Tensor]) -> Tensor:
    """L1 in every layer; the real side gets no slope."""
    return sum((r.detach() - g).abs().mean() for r, g in zip(real, generated, strict=True))


if __name__ == "__main__":
    torch.manual_seed(0)
    ears = {
        "averages 4 samples": nn.Sequential(
            nn.AvgPool1d(4), nn.Conv1d(1, 8, 15), nn.Conv1d(8, 1, 5)
        ),
        "hears all": nn.Sequential(nn.Conv1d(1, 8, 15), nn.Conv1d(8, 1, 5)),
    }
    tone = 0.1 * torch.sin(
        math.pi / 2 * (torch.arange(takes.shape[1]) % 4) + 0.5
    )  # 4 samples a wave
    heard = {}
    for name, critic in ears.items():
        layers = [features(critic, wave) for wave in (takes[0], takes[0] + tone)]
        heard[name] = feature_matching(*layers).item()
        matching_difference = heard[name] - sum(map(F.l1_loss, *layers)).item()
        assert abs(matching_difference) < 1e-5, "it is not torch's L1 of the layers"
    tone_l1 = float(tone.abs().mean())
    print(f"a tone over the voice: L1 of waves {tone_l1:.3f}; feature matching,", end=" ")
    print({name: round(value, 6) for name, value in heard.items()})
    assert heard["averages 4 samples"] < 1e-5 < 0.01 < heard["hears all"], "one critic is deaf"

# %%
# Which loss, when
# ----------------
#
# The loss follows from the answer that is wanted. One of some classes: cross-entropy. A number:
# squared error for the mean, absolute error for the median. A sequence without times: CTC. A vector
# to compare with: contrastive or triplet. A sound or picture that must look real: adversarial,
# beside a distance.
#
# ================  ============================  ============================  =======================
# loss              asks for                      use it                        not when
# ================  ============================  ============================  =======================
# cross-entropy     the probabilities             to name one of some classes   many labels are wrong
# MSE               the mean                      Gaussian noise; sums count    outliers; two answers
# L1                the median                    outliers; spectrograms        answers must add up
# Huber             the mean of what is near      both kinds of errors          two right answers
# KL, truth first   to cover all                  maximum likelihood            one hump for two
# KL, truth last    to choose                     variational inference         all answers are wanted
# CTC               the sum of all alignments     order known, times not        two orders are right
# InfoNCE           the partner in the batch      pairs without labels          strangers that are not
# triplet           nearer than a stranger        very many classes             triplets at random
# adversarial       to be taken for real          many right answers            the answer is scored
# feature matching  alike to the critic           beside the adversarial        alone
# ================  ============================  ============================  =======================

# %%
# What this recipe does not do
# ----------------------------
#
# No margins by angle, no mining of triplets and no GE2E: they stand in ``42_speaker_losses.py``. No
# critics for sound: ``32_vits_objective.py`` has them. No losses on whole sequences of words, such
# as expected word errors, no preferences, and no weights for rare classes. No loss that depends on
# a matching of sets.
#
# Exercises
# ---------
#
# 1. Show that the quantile loss :math:`\max(q e, (q - 1) e)` asks for the quantile :math:`q`.
# 2. Give the noisy labels a network with dropout, or stop early. How much of the gap is left?
# 3. Write the recursion of CTC from the end, and show that both together give the probability of
#    every symbol at every frame.
# 4. Let the generator and MSE work together, with a weight. Where do the answers go?
# 5. Leave the temperature of InfoNCE to training. Where does it settle?
#
# Papers
# ------
#
# - Huber, 1964: Robust Estimation of a Location Parameter.
# - Graves, Fernández, Gomez, Schmidhuber, 2006: Connectionist Temporal Classification: Labelling
#   Unsegmented Sequence Data with Recurrent Neural Networks.
# - Goodfellow et al., 2014: Generative Adversarial Nets.
# - Schroff, Kalenichenko, Philbin, 2015: FaceNet: A Unified Embedding for Face Recognition and
#   Clustering.
# - Salimans et al., 2016: Improved Techniques for Training GANs.
# - Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, 2016: Rethinking the Inception Architecture for
#   Computer Vision.
# - Mao et al., 2017: Least Squares Generative Adversarial Networks.
# - Guo, Pleiss, Sun, Weinberger, 2017: On Calibration of Modern Neural Networks.
# - van den Oord, Li, Vinyals, 2018: Representation Learning with Contrastive Predictive Coding.
