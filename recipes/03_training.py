r"""
Training: optimisers, schedules, when to stop
=============================================

:Answers: questions 8 (which parameters one training step updates, in part), 15 (optimisers; how to
    choose the number of epochs)
:Needs: the voice ``en_US-joe-medium``
:Takes: 35 s (15 s with ``--quick``) on two cores, weights fetched before

An optimiser turns the slope of the loss into a step of the weights. Gradient descent steps against the
slope, momentum adds up the slopes of the past, and Adam divides their mean by their size. How large
the steps are, how that changes over time, and when to stop is decided outside the optimiser. Each part
is written out here and compared with torch's, then measured on spoken digits.
"""

import math
import time
from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np
import torch
from common import QUICK, RATE, keep_picture
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

import speechkit as sk

State = dict[str, Tensor]

# %%
# Four optimisers, by hand
# ------------------------
#
# SGD steps against the gradient. Momentum steps against a running sum of gradients, so that what keeps
# its direction grows and what swings to and fro cancels. Adam divides the mean of the gradients by
# the root of the mean of their squares, so a weight moves by hardly more than the learning rate. AdamW
# is Adam that also shrinks the weights, by a share that does not depend on the gradient.
#
# .. math::
#
#    \theta \leftarrow \theta - \eta\, g \quad \text{(SGD)}, \qquad
#    v \leftarrow \mu v + g, \;\; \theta \leftarrow \theta - \eta\, v \quad \text{(momentum)}
#
#    m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad s \leftarrow \beta_2 s + (1 - \beta_2) g^2, \quad
#    \theta \leftarrow \theta - \eta\, \frac{m / (1 - \beta_1^k)}{\sqrt{s / (1 - \beta_2^k)} + \epsilon}
#    \quad \text{(Adam, step } k)
#
#    \theta \leftarrow (1 - \eta \lambda)\, \theta, \text{ then Adam's step} \quad \text{(AdamW)}
#
# The divisions by :math:`1 - \beta^k` make up for the averages' start at zero.


def sgd(theta: Tensor, g: Tensor, state: State, rate: float) -> Tensor:
    """Against the gradient."""
    return theta - rate * g


def momentum(theta: Tensor, g: Tensor, state: State, rate: float, keep: float = 0.9) -> Tensor:
    """Against the sum of gradients, older ones counting less."""
    state["v"] = keep * state.get("v", torch.zeros_like(g)) + g
    return theta - rate * state["v"]


def adam(
    theta: Tensor, g: Tensor, state: State, rate: float, b1: float = 0.9, b2: float = 0.999
) -> Tensor:
    """Against the mean gradient in units of its own size."""
    k = state["k"] = state.get("k", torch.zeros((), dtype=torch.float64)) + 1
    state["m"] = b1 * state.get("m", torch.zeros_like(g)) + (1 - b1) * g
    state["s"] = b2 * state.get("s", torch.zeros_like(g)) + (1 - b2) * g**2
    size = (state["s"] / (1 - b2**k)).sqrt() + 1e-8
    return theta - rate * state["m"] / (1 - b1**k) / size


def adamw(theta: Tensor, g: Tensor, state: State, rate: float, decay: float = 0.1) -> Tensor:
    """Every weight shrinks by the same share, then Adam."""
    return adam((1 - rate * decay) * theta, g, state, rate)


OPTIMISERS = {  # name -> ours, torch's with the same settings
    "SGD": (sgd, torch.optim.SGD, {}),
    "momentum": (momentum, torch.optim.SGD, {"momentum": 0.9}),
    "Adam": (adam, torch.optim.Adam, {}),
    "AdamW": (adamw, torch.optim.AdamW, {"weight_decay": 0.1}),
}


def descend(
    name: str, loss: Callable[[Tensor], Tensor], start: Tensor, rate: float, steps: int
) -> Tensor:
    """Our own steps, from a start: the way [steps + 1, weights]."""
    step, state, way = OPTIMISERS[name][0], {}, [start]
    for _ in range(steps):
        theta = way[-1].detach().requires_grad_()
        loss(theta).backward()
        way.append(step(theta.detach(), theta.grad, state, rate))
    return torch.stack(way)


def torchs(
    name: str, loss: Callable[[Tensor], Tensor], start: Tensor, rate: float, steps: int
) -> Tensor:
    """The same with torch's optimiser."""
    theta = start.clone().requires_grad_()
    optimiser = OPTIMISERS[name][1]([theta], lr=rate, **OPTIMISERS[name][2])
    way = [start]
    for _ in range(steps):
        optimiser.zero_grad()
        loss(theta).backward()
        optimiser.step()
        way.append(theta.detach().clone())
    return torch.stack(way)


def bowl(theta: Tensor) -> Tensor:
    """A valley: curvature 1 along it, 200 across."""
    return (theta[..., 0] ** 2 + STEEP * theta[..., 1] ** 2) / 2


STEEP = 200
START = torch.tensor([-4.0, 1.0], dtype=torch.float64)

if __name__ == "__main__":
    step_differences = {}
    for name in OPTIMISERS:
        ways = [run(name, bowl, START, 0.005, 50) for run in (descend, torchs)]
        step_differences[name] = float((ways[0] - ways[1]).abs().max())
    print("50 steps beside torch's:", {n: f"{d:.0e}" for n, d in step_differences.items()})
    assert max(step_differences.values()) < 1e-7, "the steps are not torch's"

# %%
# Which weights a step moves
# --------------------------
#
# A training step moves every parameter that has a gradient. A frozen parameter has none and stays. A
# gradient of zero is another matter: with SGD the weight stays, but momentum and Adam go on along the
# slopes they remember, and weight decay shrinks it. ``12_parameters.py`` shows it for a Transformer.

if __name__ == "__main__":
    one = torch.ones(1, dtype=torch.float64)
    moved = {}  # by a step without slope, after one with
    for name, (step, *_) in OPTIMISERS.items():
        state: State = {}
        after_slope = step(one, one, state, 0.1)
        moved[name] = abs(float(step(after_slope, 0 * one, state, 0.1) - after_slope))
    decayed = 1 - float(adamw(one, 0 * one, {}, 0.1))
    print(
        "a slope of 1, then one of 0: the second step moves",
        {n: round(v, 3) for n, v in moved.items()},
    )
    print(f"AdamW, never a slope: {decayed:.3f}")
    assert moved["SGD"] == 0 < min(moved["momentum"], moved["Adam"]), "only SGD forgets at once"
    assert abs(decayed - 0.1 * 0.1) < 1e-12, "the decay should need no gradient"

# %%
# The learning rate: too small, too large
# ---------------------------------------
#
# Along a direction of curvature :math:`\lambda` a step of SGD multiplies the distance to the minimum by
# :math:`1 - \eta\lambda`. So it diverges where :math:`\eta > 2/\lambda`. The steepest direction sets the
# largest rate, and the flattest then takes long. Momentum and Adam shorten that.
#
# .. math:: \theta_k = (1 - \eta \lambda)^k\, \theta_0, \qquad
#           |1 - \eta\lambda| < 1 \iff 0 < \eta < 2 / \lambda .


def steps_needed(name: str, rate: float, most: int = 800) -> int:
    """Until the loss of the valley stays below a ten-thousandth of what it was."""
    way = descend(name, bowl, START, rate, most)
    losses = bowl(way).nan_to_num(nan=math.inf)  # what diverges ends as no number
    return int((losses > 1e-4 * losses[0]).nonzero()[-1]) + 1


def draw_ways(rates: dict[str, float]) -> Figure:
    """The valley from above, with the first steps of each optimiser."""
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    across, along = torch.meshgrid(
        torch.linspace(-1.2, 1.2, 80), torch.linspace(-4.5, 3, 80), indexing="ij"
    )
    panels = figure.subplots(1, len(rates), sharey=True)
    for axes, (name, rate) in zip(panels, rates.items(), strict=True):
        height = bowl(torch.stack([along, across], dim=-1))
        shown = axes.contourf(along, across, height.log10(), levels=20, cmap="viridis")
        axes.plot(*descend(name, bowl, START, rate, 40).T, "o-", color="white", ms=2.5, lw=0.8)
        axes.set(
            xlabel="first weight", title=f"{name}, rate {rate:g}", xlim=(-4.5, 3), ylim=(-1.2, 1.2)
        )
    panels[0].set(ylabel="second weight")
    figure.colorbar(shown, ax=panels, label="log10 of the loss")
    return figure


if __name__ == "__main__":
    edge = {f: float(descend("SGD", bowl, START, f / STEEP, 200)[-1, 1].abs()) for f in (1.9, 2.1)}
    for factor, distance in edge.items():
        print(f"SGD, rate {factor} / curvature: distance 1 becomes {distance:.1e} after 200 steps")
        expected = abs(1 - factor) ** 200
        assert abs(distance / expected - 1) < 1e-6, "it is not the power of 1 - rate * curvature"
    assert edge[1.9] < 1e-8 < 1e8 < edge[2.1], "2 / curvature should be the edge"
    grid = (0.003, 0.009, 0.03, 0.1)
    best_rates = {
        n: min(grid, key=lambda r, n=n: steps_needed(n, r)) for n in ("SGD", "momentum", "Adam")
    }
    needed = {name: steps_needed(name, rate) for name, rate in best_rates.items()}
    print("steps to a ten-thousandth of the loss, each at its best rate of four:", needed)
    assert max(needed["momentum"], needed["Adam"]) < needed["SGD"] / 2, "both shorten the valley"
    keep_picture(draw_ways(best_rates), "training_ways")

# %%
# What Adam's division does
# -------------------------
#
# Adam does not see the scale of the loss: a loss a thousand times as large gives the same steps. Its
# first step is as long as the learning rate for every weight, however small the gradient. This is why
# decay must not go through the gradient: there it would be divided away wherever gradients are large.
# AdamW takes it out of the gradient, and all weights shrink alike.


def shrunk(decoupled: bool) -> Tensor:
    """Two weights of 1 with random gradients, sizes 0.01 and 1, after 300 steps of decay."""
    generator = torch.Generator().manual_seed(0)
    theta, size = torch.ones(2, requires_grad=True), torch.tensor([0.01, 1.0])
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimiser = kind([theta], lr=0.003, weight_decay=0.3)
    for _ in range(300):
        theta.grad = size * (2 * torch.randint(2, (1,), generator=generator) - 1)  # no drift
        optimiser.step()
    return theta.detach()


if __name__ == "__main__":
    plain, larger = (
        descend("Adam", lambda x, f=f: f * bowl(x), START, 0.1, 50) for f in (1.0, 1000.0)
    )
    scale_difference = float((plain - larger).abs().max())
    first_step = (plain[1] - plain[0]).abs()
    coupled, decoupled = shrunk(False), shrunk(True)
    print(f"Adam, loss times 1000: the ways differ by {scale_difference:.1e}")
    print(
        f"first step of two weights, slopes 4 and 200: {[round(s, 6) for s in first_step.tolist()]}"
    )
    print("left of 1 at small and at large gradients, by decay:")
    print(f"  inside Adam's gradient: {[round(w, 2) for w in coupled.tolist()]}")
    print(f"  outside, AdamW: {[round(w, 2) for w in decoupled.tolist()]}")
    assert scale_difference < 1e-5, "the scale should cancel"
    assert (first_step - 0.1).abs().max() < 1e-6, "the first step is not the rate"
    assert coupled[1] - coupled[0] > 0.2, "large gradients should protect from decay"
    assert (decoupled - (1 - 0.003 * 0.3) ** 300).abs().max() < 0.05, "all should shrink alike"

# %%
# Schedules and warm-up
# ---------------------
#
# With a constant learning rate, training does not come to rest: gradients of small batches are noisy,
# and the weights keep trembling, the more the larger the rate. So the rate is lowered towards the
# end. Warm-up is the other end: Adam's first steps are its longest and know least, because its averages
# are made of few gradients then. So the rate grows from zero.
#
# .. math::
#
#    \eta_k = \eta \cdot \begin{cases} k / w & k < w \\
#    \tfrac12 \bigl(1 + \cos \pi \tfrac{k - w}{K - w}\bigr) & k \ge w \end{cases}


def share_of_rate(k: int, steps: int, warm: int) -> float:
    """Linear up in `warm` steps, then half a cosine down to zero after `steps`."""
    return k / warm if k < warm else (1 + math.cos(math.pi * (k - warm) / (steps - warm))) / 2


def tremble(share: Callable[[int], float], steps: int = 2000) -> float:
    """Mean squared distance from the minimum at the end, over 500 runs with noisy slopes."""
    generator, theta = torch.Generator().manual_seed(0), torch.ones(500)
    for k in range(steps):
        slope = theta + torch.randn(500, generator=generator)
        theta = theta - 0.1 * share(k) * slope
    return float((theta**2).mean())


def informed(steps: int) -> tuple[float, float]:
    """Of Adam's step so late, with noisy slopes: share of weights that go the right way, mean size."""
    generator, state, theta = torch.Generator().manual_seed(0), {}, torch.zeros(5000)
    for _ in range(steps):
        before, slope = theta, 0.3 + torch.randn(5000, generator=generator)
        theta = adam(theta, slope, state, 1.0)
    return float((theta < before).float().mean()), float((theta - before).abs().mean())


if __name__ == "__main__":
    schedule_difference = 0.0
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=100)
    for k in range(100):
        difference = abs(cosine.get_last_lr()[0] - share_of_rate(k, 100, 0))
        schedule_difference = max(schedule_difference, difference)
        optimiser.step()
        cosine.step()
    trembling = {
        "constant": tremble(lambda k: 1.0),
        "constant, a tenth": tremble(lambda k: 0.1),
        "cosine": tremble(lambda k: share_of_rate(k, 2000, 0)),
    }
    print(f"cosine beside torch's: {schedule_difference:.0e}; left at the end, squared:", end=" ")
    print({name: round(left, 5) for name, left in trembling.items()})
    steps_of_adam = {k: informed(k) for k in (1, 10, 50)}
    for k, (right_way, size) in steps_of_adam.items():
        print(
            f"Adam's step {k:2d}: {right_way:.0%} of the weights go the right way, by {size:.2f} rates"
        )
    assert schedule_difference < 1e-9, "the schedule is not torch's"
    assert abs(trembling["constant"] - 0.1 / (2 - 0.1)) < 0.01, "the noise leaves rate / (2 - rate)"
    assert trembling["constant, a tenth"] < trembling["constant"] / 3, "a larger rate trembles more"
    assert trembling["cosine"] < trembling["constant, a tenth"], "lowering should bring it to rest"
    assert steps_of_adam[1][0] < steps_of_adam[50][0] - 0.1, "the first step should know least"
    assert steps_of_adam[1][1] > 2 * steps_of_adam[50][1], "and be the longest"

# %%
# Clipping: one bad batch
# -----------------------
#
# Clipping shortens a gradient that is longer than a limit and keeps its direction. One broken recording
# can have a gradient thousands of times the usual. Without clipping that one step throws SGD far
# away; with it, the step is no longer than the limit allows.
#
# .. math:: g \leftarrow g \cdot \min\bigl(1,\; c / \lVert g \rVert\bigr)


def clipped(gradients: list[Tensor], limit: float) -> list[Tensor]:
    """All gradients of a network, shortened together."""
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return [g * min(1.0, float(limit / norm)) for g in gradients]


if __name__ == "__main__":
    torch.manual_seed(0)
    weights = [torch.zeros(3, 4, requires_grad=True), torch.zeros(5, requires_grad=True)]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    by_hand = clipped([weight.grad for weight in weights], 0.5)
    torch.nn.utils.clip_grad_norm_(weights, 0.5)
    clip_difference = max(
        float((w.grad - g).abs().max()) for w, g in zip(weights, by_hand, strict=True)
    )
    thrown = {}
    for limit in (math.inf, 1.0):
        theta = torch.zeros(2)
        for k in range(100):
            g = theta + 0.1 * torch.randn(2) + (1000.0 if k == 90 else 0.0)  # step 90 is broken
            theta = theta - 0.1 * clipped([g], limit)[0]
        thrown[limit] = float(theta.norm())
        print(f"clipped at {limit}: ends {thrown[limit]:.2f} from the minimum")
    assert clip_difference < 1e-6, "it is not torch's"
    assert thrown[1.0] < 0.3 < 20 < thrown[math.inf], "clipping should hold it"

# %%
# A real task: ten spoken digits
# ------------------------------
#
# The task is to tell which digit from zero to nine is spoken. The toolkit's voice says them, each take
# drawn anew, some faster and higher and some slower and lower, all under noise. A small network reads
# the log-mel spectrogram in 8 pieces of time and 20 bands. Training, validation and test have takes
# of their own: no take is in two of them.

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PIECES, BANDS = 8, 20
Part = tuple[Tensor, Tensor]  # features [utterances, numbers], digits [utterances]


def utterance(voice: "sk.Voice", word: str, take: int, speed: float) -> sk.Audio:
    """One word, by a voice that speed makes higher or lower, in noise as loud as itself."""
    from speechkit.augment import add_noise, change_speed

    noise = np.random.default_rng(take).normal(size=RATE).astype(np.float32)
    spoken = change_speed(voice.synthesize(f"{word}.", seed=take).resample(RATE), speed)
    return add_noise(spoken, sk.Audio(0.1 * noise, RATE), 0, seed=take)


def features(audio: sk.Audio) -> Tensor:
    """Means of the log-mel spectrogram over 8 pieces of time and 20 groups of bands: [160]."""
    from speechkit.features import whisper_log_mel

    mel = whisper_log_mel(torch.tensor(audio.samples))[None]  # [1, 80, frames]
    return F.adaptive_avg_pool2d(mel, (BANDS, PIECES)).flatten()


def spoken_digits(voice: "sk.Voice", takes: Iterator[int], speeds: tuple[float, ...]) -> Part:
    """Every digit once at every speed, each a take of its own."""
    rows = [
        (d, features(utterance(voice, DIGITS[d], next(takes), speed)))
        for speed in speeds
        for d in range(10)
    ]
    return torch.stack([row for _, row in rows]), torch.tensor([d for d, _ in rows])


if __name__ == "__main__":
    voice, takes = sk.load_tts("en_US-joe-medium"), iter(range(1000))
    speeds = (0.9, 1.12) if QUICK else (0.85, 0.95, 1.05, 1.15, 1.25, 0.9)
    train_part = spoken_digits(voice, takes, speeds)
    valid_part = spoken_digits(voice, takes, speeds[:1] if QUICK else (0.9, 1.0, 1.1))
    test_part = spoken_digits(voice, takes, speeds[1:2] if QUICK else (0.88, 0.98, 1.08))
    middle, spread = train_part[0].mean(dim=0), train_part[0].std(dim=0)
    train_part, valid_part, test_part = (
        ((x - middle) / spread, y) for x, y in (train_part, valid_part, test_part)
    )
    print("utterances:", *(len(part[1]) for part in (train_part, valid_part, test_part)))

# %%
# Optimisers and seeds, compared
# ------------------------------
#
# Optimisers can be compared fairly only at their own best learning rates, and over several seeds. On
# one machine the same seed gives the same numbers to the last bit. Other seeds give other starts and
# other batches, and the spread between them says which differences mean something. Here Adam's training
# loss falls lower than that of SGD with every seed, but the validation losses of the four optimisers
# differ by no more than those of their seeds. The rate is chosen on the validation part.


class Run:
    """One training: both losses after every epoch, and the weights of the best."""

    def __init__(
        self, name: str, rate: float, seed: int, epochs: int, data: tuple[Part, Part]
    ) -> None:
        (x, y), valid = data
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Linear(BANDS * PIECES, 64), nn.ReLU(), nn.Linear(64, 10))
        _, kind, settings = OPTIMISERS[name]
        optimiser = kind(self.network.parameters(), lr=rate, **settings)
        self.train, self.valid = [], []
        for _ in range(epochs):
            for rows in torch.randperm(len(y)).split(10):
                loss = F.cross_entropy(self.network(x[rows]), y[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            self.train.append(judge(self.network, (x, y))[0])
            self.valid.append(judge(self.network, valid)[0])
            if self.valid[-1] == min(self.valid):
                self.best = deepcopy(self.network.state_dict())


@torch.no_grad()
def judge(network: nn.Module, part: Part) -> tuple[float, float]:
    """Cross-entropy, and share of right answers."""
    logits = network(part[0])
    right = (logits.argmax(dim=1) == part[1]).float().mean()
    return F.cross_entropy(logits, part[1]).item(), right.item()


RATES = {
    "SGD": (0.01, 0.1),
    "momentum": (0.001, 0.01),
    "Adam": (0.0003, 0.003),
    "AdamW": (0.0003, 0.003),
}


def draw_optimisers(runs: dict[str, list[Run]]) -> Figure:
    """Loss of training and validation, a thin line for each seed."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for colour, (name, several) in enumerate(runs.items()):
        for axes, part in zip(panels, ("train", "valid"), strict=True):
            for number, run in enumerate(several):
                label = name if number == 0 else None
                axes.semilogy(
                    1 + np.arange(len(run.train)),
                    getattr(run, part),
                    f"C{colour}",
                    lw=0.8,
                    label=label,
                )
    for axes, title in zip(panels, ("Training", "Validation"), strict=True):
        axes.set(xlabel="epoch", title=title)
    panels[0].set(ylabel="cross-entropy (nats)")
    panels[0].legend()
    return figure


if __name__ == "__main__":
    data, seeds, epochs = (train_part, valid_part), range(3 if QUICK else 6), 30 if QUICK else 60
    runs = {}
    for name, rates in RATES.items():
        tried = {rate: [Run(name, rate, seed, epochs, data) for seed in seeds] for rate in rates}
        best = min(tried, key=lambda r, t=tried: np.mean([min(run.valid) for run in t[r]]))
        runs[name] = tried[best]
        lowest = [min(run.valid) for run in runs[name]]
        soon = [
            next((k + 1 for k, loss in enumerate(run.train) if loss < 0.5), epochs)
            for run in runs[name]
        ]
        print(
            f"{name:8} at {best:6}: lowest validation loss {np.mean(lowest):.3f} ± {np.std(lowest):.3f}"
            f" over seeds; training loss under 0.5 after {np.mean(soon):.1f} epochs"
        )
    again = Run("Adam", RATES["Adam"][1], 0, 3, data), Run("Adam", RATES["Adam"][1], 0, 3, data)
    assert again[0].valid == again[1].valid, "one seed should give one result"
    means = {
        name: float(np.mean([min(run.valid) for run in several])) for name, several in runs.items()
    }
    between_seeds = float(
        np.mean([np.std([min(r.valid) for r in several]) for several in runs.values()])
    )
    between_optimisers = max(means.values()) - min(means.values())
    print(f"spread between seeds {between_seeds:.3f}, range of means {between_optimisers:.3f}")
    last = {name: [run.train[-1] for run in several] for name, several in runs.items()}
    print(f"training loss at the end: SGD {min(last['SGD']):.4f} at least,", end=" ")
    print(f"Adam {max(last['Adam']):.4f} at most")
    assert between_seeds > 0.001, "other seeds should give other results"
    assert between_optimisers < 2 * between_seeds, "the optimisers should not differ by more"
    assert max(last["Adam"]) < min(last["SGD"]), "Adam should fit the training part more closely"
    assert max(means.values()) < math.log(10) / 3, "all should learn"
    keep_picture(draw_optimisers(runs), "training_optimisers")

# %%
# When to stop: the validation curve
# ----------------------------------
#
# The number of epochs is not chosen beforehand. Training loss goes on falling, because the network
# learns the training data by heart. Validation loss falls, then rises. Early stopping trains until
# the validation loss has not fallen for some epochs, the patience, and takes the weights of the best
# epoch. The test part is looked at once, after that.
#
# Below, about half of the digits' training labels are drawn at random, which makes learning by heart
# hurt.


def stop_at(losses: list[float], patience: int) -> tuple[int, int]:
    """The epoch whose weights are kept, and the one in which training ends; from 1."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return best + 1, epoch + 1


def draw_stop(run: Run, kept: int, ended: int) -> Figure:
    """Losses over the epochs, and where early stopping stops."""
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes, epochs = figure.subplots(), 1 + np.arange(len(run.train))
    axes.plot(epochs, run.train, label="training")
    axes.plot(epochs, run.valid, label="validation")
    axes.axvline(kept, color="black", linestyle="--", label=f"weights kept: epoch {kept}")
    axes.axvline(ended, color="0.6", linestyle=":", label=f"stopped: epoch {ended}")
    axes.set(xlabel="epoch", ylabel="cross-entropy (nats)", title="Noisy labels: when to stop")
    axes.legend()
    return figure


if __name__ == "__main__":
    x, y = train_part
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(len(y), generator=generator) < 0.5  # so that learning by heart hurts
    noisy_labels = torch.where(drawn, torch.randint(10, (len(y),), generator=generator), y)
    data = (x, noisy_labels), valid_part
    long = Run("Adam", 0.01, 0, 80, data)
    kept, ended = stop_at(long.valid, patience=10)
    stopped = Run("Adam", 0.01, 0, ended, data)  # the same seed: the same epochs, as far as it goes
    stopped.network.load_state_dict(stopped.best)
    at_end, at_best = judge(long.network, test_part), judge(stopped.network, test_part)
    print(f"kept the weights of epoch {kept}, stopped in epoch {ended} of {len(long.valid)}")
    print(f"test loss with them {at_best[0]:.3f}, {at_best[1]:.0%} right;", end=" ")
    print(f"at the end {at_end[0]:.3f}, {at_end[1]:.0%} right")
    assert long.train[-1] < long.train[kept - 1], "training loss should go on falling"
    assert long.valid[-1] > 1.05 * long.valid[kept - 1], "validation loss should rise"
    assert at_best[0] < at_end[0], "the test part should agree"
    keep_picture(draw_stop(long, kept, ended), "training_stop")

# %%
# Mixed precision: bfloat16
# -------------------------
#
# bfloat16 is float32 without its last 16 bits: the same range, but 8 bits of precision, so an error of
# up to 0.4 per cent in every number. Mixed precision computes the large products in it and keeps the
# weights in float32. The weights must stay there, because in bfloat16 a small step vanishes: 1 plus a
# thousandth is 1. Whether it is faster depends on the processor and on the size of the layers, so the
# times below are those of one machine.


def seconds_of(network: nn.Module, x: Tensor, times: int) -> tuple[float, float]:
    """Shortest time of a pass in float32, and under autocast."""
    found = []
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            lasted = []
            for _ in range(times):
                start = time.perf_counter()
                network(x)
                lasted.append(time.perf_counter() - start)
        found.append(min(lasted))
    return found[0], found[1]


if __name__ == "__main__":
    numbers = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) + 1
    rounding = float(((numbers.bfloat16().float() - numbers) / numbers).abs().max())
    weight_32, weight_16 = torch.ones(1), torch.ones(1, dtype=torch.bfloat16)
    for _ in range(1000):
        weight_32, weight_16 = weight_32 + 0.001, weight_16 + 0.001
    print(f"bfloat16 rounds by up to {rounding:.2%}; 1 plus 1000 steps of 0.001: ", end="")
    print(f"{weight_32.item():.3f} in float32, {weight_16.item():.3f} in bfloat16")
    assert 2**-9.1 < rounding < 2**-7.9, "it should have 8 bits"
    assert weight_16.item() == 1.0 < 1.9 < weight_32.item(), "small steps should vanish"

    x, y = test_part
    with torch.no_grad():
        exact = stopped.network(x)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = stopped.network(x)
    logit_error = float((mixed.float() - exact).norm() / exact.norm())
    same_answers = float((mixed.argmax(dim=1) == exact.argmax(dim=1)).float().mean())
    print(
        f"digits: logits differ by {logit_error:.2%}, {same_answers:.0%} of the answers are the same"
    )
    assert mixed.dtype == torch.bfloat16, "autocast should have been at work"
    assert 1e-5 < logit_error < 0.02, "the error should be of the size of the rounding"
    for width in (64, 1024):
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        full, half = seconds_of(layers, torch.randn(256, width), 10)
        print(
            f"two layers of {width:4d}: float32 {1e3 * full:.2f} ms, bfloat16 {1e3 * half:.2f} ms"
        )

# %%
# Which settings to begin with
# ----------------------------
#
# A usual beginning is AdamW at a rate around a thousandth, a short warm-up, a cosine down to zero, and
# clipping at 1. Rates are tried a factor of three apart. Training is planned longer than seems
# needed, and the validation curve says when to stop. The final setting is repeated with a few seeds,
# and the spread is reported.
#
# ============  ==================================  =====================================
# part          what it is for                      when it does not help
# ============  ==================================  =====================================
# momentum      valleys that are long and narrow    valleys that are round
# Adam          slopes of different sizes           where weights should decay: AdamW
# warm-up       the first steps of Adam             SGD at a small rate
# schedule      to come to rest                     when the end is not known beforehand
# clipping      rare, huge gradients                gradients that are always too large
# patience      to choose the number of epochs      validation part too small to judge
# bfloat16      memory, time of large products      small layers, processors without it
# ============  ==================================  =====================================

# %%
# What this recipe does not do
# ----------------------------
#
# The task is small: one voice, ten words, a network of some ten thousand numbers. No search for settings
# beyond two rates for each optimiser. No training on several machines, no optimisers of second order,
# no average of weights over the last steps. Times are of the processor at hand.
#
# Exercises
# ---------
#
# 1. Write Nesterov's momentum, which takes the slope where the momentum will lead, and compare it with
#    torch's.
# 2. Leave out the divisions by :math:`1 - \beta^k`. How long are Adam's first steps then?
# 3. Give the digits batches of 2 and of all. Which rate is best for each?
# 4. Replace patience by a moving average of the validation loss. Does it stop sooner?
# 5. Train the digits with weights in bfloat16. At which rate does training stand still?
#
# Papers
# ------
#
# - Polyak, 1964: Some Methods of Speeding up the Convergence of Iteration Methods.
# - Prechelt, 1998: Early Stopping - But When?
# - Pascanu, Mikolov, Bengio, 2013: On the Difficulty of Training Recurrent Neural Networks.
# - Kingma, Ba, 2015: Adam: A Method for Stochastic Optimization.
# - Loshchilov, Hutter, 2017: SGDR: Stochastic Gradient Descent with Warm Restarts.
# - Micikevicius et al., 2018: Mixed Precision Training.
# - Kalamkar et al., 2019: A Study of BFLOAT16 for Deep Learning Training.
# - Loshchilov, Hutter, 2019: Decoupled Weight Decay Regularization.
# - Liu et al., 2020: On the Variance of the Adaptive Learning Rate and Beyond.
