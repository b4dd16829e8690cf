r"""
Flows: densities to draw from
=============================

:Answers: of question 27 (VITS) what normalising flows are, and why they can be both trained and
    sampled
:Needs: the voice ``en_US-joe-medium``; coqui-tts, whose curves are the reference
:Takes: about 30 s (10 s with ``--quick``) on two cores, weights fetched before

A normalising flow is a probability density that can be evaluated and also drawn from. A network
that has to give one number for "how long is this vowel?" gives the mean of all answers, and speech
from means is dull. A flow can be evaluated at an observed duration, so that it can be fitted by
maximum likelihood, and drawn from, so that it can speak.

``31_vits.py`` builds the voice from the layers of this file; ``33_vits_training.py`` trains them.
"""

import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from common import QUICK, import_recipe, keep_picture
from torch import Tensor, nn
from torch.nn import functional as F

# %%
# Change of variables, and splines
# --------------------------------
#
# A flow is a function that can be run both ways and whose stretching is known. Pass Gaussian noise
# backwards through it and you have a sample of a complicated density; pass data forwards and you
# have that density's value. That is why the part of VITS that draws how long each sound lasts can
# both speak and be trained by maximum likelihood.
#
# If :math:`y = f(x)` is invertible and :math:`y` is standard normal, the density of :math:`x` is
#
# .. math::
#
#     \log p(x) = \log \mathcal N(f(x); 0, 1) + \log \left| \det \frac{\partial f}{\partial x} \right|
#
# For one number, VITS uses a monotone curve made of ten pieces on :math:`[-5, 5]`, the identity
# outside. Knots :math:`(x_k, y_k)` with slopes :math:`\delta_k` are joined by quotients of
# quadratics. With :math:`\xi = (x - x_k) / (x_{k+1} - x_k)` in 0 to 1, the height of the piece
# :math:`h = y_{k+1} - y_k`, its mean slope :math:`s = h / (x_{k+1} - x_k)` and
# :math:`c = \delta_k + \delta_{k+1} - 2 s`:
#
# .. math::
#
#     y = y_k + h\, \frac{s \xi^2 + \delta_k \xi (1 - \xi)}{s + c\, \xi (1 - \xi)}, \qquad
#     \frac{\mathrm{d}y}{\mathrm{d}x} = s^2\,
#     \frac{\delta_{k+1} \xi^2 + 2 s \xi (1 - \xi) + \delta_k (1 - \xi)^2}
#     {\left( s + c\, \xi (1 - \xi) \right)^2}
#
# Backwards, with :math:`\eta = (y - y_k) / h`, multiplying out gives a quadratic
# :math:`A \xi^2 + B \xi + C = 0` with :math:`A = s - \delta_k + c \eta`,
# :math:`B = \delta_k - c \eta`, :math:`C = -s \eta`. Its root in 0 to 1 is
# :math:`\xi = -2C / (B + \sqrt{B^2 - 4AC})`.

BOUND = 5.0  # beyond it the curve is the identity
PIECES = 10
LEAST = 1e-3  # smallest share of a piece, and smallest slope


def knots(raw: Tensor) -> Tensor:
    """Unbounded numbers [.., PIECES] -> rising places from -BOUND to BOUND [.., PIECES + 1]."""
    shares = LEAST + (1 - LEAST * PIECES) * raw.softmax(-1)
    return 2 * BOUND * F.pad(shares.cumsum(-1), (1, 0)) - BOUND


def spline(x: Tensor, raw: Tensor, backwards: bool = False) -> tuple[Tensor, Tensor]:
    """The curve at x, or its inverse, and log |slope| of that: [..], [.., 3 PIECES - 1] -> [..]."""
    inside, u = x.abs() <= BOUND, x.clamp(-BOUND, BOUND)
    across, up = knots(raw[..., :PIECES]), knots(raw[..., PIECES : 2 * PIECES])
    slopes = LEAST + F.softplus(raw[..., 2 * PIECES :])
    slopes = F.pad(slopes, (1, 1), value=1.0)  # so the curve meets the identity smoothly
    edges = up if backwards else across
    piece = (u[..., None] >= edges[..., 1:-1]).sum(-1, keepdim=True)  # which piece x lies in

    def take(values: Tensor, step: int = 0) -> Tensor:
        return values.gather(-1, piece + step)[..., 0]

    x0, width = take(across), take(across, 1) - take(across)
    y0, h = take(up), take(up, 1) - take(up)
    d0, d1, s = take(slopes), take(slopes, 1), h / width
    c = d0 + d1 - 2 * s
    if backwards:
        eta = (u - y0) / h
        A, B, C = s - d0 + c * eta, d0 - c * eta, -s * eta
        xi = -2 * C / (B + (B * B - 4 * A * C).clamp(min=0).sqrt())
        out = x0 + width * xi
    else:
        xi = (u - x0) / width
        out = y0 + h * (s * xi**2 + d0 * xi * (1 - xi)) / (s + c * xi * (1 - xi))
    top = s**2 * (d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2)
    log_slope = top.log() - 2 * (s + c * xi * (1 - xi)).log()
    log_slope = -log_slope if backwards else log_slope
    return torch.where(inside, out, x), torch.where(inside, log_slope, torch.zeros_like(x))


# %%
# Three numbers prove the curve: backwards after forwards is the identity, the slope is what
# automatic differentiation finds, and the density that the change of variables gives has area 1.
# The picture shows that samples have that density.

if __name__ == "__main__":
    from TTS.tts.layers.vits.transforms import (
        piecewise_rational_quadratic_transform as reference_spline,
    )

    torch.manual_seed(1)
    curve = 1.5 * torch.randn(3 * PIECES - 1, dtype=torch.double)
    xs = torch.linspace(-7, 7, 20_001, dtype=torch.double, requires_grad=True)
    shapes = curve.expand(len(xs), -1)
    ys, log_slopes = spline(xs, shapes)
    [slopes_by_autograd] = torch.autograd.grad(ys.sum(), xs)
    spline_inverse = (spline(ys, shapes, backwards=True)[0] - xs).abs().max().item()
    spline_slope = (log_slopes.exp() - slopes_by_autograd).abs().max().item()
    xs, ys, log_slopes = xs.detach(), ys.detach(), log_slopes.detach()
    density = torch.exp(-0.5 * ys**2 + log_slopes) / math.sqrt(2 * math.pi)
    density_area = torch.trapezoid(density, xs).item()
    noise = torch.randn(100_000, dtype=torch.double)
    drawn = spline(noise, curve.expand(len(noise), -1), backwards=True)[0]
    theirs = []
    for backwards in (False, True):  # coqui-tts's curve, of the same numbers
        parts = shapes.split([PIECES, PIECES, PIECES - 1], -1)
        theirs.append(
            reference_spline(xs, *parts, inverse=backwards, tails="linear", tail_bound=BOUND)
        )
    ours = [(ys, log_slopes), spline(xs, shapes, backwards=True)]
    pairs = zip(sum(ours, ()), sum(theirs, ()), strict=True)
    spline_difference = max((our - their).abs().max().item() for our, their in pairs)
    print(f"inverse {spline_inverse:.1e}, slope against autograd {spline_slope:.1e}")
    print(f"curve, inverse and slopes against coqui-tts {spline_difference:.1e}")
    print(f"area under the density: {density_area:.5f}")
    assert spline_inverse < 1e-9, "float64 leaves twelve digits"
    assert spline_difference < 1e-9, "float64; both write out the same formulas"
    assert spline_slope < 1e-9, "the slope is written out, not approximated"
    assert abs(density_area - 1) < 1e-3, "densities integrate to 1, up to the grid's spacing"

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    left.plot(xs, ys, label="y = f(x)")
    left.plot(xs, xs, "k:", lw=1, label="identity")
    left.plot(knots(curve[:PIECES]), knots(curve[PIECES : 2 * PIECES]), "o", ms=4, label="knots")
    left.set(xlabel="x", ylabel="y", title="A rational-quadratic spline")
    left.legend()
    right.hist(drawn.numpy(), 200, range=(-6, 6), density=True, color="tab:orange", label="samples")
    right.plot(xs, density, lw=1.2, label="N(f(x)) f'(x)")
    right.set(xlabel="x", ylabel="density", xlim=(-6, 6))
    right.set_title("Noise sent backwards has the density of the formula")
    right.legend()
    keep_picture(figure, "flows_spline")
    plt.close(figure)

# %%
# Couplings: curves that depend on something
# ------------------------------------------
#
# A coupling layer makes a flow of several numbers out of curves of one. It leaves half of the
# channels as they are and lets them choose what happens to the other half. So it can be undone
# whatever network does the choosing: the half that chose is still there.
#
# With a kept half :math:`x_0` and any network :math:`\theta`, steered by the text:
#
# .. math::
#
#     y_0 = x_0, \qquad y_1 = f(x_1;\; \theta(x_0, \text{text})), \qquad
#     \log \left| \det J \right| = \sum_t \log f'(x_{1,t})
#
# The Jacobian matrix is triangular, so its determinant is the product of the slopes. After each
# coupling the halves change places, else one of them would never be changed.


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [B, C, T]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class DepthwiseStack(nn.Module):
    """Three residual layers that see 13 places to each side: filters per channel, then a mixture."""

    def __init__(self, channels: int, kernel: int = 3, layers: int = 3):
        super().__init__()
        steps = [kernel**i for i in range(layers)]  # dilations 1, 3, 9; the padding is the same
        self.spread = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=d, dilation=d, groups=channels)
            for d in steps
        )
        self.mix = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in steps)
        self.norm_1 = nn.ModuleList(ChannelNorm(channels) for _ in steps)
        self.norm_2 = nn.ModuleList(ChannelNorm(channels) for _ in steps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        layers = zip(self.spread, self.norm_1, self.mix, self.norm_2, strict=True)
        for spread, norm_1, mix, norm_2 in layers:
            x = x + F.gelu(norm_2(mix(F.gelu(norm_1(spread(x * mask))))))
        return x * mask


class SplineCoupling(nn.Module):
    """Two channels: the first and the text choose the curve of the second; then they swap."""

    def __init__(self, channels: int):
        super().__init__()
        self.enter = nn.Conv1d(1, channels, 1)
        self.stack = DepthwiseStack(channels)
        self.leave = nn.Conv1d(channels, 3 * PIECES - 1, 1)
        nn.init.zeros_(self.leave.weight)  # training begins with one curve for all
        nn.init.zeros_(self.leave.bias)
        scale = torch.tensor([channels**-0.5] * (2 * PIECES) + [1.0] * (PIECES - 1))
        self.register_buffer("scale", scale, persistent=False)  # of places, heights and slopes

    def shape(self, kept: Tensor, mask: Tensor, text: Tensor) -> Tensor:
        h = self.stack(self.enter(kept) + text, mask)
        return (self.leave(h) * mask).transpose(1, 2) * self.scale  # [B, T, 3 PIECES - 1]

    def forward(self, x: Tensor, mask: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        x0, x1 = x.chunk(2, 1)
        y1, log_slope = spline(x1[:, 0], self.shape(x0, mask, text))
        return torch.cat([y1[:, None], x0], 1) * mask, (log_slope * mask[:, 0]).sum(1)

    def inverse(self, y: Tensor, mask: Tensor, text: Tensor) -> Tensor:
        y1, y0 = y.chunk(2, 1)
        x1, _ = spline(y1[:, 0], self.shape(y0, mask, text), backwards=True)
        return torch.cat([y0, x1[:, None]], 1) * mask


# %%
# Couplings that only add
# -----------------------
#
# The simplest coupling adds to one half of the channels what a network makes of the other half.
# Nothing is stretched, so the determinant is 1 and its logarithm 0. VITS uses four of them between
# what a text predicts and what speech is: 192 channels, 96 of them changed at a time.
#
# .. math::
#
#     y_0 = x_0, \qquad y_1 = x_1 + m(x_0), \qquad \log \left| \det J \right| = 0
#
# The network :math:`m` is a stack of WaveNet layers. In each, a convolution over five frames
# (slices of 11.6 ms) makes a content and a gate; :math:`\tanh(\text{content}) \cdot
# \sigma(\text{gate})` goes on to the next layer and into a sum that is the result.


class WaveNet(nn.Module):
    """Gated convolutions, each with a way on (residual) and a way out (skip)."""

    def __init__(self, channels: int, kernel: int, layers: int):
        super().__init__()
        self.channels = channels
        self.gates = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels, kernel, padding=kernel // 2) for _ in range(layers)
        )
        self.mixes = nn.ModuleList(
            nn.Conv1d(channels, (2 if i < layers - 1 else 1) * channels, 1) for i in range(layers)
        )  # the last layer has a way out only

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for gate, mix in zip(self.gates, self.mixes, strict=True):
            content, openness = gate(x).chunk(2, 1)
            y = mix(content.tanh() * openness.sigmoid())
            x = (x + y[:, : self.channels]) * mask
            total = total + y[:, -self.channels :]
        return total * mask


class MeanCoupling(nn.Module):
    """The first half of the channels says what is added to the second; then the order reverses."""

    def __init__(self, channels: int, layers: int):
        super().__init__()
        self.enter = nn.Conv1d(channels // 2, channels, 1)
        self.wavenet = WaveNet(channels, 5, layers)
        self.leave = nn.Conv1d(channels, channels // 2, 1)
        nn.init.zeros_(self.leave.weight)  # training begins with adding nothing
        nn.init.zeros_(self.leave.bias)

    def shift(self, kept: Tensor, mask: Tensor) -> Tensor:
        return self.leave(self.wavenet(self.enter(kept) * mask, mask)) * mask  # m(x_0)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x0, x1 = x.chunk(2, 1)
        y = torch.cat([x0, (x1 + self.shift(x0, mask)) * mask], 1)
        return y.flip(1), x.new_zeros(len(x))

    def inverse(self, y: Tensor, mask: Tensor) -> Tensor:
        y0, y1 = y.flip(1).chunk(2, 1)
        return torch.cat([y0, (y1 - self.shift(y0, mask)) * mask], 1)


# %%
# Flows in a row
# --------------
#
# Flows one after the other are a flow. The log determinants add up, and the inverse undoes the last
# layer first. At the start of the duration flow stands one more kind of layer, which shifts and
# scales each channel.


class Affine(nn.Module):
    """y = x e^s + m, with one s and one m per channel."""

    def __init__(self, channels: int = 2):
        super().__init__()
        self.translation = nn.Parameter(torch.zeros(channels, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor, mask: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        y = (x * self.log_scale.exp() + self.translation) * mask
        return y, (self.log_scale * mask).sum((1, 2))

    def inverse(self, y: Tensor, mask: Tensor, *given: Tensor) -> Tensor:
        return (y - self.translation) * (-self.log_scale).exp() * mask


class Flow(nn.ModuleList):
    """Layers that can be undone, in a row; `given` steers them and may be empty."""

    def forward(self, x: Tensor, mask: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for layer in self:
            x, log_det = layer(x, mask, *given)
            total = total + log_det
        return x, total  # [B, C, T], log |det J| [B]

    def inverse(self, y: Tensor, mask: Tensor, *given: Tensor) -> Tensor:
        for layer in reversed(self):
            y = layer.inverse(y, mask, *given)
        return y


# %%
# Both kinds are held to their promises with random weights: the inverse undoes the flow, and its log
# determinant is that of the full Jacobian matrix, which automatic differentiation fills in entry by
# entry.


def stirred(module: nn.Module, seed: int, spread: float = 0.3) -> nn.Module:
    """The module in float64 with random weights everywhere, so that no layer is idle."""
    generator = torch.Generator().manual_seed(seed)
    for p in module.double().parameters():
        p.data = spread * torch.randn(p.shape, generator=generator, dtype=torch.double)
    return module.eval().requires_grad_(False)


def flow_errors(flow: nn.Module, x: Tensor, *given: Tensor) -> tuple[float, float]:
    """How far inverse(flow(x)) is from x, and log |det J| from the full Jacobian's."""
    y, log_det = flow(x, *given)
    back = (flow.inverse(y, *given) - x).abs().max().item()
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v, *given)[0], x)
    full = torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel())).logabsdet
    return back, (full - log_det.sum()).abs().item()


if __name__ == "__main__":
    torch.manual_seed(2)
    toy_mask, toy_text = torch.ones(1, 1, 5).double(), torch.randn(1, 8, 5).double()
    toy_splines = stirred(Flow([Affine(), *(SplineCoupling(8) for _ in range(4))]), seed=2)
    toy_means = stirred(Flow([MeanCoupling(4, 2) for _ in range(4)]), seed=3)
    spline_flow_inverse, spline_flow_log_det = flow_errors(
        toy_splines, torch.randn(1, 2, 5).double(), toy_mask, toy_text
    )
    mean_flow_inverse, mean_flow_log_det = flow_errors(
        toy_means, torch.randn(1, 4, 5).double(), toy_mask
    )
    print(f"splines: inverse {spline_flow_inverse:.0e}, determinant {spline_flow_log_det:.0e}")
    print(f"adding:  inverse {mean_flow_inverse:.0e}, determinant {mean_flow_log_det:.0e}")
    assert max(spline_flow_inverse, mean_flow_inverse) < 1e-8, "float64, there and back"
    assert max(spline_flow_log_det, mean_flow_log_det) < 1e-8, "exact, not an estimate"

# %%
# The real voice: durations are a density
# ---------------------------------------
#
# The stochastic duration predictor of VITS gives each symbol a random duration, as people do: a
# sentence is never said twice with the same rhythm. Gaussian noise goes backwards through four spline
# couplings that the text steers, and what comes out is the logarithm of the duration in frames.
#
# The trained flow keeps the two promises as the toys did. Drawn many times, each symbol shows its own
# spread of durations, and so does the whole sentence. With the noise at 0 every draw is the same.

if __name__ == "__main__":
    vits = import_recipe("vits")
    phonemes, ids, owners = vits.spell("The birch canoe slid on the smooth planks.")
    model, row = vits.load_voice(), torch.tensor([ids])
    few, few_mask = row[:, :4], torch.ones(1, 1, 4).double()
    predictor = copy.deepcopy(model.durations).double()
    few_text = predictor.condition(model.text(few, few_mask.float())[0].double(), few_mask)
    real_inverse, real_log_det = flow_errors(
        predictor.flows, torch.randn(1, 2, 4).double(), few_mask, few_text
    )
    print(f"the voice's: inverse {real_inverse:.0e}, determinant {real_log_det:.0e}")
    assert real_inverse < 1e-6, "float64; some of the real curves are steep"
    assert real_log_det < 1e-6, "float64"

    torch.manual_seed(0)
    with torch.inference_mode():
        many = model.draw_durations(row.expand(100 if QUICK else 400, -1), 0.8)  # [draws, T]
        still = model.draw_durations(row.expand(3, -1), 0.0)
    lengths_s = many.sum(1) * vits.FRAME_S
    length_mean, length_spread = lengths_s.mean().item(), lengths_s.std().item()
    length_spread_still = still.sum(1).std().item() * vits.FRAME_S
    print(f"{len(many)} draws of the sentence last {length_mean:.2f} s on average, with a standard")
    print(f"deviation of {length_spread:.3f} s; without noise {length_spread_still:.3f} s")
    assert length_spread_still == 0 < length_spread, "the noise is the only thing that is random"

    shown = [i for i, owner in enumerate(owners) if owner >= 0]
    low, middle, high = np.quantile(many[:, shown], (0.05, 0.5, 0.95), axis=0)
    figure, axis = plt.subplots(figsize=(11, 3.6))
    places = range(len(shown))
    axis.bar(places, high - low + 1, bottom=low - 0.5, color="lightsteelblue", label="5 to 95 %")
    axis.plot(middle, "ko", ms=4, label="median")
    axis.plot(many[0, shown], "r_", ms=9, label="one draw")
    axis.set_xticks(places, [phonemes[owners[i]].replace(" ", "_") for i in shown])
    axis.set(ylabel="duration (frames of 11.6 ms)", ylim=(0, None))
    axis.set_xlabel("phoneme (_ is the space between words; the blank symbols are left out)")
    axis.set_title("Durations are a density, not a number")
    axis.legend()
    keep_picture(figure, "flows_durations")
    plt.close(figure)

# %%
# The real voice: from steps to motion
# ------------------------------------
#
# The text gives each symbol one Gaussian, the same for all its frames, but speech moves within a
# phoneme. The second flow of VITS, four couplings that add, bends that simple density into one that
# fits. Behind it the mean moves within a symbol too, and neighbouring frames vary together, as they
# do in speech; before it, what is drawn is unrelated from frame to frame.


def neighbour_correlation(variation: Tensor) -> float:
    """Correlation of neighbouring frames, over draws and channels: [draws, C, frames]."""
    product = variation[..., 1:] * variation[..., :-1]
    return (product.mean() / variation.square().mean()).item()


def motion_inside(values: Tensor, owners: Tensor) -> float:
    """Mean step from frame to frame within a symbol, as a share of that between symbols."""
    steps = values.diff(dim=1).abs().mean(0)  # [C, frames] -> [frames - 1]
    inside = owners.diff() == 0
    return (steps[inside].mean() / steps[~inside].mean()).item()


if __name__ == "__main__":
    torch.manual_seed(0)
    one = model.speak(ids)
    frames = one.mean.shape[1]
    path = vits.path_matrix(one.durations[None])  # [1, frames, T]
    scale = model.text(row, torch.ones(1, 1, len(ids)))[2].exp() @ path.mT  # [1, C, frames]
    before = 0.667 * scale * torch.randn(8 if QUICK else 24, 192, frames)
    with torch.inference_mode():
        behind = model.flow.inverse(one.mean + before, torch.ones(1, 1, frames))
        middle = model.flow.inverse(one.mean[None], torch.ones(1, 1, frames))[0]
    correlation_before = neighbour_correlation(before)
    correlation_behind = neighbour_correlation(behind - behind.mean(0))
    motion_before = motion_inside(one.mean, path[0].argmax(1))
    motion_behind = motion_inside(middle, path[0].argmax(1))
    print(f"motion within symbols, as a share of that between them: {motion_before:.2f} before the")
    print(f"flow, {motion_behind:.2f} behind it")
    print(f"neighbouring frames of a draw: correlation {correlation_before:.2f} before the flow,")
    print(f"{correlation_behind:.2f} behind it")
    assert motion_before == 0 < 0.1 < motion_behind, "constant before; a flow is not bound to be"
    assert abs(correlation_before) < 0.05, "independent by construction, up to chance"
    assert correlation_behind > correlation_before + 0.1, "the flow ties neighbours together"

    seconds, count = frames * vits.FRAME_S, 48
    figure, axes = plt.subplots(3, 1, figsize=(11, 8), sharex=True)
    titles = ("mean of the prior: one vector per symbol", "a draw from it", "z, behind the flow")
    for axis, values, title in zip(axes, (one.mean, one.drawn, one.z), titles, strict=True):
        even = (values - values.mean(1, keepdim=True)) / values.std()
        image = axis.imshow(
            even[:count],
            aspect="auto",
            cmap="RdBu",
            vmin=-2,
            vmax=2,
            extent=(0, seconds, count, 0),
            interpolation="nearest",
        )
        axis.set(ylabel="channel", title=title)
    axes[-1].set_xlabel("time (s)")
    figure.colorbar(image, ax=axes, label="less the channel's mean, in standard deviations")
    keep_picture(figure, "flows_prior")
    plt.close(figure)

# %%
# What it does not do
# -------------------
#
# Only curves of one number and sums are here. Other flows scale (Real NVP), mix channels with a
# matrix (Glow) or follow a differential equation (flow matching). A flow keeps the number of
# dimensions, so it can't compress as an autoencoder does. And nothing here is trained.
#
# Exercises
# ---------
#
# 1. Fit one spline to the durations of your own choice by gradient descent on :math:`-\log p(x)`.
# 2. Leave out the swap after each coupling. Which numbers never change?
# 3. Give ``MeanCoupling`` a scale as well. What is the log determinant, and does the check agree?
# 4. Set ``PIECES`` to 2 in a toy flow of one number. Which densities can it no longer have?
# 5. The voice's file has no weights for its first spline coupling. Show that the durations do not
#    depend on them. (Which channel does it change, and which one is used?)
#
# Papers
# ------
#
# Dinh, Sohl-Dickstein and Bengio, 2017, "Density Estimation Using Real NVP". Kingma and Dhariwal,
# 2018, "Glow". Durkan, Bekasov, Murray and Papamakarios, 2019, "Neural Spline Flows". van den Oord
# et al., 2016, "WaveNet". Kim, Kong and Son, 2021, "Conditional Variational Autoencoder with
# Adversarial Learning for End-to-End Text-to-Speech" (VITS).
