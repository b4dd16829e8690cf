r"""
Transformers for time series: long sequences, seasonality, efficiency
=====================================================================

:Answers: question 29 (Transformers for time series: long sequences, seasonality, efficiency)
:Needs: no weights; the blocks of ``10_transformer.py``; statsmodels, for its data
:Takes: 100 s (14 s with ``--quick``) on two cores, weights fetched before

A time series is a row of measurements, and the task is to say how it goes on. It differs from a
text in three ways. One point says almost nothing, so a token has to be more than a point. The past
repeats itself, every day or every year, so the simplest forecast is a copy. And the level drifts,
so tomorrow's numbers lie where no training number lay. This recipe takes a real series, shows what
each of the usual remedies does, measures what length costs, and sets a small Transformer beside a
linear map, which is hard to beat.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from common import QUICK, import_recipe, keep_picture
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

transformer = import_recipe("transformer")
attention, Block = transformer.attention, transformer.Block

# %%
# A real series, cut by time
# --------------------------
#
# A series is cut by time: the first part trains, the next one chooses, the last one tests. Windows
# drawn at random would put a test window between two training windows that share nearly all of its
# points. The scale comes from the training part alone, because a mean over everything already knows
# how far the series will rise.
#
# Two series, both in statsmodels and both real. The carbon dioxide in the air at Mauna Loa, weekly
# from 1958 to 2001, rises and breathes with the year. The temperature of the sea off Peru, monthly
# from 1950 to 2010, has a year too, no trend, and El Niño. A window is a past of :math:`L` points
# and a future of :math:`H`. The past of a test window may reach back before the cut, for it is the
# past. Missing weeks are filled by a straight line; all of them lie in the training part.


@dataclass(frozen=True)
class Series:
    """A series in units of its training part, and its windows: pasts [n, L], futures [n, H]."""

    name: str
    unit: str
    season: int  # points in a year
    values: Tensor  # scaled: training mean 0, training deviation 1
    mean: float  # of the training part, in the unit
    deviation: float
    cuts: tuple[int, int]  # where validation and test begin
    past: int
    future: int

    def windows(self, part: str) -> tuple[Tensor, Tensor]:
        """All windows whose futures lie in "train", "validation" or "test"."""
        first, last = {
            "train": (self.past, self.cuts[0]),
            "validation": self.cuts,
            "test": (self.cuts[1], len(self.values)),
        }[part]
        both = self.values[first - self.past : last].unfold(0, self.past + self.future, 1)
        return both[:, : self.past].contiguous(), both[:, self.past :].contiguous()

    def error(self, forecast: Tensor, truth: Tensor) -> float:
        """Mean absolute error, in the unit."""
        return self.deviation * (forecast - truth).abs().mean().item()


def scaled(name: str, unit: str, season: int, raw: Tensor, cuts, past: int, future: int) -> Series:
    """A series with the scale of its training part."""
    mean, deviation = raw[: cuts[0]].mean().item(), raw[: cuts[0]].std().item()
    values = (raw - mean) / deviation
    return Series(name, unit, season, values, mean, deviation, cuts, past, future)


@cache
def carbon_dioxide() -> Series:
    """Weekly: three years of past, one year of future."""
    from statsmodels.datasets import co2

    table = co2.load_pandas().data.co2
    cuts = tuple(int((table.index < day).sum()) for day in ("1986-01-01", "1992-01-01"))
    assert not table.iloc[cuts[0] :].isna().any(), "no gap is filled from beyond the cut"
    raw = torch.tensor(table.interpolate().to_numpy(), dtype=torch.float32)
    return scaled("carbon dioxide", "ppm", 52, raw, cuts, past=156, future=52)


@cache
def sea() -> Series:
    """Monthly: three years of past, one year of future."""
    from statsmodels.datasets import elnino

    table = elnino.load_pandas().data.iloc[:, 1:].to_numpy()  # a row per year from 1950 on
    raw = torch.tensor(table.flatten(), dtype=torch.float32)
    return scaled("sea off Peru", "°C", 12, raw, (36 * 12, 46 * 12), past=36, future=12)


def neighbour_forecast(known: tuple[Tensor, Tensor], past: Tensor) -> Tensor:
    """The future of the known window with the nearest past, each taken from its own mean."""
    mean, known_mean = past.mean(1, keepdim=True), known[0].mean(1, keepdim=True)
    nearest = torch.cdist(past - mean, known[0] - known_mean).argmin(dim=1)
    return mean + (known[1] - known_mean)[nearest]


if __name__ == "__main__":
    air = carbon_dioxide()
    for series in (air, sea()):
        counts = {p: len(series.windows(p)[0]) for p in ("train", "validation", "test")}
        print(f"{series.name}: {len(series.values)} points, windows {counts}")
    test_level = air.values[air.cuts[1] :].mean().item()
    leaked = (air.values[: air.cuts[0]].mean() - air.values.mean()) / air.values.std()
    print(f"scaled by the training part, the test part has a mean of {test_level:+.2f};")
    print(f"scaled by everything, the training part would have {leaked.item():+.2f} in place of 0")
    assert abs(air.values[: air.cuts[0]].mean().item()) < 1e-4 < 2 < test_level, "it has risen"
    assert leaked < -0.3, "a scale from everything tells of the future"

    train, test = air.windows("train"), air.windows("test")
    torch.manual_seed(0)
    every = [torch.cat(pair) for pair in zip(train, test, strict=True)]
    order = torch.randperm(len(every[0]))
    drawn, kept = order[: len(test[0])], order[len(test[0]) :]
    split_error = {
        "by time": air.error(neighbour_forecast(train, test[0]), test[1]),
        "at random": air.error(
            neighbour_forecast((every[0][kept], every[1][kept]), every[0][drawn]), every[1][drawn]
        ),
    }
    print("nearest window's future as the forecast; windows split", end=" ")
    print(", ".join(f"{how}: {error:.2f} ppm" for how, error in split_error.items()))
    assert split_error["at random"] < 0.6 * split_error["by time"], "neighbours share their points"

# %%
# Trend, season and the rest
# --------------------------
#
# A series can be taken apart into a slow trend, a season that repeats, and a rest. The trend is a
# moving average over one whole season, in which the season cancels. The season is the mean of what
# is left, for each week of the year. What remains is what a model could still have to explain.
#
# .. math::
#
#    x_t = T_t + S_{t \bmod m} + R_t, \qquad
#    T_t = \frac1m \Bigl( \tfrac12 x_{t-m/2} + \sum_{|i| < m/2} x_{t+i} + \tfrac12 x_{t+m/2} \Bigr)
#
# The seasonal naive forecast is the value of one season ago. With a trend it lags, by what one
# season adds; with drift it adds the difference of the last two yearly means. A year of weeks has
# 52.18 of them: :math:`m = 52` is a day and a quarter short, so over forty years the season slides
# by seven weeks. That goes into the rest here. A window of four years hardly notices.


def take_apart(x: Tensor, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Trend, season and rest of a series [n], each [n]; the trend's ends, m / 2 long, are NaN."""
    weight = torch.full((m + 1,), 1 / m, dtype=x.dtype)
    weight[0] = weight[-1] = 0.5 / m  # m is even: the two ends are the same week
    trend = torch.full_like(x, math.nan)
    trend[m // 2 : -(m // 2)] = x.unfold(0, m + 1, 1) @ weight
    phases = torch.stack([(x - trend)[week::m].nanmean() for week in range(m)])
    season = (phases - phases.mean()).repeat(-(-len(x) // m))[: len(x)]
    return trend, season, x - trend - season


def seasonal_naive(past: Tensor, m: int, future: int, drift: bool = False) -> Tensor:
    """The last season again, [n, future]; with `drift` raised by what the last season added."""
    rise = past[:, -m:].mean(1) - past[:, -2 * m : -m].mean(1)
    again = past[:, -m:].repeat(1, -(-future // m))[:, :future]
    return again + rise[:, None] if drift else again


if __name__ == "__main__":
    from statsmodels.tsa.seasonal import seasonal_decompose

    raw = air.values.double() * air.deviation + air.mean
    parts = take_apart(raw, air.season)
    theirs = seasonal_decompose(raw.numpy(), period=air.season)
    decompose_difference = max(
        (ours - torch.tensor(other)).abs().nan_to_num().max().item()
        for ours, other in zip(parts, (theirs.trend, theirs.seasonal, theirs.resid), strict=True)
    )
    inner = slice(air.season // 2, -(air.season // 2))
    deviations = [part[inner].std().item() for part in parts]
    print(f"trend, season, rest: deviations of {[round(d, 2) for d in deviations]} ppm")
    print(f"largest difference from statsmodels {decompose_difference:.1e} ppm")
    assert decompose_difference < 1e-8, "the parts are not statsmodels'"
    assert deviations[2] < 0.5 * deviations[1] < 0.25 * deviations[0], "little is left to explain"
    naive_error = {
        drift: air.error(seasonal_naive(test[0], air.season, air.future, drift), test[1])
        for drift in (False, True)
    }
    last_error = air.error(test[0][:, -1:], test[1])
    print(f"last value {last_error:.2f} ppm, seasonal naive {naive_error[False]:.2f},", end=" ")
    print(f"with drift {naive_error[True]:.2f}")
    assert naive_error[True] < 0.7 * naive_error[False] < 0.6 * last_error, "season, then trend"

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    years = 1958.24 + torch.arange(len(raw)) / 52.18
    names = ("series and trend", "season", "rest")
    for axes, name, part in zip(figure.subplots(3, 1, sharex=True), names, parts, strict=True):
        axes.plot(years, raw if part is parts[0] else part, linewidth=0.7)
        if part is parts[0]:
            axes.plot(years, part, label="trend")
            axes.legend()
        axes.set(ylabel=f"{name} (ppm)")
        for cut in air.cuts:
            axes.axvline(years[cut], color="0.5", linestyle=":")
    axes.set(xlabel="year; dotted: where validation and test begin")
    figure.suptitle("Carbon dioxide at Mauna Loa = trend + season + rest")
    keep_picture(figure, "time_series_parts")

# %%
# What does the decomposition change inside a model? DLinear (Zeng et al., 2023) takes the moving
# average of each window, its ends filled with the last value, and puts one linear map on it and
# another on what is left. The average is a matrix :math:`A`, so the two maps are one:
#
# .. math::  W_T A x + W_S (x - A x) = \bigl( W_T A + W_S (I - A) \bigr)\, x
#
# The decomposition gives a linear model no new functions. It changes the path of the training, not
# what can be reached. The same holds for any network that begins with a free linear map of the whole
# window.


def moving_average(x: Tensor, width: int) -> Tensor:
    """[n, L] -> [n, L], the ends filled with the first and the last value; an odd width."""
    filled = F.pad(x[:, None], (width // 2, width // 2), mode="replicate")
    return F.avg_pool1d(filled, width, stride=1)[:, 0]


class Linear(nn.Linear):
    """One map from past to future; it begins as the mean of the past."""

    def __init__(self, past: int, future: int) -> None:
        super().__init__(past, future)
        nn.init.constant_(self.weight, 1 / past)
        nn.init.zeros_(self.bias)


class DLinear(nn.Module):
    """A linear map of the trend and one of the rest: [n, L] -> [n, H]."""

    def __init__(self, past: int, future: int, width: int) -> None:
        super().__init__()
        self.width, self.trend, self.rest = width, Linear(past, future), Linear(past, future)

    def forward(self, x: Tensor) -> Tensor:
        trend = moving_average(x, self.width)
        return self.trend(trend) + self.rest(x - trend)

    @torch.no_grad()
    def folded(self) -> Linear:
        """The same function as one linear map."""
        past = self.trend.in_features
        average = moving_average(torch.eye(past), self.width).T  # A: its columns are A e_i
        one = Linear(past, self.trend.out_features)
        one.weight.copy_(
            self.trend.weight @ average + self.rest.weight @ (torch.eye(past) - average)
        )
        one.bias.copy_(self.trend.bias + self.rest.bias)
        return one


def train(model: nn.Module, series: Series, steps: int, rate: float, seed: int) -> nn.Module:
    """Train on squared error; keep the weights that were best on the validation part."""
    torch.manual_seed(seed)
    (past, future), checked = series.windows("train"), series.windows("validation")
    optimiser, least, best = torch.optim.AdamW(model.parameters(), lr=rate), math.inf, {}
    for step in range(steps):
        warm, cosine = min(1.0, (step + 1) / 20), (1 + math.cos(math.pi * step / steps)) / 2
        optimiser.param_groups[0]["lr"] = rate * warm * cosine
        chosen = torch.randint(len(past), (64,))
        loss = F.mse_loss(model(past[chosen]), future[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % (steps // 10) == 0:
            with torch.no_grad():
                now = F.mse_loss(model(checked[0]), checked[1]).item()
            if now < least:
                least, best = now, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best)
    return model


@torch.no_grad()
def forecast(model: nn.Module, past: Tensor) -> Tensor:
    return model(past)


if __name__ == "__main__":
    shape = (air.past, air.future)
    pair = {"linear": Linear(*shape), "DLinear": DLinear(*shape, air.season + 1)}
    guesses = {k: forecast(train(m, air, 300, 3e-3, seed=0), test[0]) for k, m in pair.items()}
    folded = forecast(pair["DLinear"].folded(), test[0])
    fold_difference = (folded - guesses["DLinear"]).abs().max().item()
    print("after 300 steps, ppm:", {k: round(air.error(g, test[1]), 3) for k, g in guesses.items()})
    print(f"DLinear folded into one linear map: forecasts differ by {fold_difference:.1e}")
    assert fold_difference < 1e-3, "two maps and an average are one map"

# %%
# Instance normalisation: the level is taken out and put back
# -----------------------------------------------------------
#
# When a series drifts, a network meets numbers in the test that it never saw in the training.
# Instance normalisation takes the mean out of every window, divides by its deviation, and puts both
# back after the forecast. The network then sees only the shape, and shapes come again.
#
# .. math::
#
#    \hat y = \mu_x + \sigma_x\, f\!\left(\frac{x - \mu_x}{\sigma_x}\right)
#    \quad\Longrightarrow\quad \hat y(a x + b) = a\, \hat y(x) + b, \qquad a > 0
#
# This is RevIN (Kim et al., 2022) without its learned gain and offset. The second formula is exact:
# a window moved up by :math:`b` has a forecast moved up by :math:`b`.


class Normalised(nn.Module):
    """A model that sees each window at mean 0 and deviation 1: [n, L] -> [n, H]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-5
        return mean + deviation * self.model((x - mean) / deviation)


if __name__ == "__main__":
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(air.past, 32), nn.GELU(), nn.Linear(32, air.future)).double()
    window = air.windows("train")[0][:8].double()
    moved = {
        kind: (forecast(m, 2 * window + 5) - 2 * forecast(m, window) - 5).abs().max().item()
        for kind, m in (("plain", net), ("normalised", Normalised(net)))
    }
    print(
        "window times 2 plus 5, the forecast is off by", {k: f"{v:.1e}" for k, v in moved.items()}
    )
    assert moved["normalised"] < 1e-3 < 1 < moved["plain"], "levels and scales pass through"

# %%
# Patches: many points are one token
# ----------------------------------
#
# A single point of a series means as little as a single letter. So a stretch of points is made one
# token, a patch. The sequence becomes shorter by the length of the patch, and the square in the
# attention's cost falls by the square of it. A patch is also a convolution whose stride is as long
# as its kernel. Here even thirty-nine weeks in one token cost little accuracy, and save most of the
# work.
#
# With :math:`N = L / P` tokens of width :math:`d`, a hidden layer of :math:`2d` and :math:`B`
# blocks, the forward pass of one window takes
#
# .. math::
#
#    \underbrace{2 N P d}_{\text{patches}} + B \bigl( \underbrace{4 N^2 d}_{\text{attention}}
#    + \underbrace{16 N d^2}_{\text{matrices}} \bigr) + \underbrace{2 N d H}_{\text{head}}
#
# The network below is PatchTST (Nie et al., 2023) in small: patches, a learned position for each,
# blocks, and one linear head on all tokens together. Its patches do not overlap.


class PatchTransformer(nn.Module):
    """[n, L] -> [n, H], with a token for each `patch` points."""

    def __init__(
        self, past: int, future: int, patch: int, width: int = 32, heads: int = 4, blocks: int = 2
    ) -> None:
        super().__init__()
        self.patch, tokens = patch, past // patch
        assert past % patch == 0, "the past is a whole number of patches"
        self.embed = nn.Linear(patch, width)
        self.place = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, 2 * width, activation=nn.GELU) for _ in range(blocks)
        )
        self.head = nn.Linear(tokens * width, future)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.unflatten(1, (-1, self.patch))) + self.place  # [n, L / P, d]
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.flatten(1))


def patch_cost(past: int, future: int, patch: int, d: int = 32, blocks: int = 2) -> tuple[int, int]:
    """Operations of one window by the formula: all, and those with the square of the length."""
    n = past // patch
    square = blocks * 4 * n**2 * d
    return 2 * n * patch * d + square + blocks * 16 * n * d**2 + 2 * n * d * future, square


def counted(call: Callable[[], object]) -> int:
    """Multiplications and additions in products of matrices, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops()


PATCHES = (6, 12) if QUICK else (2, 6, 12, 39)
STEPS = 60 if QUICK else 500

if __name__ == "__main__":
    torch.manual_seed(0)
    points, embed = torch.randn(1, air.past), nn.Linear(12, 32)
    strided = F.conv1d(points[:, None], embed.weight[:, None], embed.bias, stride=12)[0].T
    patch_difference = (strided - embed(points.unflatten(1, (-1, 12)))[0]).abs().max().item()
    print(f"patches of 12 against a convolution of kernel and stride 12: {patch_difference:.1e}")
    assert patch_difference < 1e-5, "a patch is a strided convolution"

    patch_costs, patch_errors = {}, {}
    for patch in PATCHES:
        torch.manual_seed(0)
        model = Normalised(PatchTransformer(*shape, patch))
        patch_costs[patch] = patch_cost(*shape, patch)
        by_torch = counted(lambda model=model: model(test[0][:1]))
        assert by_torch == patch_costs[patch][0], "the formula is not what is computed"
        train(model, air, STEPS, 2e-3, seed=0)
        patch_errors[patch] = air.error(forecast(model, test[0]), test[1])
        everything, square = patch_costs[patch]
        print(
            f"P {patch:2d}: {air.past // patch:3d} tokens, {everything / 1e6:6.3f} million ", end=""
        )
        print(f"operations, {square / 1e6:6.3f} the square; error {patch_errors[patch]:.3f} ppm")
    one, other = PATCHES[0], PATCHES[-1]
    falls = patch_costs[one][1] / patch_costs[other][1]
    print(f"from P {one} to {other} the square falls by {falls:.0f} = ({other} / {one})²,", end=" ")
    print(f"all operations by {patch_costs[one][0] / patch_costs[other][0]:.1f}")
    assert falls == (other / one) ** 2, "N² falls by P²"
    worst = max(patch_errors.values()) / min(patch_errors.values())
    print(f"the worst error is {worst:.2f} times the best")
    assert worst < (1.5 if QUICK else 1.15), "short tokens are no need"

# %%
# Channels apart or mixed
# -----------------------
#
# With several series there are two ways. Channel independence uses one model for all and gives it
# one series at a time; mixing lets every forecast read every series. Mixing can do more, and fits
# the training better, but it has many more weights to learn from the same years. It wins where one
# series really tells of another.
#
# .. math::
#
#    \text{apart: } \hat y_c = W x_c \;\; (L H \text{ weights}), \qquad
#    \text{mixed: } \hat y_c = \sum_{k=1}^{C} W_{ck}\, x_k \;\; (C^2 L H)
#
# Eight series of the economy of the United States, a value each quarter from 1959 to 2009, as
# logarithms; each window begins from its last value, which is a simpler normalisation. The maps are
# ridge regressions, solved exactly; validation chooses the ridge. A toy beside them is made so that
# the second channel is the first one, four points later: there mixing knows what comes.

ECONOMY = ("realgdp", "realcons", "realinv", "realgovt", "realdpi", "cpi", "m1", "pop")
RIDGES = tuple(10.0**k for k in range(-4, 5))
PAST, FUTURE = 16, 4  # quarters


def economy() -> Tensor:
    """[channels, quarters], logarithms in double precision."""
    from statsmodels.datasets import macrodata

    table = macrodata.load_pandas().data[list(ECONOMY)].to_numpy()
    return torch.tensor(table).log().T


def leader_and_follower(n: int) -> Tensor:
    """Noise, and the same noise four points later: [2, n]."""
    torch.manual_seed(0)
    noise = torch.randn(n, dtype=torch.float64)
    return torch.stack([noise, noise.roll(4)])


def ridge(x: Tensor, y: Tensor, strength: float) -> Tensor:
    """The W [inputs, outputs] of the least |x W - y|² + strength |W|²."""
    return torch.linalg.solve(x.T @ x + strength * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)


def channel_errors(values: Tensor, mixed: bool) -> dict[str, float]:
    """Mean squared error in training and test, each channel in its deviation within a window."""
    n, scale, parts = values.shape[1], torch.ones(()), []
    for first, last in pairwise((0, int(0.6 * n), int(0.75 * n), n)):
        both = values[:, max(0, first - PAST) : last].unfold(1, PAST + FUTURE, 1).transpose(0, 1)
        both = both - both[:, :, PAST - 1 : PAST]  # [windows, channels, points]
        if first == 0:
            scale = both.std(dim=(0, 2), keepdim=True)  # of the training part
        x, y = (both / scale).split((PAST, FUTURE), dim=2)
        parts.append((x.flatten(1), y.flatten(1)) if mixed else (x.flatten(0, 1), y.flatten(0, 1)))
    maps = [ridge(*parts[0], strength) for strength in RIDGES]
    best = min(maps, key=lambda w: F.mse_loss(parts[1][0] @ w, parts[1][1]).item())
    error = {k: F.mse_loss(parts[i][0] @ best, parts[i][1]) for k, i in (("train", 0), ("test", 2))}
    return {k: v.item() for k, v in error.items()} | {"weights": best.numel()}


if __name__ == "__main__":
    channels = {
        (data, kind): channel_errors(values, kind == "mixed")
        for data, values in (("economy", economy()), ("toy", leader_and_follower(400)))
        for kind in ("apart", "mixed")
    }
    for (data, kind), found in channels.items():
        print(f"{data:8s} {kind:6s}", {k: round(v, 3) for k, v in found.items()})
    assert channels["economy", "mixed"]["weights"] == 64 * channels["economy", "apart"]["weights"]
    assert channels["economy", "mixed"]["train"] < channels["economy", "apart"]["train"]
    assert channels["economy", "mixed"]["test"] > channels["economy", "apart"]["test"]
    assert channels["toy", "mixed"]["test"] < 0.8 * channels["toy", "apart"]["test"], "it is led"

# %%
# Local and linear attention
# --------------------------
#
# Full attention compares all pairs, so twice the length is four times the work. Local attention
# lets each place see only its neighbours; the work then grows with the length. Linear attention
# leaves the exponential out: a product of three matrices may be worked out from the other end, and
# then no table of pairs is needed at all.
#
# .. math::
#
#    \frac{\bigl(\phi(Q)\, \phi(K)^\top\bigr) V}{\phi(Q)\, \phi(K)^\top \mathbf 1} =
#    \frac{\phi(Q) \bigl(\phi(K)^\top V\bigr)}{\phi(Q) \bigl(\phi(K)^\top \mathbf 1\bigr)},
#    \qquad \phi(x) = \mathrm{elu}(x) + 1 > 0
#
# With a causal mask the inner sums run along with time, :math:`S_t = S_{t-1} + \phi(k_t) v_t^\top`,
# as the state of a recurrent network does (Katharopoulos et al., 2020). Local attention is full
# attention with a mask, exactly. Linear attention equals its own square form, and is another
# function than softmax: it cannot choose one place as sharply.


def local(query: Tensor, key: Tensor, value: Tensor, reach: int) -> Tensor:
    """Each place sees those at most `reach` away: blocks of `reach`, and their two neighbours."""
    n = query.shape[-2]
    key, value = (
        F.pad(x, (0, 0, reach, reach)).unfold(-2, 3 * reach, reach).mT for x in (key, value)
    )  # [.., n / reach, 3 reach, d]
    asking = torch.arange(n).view(-1, reach, 1)
    asked = torch.arange(-reach, n - reach, reach)[:, None, None] + torch.arange(3 * reach)
    allowed = (asked >= 0) & (asked < n) & ((asking - asked).abs() <= reach)
    blocks = query.unflatten(-2, (-1, reach))  # [.., n / reach, reach, d]
    return attention(blocks, key, value, allowed)[0].flatten(-3, -2)


def positive(x: Tensor) -> Tensor:
    return F.elu(x) + 1


def linear(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """From the other end: a state [d, d] in place of a table of pairs."""
    query, key = positive(query), positive(key)
    return (query @ (key.mT @ value)) / (query @ key.sum(-2)[..., None])


def linear_squared(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """The same function from the table of pairs."""
    weight = positive(query) @ positive(key).mT * allowed
    return (weight @ value) / weight.sum(-1, keepdim=True)


def linear_running(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal, one place after another, with sums [d, d] and [d] as all there is of the past."""
    query, key = positive(query), positive(key)
    state, total, rows = key.new_zeros(key.shape[-1], value.shape[-1]), key.new_zeros(()), []
    for q, k, v in zip(query, key, value, strict=True):
        state, total = state + k[:, None] * v, total + k
        rows.append((q @ state) / (q @ total))
    return torch.stack(rows)


if __name__ == "__main__":
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 96, 16, dtype=torch.float64)
    band = (torch.arange(96)[:, None] - torch.arange(96)).abs() <= 8
    everywhere, before = torch.ones(96, 96, dtype=torch.bool), transformer.causal(96)
    gaps = {
        "local, full with a band": local(q, k, v, 8) - attention(q, k, v, band)[0],
        "local that reaches all, full": local(q, k, v, 96) - attention(q, k, v)[0],
        "linear, its square": linear(q, k, v) - linear_squared(q, k, v, everywhere),
        "running, its square": linear_running(q, k, v) - linear_squared(q, k, v, before),
        "linear, softmax": linear(q, k, v) - attention(q, k, v)[0],
    }
    gaps = {name: gap.abs().max().item() for name, gap in gaps.items()}
    print("largest differences:", {name: f"{gap:.1e}" for name, gap in gaps.items()})
    assert max(gap for name, gap in gaps.items() if "softmax" not in name) < 1e-10, "the same sums"
    assert gaps["linear, softmax"] > 0.05, "without the exponential it is another function"
    sharp = {
        "softmax": attention(8 * q, 8 * k, v)[1],
        "linear": positive(8 * q) @ positive(8 * k).T,
    }
    sharpest = {n: (w / w.sum(1, keepdim=True)).amax(1).mean().item() for n, w in sharp.items()}
    print("largest weight of a row, queries and keys eight times as long:", end=" ")
    print({name: round(weight, 3) for name, weight in sharpest.items()})
    assert sharpest["linear"] < 0.2 < 0.8 < sharpest["softmax"], "linear attention stays broad"

# %%
# What length costs
# -----------------
#
# Three things can be counted: operations, numbers in memory, and seconds. Operations and memory
# follow from the formulas, and the square of the length stands in both for full attention. The
# clock confirms it. It may see even more than the square, perhaps because a large table is memory
# that the system has to hand over anew at each call.
#
# .. math::
#
#    \text{full: } 4 h n^2 d, \qquad \text{local: } 4 h n\, (3 r)\, d, \qquad
#    \text{linear: } h\, (4 n d^2 + 2 n d)
#
# operations, and in the largest array
#
# .. math::
#
#    \text{full: } h n^2, \qquad \text{local: } 3 h n \max(r, d), \qquad
#    \text{linear: } h \max(n d, d^2)
#
# numbers, for :math:`h` heads of width :math:`d`, and blocks of :math:`r` places that see three
# blocks. The memory counted is the largest array that is made. An exponent is the slope of a line
# through the logarithms of the three longest lengths.

HEADS, HEAD_WIDTH, REACH = 4, 32, 32
COST_LENGTHS = (256, 512, 1024, 2048) if QUICK else (256, 512, 1024, 2048, 4096)
KINDS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "full": lambda q, k, v: attention(q, k, v)[0],
    "local": lambda q, k, v: local(q, k, v, REACH),
    "linear": linear,
}


def cost(kind: str, n: int) -> tuple[int, int]:
    """Operations, and numbers in the largest array, by formula."""
    h, d = HEADS, HEAD_WIDTH
    return {
        "full": (4 * h * n**2 * d, h * n**2),
        "local": (4 * h * n * 3 * REACH * d, h * n * 3 * max(REACH, d)),
        "linear": (h * (4 * n * d**2 + 2 * n * d), h * max(n * d, d**2)),
    }[kind]


class Largest(TorchDispatchMode):
    """Notes the most numbers that an array made within it has."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for x in made if isinstance(made, tuple | list) else [made]:
            if isinstance(x, Tensor) and x.is_contiguous():  # views with steps are not made
                self.numbers = max(self.numbers, x.numel())
        return made


def seconds(call: Callable[[], object], repeats: int = 7) -> float:
    """Of the processor; the least of several, for the others were disturbed."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def exponent(lengths: Sequence[int], costs: Sequence[float]) -> float:
    """The p of costs ~ lengths^p."""
    x, y = (torch.tensor(z, dtype=torch.float64).log() for z in (lengths, costs))
    return ((x - x.mean()) @ (y - y.mean()) / (x - x.mean()).square().sum()).item()


if __name__ == "__main__":
    clock: dict[str, list[float]] = {kind: [] for kind in KINDS}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for kind, attend in KINDS.items():
        for n in COST_LENGTHS:
            qkv = torch.randn(3, 1, HEADS, n, HEAD_WIDTH).unbind()
            with Largest() as largest:
                attend(*qkv)
            assert counted(lambda qkv=qkv, attend=attend: attend(*qkv)) == cost(kind, n)[0]
            assert largest.numbers == cost(kind, n)[1], "an array that the formula does not know"
            clock[kind].append(seconds(lambda qkv=qkv, attend=attend: attend(*qkv)))
    torch.set_num_threads(threads)
    exponents = {
        kind: tuple(
            exponent(COST_LENGTHS[-3:], costs[-3:])
            for costs in (*zip(*(cost(kind, n) for n in COST_LENGTHS), strict=True), clock[kind])
        )
        for kind in KINDS
    }
    longest = COST_LENGTHS[-1]
    for kind in KINDS:
        operations, numbers = cost(kind, longest)
        print(f"{kind:6s} n {longest}: {operations / 1e6:7.0f} million operations, ", end="")
        print(
            f"{4 * numbers / 2**20:6.1f} MiB, {1000 * clock[kind][-1]:6.1f} ms; exponents ", end=""
        )
        print("operations {:.2f}, memory {:.2f}, seconds {:.2f}".format(*exponents[kind]))
    assert all(abs(e - 2) < 1e-6 for e in exponents["full"][:2]), "the square, counted"
    assert all(abs(e - 1) < 1e-6 for k in ("local", "linear") for e in exponents[k][:2])
    if not QUICK:  # the shorter lengths are over too soon to be timed well
        assert 1.5 < exponents["full"][2] < 3.5, "the clock sees the square"
        assert all(0.4 < exponents[k][2] < 1.5 for k in ("local", "linear")), "and the line"
    assert clock["full"][-1] > 2 * max(clock["local"][-1], clock["linear"][-1])

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind in KINDS:
        left.loglog(COST_LENGTHS, [cost(kind, n)[0] / 1e6 for n in COST_LENGTHS], "o-", label=kind)
        right.loglog(COST_LENGTHS, [1000 * s for s in clock[kind]], "o-", label=kind)
    left.set(xlabel="length (tokens)", ylabel="operations (million)", title="Counted")
    right.set(xlabel="length (tokens)", ylabel="processor time (ms)", title="Measured, one thread")
    for axes in (left, right):
        axes.set_xticks(COST_LENGTHS, [str(n) for n in COST_LENGTHS])
        axes.minorticks_off()
    left.legend()
    keep_picture(figure, "time_series_cost")

# %%
# A Transformer beside a linear map
# ---------------------------------
#
# A forecast is worth what it gains over a simple one. On short, regular series a linear map is hard
# to beat, and a copy of the last year is a fair start. So all are given the same windows, and each is
# trained from two seeds for a fixed number of steps, of which the best on the validation part
# counts. Under a trend both need normalisation. Then a small Transformer and a linear map are level
# here, which is to say within 15 %, with a trend and without.
#
# Zeng et al. (2023) showed that linear maps beat the Transformers for long forecasts of that time;
# Nie et al. (2023) answered with patches, channel independence and normalisation. Each model is
# trained with and without instance normalisation; the error is mean absolute, on the test part.
# Beside them stands the linear map solved exactly, a ridge regression on normalised windows.
#
# A linear map gets better for longer than the Transformer, and its steps are cheap, so it takes six
# times as many. Trained for as few as the Transformer it looks worse than it is.
#
# The air rises above all that the training saw. There the Transformer without normalisation loses
# to a copy of the last year; with it, it and DLinear come before the ridge. (The ridge is chosen on
# the validation part too, but it is a single number; training can stop anywhere on the way.) The
# sea has no trend, and normalisation does harm. A likely reason: it takes away the level, and a year
# with El Niño differs from others by its level.

SEEDS = (0, 1)
LINEAR_STEPS = 60 if QUICK else 3000
FEW = f"DLinear, normalised, {STEPS} steps"
BUILD: dict[str, Callable[[Series], nn.Module]] = {
    "DLinear": lambda s: DLinear(s.past, s.future, s.season + 1),
    "patches": lambda s: PatchTransformer(s.past, s.future, max(2, s.season // 4 - 1)),
    "DLinear, normalised": lambda s: Normalised(BUILD["DLinear"](s)),
    "patches, normalised": lambda s: Normalised(BUILD["patches"](s)),
}


def ridge_forecast(series: Series) -> Tensor:
    """The exact least squares on normalised windows; validation chooses the ridge."""
    pasts, futures = zip(*(series.windows(p) for p in ("train", "validation", "test")), strict=True)
    mean = [x.mean(1, keepdim=True) for x in pasts]
    deviation = [x.std(1, keepdim=True) for x in pasts]
    x = [(p - m) / d for p, m, d in zip(pasts, mean, deviation, strict=True)]
    y = (futures[0] - mean[0]) / deviation[0]
    maps = [ridge(x[0].double(), y.double(), 10.0**k).float() for k in range(-2, 6)]
    guesses = [[m + d * (z @ w) for m, d, z in zip(mean, deviation, x, strict=True)] for w in maps]
    return min(guesses, key=lambda g: F.mse_loss(g[1], futures[1]).item())[2]


def compared(series: Series) -> dict[str, list[Tensor]]:
    """The forecasts of the test windows by each model, from each seed."""
    past, _ = series.windows("test")
    guesses = {"ridge, normalised": [ridge_forecast(series)]}
    for drift in (False, True):
        naive = seasonal_naive(past, series.season, series.future, drift)
        guesses["seasonal naive" + ", drift" * drift] = [naive]
    for name, build in (BUILD if QUICK else BUILD | {FEW: BUILD["DLinear, normalised"]}).items():
        rate, steps = (3e-3, LINEAR_STEPS) if "DLinear" in name else (2e-3, STEPS)
        steps = STEPS if name == FEW else steps
        guesses[name] = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            guesses[name].append(forecast(train(build(series), series, steps, rate, seed), past))
    return guesses


if __name__ == "__main__":
    results = {series.name: compared(series) for series in (air, sea())}
    errors = {}
    for series in (air, sea()):
        print(f"{series.name}: test error in {series.unit}, mean (least to most of the seeds)")
        for name, guesses in results[series.name].items():
            of_seeds = [series.error(guess, series.windows("test")[1]) for guess in guesses]
            errors[series.name, name] = of_seeds
            print(f"  {name:30s} {sum(of_seeds) / len(of_seeds):.3f}", end=" ")
            print(f"({min(of_seeds):.3f} to {max(of_seeds):.3f})")
    tested = {name: errors[air.name, name] for name in results[air.name]}
    assert min(tested["patches"]) > 1.5 * max(tested["patches, normalised"]), "an unknown level"
    assert max(tested["patches, normalised"]) < tested["seasonal naive"][0], "better than a copy"
    assert max(tested["DLinear"]) < tested["seasonal naive"][0], "a linear map is better too"
    if not QUICK:  # 60 steps are too few for a fair comparison
        pair = [tested[name + ", normalised"] for name in ("DLinear", "patches")]
        assert min(tested["DLinear"]) > max(pair[0]), "a linear map needs it too"
        assert min(tested["patches"]) > tested["seasonal naive"][0], "worse than a copy"
        assert min(tested[FEW]) > 1.05 * max(pair[0]), "a linear map is slow to learn"
        assert 0.85 < min(pair[0]) / min(pair[1]) < 1.15, "level"
        assert max(map(max, pair)) < tested["ridge, normalised"][0], "both before the ridge"
        tested = {name: errors[sea().name, name] for name in results[sea().name]}
        for name in ("DLinear", "patches"):
            assert max(tested[name]) < min(tested[name + ", normalised"]), "the level was of use"
        assert 0.85 < min(tested["DLinear"]) / min(tested["patches"]) < 1.15, "level again"

# %%
# The forecast, and its error by distance
# ---------------------------------------
#
# A forecast gets worse the farther it looks. Errors by horizon show where a model wins: near, where
# the last values tell most, or far, where only the season is left. One number for all distances
# hides that. On the sea, what normalisation costs, it costs for the last months, not for the first.

if __name__ == "__main__":
    shown = ("seasonal naive", *BUILD)
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    by_horizon = {}
    for series, (left, right) in zip((air, sea()), figure.subplots(2, 2), strict=True):
        past, future = series.windows("test")
        row, points = len(past) // 2, series.values.new_tensor(range(series.future))
        seen = series.mean + series.deviation * past[row, -2 * series.season :]
        left.plot(range(1 - len(seen), 1), seen, color="0.6")
        left.plot(points + 1, series.mean + series.deviation * future[row], "k", label="true")
        for name in shown:
            guesses = torch.stack(results[series.name][name])  # [seeds, windows, H]
            left.plot(points + 1, series.mean + series.deviation * guesses[0, row], label=name)
            error = series.deviation * (guesses - future).abs().mean(dim=(0, 1))
            by_horizon[series.name, name] = error
            right.plot(points + 1, error, label=name)
        step = "weeks" if series.season == 52 else "months"
        left.set(
            xlabel=f"{step} from the last known value", ylabel=f"{series.name} ({series.unit})"
        )
        right.set(xlabel=f"horizon ({step})", ylabel=f"mean absolute error ({series.unit})")
        if series is air:
            right.set_yscale("log")
            right.set_yticks((0.3, 0.5, 1, 2, 3, 5), ("0.3", "0.5", "1", "2", "3", "5"))
            right.minorticks_off()
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.suptitle("Left: one window of the test, first seed. Right: all windows and seeds")
    keep_picture(figure, "time_series_forecast")
    for name in BUILD:
        error = by_horizon["sea off Peru", name]
        print(f"sea, {name}: {error[0].item():.2f} °C a month ahead, {error[-1].item():.2f} a year")
        assert error[0] < 0.9 * error[-1], "near is easier than far"
    for name in ("DLinear", "patches"):
        with_it, without = (by_horizon["sea off Peru", name + n] for n in (", normalised", ""))
        first, *_, last = (with_it - without).tolist()
        print(f"sea, {name}: normalisation adds {first:+.2f} °C of error, a year ahead {last:+.2f}")
        assert QUICK or first < last, "it is the distant level that is lost"

# %%
# What this has to do with speech
# -------------------------------
#
# Speech is a long series too. Whisper turns thirty seconds into three thousand frames, and a
# convolution of stride two halves them before the first block: that is patching. ECAPA-TDNN has no
# attention over pairs of frames at all; its convolutions look at a few neighbours, as local
# attention does, with weights that do not depend on the content, so its cost grows with the length.
#
# Per block of width :math:`d` the encoder of Whisper takes :math:`24 n d^2 + 4 n^2 d` operations,
# so the square is :math:`n / (6 d + n)` of all. A convolution of kernel :math:`k` takes
# :math:`2 k n d^2`. The size of Whisper ``base`` is :math:`d = 512`.


def block_cost(n: int, d: int) -> tuple[int, int]:
    """Operations of an encoder block with a hidden layer of 4 d: without the square, the square."""
    return 24 * n * d**2, 4 * n**2 * d


if __name__ == "__main__":
    speech_costs = {n: block_cost(n, 512) for n in (1500, 3000, 480_000)}
    for n, what in ((480_000, "samples"), (3000, "frames"), (1500, "frames, stride 2")):
        rest, square = speech_costs[n]
        print(
            f"30 s as {n} {what}: {(rest + square) / 1e9:.4g} thousand million operations ", end=""
        )
        print(f"a block, {100 * square / (rest + square):.0f} % of them the square")
    with torch.device("meta"):  # shapes without numbers
        block, row = Block(512, 8, 2048), torch.empty(1, 1500, 512)
        assert counted(lambda: block(row)) == sum(speech_costs[1500]), "not what a block computes"
        convolution = nn.Conv1d(512, 512, 3, dilation=2, padding=2)
        frames = {n: torch.empty(1, 512, n) for n in (1500, 3000)}
    convolved = {n: counted(lambda x=x: convolution(x)) for n, x in frames.items()}
    print(f"a convolution of kernel 3 on 1500 frames: {convolved[1500] / 1e9:.2f} thousand million")
    assert convolved[3000] == 2 * convolved[1500] == 2 * (2 * 3 * 1500 * 512**2), "a line"

# %%
# What this recipe does not do
# ----------------------------
#
# Two series of one kind each are no benchmark: who wins here says little about electricity or
# traffic. Rates and sizes were not searched. The forecasts are single numbers, without intervals.
# Windows overlap, so the test windows are far from independent, and the spread over seeds tells
# nothing about other years. Not shown: sparse attention that chooses its places by content
# (Informer), seasons by autocorrelation (Autoformer), state-space models, models trained in advance
# on many series. Kernels that never store the table of pairs save its memory, not its operations.
#
# Exercises
# ---------
#
# 1. Let patches overlap by half, as PatchTST does. What do the operations become, and the error?
# 2. Solve the ridge without normalisation. What happens to it on the air, and what on the sea?
# 3. Give each channel of the economy a map of its own. Where between apart and mixed does it lie?
# 4. Divide only by the deviation, or only subtract the mean. Which half of the normalisation helps?
# 5. Train the patch Transformer with `linear` in place of `attention`. What does the error do?
#
# Papers
# ------
#
# * Vaswani et al., 2017: Attention Is All You Need.
# * Beltagy, Peters, Cohan, 2020: Longformer: The Long-Document Transformer (local attention).
# * Katharopoulos et al., 2020: Transformers are RNNs: Fast Autoregressive Transformers with Linear
#   Attention.
# * Zhou et al., 2021: Informer: Beyond Efficient Transformer for Long Sequence Time-Series
#   Forecasting.
# * Wu et al., 2021: Autoformer: Decomposition Transformers with Auto-Correlation for Long-Term
#   Series Forecasting.
# * Kim et al., 2022: Reversible Instance Normalization for Accurate Time-Series Forecasting against
#   Distribution Shift.
# * Zeng et al., 2023: Are Transformers Effective for Time Series Forecasting?
# * Nie et al., 2023: A Time Series is Worth 64 Words: Long-term Forecasting with Transformers.
# * Radford et al., 2022: Robust Speech Recognition via Large-Scale Weak Supervision (Whisper).
# * Desplanques, Thienpondt, Demuynck, 2020: ECAPA-TDNN.
