r"""
VITS: a voice in one network
============================

:Answers: questions 27 (VITS: its components), 16 (what goes in and what comes out), 21 (the encoder
    alone)
:Needs: the voice ``en_US-joe-medium``; coqui-tts to be compared with
:Takes: about 1 min (10 s with ``--quick``) on two cores, weights fetched before

VITS is one network that turns text into speech. A text says which sounds come, but not how long
each lasts, at what pitch, with how much breath. Many recordings are right for one text. A network
that must give *one* answer gives the average of all, and averaged speech is dull. VITS treats what
the text leaves open as a random variable: it learns a probability density of speech given the text,
and speaking is drawing from it. Two draws are made. One gives each phoneme its duration. The other
gives each frame of 11.6 ms a vector :math:`z` of 192 numbers, which a decoder turns into 256
samples of sound:

.. math::

    p(\text{wave} \mid \text{text}) = \int p(\text{wave} \mid z)\; p(z \mid \text{text}, d)\;
    p(d \mid \text{text})\; \mathrm{d}z\, \mathrm{d}d
"""

import math
import re
from dataclasses import dataclass
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import torch
from common import QUICK, import_recipe, keep_picture, keep_sound
from torch import Tensor, nn
from torch.nn import functional as F

import speechkit as sk
from speechkit.features import VITS_HOP, VITS_RATE, vits_mel
from speechkit.tts.coqui import load_engine
from speechkit.tts.phonemes import phonemize
from speechkit.tts.piper import VoiceConfig, read_weights

flows = import_recipe("flows")

VOICE = "en_US-joe-medium"
FRAME_S = VITS_HOP / VITS_RATE  # seconds that one frame lasts


@dataclass(frozen=True)
class Sizes:
    """How large a VITS is. The defaults are the real voice's."""

    symbols: int = 256  # rows of the embedding table
    channels: int = 192  # numbers in a text vector and in a latent frame
    wide: int = 768  # channels inside the feed-forward layers
    heads: int = 2  # of the attention
    layers: int = 6  # of the text encoder
    window: int = 4  # symbols to each side whose distance the attention knows
    duration_channels: int = 192
    duration_flows: int = 4  # spline couplings
    flows: int = 4  # mean-only couplings
    flow_layers: int = 4  # WaveNet layers in each of them
    decoder_channels: int = 256  # halved by each upsampling
    rates: tuple[int, ...] = (8, 8, 4)  # of the upsamplings; their product is samples per frame
    kernels: tuple[int, ...] = (3, 5, 7)  # of the decoder's residual blocks
    dilations: tuple[tuple[int, ...], ...] = ((1, 2), (2, 6), (3, 12))


# %%
# What goes in and what comes out
# -------------------------------
#
# Into VITS goes a row of phoneme numbers, out comes a row of samples; nothing else is given and no
# spectrogram stands in between. Four networks do it: a text encoder, a duration predictor, a flow
# and a decoder. The first two work on symbols, the last two on frames, and the durations lead from
# one to the other.
#
# The phonemes are numbered by a table that comes with the voice. A blank symbol stands between any
# two phonemes: it gives the model a place for the transition.


@cache
def voice_config() -> VoiceConfig:
    """What stands beside the voice's weights."""
    return VoiceConfig.read(sk.hub.fetch(VOICE) / f"{VOICE}.onnx.json")


def spell(text: str) -> tuple[list[str], list[int], list[int]]:
    """Phonemes of a text, the voice's ids of them, and for each id its phoneme's index or -1."""
    config = voice_config()
    phonemes = phonemize(text, config.language)
    return phonemes, *config.ids(phonemes)


if __name__ == "__main__":
    SENTENCES = [
        "The birch canoe slid on the smooth planks.",
        "Four hours of steady work faced us.",
        "Where did you put the keys?",
        "It is easy to tell the depth of a well.",
        "The small pup gnawed a hole in the sock.",
        "Rice is often served in round bowls.",
    ][: 3 if QUICK else 6]
    spelled = [spell(sentence) for sentence in SENTENCES]
    phonemes, ids, owners = spelled[0]
    print(f"{SENTENCES[0]!r} is {''.join(phonemes)}")
    print(f"{len(phonemes)} phonemes and marks are {len(ids)} ids: {ids[:9]} ...")

# %%
# The text encoder: attention that knows distances
# ------------------------------------------------
#
# The text encoder is the encoder half of a Transformer and nothing of the decoder half: every
# symbol may look at every other one, so no causal mask is needed. Attention by itself does not see
# order. VITS adds no position to the input; it adds a learned vector for each distance up to four
# symbols to the keys and to the values.
#
# With queries, keys and values :math:`q_i, k_j, v_j` of size :math:`d` and the learned tables
# :math:`a^K, a^V`, which are 0 for distances beyond the window :math:`w = 4`:
#
# .. math::
#
#     \alpha_{ij} = \operatorname{softmax}_j \frac{q_i \cdot (k_j + a^K_{j-i})}{\sqrt d},
#     \qquad
#     o_i = \sum_j \alpha_{ij} \left( v_j + a^V_{j-i} \right)


def by_distance(table: Tensor, length: int) -> Tensor:
    """Row i, column j holds the vector for the distance j - i: [2w + 1, d] -> [T, T, d]."""
    beyond = len(table) // 2 + 1  # the first distance without a vector
    padded = F.pad(table, (0, 0, 1, 1))  # a row of zeros at each end, for all that is too far
    at = torch.arange(length)
    return padded[(at[None, :] - at[:, None]).clamp(-beyond, beyond) + beyond]


class RelativeAttention(nn.Module):
    """Self-attention over symbols, with a vector for each distance in the window."""

    def __init__(self, channels: int, heads: int, window: int):
        super().__init__()
        self.heads, self.size = heads, channels // heads
        self.query, self.key = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, channels, 1)
        self.value, self.out = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, channels, 1)
        spread = self.size**-0.5
        self.near_keys = nn.Parameter(spread * torch.randn(2 * window + 1, self.size))  # a^K
        self.near_values = nn.Parameter(spread * torch.randn(2 * window + 1, self.size))  # a^V

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, self.size)).transpose(2, 3)  # [B, C, T] -> [B, H, T, d]

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """How much symbol i takes from symbol j: [B, H, T, T], each row sums to 1."""
        q, k = self.split(self.query(x)), self.split(self.key(x))
        near = by_distance(self.near_keys, x.shape[-1])
        scores = q @ k.transpose(2, 3)  # q_i . k_j
        scores = scores + torch.einsum("bhid,ijd->bhij", q, near)  # + q_i . a^K_(j-i)
        scores = scores / math.sqrt(self.size)
        return scores.masked_fill(mask[:, :, None] == 0, -math.inf).softmax(-1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # [B, C, T], [B, 1, T] -> [B, C, T]
        alpha, v = self.weights(x, mask), self.split(self.value(x))
        near = by_distance(self.near_values, x.shape[-1])
        heard = alpha @ v + torch.einsum("bhij,ijd->bhid", alpha, near)  # sum_j alpha (v + a^V)
        return self.out(heard.transpose(2, 3).flatten(1, 2))


# %%
# Each layer adds what attention found, normalises, adds what two small convolutions, each over
# three symbols, make of it, and normalises again. At the end each symbol has a text vector, and
# from it a mean :math:`\mu_i` and a log scale :math:`\log \sigma_i` of the latent frames it will
# fill. The mask is 1 on symbols and 0 on the padding of a batch.


class TextLayer(nn.Module):
    """x <- norm(x + attention(x)), then x <- norm(x + feed-forward(x))."""

    def __init__(self, s: Sizes):
        super().__init__()
        self.attention = RelativeAttention(s.channels, s.heads, s.window)
        self.wide = nn.Conv1d(s.channels, s.wide, 3, padding=1)
        self.narrow = nn.Conv1d(s.wide, s.channels, 3, padding=1)
        self.norm_1 = flows.ChannelNorm(s.channels)
        self.norm_2 = flows.ChannelNorm(s.channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.norm_1(x + self.attention(x, mask)) * mask
        inner = self.wide(x).relu() * mask
        return self.norm_2(x + self.narrow(inner) * mask) * mask


class TextEncoder(nn.Module):
    """Ids -> text vectors, and the mean and log scale of the prior for each id."""

    def __init__(self, s: Sizes):
        super().__init__()
        self.embedding = nn.Embedding(s.symbols, s.channels)
        nn.init.normal_(self.embedding.weight, 0.0, s.channels**-0.5)
        self.layers = nn.ModuleList(TextLayer(s) for _ in range(s.layers))
        self.leave = nn.Conv1d(s.channels, 2 * s.channels, 1)

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.embedding(ids) * math.sqrt(self.embedding.embedding_dim)  # variance 1
        return x.transpose(1, 2) * mask  # [B, T] -> [B, C, T]

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.embed(ids, mask)
        for layer in self.layers:
            x = layer(x, mask)
        mean, log_scale = (self.leave(x) * mask).chunk(2, 1)
        return x, mean, log_scale  # three times [B, C, T]


# %%
# A check of what the tables are for. Reverse the row of symbols: attention without the tables gives
# the same vectors, reversed. With the tables the vectors change, so order is seen.

if __name__ == "__main__":
    torch.manual_seed(0)
    toy, toy_x, toy_mask = RelativeAttention(8, 2, 4), torch.randn(1, 8, 12), torch.ones(1, 1, 12)
    change = []
    for tables in (1.0, 0.0):
        toy.near_keys.data *= tables
        toy.near_values.data *= tables
        reversed_back = toy(toy_x.flip(2), toy_mask).flip(2)
        change.append((reversed_back - toy(toy_x, toy_mask)).abs().max().item())
    order_seen, order_lost = change
    print(f"reversed text changes the vectors by {order_seen:.2f}, without tables {order_lost:.0e}")
    assert order_lost < 1e-5 < order_seen, "only the tables can see order; 1e-5 is rounding"

# %%
# Durations as a random variable
# ------------------------------
#
# The duration predictor draws the length of each symbol from a density that the text steers, so the
# rhythm differs from one reading to the next. It is a flow: Gaussian noise goes backwards through
# spline couplings, and the logarithm of the duration comes out. ``30_flows.py`` explains the layers
# and proves them.
#
# .. math::
#
#     \varepsilon \sim \mathcal N(0, \tau^2 I), \qquad
#     (\log d, \nu) = f^{-1}(\varepsilon;\; \text{text}), \qquad \tau = 0.8
#
# A coupling needs two channels, and a duration is one number. So a second channel :math:`\nu` that
# means nothing is drawn with it and thrown away.


class DurationPredictor(nn.Module):
    """A flow between (log duration, nu) and two channels of noise, steered by text vectors."""

    def __init__(self, text_channels: int, channels: int, couplings: int):
        super().__init__()
        self.enter = nn.Conv1d(text_channels, channels, 1)
        self.stack = flows.DepthwiseStack(channels)
        self.leave = nn.Conv1d(channels, channels, 1)
        splines = [flows.SplineCoupling(channels) for _ in range(couplings)]
        self.flows = flows.Flow([flows.Affine(), *splines])

    def condition(self, text: Tensor, mask: Tensor) -> Tensor:
        """What steers the curves: [B, C, T] -> [B, duration channels, T]."""
        return self.leave(self.stack(self.enter(text), mask)) * mask

    def log_durations(self, noise: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Noise [B, 2, T] -> log frames [B, T]."""
        return self.flows.inverse(noise, mask, self.condition(text, mask))[:, 0]


# %%
# From symbols to frames
# ----------------------
#
# A duration is rounded up to whole frames, and each symbol's mean and scale are repeated for as
# many frames as it lasts. This 0/1 matrix takes the place of the cross-attention of other systems:
# it can only move forwards, so no word is skipped or said twice.


def path_matrix(durations: Tensor) -> Tensor:
    """1 where a frame belongs to a symbol: whole frames [B, T] -> [B, frames, T]."""
    ends = durations.cumsum(-1)[:, None]  # [B, 1, T]
    frames = torch.arange(int(ends.max()))[None, :, None]  # [1, frames, 1]
    return ((frames < ends) & (frames >= ends - durations[:, None])).float()


if __name__ == "__main__":
    toy_path = path_matrix(torch.tensor([[2, 0, 3]]))[0]
    print("durations 2, 0, 3 make the path", toy_path.long().tolist())
    assert toy_path.argmax(1).tolist() == [0, 0, 2, 2, 2], (
        "two frames of the first, three of the last"
    )

# %%
# The latent frames
# -----------------
#
# Each frame of a symbol is drawn from the Gaussian that the text encoder gave to the symbol. Then a
# second flow, run backwards, turns these frames, which know nothing of each other, into frames that
# move as speech does. It consists of four couplings that only add, so probabilities need no
# correction.
#
# .. math::
#
#     \hat z_j \sim \mathcal N(\mu_{i(j)},\; \tau^2 \sigma_{i(j)}^2), \qquad z = g^{-1}(\hat z), \qquad
#     \tau = 0.667


def prior_flow(s: Sizes) -> nn.Module:
    """From what speech is to what the text's Gaussians expect; speaking uses the inverse."""
    return flows.Flow([flows.MeanCoupling(s.channels, s.flow_layers) for _ in range(s.flows)])


# %%
# The decoder: from frames to samples
# -----------------------------------
#
# The decoder is a HiFi-GAN generator: transposed convolutions, which put several outputs in place
# of each input, raise the rate 8, 8 and 4 times, so that each frame becomes 256 samples. After
# each, three residual blocks with different kernels and dilations look at patterns of different
# lengths, and their mean goes on. It is made of convolutions only, so it sees a limited stretch of
# frames and can be run piece by piece.

SLOPE = 0.1  # of the leaky rectifiers, for negative values


class ResidualBlock(nn.Module):
    """x <- x + convolution(leaky(x)), once per dilation."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=(kernel - 1) // 2 * d)
            for d in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, SLOPE))
        return x


class Decoder(nn.Module):
    """Latent frames [B, C, frames] -> samples [B, 1, frames * hop]."""

    def __init__(self, s: Sizes):
        super().__init__()
        self.hop = math.prod(s.rates)  # samples per frame
        widths = [s.decoder_channels // 2**i for i in range(len(s.rates) + 1)]
        self.enter = nn.Conv1d(s.channels, widths[0], 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(wide, narrow, 2 * rate, rate, padding=rate // 2)
            for wide, narrow, rate in zip(widths, widths[1:], s.rates, strict=False)
        )
        self.blocks = nn.ModuleList(
            ResidualBlock(width, kernel, dilations)
            for width in widths[1:]
            for kernel, dilations in zip(s.kernels, s.dilations, strict=True)
        )
        self.leave = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        x, each = self.enter(z), len(self.blocks) // len(self.ups)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            x = sum(block(x) for block in self.blocks[i * each : (i + 1) * each]) / each
        return torch.tanh(self.leave(F.leaky_relu(x)))  # this slope is PyTorch's default, 0.01


# %%
# The whole model
# ---------------
#
# VITS speaks in five steps: read the text, draw durations, repeat the priors, draw a latent and
# send it backwards through the flow, decode. Two numbers set how bold the draws are: 0.8 for the
# durations and 0.667 for the sound; at 0 the voice says the same thing every time.


@dataclass
class Spoken:
    """Everything that speaking passes through; one sentence, so no batch dimension."""

    durations: Tensor  # [T] frames
    mean: Tensor  # [C, frames] the prior's, repeated
    drawn: Tensor  # [C, frames] a sample of the prior
    z: Tensor  # [C, frames] behind the flow
    samples: Tensor  # [frames * hop]


class Vits(nn.Module):
    """What speaking needs. Training adds a posterior encoder and discriminators."""

    def __init__(self, sizes: Sizes | None = None):
        super().__init__()
        s = self.sizes = sizes or Sizes()
        self.text = TextEncoder(s)
        self.durations = DurationPredictor(s.channels, s.duration_channels, s.duration_flows)
        self.flow = prior_flow(s)
        self.decoder = Decoder(s)

    def draw_durations(self, ids: Tensor, spread: float, pace: float = 1.0) -> Tensor:
        """Whole frames for each id, one draw per row: [B, T] -> [B, T]."""
        mask = torch.ones(len(ids), 1, ids.shape[1])
        text, _, _ = self.text(ids, mask)
        noise = spread * torch.randn(len(ids), 2, ids.shape[1])
        return torch.ceil(self.durations.log_durations(noise, text, mask).exp() * pace)

    @torch.inference_mode()
    def speak(self, ids: list[int], spread: float = 0.667, duration_spread: float = 0.8) -> Spoken:
        row = torch.tensor([ids])
        _, mean, log_scale = self.text(row, torch.ones(1, 1, len(ids)))
        durations = self.draw_durations(row, duration_spread)
        path = path_matrix(durations)  # [1, frames, T]
        mean = (path @ mean.transpose(1, 2)).transpose(1, 2)  # [1, C, frames]
        log_scale = (path @ log_scale.transpose(1, 2)).transpose(1, 2)
        drawn = mean + torch.randn_like(mean) * log_scale.exp() * spread
        z = self.flow.inverse(drawn, torch.ones(1, 1, path.shape[1]))
        return Spoken(durations[0], mean[0], drawn[0], z[0], self.decoder(z)[0, 0])


# %%
# The real weights
# ----------------
#
# The voice's file holds the weights of a VITS that was trained on recordings of one speaker.
# speechkit reads them under the names that the package coqui-tts uses; here they get ours. Training
# kept many kernels as a length times a direction (weight normalisation), which made it steadier; for
# speaking only the product counts.

Names = tuple[tuple[str, str], ...]
NAMES: Names = (  # coqui-tts's, as regular expressions, and ours; tried in this order
    (r"^text_encoder\.(encoder\.)?", "text."),
    (r"^duration_predictor\.", "durations."),
    (r"^waveform_decoder\.", "decoder."),
    (r"^flow\.flows\.", "flow."),
    (r"attn_layers\.(\d+)\.", r"layers.\1.attention."),
    (r"ffn_layers\.(\d+)\.conv_1", r"layers.\1.wide"),
    (r"ffn_layers\.(\d+)\.conv_2", r"layers.\1.narrow"),
    (r"norm_layers_([12])\.(\d+)", r"layers.\2.norm_\1"),
    (r"\.emb\.", ".embedding."),
    (r"\.conv_q\.", ".query."),
    (r"\.conv_k\.", ".key."),
    (r"\.conv_v\.", ".value."),
    (r"\.conv_o\.", ".out."),
    (r"emb_rel_k", "near_keys"),
    (r"emb_rel_v", "near_values"),
    (r"convs\.convs_sep\.", "stack.spread."),
    (r"convs\.convs_1x1\.", "stack.mix."),
    (r"convs\.norms_", "stack.norm_"),
    (r"enc\.in_layers\.", "wavenet.gates."),
    (r"enc\.res_skip_layers\.", "wavenet.mixes."),
    (r"\.resblocks\.", ".blocks."),
    (r"\.(pre|conv_pre)\.", ".enter."),
    (r"\.(proj|post|conv_post)\.", ".leave."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)


def renamed(state: dict[str, Tensor], more: Names = ()) -> dict[str, Tensor]:
    """Weights under our names, `more` tried first; a length times its direction is one kernel."""
    ours = {}
    for name, weight in state.items():
        if name.endswith(".original0"):
            continue  # a length: used with its direction
        if name.endswith(".original1"):
            length = state[name[:-1] + "0"]
            weight = length * weight / weight.flatten(1).norm(dim=1).reshape_as(length)
            name = name.replace(".parametrizations.weight.original1", ".weight")
        for theirs, our in (*more, *NAMES):
            name = re.sub(theirs, our, name)
        ours[name] = weight[0] if ".near_" in name else weight  # one table for all heads
    return ours


def load_voice() -> Vits:
    """The real voice. Its file leaves out one coupling, which speaking has no use for."""
    model = Vits()
    weights = renamed(read_weights(sk.hub.fetch(VOICE) / f"{VOICE}.onnx").state)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected, f"weights without a place: {unexpected}"
    assert all(name.startswith("durations.flows.1.") for name in missing), f"no weights: {missing}"
    return model.eval().requires_grad_(False)


# %%
# The coupling that is missing is the last one on the way from noise to durations: it changes only
# :math:`\nu`, which is thrown away.

if __name__ == "__main__":
    model = load_voice()
    parts = {"text": model.text, "durations": model.durations, "flow": model.flow}
    parts["decoder"] = model.decoder
    parameters = {name: sum(w.numel() for w in part.parameters()) for name, part in parts.items()}
    attentions = {
        name: sum(isinstance(module, RelativeAttention) for module in part.modules())
        for name, part in parts.items()
    }
    for name, count in parameters.items():
        print(f"{name:10} {count:>10,} parameters, {attentions[name]} attention layers")

# %%
# The same samples as the reference
# ---------------------------------
#
# The reference is the class ``Vits`` of coqui-tts with the same weights. Both draw from PyTorch's
# random numbers in the same order, so the same seed gives the same noise. Then durations are
# identical, and samples differ by rounding only, since sums are taken in another order.

if __name__ == "__main__":
    reference = load_engine(sk.hub.fetch(VOICE), VOICE, "cpu")
    duration_differences, sample_differences, spoken = [], [], []
    for seed, (phonemes, ids, _) in enumerate(spelled):
        torch.manual_seed(seed)
        ours = model.speak(ids)
        torch.manual_seed(seed)
        their_ids, _ = reference.config.ids(phonemes)  # coqui-tts numbers the symbols in its way
        theirs = reference.model.inference(torch.tensor([their_ids]))
        gap = (ours.durations - theirs["durations"][0, 0]).abs().sum().item()
        assert gap == 0, "the same whole number of frames for every symbol"
        gaps = (ours.samples - theirs["model_outputs"][0, 0]).abs()
        duration_differences.append(gap)
        sample_differences.append(gaps.max().item())
        spoken.append(ours)
    largest = max(sample_differences)
    loudest = max(one.samples.abs().max().item() for one in spoken)
    print(f"{len(spoken)} sentences: the durations of all {sum(len(i) for _, i, _ in spelled)} ids")
    print(f"are equal; samples differ by at most {largest:.1e}, where the loudest is {loudest:.2f}")
    assert largest < 1e-3, "float32 through about 100 convolutions"

# %%
# Listen to the first sentence, and follow its shapes through the network.

if __name__ == "__main__":
    (phonemes, ids, owners), first = spelled[0], spoken[0]
    frames, channels = first.z.shape[1], first.z.shape[0]
    print(f"{len(ids)} ids -> {channels} x {len(ids)} text vectors and as many durations")
    print(f"-> {channels} x {frames} latent frames -> {len(first.samples):,} samples")
    assert frames == first.durations.sum(), "the durations add up to the frames"
    assert len(first.samples) == VITS_HOP * frames, "256 samples for each frame"
    keep_sound(sk.Audio(first.samples.numpy(), VITS_RATE), "vits_sentence")

# %%
# The durations are an alignment. They say which symbol each frame of the spectrogram belongs to, and
# exactly so, because the sound was made from them.

if __name__ == "__main__":
    seconds = frames * FRAME_S
    ends = first.durations.cumsum(0) * FRAME_S
    starts = ends - first.durations * FRAME_S
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(12, 7), sharex=True)
    mel = vits_mel(first.samples)
    top.imshow(mel, origin="lower", aspect="auto", extent=(0, seconds, 0, 80), cmap="magma")
    for owner, start, end in zip(owners, starts.tolist(), ends.tolist(), strict=True):
        if owner >= 0:
            top.axvline(start, color="white", lw=0.4)
            top.text((start + end) / 2, 81, phonemes[owner], ha="center", fontsize=9)
    top.set(ylabel="mel bin")
    top.set_title("Log-mel spectrogram; a line where each phoneme begins", pad=18)
    path = path_matrix(first.durations[None])[0]
    bottom.imshow(path.T, aspect="auto", extent=(0, seconds, len(ids), 0), cmap="Greys")
    bottom.set(xlabel="time (s)", ylabel="symbol", title="The path: each frame has one symbol")
    keep_picture(figure, "vits_alignment")
    plt.close(figure)

# %%
# Why streaming is exact
# ----------------------
#
# A sample depends only on the frames that the decoder's kernels reach: eleven to each side. So
# speech can be made in pieces: give the decoder each piece with eleven frames of its neighbours, and
# cut the rest off. The joined pieces are the whole, up to rounding.
#
# Walk backwards from the 256 samples of one frame. A kernel of size :math:`k` and dilation
# :math:`d` reaches :math:`(k - 1) d / 2` to each side. An upsampling by :math:`r` with a kernel of
# :math:`2r` reads for output :math:`o` the inputs :math:`i` with :math:`0 \le o + r/2 - ir < 2r`.


def frames_reached(s: Sizes) -> tuple[int, int]:
    """How many frames before and after a frame its samples depend on."""
    low, high = 0 - 3, math.prod(s.rates) - 1 + 3  # the last kernel reads 7 samples
    pairs = zip(s.kernels, s.dilations, strict=True)
    block = max((kernel - 1) // 2 * sum(dilations) for kernel, dilations in pairs)
    for rate in reversed(s.rates):
        low, high = low - block, high + block
        low, high = (low + rate // 2) // rate - 1, (high + rate // 2) // rate
    return 3 - low, high + 3  # the first kernel reads 7 frames


def in_pieces(decoder: Decoder, z: Tensor, size: int, context: int) -> Tensor:
    """Samples of z [1, C, frames], `size` frames at a time with `context` more on each side."""
    hop, pieces = decoder.hop, []
    for start in range(0, z.shape[-1], size):
        begin = max(0, start - context)
        samples = decoder(z[..., begin : start + size + context])[0, 0]
        pieces.append(samples[(start - begin) * hop :][: size * hop])
    return torch.cat(pieces)


if __name__ == "__main__":
    reached, z, middle = frames_reached(model.sizes), first.z[None], frames // 2
    torch.manual_seed(0)
    louder = z.clone()
    louder[..., middle] += 10 * torch.randn(channels)
    with torch.inference_mode():
        change = (model.decoder(louder) - model.decoder(z))[0, 0].abs()
        piece_errors = {
            context: (in_pieces(model.decoder, z, 22, context) - first.samples).abs().max().item()
            for context in (0, 2, 4, 6, 8, 10, 11, 12)
        }
    touched = change.nonzero().flatten() // VITS_HOP - middle  # frames from the changed one
    touched_from, touched_to = touched.min().item(), touched.max().item()
    print(f"by its kernels, a frame depends on {reached[0]} frames before it, {reached[1]} after")
    print(f"changing one frame changes samples of frames {touched_from} to +{touched_to}")
    print("largest error of the pieces by frames of context:")
    print("  ".join(f"{context}: {error:.0e}" for context, error in piece_errors.items()))
    assert touched_from >= -reached[1], "a frame that is later than the reach changes nothing"
    assert touched_to <= reached[0], "nor does an earlier one"
    assert piece_errors[11] < 1e-5 < piece_errors[2], "exact once the context covers the reach"

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.8))
    left.semilogy(np.arange(len(change)) / VITS_HOP - middle, change.clamp(min=1e-9), lw=0.4)
    left.axvspan(-reached[1], 1 + reached[0], color="tab:orange", alpha=0.2, label="by the kernels")
    left.set(xlim=(-16, 17), xlabel="frames from the changed one", ylabel="change of a sample")
    left.set_title("What changes when one frame changes")
    left.legend()
    right.semilogy(list(piece_errors), list(piece_errors.values()), "o-")
    right.set(xlabel="frames of context on each side", ylabel="largest error of a sample")
    right.set_title("Pieces of 22 frames against the whole")
    keep_picture(figure, "vits_streaming")
    plt.close(figure)

# %%
# What it does not do
# -------------------
#
# It does not train: ``32_vits_objective.py`` adds what training needs, and ``33_vits_training.py``
# trains. It has one speaker; with several, a vector for the speaker is added in the duration
# predictor, the flow and the decoder. It does not turn text into phonemes: espeak-ng does, and the
# voice depends on its spelling. It leaves out dropout, which only training uses.
#
# Exercises
# ---------
#
# 1. Set ``near_keys`` and ``near_values`` of all layers to 0 and listen. What is lost?
# 2. Double the durations of one word before ``path_matrix``. Does the pitch change?
# 3. Take the durations of one seed and the latent noise of another. Which of the two carries the
#    melody?
# 4. Skip the flow: decode ``drawn`` instead of ``z`` and listen. The pictures of ``30_flows.py``
#    explain what you hear.
# 5. Write ``frames_reached`` for the prior flow. What would be needed to stream the flow too?
#
# Papers
# ------
#
# Kim, Kong and Son, 2021, "Conditional Variational Autoencoder with Adversarial Learning for
# End-to-End Text-to-Speech" (VITS). Kim, Kim, Kong and Yoon, 2020, "Glow-TTS: A Generative Flow for
# Text-to-Speech via Monotonic Alignment Search". Kong, Kim and Bae, 2020, "HiFi-GAN: Generative
# Adversarial Networks for Efficient and High Fidelity Speech Synthesis". Shaw, Uszkoreit and
# Vaswani, 2018, "Self-Attention with Relative Position Representations".
