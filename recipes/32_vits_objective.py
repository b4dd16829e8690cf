r"""
VITS: what it is trained for
============================

:Answers: questions 27 (VITS: its training objectives), 3 (the losses L1, KL, adversarial, feature
    matching), 19 (where VITS is a VAE)
:Needs: no weights; coqui-tts and monotonic-alignment-search to be compared with
:Takes: about 40 s (25 s with ``--quick``) on two cores, weights fetched before

VITS speaks by drawing latent frames :math:`z` from a density that the text gives, and decoding
them. To train it one would raise the probability of the recordings, but that is an integral over
every possible :math:`z`. And nobody says how long each phoneme lasts. VITS answers the first with a
variational autoencoder, the second with a search for the best alignment, and adds critics that
listen to the sound.

.. math::

    \log p(x \mid \text{text}) \;\ge\;
    \mathbb E_{q(z \mid x)} \log p(x \mid z) - \mathrm{KL}\left( q(z \mid x) \,\|\,
    p(z \mid \text{text}, \text{alignment}) \right)

``33_vits_training.py`` trains a small VITS with what stands here.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from common import import_recipe, keep_picture
from matplotlib.figure import Figure
from monotonic_alignment_search import maximum_path
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

flows = import_recipe("flows")
vits = import_recipe("vits")


@dataclass(frozen=True)
class Sound:
    """How waves become spectrograms. Lengths are in samples."""

    rate: int = 22_050  # Hz
    fft: int = 1024
    hop: int = 256
    mels: int = 80


# %%
# Reconstruction: the L1 distance of mel spectrograms
# ---------------------------------------------------
#
# The decoder is told to reproduce a recording, and the error is measured on log-mel spectrograms:
# the mean absolute difference. Samples would be the wrong thing to compare, because two waves that
# sound the same may differ in phase. The mel scale weighs frequencies as hearing does, and the
# absolute value, unlike the square, does not let the few largest errors rule. The factor 45 sets
# its weight beside the other losses.
#
# .. math::
#
#     L_\text{mel} = 45 \cdot \operatorname{mean} \left| \ln M s(x) - \ln M s(\hat x) \right|


def linear_spectrogram(wave: Tensor, sound: Sound) -> Tensor:
    """Magnitudes, what the posterior encoder reads: [B, n] -> [B, fft / 2 + 1, n / hop]."""
    margin = (sound.fft - sound.hop) // 2
    padded = F.pad(wave[:, None], (margin, margin), mode="reflect")[:, 0]
    window = torch.hann_window(sound.fft)
    bins = torch.stft(
        padded, sound.fft, sound.hop, window=window, center=False, return_complex=True
    )
    return (torch.view_as_real(bins).square().sum(-1) + 1e-6).sqrt()


@lru_cache
def mel_filters(sound: Sound) -> Tensor:
    bins = sound.fft // 2 + 1
    filters = melscale_fbanks(bins, 0, sound.rate / 2, sound.mels, sound.rate, "slaney", "slaney")
    return filters.T  # [mels, bins]


def log_mel(linear: Tensor, sound: Sound) -> Tensor:
    """[B, bins, frames] -> [B, mels, frames], natural logarithm."""
    return (mel_filters(sound) @ linear).clamp(min=1e-5).log()


# %%
# The posterior encoder: where VITS is a VAE
# ------------------------------------------
#
# An autoencoder maps each input to one point, and nothing says what lies between the points. A
# variational autoencoder maps it to a small Gaussian and pulls that towards a known prior, so that
# one can draw from the prior and decode. In VITS the encoder reads a spectrogram, the decoder makes
# the wave, and the prior is the one that the text gives. The encoder is needed only in training.
#
# .. math::
#
#     z = \mu_q(x) + \sigma_q(x) \cdot \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I)
#
# Written like this, the draw is a function of :math:`\mu_q` and :math:`\sigma_q`, and gradients pass
# through it (the reparametrisation trick).


class PosteriorEncoder(nn.Module):
    """Linear spectrogram -> a draw of z and log sigma of the Gaussian that it came from."""

    def __init__(self, bins: int, channels: int, layers: int = 16):
        super().__init__()
        self.enter = nn.Conv1d(bins, channels, 1)
        self.wavenet = flows.WaveNet(channels, 5, layers)
        self.leave = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, linear: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        h = self.wavenet(self.enter(linear) * mask, mask)
        mean, log_scale = (self.leave(h) * mask).chunk(2, 1)
        z = (mean + torch.randn_like(mean) * log_scale.exp()) * mask
        return z, log_scale  # [B, C, frames] each


# %%
# The KL term: latents that the text can foresee
# ----------------------------------------------
#
# The Kullback-Leibler divergence measures how badly the text's density foretells the latents that
# the encoder found. It is 0 only if both densities are the same. It trains the text encoder to
# expect what is said, and the posterior encoder to say no more than the decoder needs.
#
# The prior is a Gaussian behind the flow :math:`g`, which does not stretch, so
# :math:`\log p(z) = \log \mathcal N(g(z); \mu, \sigma)`. The expectation of :math:`\log q` is known;
# that of :math:`\log p` is estimated with the one :math:`z` that was drawn:
#
# .. math::
#
#     L_\text{KL} = \log \sigma - \log \sigma_q - \tfrac12
#     + \frac{(g(z) - \mu)^2}{2 \sigma^2}


def kl_term(z_p: Tensor, log_q: Tensor, mean: Tensor, log_scale: Tensor, mask: Tensor) -> Tensor:
    """Sum over channels, mean over frames; z_p = g(z), log_q = log sigma_q, all [B, C, frames]."""
    kl = log_scale - log_q - 0.5 + 0.5 * (z_p - mean) ** 2 * torch.exp(-2 * log_scale)
    return (kl * mask).sum() / mask.sum()


if __name__ == "__main__":
    torch.manual_seed(0)
    q, p = torch.distributions.Normal(0.3, 0.5), torch.distributions.Normal(-0.2, 0.9)
    kl_exact = torch.distributions.kl_divergence(q, p).item()
    z = q.sample((1, 1, 1_000_000))
    ones = torch.ones_like(z)
    kl_estimated = kl_term(z, ones * q.scale.log(), ones * p.loc, ones * p.scale.log(), ones).item()
    print(f"KL of two Gaussians: exact {kl_exact:.4f}, mean of the estimates {kl_estimated:.4f}")
    assert abs(kl_exact - kl_estimated) < 2e-3, "a million draws leave three digits"

# %%
# Monotonic alignment search
# --------------------------
#
# Nobody tells VITS which frame belongs to which phoneme, so it looks for the alignment under which
# the current model finds the recording most probable. The order is fixed, no phoneme may be skipped
# and there is no way back. So the best path to a frame extends one of two best paths to the frame
# before it, and dynamic programming finds it exactly.
#
# With :math:`\ell_{ij}` the log density of frame :math:`j` under the Gaussian of symbol :math:`i`:
#
# .. math::
#
#     Q_{ij} = \ell_{ij} + \max(Q_{i, j-1},\; Q_{i-1, j-1})
#
# The path is read off backwards, from the last symbol at the last frame.


def log_density(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Of each frame under each symbol's Gaussian: [B, C, frames], twice [B, C, T] -> [B, T, frames]."""
    precision = torch.exp(-2 * log_scale)  # 1 / sigma^2
    fixed = -0.5 * math.log(2 * math.pi) - log_scale - 0.5 * mean**2 * precision
    crossed = (mean * precision).mT @ z - 0.5 * precision.mT @ z**2
    return fixed.sum(1)[..., None] + crossed  # (z - mu)^2, multiplied out


def alignment_search(scores: Tensor, symbols: Tensor, frames: Tensor) -> Tensor:
    """The best path, 1 where a frame belongs to a symbol: [B, T, F], [B], [B] -> [B, T, F]."""
    score, items = scores.numpy(force=True), np.arange(len(scores))
    best = np.full(score.shape[:2], -np.inf, score.dtype)  # Q of the frame before
    stays = np.zeros(score.shape, bool)
    for j in range(score.shape[2]):
        came = np.roll(best, 1, axis=1)  # Q of the symbol before
        came[:, 0] = -np.inf if j else 0.0  # the first frame begins with the first symbol
        stays[:, :, j] = best >= came
        best = np.maximum(best, came) + score[:, :, j]
    path, at = np.zeros_like(score), symbols.numpy() - 1
    for j in reversed(range(score.shape[2])):
        inside = j < frames.numpy()  # of the items that are as long
        path[items[inside], at[inside], j] = 1
        at = at - (inside & ~stays[items, at, j])
    return torch.from_numpy(path)


# %%
# On small cases every path can be tried. On large ones the search is held to the package
# monotonic-alignment-search, which coqui-tts uses.


def try_all(score: Tensor) -> float:
    """The largest sum of any monotone path through [T, F]."""
    symbols, frames = score.shape
    sums = []
    for cuts in itertools.combinations(range(1, frames), symbols - 1):  # where a symbol begins
        lengths = np.diff([0, *cuts, frames])
        owners = torch.arange(symbols).repeat_interleave(torch.tensor(lengths))
        sums.append(score[owners, torch.arange(frames)].sum().item())
    return max(sums)


if __name__ == "__main__":
    torch.manual_seed(0)
    small = torch.randn(50, 4, 9)
    found = (small * alignment_search(small, torch.full((50,), 4), torch.full((50,), 9))).sum(
        (1, 2)
    )
    search_shortfall = max(try_all(s) - f.item() for s, f in zip(small, found, strict=True))
    large, symbols, frames = (
        torch.randn(8, 40, 200),
        torch.arange(33, 41),
        torch.arange(130, 201, 10),
    )
    inside = (torch.arange(40) < symbols[:, None])[..., None] & (
        torch.arange(200) < frames[:, None]
    )[:, None]
    their_path = maximum_path(large, inside.float())
    search_mismatches = (alignment_search(large, symbols, frames) != their_path).sum().item()
    print(f"50 searches miss the best of all 56 paths by at most {search_shortfall:.1e}")
    print(f"against the package, {search_mismatches} of {large.numel():,} entries differ")
    assert search_shortfall < 1e-5, "the same sums, added in another order"
    assert search_mismatches == 0, "the same path"

# %%
# The picture: scores of 12 symbols and 60 frames, high along a diagonal and noisy, and the path of
# the greatest sum. Taken frame by frame the best symbol jumps; the path never goes back.


def draw_search(scores: Tensor, path: Tensor) -> Figure:
    """Scores [symbols, frames] with the path, and with the best symbol of each frame alone."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(scores, aspect="auto", origin="lower", cmap="magma")
    figure.colorbar(image, ax=axis, label="score (log probability)")
    axis.plot(scores.argmax(0), "w.", label="best symbol of the frame alone")
    axis.step(range(scores.shape[1]), path.argmax(0), "C0", where="mid", label="path")
    axis.set(xlabel="frame", ylabel="symbol", title="The best path through the scores")
    axis.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    steps = torch.arange(12)[:, None] * 5 - torch.arange(60)  # frames from the diagonal
    noisy = -(steps / 8).square() + 3 * torch.randn(12, 60)
    drawn_path = alignment_search(noisy[None], torch.tensor([12]), torch.tensor([60]))[0]
    jumps_back = int((noisy.argmax(0).diff() < 0).sum())
    print(f"frame by frame the best symbol goes back {jumps_back} times, on the path never")
    assert jumps_back > 0, "there is nothing to mend"
    assert (drawn_path.argmax(0).diff() >= 0).all(), "the path goes back"
    keep_picture(draw_search(noisy, drawn_path), "vits_alignment_search")

# %%
# The duration loss: a bound for whole numbers
# --------------------------------------------
#
# The durations that the search finds are whole numbers, but a flow gives densities of real numbers;
# fitted to whole numbers it would grow infinite spikes. So each duration is spread over an interval:
# a random part of a frame is taken off, and how it is drawn is learned as well. What comes out is a
# lower bound of the log probability of the whole number (variational dequantisation).
#
# The duration is :math:`d`, the part taken off :math:`u \in (0, 1)`, the second channel :math:`\nu`:
#
# .. math::
#
#     \log p(d) = \log \int_0^1 \!\! \int p(d - u, \nu)\, \mathrm d\nu\, \mathrm d u \;\ge\;
#     \mathbb E_{q(u, \nu \mid d)} \left[ \log p(d - u, \nu) - \log q(u, \nu \mid d) \right]
#
# Both densities are flows of spline couplings. :math:`q` runs from noise to :math:`(w, \nu)`, and
# :math:`u` is the sigmoid of :math:`w`. :math:`p` runs from :math:`(\log(d - u), \nu)` to noise. Every
# change of variables adds its log slope: the sigmoid :math:`\log u (1 - u)`, the logarithm
# :math:`-\log(d - u)`.


def log_normal(x: Tensor, mask: Tensor) -> Tensor:
    """Log density of standard normal noise: [B, 2, T] -> [B]."""
    return ((-0.5 * math.log(2 * math.pi) - 0.5 * x**2) * mask).sum((1, 2))


class DurationTrainer(vits.DurationPredictor):
    """The duration predictor, and the density of (u, nu) that only training needs."""

    def __init__(self, text_channels: int, channels: int, couplings: int):
        super().__init__(text_channels, channels, couplings)
        self.posterior = vits.DurationPredictor(1, channels, couplings)

    def loss(self, durations: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Upper bound of -log p(durations | text), one draw of it: [B, T] -> [B]."""
        d, steer = durations[:, None], self.condition(text, mask)
        noise = torch.randn(len(d), 2, d.shape[2], dtype=text.dtype) * mask
        heard = self.posterior.condition(d, mask)
        drawn, log_det = self.posterior.flows(noise, mask, steer + heard)
        w, nu = drawn.chunk(2, 1)
        log_slope = (F.logsigmoid(w) + F.logsigmoid(-w)) * mask  # log u (1 - u)
        log_q = log_normal(noise, mask) - log_det - log_slope.sum((1, 2))
        log_rest = (d - w.sigmoid()).clamp(min=1e-5).log() * mask  # log(d - u)
        out, log_det = self.flows(torch.cat([log_rest, nu], 1), mask, steer)
        log_p = log_normal(out, mask) + log_det - log_rest.sum((1, 2))
        return log_q - log_p


# %%
# For one symbol the integral can be computed on a grid, so the bound can be seen to hold.

if __name__ == "__main__":
    torch.manual_seed(0)
    toy = flows.stirred(DurationTrainer(4, 8, 2), seed=6)
    toy_text = torch.randn(1, 4, 1).double()
    u = (torch.arange(100).double() + 0.5) / 100  # midpoints of 0 to 1
    nu = torch.linspace(-12, 12, 241).double()  # steps of 0.1
    u_grid, nu_grid = (g.reshape(-1, 1, 1) for g in torch.meshgrid(u, nu, indexing="ij"))
    mask = torch.ones(len(u_grid), 1, 1).double()
    steer = toy.condition(toy_text, mask[:1]).expand(len(mask), -1, -1)
    duration_exact, duration_bound = [], []
    for d in (1, 2, 3, 5):
        log_rest = (d - u_grid).log()
        out, log_det = toy.flows(torch.cat([log_rest, nu_grid], 1), mask, steer)
        density = (log_normal(out, mask) + log_det - log_rest.sum((1, 2))).exp()
        duration_exact.append((density.sum() * 0.01 * 0.1).log().item())
        whole = torch.full((4_000, 1), float(d), dtype=torch.double)
        text = toy_text.expand(4_000, -1, -1)
        duration_bound.append(-toy.loss(whole, text, mask[:4_000]).mean().item())
        print(
            f"log p({d}) = {duration_exact[-1]:.3f}; the bound's mean is {duration_bound[-1]:.3f}"
        )
    gaps = [e - b for e, b in zip(duration_exact, duration_bound, strict=True)]
    assert min(gaps) > 0, "a lower bound lies below"

# %%
# Critics: adversarial least squares
# ----------------------------------
#
# A mel spectrogram leaves out phase and fine detail, and a decoder trained on it alone sounds like
# a machine. So discriminators, networks that listen to the wave, learn to tell recordings from
# decoded sound, and the decoder learns to be taken for a recording. Five of them fold the wave, to
# look at every 2nd, 3rd, 5th, 7th or 11th sample, so that patterns of different periods show; one
# listens to the wave as it is.
#
# With scores :math:`D(\cdot)` that should be 1 for recordings and 0 for decoded sound (least squares
# keeps giving a gradient where a logarithm would be flat):
#
# .. math::
#
#     L_D = \mathbb E (D(x) - 1)^2 + \mathbb E\, D(\hat x)^2, \qquad
#     L_\text{adv} = \mathbb E (D(\hat x) - 1)^2


class Critic(nn.Module):
    """Convolutions `convs`, then `leave`; gives a score per place and what each layer found."""

    def listen(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        found = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), vits.SLOPE)
            found.append(x)
        score = self.leave(x)
        return score, [*found, score]


class PeriodCritic(Critic):
    """Folds the wave into rows of `period` samples, and looks along the columns."""

    def __init__(self, period: int, widths: Sequence[int] = (32, 128, 512, 1024, 1024)):
        super().__init__()
        self.period, last = period, len(widths) - 1
        self.convs = nn.ModuleList(
            nn.Conv2d(narrow, wide, (5, 1), (3 if i < last else 1, 1), padding=(2, 0))
            for i, (narrow, wide) in enumerate(itertools.pairwise((1, *widths)))
        )
        self.leave = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:  # [B, 1, n]
        whole = F.pad(wave, (0, -wave.shape[-1] % self.period), mode="reflect")
        return self.listen(whole.unflatten(-1, (-1, self.period)))


class ScaleCritic(Critic):
    """Looks at the wave averaged over `pool` samples, in ever larger stretches."""

    def __init__(self, pool: int = 1, widths: Sequence[int] = (16, 64, 256, 1024, 1024)):
        super().__init__()
        self.pool = pool
        first = nn.Conv1d(1, widths[0], 15, padding=7)
        strided = [
            nn.Conv1d(narrow, wide, 41, 4, padding=20, groups=narrow // 4)
            for narrow, wide in itertools.pairwise(widths)
        ]
        last = nn.Conv1d(widths[-1], widths[-1], 5, padding=2)
        self.convs = nn.ModuleList([first, *strided, last])
        self.leave = nn.Conv1d(widths[-1], 1, 3, padding=1)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:  # [B, 1, n]
        return self.listen(F.avg_pool1d(wave, self.pool))


class Critics(nn.Module):
    """All of them. VITS has one at the full scale and five periods."""

    def __init__(self, nets: Sequence[Critic] | None = None):
        super().__init__()
        self.nets = nn.ModuleList(nets or [ScaleCritic(), *map(PeriodCritic, (2, 3, 5, 7, 11))])

    def forward(self, wave: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        scores, found = zip(*(net(wave) for net in self.nets), strict=True)
        return list(scores), [layer for layers in found for layer in layers]


def critic_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """L_D, summed over the critics."""
    pairs = zip(real, fake, strict=True)
    return sum(((1 - r) ** 2).mean() + (f**2).mean() for r, f in pairs)


def adversarial_loss(fake: list[Tensor]) -> Tensor:
    """L_adv, summed over the critics."""
    return sum(((1 - f) ** 2).mean() for f in fake)


# %%
# Feature matching
# ----------------
#
# Feature matching asks the decoder to make the inner layers of the critics see the same in its
# sound as in the recording. A score says little and teaches slowly; this says more. It is a
# reconstruction loss whose measure is learned: what the critics look at to tell the two apart.
#
# .. math::
#
#     L_\text{fm} = 2 \sum_l \operatorname{mean} \left| D^l(x) - D^l(\hat x) \right|


def feature_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    pairs = zip(real, fake, strict=True)
    return 2 * sum((r.detach() - f).abs().mean() for r, f in pairs)


# %%
# One training step
# -----------------
#
# A training step of VITS encodes the recording, aligns it with the text, and adds up five losses.
# Only a short segment is decoded, since the decoder is the costliest part. The generator's loss is
#
# .. math::
#
#     L = L_\text{mel} + L_\text{KL} + L_\text{dur} + L_\text{adv} + L_\text{fm}
#
# The gradient of the duration loss stops at the text vectors, so that the durations do not bend the
# text encoder. The critics are trained in turn, on the same waves.


@dataclass
class Batch:
    """Texts and recordings, padded."""

    ids: Tensor  # [B, T]
    symbols: Tensor  # [B] ids of each text
    wave: Tensor  # [B, n]
    frames: Tensor  # [B] frames of each recording


@dataclass
class Aligned:
    """Text and recording, encoded and aligned. T symbols, C channels, `frames` frames."""

    text: Tensor  # [B, C, T] text vectors
    text_mask: Tensor  # [B, 1, T]
    linear: Tensor  # [B, bins, frames]
    mask: Tensor  # [B, 1, frames]
    z: Tensor  # [B, C, frames] a draw of the posterior
    log_q: Tensor  # [B, C, frames] log sigma of the posterior
    z_p: Tensor  # [B, C, frames] z through the flow
    mean: Tensor  # [B, C, frames] of the prior
    log_scale: Tensor  # [B, C, frames] of the prior
    scores: Tensor  # [B, T, frames] log density of each frame under each symbol
    path: Tensor  # [B, T, frames]


def up_to(lengths: Tensor, size: int) -> Tensor:
    """1 within an item's length: [B] -> [B, 1, size]."""
    return (torch.arange(size) < lengths[:, None]).float()[:, None]


def segments(x: Tensor, starts: Tensor, size: int) -> Tensor:
    """A stretch of each item: [B, C, n] -> [B, C, size]."""
    rows = zip(x, starts.tolist(), strict=True)
    return torch.stack([item[:, start : start + size] for item, start in rows])


class VitsTrainer(vits.Vits):
    """VITS with the parts that training adds."""

    def __init__(self, sizes, sound: Sound, posterior_layers: int = 16, segment: int = 32):
        super().__init__(sizes)
        self.sound, self.segment = sound, segment  # frames that are decoded in a step
        channels = (sizes.channels, sizes.duration_channels)
        self.durations = DurationTrainer(*channels, sizes.duration_flows)
        self.posterior = PosteriorEncoder(sound.fft // 2 + 1, sizes.channels, posterior_layers)

    def align(self, batch: Batch) -> Aligned:
        """Encode text and recording, and find the path between them."""
        linear = linear_spectrogram(batch.wave, self.sound)
        text_mask = up_to(batch.symbols, batch.ids.shape[1])
        mask = up_to(batch.frames, linear.shape[2])
        text, mean, log_scale = self.text(batch.ids, text_mask)
        z, log_q = self.posterior(linear, mask)
        z_p, _ = self.flow(z, mask)
        scores = log_density(z_p, mean, log_scale).detach()
        path = alignment_search(scores, batch.symbols, batch.frames)
        mean, log_scale = mean @ path, log_scale @ path
        return Aligned(text, text_mask, linear, mask, z, log_q, z_p, mean, log_scale, scores, path)

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Losses without critics, and a real and a decoded segment [B, 1, samples]."""
        a = self.align(batch)
        bound = self.durations.loss(a.path.sum(2), a.text.detach(), a.text_mask)
        starts = (torch.rand(len(bound)) * (batch.frames - self.segment + 1)).long()
        fake = self.decoder(segments(a.z, starts, self.segment))
        hop = self.sound.hop
        real = segments(batch.wave[:, None], starts * hop, self.segment * hop)
        wanted = log_mel(segments(a.linear, starts, self.segment), self.sound)
        heard = log_mel(linear_spectrogram(fake[:, 0], self.sound), self.sound)
        losses = {
            "mel": 45 * (wanted - heard).abs().mean(),
            "kl": kl_term(a.z_p, a.log_q, a.mean, a.log_scale, a.mask),
            "duration": bound.sum() / a.text_mask.sum(),
        }
        return losses, real, fake


def heard_by(critics: Critics, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """The losses that the critics have a part in."""
    (real_scores, real_found), (fake_scores, fake_found) = critics(real), critics(fake)
    return {
        "adversarial": adversarial_loss(fake_scores),
        "features": feature_loss(real_found, fake_found),
        "critics": critic_loss(real_scores, fake_scores),
    }


# %%
# The same losses as the reference
# --------------------------------
#
# With the weights of a small ``Vits`` of coqui-tts, random ones, and the same random numbers, all six
# losses are the reference's: its own spectrograms, encoders, search, flows, discriminators and loss
# functions computed them.

TRAINING_NAMES = (  # what the voice's file leaves out; then come the names of 31_vits.py
    (r"^posterior_encoder\.", "posterior."),
    (r"\.post_(?=pre|convs|proj|flows)", ".posterior."),
)

if __name__ == "__main__":
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.layers.losses import VitsDiscriminatorLoss, VitsGeneratorLoss
    from TTS.utils.audio.torch_transforms import spec_to_mel, wav_to_mel, wav_to_spec

    from speechkit.tts.coqui import new_vits

    # coqui-tts has 67 symbols where it is not told otherwise.
    small = vits.Sizes(symbols=67, channels=32, wide=48, layers=2, decoder_channels=32)
    coqui = VitsConfig(
        model_args=VitsArgs(
            hidden_channels=32,
            hidden_channels_ffn_text_encoder=48,
            num_layers_text_encoder=2,
            num_layers_posterior_encoder=3,
            spec_segment_size=16,
            upsample_initial_channel_decoder=32,
            upsample_rates_decoder=list(small.rates),
            upsample_kernel_sizes_decoder=[2 * rate for rate in small.rates],
            resblock_type_decoder="2",
            resblock_kernel_sizes_decoder=list(small.kernels),
            resblock_dilation_sizes_decoder=[list(d) for d in small.dilations],
        )
    )
    reference = new_vits(coqui).eval()  # eval: without dropout
    torch.manual_seed(0)
    for weights in reference.parameters():
        weights.data += 0.02 * torch.randn_like(weights)  # no layer idle
    mine, critics = VitsTrainer(small, Sound(), 3, 16), Critics()
    state = vits.renamed(reference.state_dict(), TRAINING_NAMES)
    judges = {n.removeprefix("disc."): w for n, w in state.items() if n.startswith("disc.")}
    critics.load_state_dict(judges)
    mine.load_state_dict({n: w for n, w in state.items() if not n.startswith("disc.")})

    symbols, frames = torch.tensor([9, 12]), torch.tensor([40, 52])
    batch = Batch(torch.randint(67, (2, 12)), symbols, 0.3 * torch.randn(2, 52 * 256), frames)
    with torch.no_grad():
        torch.manual_seed(1)
        ours, real, fake = mine(batch)
        ours |= heard_by(critics, real, fake)
        torch.manual_seed(1)
        stft = (1024, 256, 1024)
        mels = {"n_fft": 1024, "num_mels": 80, "sample_rate": 22_050, "fmin": 0, "fmax": None}
        linear = wav_to_spec(batch.wave[:, None], *stft)
        out = reference(batch.ids, symbols, linear, frames, batch.wave[:, None])
        fake_scores, fake_found, real_scores, real_found = reference.disc(
            out["model_outputs"], out["waveform_seg"]
        )
        theirs = VitsGeneratorLoss(coqui)(
            mel_slice=segments(spec_to_mel(linear, **mels), out["slice_ids"], 16),
            mel_slice_hat=wav_to_mel(out["model_outputs"], hop_length=256, win_length=1024, **mels),
            **{name: out[name] for name in ("z_p", "logs_q", "m_p", "logs_p")},
            z_len=frames,
            scores_disc_fake=fake_scores,
            feats_disc_fake=fake_found,
            feats_disc_real=real_found,
            loss_duration=out["loss_duration"],
        )
        theirs["loss_disc"] = VitsDiscriminatorLoss(coqui)(real_scores, fake_scores)["loss"]
    named = {"adversarial": "gen", "features": "feat", "critics": "disc"}
    loss_differences = {}
    for name, value in ours.items():
        their = theirs[f"loss_{named.get(name, name)}"].item()
        loss_differences[name] = abs(value.item() - their) / abs(their)
        print(f"{name:12} {value.item():10.4f}, the reference's {their:10.4f}")
    assert max(loss_differences.values()) < 1e-4, "float32 sums in another order"

# %%
# What it does not do
# -------------------
#
# It does not train anything: ``33_vits_training.py`` does. Left out are dropout in the text encoder
# and the duration predictor, weight normalisation of the decoder, the critics and the WaveNets, and
# vectors for several speakers.
#
# Exercises
# ---------
#
# 1. Show with two waves that differ by a phase of 90 degrees that the L1 distance of samples is
#    large where that of mel spectrograms is small.
# 2. Let :math:`\sigma_q` go to 0 in ``kl_term``. What does that say about an autoencoder as a VAE?
# 3. Change ``alignment_search`` so that symbols may be skipped. Which term in the maximum is new?
# 4. The gap between the exact log probability and the bound is a KL divergence. Of which densities?
# 5. Replace the squares of ``critic_loss`` by cross-entropy, and plot the gradient of both for a
#    decoded sound that every critic recognises.
#
# Papers
# ------
#
# Kim, Kong and Son, 2021, "Conditional Variational Autoencoder with Adversarial Learning for
# End-to-End Text-to-Speech" (VITS). Kingma and Welling, 2014, "Auto-Encoding Variational Bayes".
# Kim, Kim, Kong and Yoon, 2020, "Glow-TTS: A Generative Flow for Text-to-Speech via Monotonic
# Alignment Search". Ho et al., 2019, "Flow++" (variational dequantisation). Mao et al., 2017, "Least
# Squares Generative Adversarial Networks". Kong, Kim and Bae, 2020, "HiFi-GAN". Larsen et al., 2016,
# "Autoencoding beyond Pixels using a Learned Similarity Metric" (feature matching).
