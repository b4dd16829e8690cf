r"""
Whisper from scratch, on the real weights
=========================================

:Answers: questions 26 (Whisper, beside the standard Transformer), 4 (the Transformer in full, as a
    model that people use), 7 (cross-attention), 9 (parameters counted by hand), 16 (what goes in
    and what comes out), 21 (encoder, decoder, or both)
:Needs: the weights of Whisper ``base``; openai-whisper to be compared with
:Takes: 50 s (24 s with ``--quick``) on two cores, weights fetched before

Whisper turns a recording of up to 30 seconds into text, in any of about a hundred languages, with
times. It treats this as translation from sound to words. An encoder turns the sound into vectors,
50 per second. A decoder writes the text one token at a time; at each step it looks at what it has
written and at the vectors. What is to be done (which language, transcribe or translate, times or
none) is written into the same sequence of tokens, in front of the text.

The network is written out here, run on the official weights, and held against OpenAI's own package.
How the text is searched for, and when each word was said, is in ``21_whisper_search.py``.
"""

import json
import math
import time
import warnings
from copy import deepcopy
from dataclasses import dataclass
from types import MethodType

import matplotlib.pyplot as plt
import torch
import whisper
from common import QUICK, RATE, keep_picture, recorded, say
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from whisper.tokenizer import get_tokenizer

from speechkit import hub
from speechkit.asr.ct2_weights import dimensions, openai_state_dict, read_variables
from speechkit.asr.openai import load_engine

# %%
# Sound in: the log-mel spectrogram
# ---------------------------------
#
# Whisper does not hear samples. It sees a picture of the sound: 80 bands of frequency from bottom
# to top, 100 columns per second, and in each cell the logarithm of the energy. Every recording is
# filled up with silence to 30 seconds, so the picture always has 80 rows and 3000 columns.
#
# For the samples :math:`x`, a Hann window :math:`w` of 400 samples (25 ms) and a hop of 160 (10
# ms):
#
# .. math::
#
#    P_{t,f} = \Big|\sum_{n} w_n\, x_{160 t + n - 200}\, e^{-2 \pi i f n / 400}\Big|^2, \qquad
#    L = \log_{10} \max(M P, 10^{-10}), \qquad
#    Y = \tfrac14 \big(\max(L, \max L - 8) + 4\big)
#
# :math:`M` holds 80 triangles. Their corners are evenly spaced in mel, a scale of frequency that is
# linear up to 1000 Hz and logarithmic above, as hearing roughly is. The last step cuts off what is
# more than 80 dB below the loudest cell and brings the numbers near the range from -1 to 1. Beyond
# both ends the sound is mirrored.

SECONDS = 30  # s that the model sees at once
WINDOW = 400  # samples: 25 ms
HOP = 160  # samples: 10 ms from one column to the next
SILENCE = 1e-10  # energy under which all is the same
DEPTH = 8.0  # powers of ten that are kept below the loudest cell: 80 dB
BEND_HZ, BEND_MEL = 1000.0, 15.0  # up to here the scale is linear, 200 / 3 Hz per mel
MELS_PER_FACTOR = 27.0  # above it, 27 mel for each factor of 6.4


def mel_to_hz(mel: Tensor) -> Tensor:
    """Slaney's scale: linear up to 1000 Hz, then logarithmic."""
    above = BEND_HZ * 6.4 ** ((mel - BEND_MEL) / MELS_PER_FACTOR)
    return torch.where(mel < BEND_MEL, mel * BEND_HZ / BEND_MEL, above)


def mel_filters(bands: int) -> Tensor:
    """Triangles of equal area from 0 Hz to half the sampling rate: [bands, 201]."""
    top = BEND_MEL + MELS_PER_FACTOR * math.log(RATE / 2 / BEND_HZ) / math.log(6.4)
    corners = mel_to_hz(torch.linspace(0, top, bands + 2, dtype=torch.float64))
    left, peak, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]  # Hz
    hz = torch.arange(WINDOW // 2 + 1, dtype=torch.float64) * RATE / WINDOW  # of each Fourier bin
    rising, falling = (hz - left) / (peak - left), (right - hz) / (right - peak)
    return (torch.minimum(rising, falling).clamp(min=0) * 2 / (right - left)).float()


def log_mel(samples: Tensor, bands: int = 80) -> Tensor:
    """Samples at 16 kHz, [n], cut or filled up to 30 s -> [bands, 3000]."""
    length = SECONDS * RATE
    samples = F.pad(samples[:length], (0, max(0, length - len(samples))))  # [480000]
    padded = F.pad(samples[None], (WINDOW // 2, WINDOW // 2), mode="reflect")[0]
    frames = padded.unfold(0, WINDOW, HOP)[:-1]  # [3000, 400]
    spectrum = torch.fft.rfft(frames * torch.hann_window(WINDOW))  # [3000, 201]
    energy = mel_filters(bands) @ spectrum.abs().square().T  # [bands, 3000]
    log = energy.clamp(min=SILENCE).log10()
    return (torch.maximum(log, log.max() - DEPTH) + 4) / 4


# %%
# The claim, on speech: the same numbers as openai-whisper's to within 0.00001. The tolerance is the
# rounding of float32: two Fourier transforms that add in another order differ in the last digits.
#
# The speech is a text spoken by a synthetic voice and, where they are at hand, real recordings.

TEXT = (
    "The sea was calm this morning. We rowed to the island in half an hour, and counted "
    "seven boats on the way. Nobody had been there since the spring."
)


def some_speech(count: int) -> list[Tensor]:
    """The text, spoken, and up to `count` real recordings: samples at 16 kHz."""
    audios = [say(TEXT), *(audio for audio, _ in recorded(count=count))]
    return [torch.tensor(audio.samples) for audio in audios]


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest distance of any two numbers."""
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    speech = some_speech(0 if QUICK else 6)
    mels = [log_mel(samples) for samples in speech]
    whole = [whisper.pad_or_trim(samples) for samples in speech]
    reference_mels = [whisper.log_mel_spectrogram(samples) for samples in whole]
    mel_difference = largest_difference(mels, reference_mels)
    print(f"{len(speech)} recordings; log-mel differs from openai-whisper by {mel_difference:.1e}")
    assert mel_difference < 1e-5, "the front end is not Whisper's"

# %%
# Attention
# ---------
#
# Attention lets each position fetch information from others. A position asks with a query, the
# others answer with a key and a value: where query and key fit, the value is taken. Several heads
# do this side by side, each with its own projections, so that each can look for something else.
#
# .. math::
#
#    \mathrm{Attention}(X, S) = \mathrm{concat}_h\left[
#    \mathrm{softmax}\left(\frac{Q_h K_h^\top}{\sqrt{d_k}} + \text{mask}\right) V_h\right] W_O
#
#    Q = X W_Q + b_Q,\quad K = S W_K,\quad V = S W_V + b_V
#
# A head has :math:`d_k` numbers per query. The source :math:`S` decides the kind. In self-attention
# it is :math:`X` itself. In cross-attention :math:`X` comes from the decoder and :math:`S` from the
# encoder: the text asks, the sound answers. Keys and values are made apart from the queries here,
# so that they can be kept.
#
# The key has no bias, because one would do nothing: it adds the same :math:`q \cdot b` to
# all scores of a query, and the softmax takes no notice of what is added to all.


class Attention(nn.Module):
    """Several heads of softmax(Q K^T / sqrt(d_k)) V."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """[batch, n, width] -> [batch, heads, n, width / heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """What the source answers with, [batch, heads, m, d] each."""
        return self.split(self.key(source)), self.split(self.value(source))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | float = 0.0):
        """[batch, n, width] -> [batch, n, width], and the weights [batch, heads, n, m]."""
        queries = self.split(self.query(x))  # [batch, heads, n, d]
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
        weights = (scores + mask).softmax(-1)  # each row sums to 1
        mixed = (weights @ values).transpose(1, 2).flatten(2)  # the heads side by side again
        return self.out(mixed), weights


# %%
# The encoder
# -----------
#
# The encoder turns the picture of the sound into vectors that say what is heard around each moment.
# Two convolutions read three columns at a time, and the second keeps every other position, so 3000
# columns become 1500 vectors, one per 0.02 s. Then come equal blocks of self-attention and
# feed-forward network. There is no mask: every moment may look at every other, later ones too.
#
# In a block each part reads a normalised copy of the stream and adds its result to it
# (pre-normalisation):
#
# .. math::
#
#    x \leftarrow x + \mathrm{Attention}(\mathrm{LN}(x)), \qquad
#    x \leftarrow x + W_2\, \mathrm{GELU}(W_1 \mathrm{LN}(x) + b_1) + b_2
#
# Attention by itself does not know the order of its inputs, so a vector of position is added first.
# In the encoder it is computed, with :math:`\omega_i = 10000^{-i / (d/2 - 1)}`:
#
# .. math::
#
#    p_t = [\sin \omega_0 t, \ldots, \sin \omega_{d/2-1} t,\
#    \cos \omega_0 t, \ldots, \cos \omega_{d/2-1} t]

KERNEL = 3  # columns that a convolution sees
LONGEST_WAVE = 10_000  # positions per radian of the slowest sinusoid
GROWTH = 4  # the feed-forward network is four times as wide inside


@dataclass(frozen=True)
class Sizes:
    """The numbers that a Whisper model is built from."""

    mels: int
    moments: int  # vectors that the encoder gives for 30 s
    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    context: int  # tokens that the decoder has positions for


def sinusoids(length: int, width: int) -> Tensor:
    """The encoder's vectors of position: [length, width]."""
    i = torch.arange(width // 2)
    angle = torch.arange(length)[:, None] * LONGEST_WAVE ** (-i / (width // 2 - 1))
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class EncoderBlock(nn.Module):
    """Self-attention, then a feed-forward network, each added to the stream."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attn_ln, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.mlp_ln = nn.LayerNorm(width)
        inner = GROWTH * width
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.attn_ln(x)
        x = x + self.attn(normed, *self.attn.keys_values(normed))[0]
        return x + self.mlp(self.mlp_ln(x))


class Encoder(nn.Module):
    """Log-mel [batch, mels, 3000] -> states [batch, 1500, width]."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.conv1 = nn.Conv1d(sizes.mels, sizes.width, KERNEL, padding=1)
        self.conv2 = nn.Conv1d(sizes.width, sizes.width, KERNEL, padding=1, stride=2)
        self.register_buffer("positional_embedding", sinusoids(sizes.moments, sizes.width))
        layers = range(sizes.encoder_layers)
        self.blocks = nn.ModuleList(EncoderBlock(sizes.width, sizes.heads) for _ in layers)
        self.ln_post = nn.LayerNorm(sizes.width)

    def stem(self, mel: Tensor) -> Tensor:
        """The convolutions and the positions: what the first block reads."""
        x = F.gelu(self.conv1(mel))  # [batch, width, 3000]
        x = F.gelu(self.conv2(x))  # [batch, width, 1500]
        return x.transpose(1, 2) + self.positional_embedding

    def forward(self, mel: Tensor) -> Tensor:
        x = self.stem(mel)
        for block in self.blocks:
            x = block(x)
        return self.ln_post(x)


# %%
# The decoder
# -----------
#
# The decoder gives, for each position of the text, the probabilities of the next token. A block has
# three parts: masked self-attention over the text so far, cross-attention to the sound, and the
# feed-forward network. The mask hides what comes later, so a position can't copy the answer.
#
# .. math::
#
#    \mathrm{mask}_{ij} = \begin{cases} 0 & j \le i \\ -\infty & j > i \end{cases}
#    \qquad \text{logits} = \mathrm{LN}(x)\, E^\top
#
# :math:`E` is the table of token vectors: the same numbers read tokens in and score them at the
# end. The vectors of position are learned here, 448 of them.
#
# Text grows one token at a time, and the mask has a welcome consequence: what was computed for
# earlier tokens stays as it is. So each block keeps the keys and values it has made, and a step
# computes only those of the new token. Those of the sound are made once per recording.


class DecoderBlock(EncoderBlock):
    """The encoder's block with a mask, a cache, and cross-attention between its two parts."""

    def __init__(self, width: int, heads: int):
        super().__init__(width, heads)
        self.cross_attn_ln, self.cross_attn = nn.LayerNorm(width), Attention(width, heads)

    def forward(self, x: Tensor, states: Tensor, mask: Tensor, kept: dict):
        normed = self.attn_ln(x)
        new = self.attn.keys_values(normed)
        if "self" in kept:  # earlier tokens first: [batch, heads, past + n, d]
            new = tuple(torch.cat(pair, dim=2) for pair in zip(kept["self"], new, strict=True))
        kept["self"] = new
        x = x + self.attn(normed, *new, mask)[0]
        if "cross" not in kept:  # the sound does not change: once is enough
            kept["cross"] = self.cross_attn.keys_values(states)
        heard, weights = self.cross_attn(self.cross_attn_ln(x), *kept["cross"])
        x = x + heard
        return x + self.mlp(self.mlp_ln(x)), weights


class Decoder(nn.Module):
    """Tokens [batch, n] and states -> logits [batch, n, vocabulary] of what follows each."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.token_embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        self.positional_embedding = nn.Parameter(torch.randn(sizes.context, sizes.width))
        layers = range(sizes.decoder_layers)
        self.blocks = nn.ModuleList(DecoderBlock(sizes.width, sizes.heads) for _ in layers)
        self.ln = nn.LayerNorm(sizes.width)

    def new_cache(self) -> list[dict]:
        return [{} for _ in self.blocks]

    def forward(self, tokens: Tensor, states: Tensor, cache: list[dict] | None = None):
        """The logits, and the cross-attention [layers, batch, heads, n, 1500]."""
        cache = self.new_cache() if cache is None else cache
        past = cache[0]["self"][0].shape[2] if "self" in cache[0] else 0
        n = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[past : past + n]
        mask = torch.full((n, past + n), -math.inf).triu(past + 1)  # 0 up to the own position
        attention = []
        for block, kept in zip(self.blocks, cache, strict=True):
            x, weights = block(x, states, mask, kept)
            attention.append(weights)
        return self.ln(x) @ self.token_embedding.weight.T, torch.stack(attention)


class Whisper(nn.Module):
    """The whole network."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.encoder, self.decoder = Encoder(sizes), Decoder(sizes)

    def forward(self, mel: Tensor, tokens: Tensor) -> Tensor:
        return self.decoder(tokens, self.encoder(mel))[0]


# %%
# A toy: what the mask, the cache and the missing bias do
# -------------------------------------------------------
#
# A tiny network with random weights is enough to see the structure. Change the last token, and no
# earlier logit moves: the decoder can't look ahead. Change the last moment of the sound, and the
# first state of the encoder moves: it looks everywhere. With the cache the logits are the same.


def structure_of(model: Whisper, mel: Tensor, tokens: Tensor) -> dict[str, float]:
    """How much an output moves when an input is changed, or when it is computed in another way."""
    states = model.encoder(mel)
    logits = model.decoder(tokens, states)[0]
    other = tokens.clone()
    other[:, -1] += 1  # another last token
    louder = mel.clone()
    louder[..., -1] += 1  # another last column
    cache, steps = model.decoder.new_cache(), []
    for n in range(tokens.shape[1]):  # one token at a time
        steps.append(model.decoder(tokens[:, n : n + 1], states, cache)[0])
    attention = model.encoder.blocks[0].attn
    keys, values = attention.keys_values(states)
    unbiased, biased = (attention(states, k, values)[1] for k in (keys, keys + 3.0))
    changes = {
        "an earlier logit, by a later token": (model.decoder(other, states)[0] - logits)[:, :-1],
        "the first state, by the last column": (model.encoder(louder) - states)[:, 0],
        "the logits, by the cache": torch.cat(steps, dim=1) - logits,
        "the attention, by a bias of 3 on the keys": biased - unbiased,
    }
    return {name: float(change.abs().max()) for name, change in changes.items()}


if __name__ == "__main__":
    torch.manual_seed(0)
    tiny = Whisper(Sizes(8, 10, 16, 2, 2, 2, 30, 12)).requires_grad_(False)
    structure = structure_of(tiny, torch.randn(1, 8, 20), torch.randint(0, 29, (1, 9)))
    for what, change in structure.items():
        print(f"change of {what}: {change:.1e}")
    unmoved, looked_around, cached, bias_effect = structure.values()
    assert unmoved == 0, "the mask leaks"
    assert looked_around > 1e-3, "the encoder does not look at later moments"
    assert max(cached, bias_effect) < 1e-5, "more than the rounding of float32"

# %%
# How many parameters, by hand
# ----------------------------
#
# To count the parameters of Whisper, count its matrices. With width :math:`d`, an attention has
# four of :math:`d \times d` and three biases. The feed-forward network has two of :math:`4 d \times
# d`. A layer norm has a gain and a bias per channel. The vocabulary costs :math:`d` numbers per
# token, once, since the output head is the same table.
#
# .. math::
#
#    \underbrace{4 d^2 + 3 d}_{\text{attention}}, \quad
#    \underbrace{8 d^2 + 5 d}_{\text{feed-forward}}, \quad
#    \underbrace{2 d}_{\text{norm}} \quad\Rightarrow\quad
#    \text{encoder block } 12 d^2 + 12 d, \quad \text{decoder block } 16 d^2 + 17 d


def count_by_hand(s: Sizes) -> dict[str, int]:
    """Learned numbers in each part, from the sizes alone."""
    d = s.width
    attention = 4 * d * d + 3 * d  # query, key, value, output; no bias on the key
    feed_forward = 2 * GROWTH * d * d + GROWTH * d + d
    norm = 2 * d
    return {
        "convolutions": (KERNEL * s.mels * d + d) + (KERNEL * d * d + d),
        "encoder blocks": s.encoder_layers * (attention + feed_forward + 2 * norm) + norm,
        "decoder blocks": s.decoder_layers * (2 * attention + feed_forward + 3 * norm) + norm,
        "vocabulary": s.vocabulary * d,
        "positions of the text": s.context * d,
    }


def count_in_file(weights: dict[str, Tensor]) -> dict[str, int]:
    """The same parts, counted in the official weights."""
    parts = {
        "convolutions": "encoder.conv",
        "encoder blocks": ("encoder.blocks", "encoder.ln_post"),
        "decoder blocks": ("decoder.blocks", "decoder.ln."),
        "vocabulary": "decoder.token_embedding",
        "positions of the text": "decoder.positional_embedding",
    }
    return {
        part: sum(w.numel() for name, w in weights.items() if name.startswith(prefix))
        for part, prefix in parts.items()
    }


def official(name: str) -> tuple[Sizes, dict[str, Tensor]]:
    """The sizes and the weights of a published model, in float32."""
    variables = read_variables(hub.fetch(name) / "model.bin")
    of = dimensions(variables)
    sizes = Sizes(
        mels=of["n_mels"],
        moments=of["n_audio_ctx"],
        width=of["n_audio_state"],
        heads=of["n_audio_head"],
        encoder_layers=of["n_audio_layer"],
        decoder_layers=of["n_text_layer"],
        vocabulary=of["n_vocab"],
        context=of["n_text_ctx"],
    )
    return sizes, openai_state_dict(variables)


if __name__ == "__main__":
    sizes, weights = official("base")
    parameters_by_hand, parameters_in_file = count_by_hand(sizes), count_in_file(weights)
    total = sum(parameters_by_hand.values())
    print(sizes)
    for part, number in parameters_by_hand.items():
        print(f"{part:>22}: {number:>11,}  {number / total:4.0%}")
    print(f"{'in all':>22}: {total:>11,}")
    assert parameters_by_hand == parameters_in_file, "the count by hand is not the file's"

# %%
# The real weights
# ----------------
#
# The network above, filled with OpenAI's weights, computes what OpenAI's package computes. Every
# name in the file finds its place. In float64 the logits agree to the last rounding of OpenAI's
# module, which gives them in float32. In float32 they differ by about 0.0001, because sums that
# run in another order are rounded in another way; our own network differs from itself in float64
# as much.
#
# What goes in and what comes out is printed as shapes: samples, log-mel, states, and for each token
# one logit per entry of the vocabulary. In cross-attention there is a query per token and a key per
# moment of sound.


def filled(sizes: Sizes, weights: dict[str, Tensor]) -> Whisper:
    """The network with these weights, for use, not for training; every name must match."""
    model = Whisper(sizes)
    model.load_state_dict(weights, strict=True)
    return model.eval().requires_grad_(False)


def in_float64(reference: nn.Module) -> nn.Module:
    """OpenAI's module in float64, with norms that do not go through float32."""
    exact = deepcopy(reference).double()
    for module in exact.modules():
        if isinstance(module, nn.LayerNorm):
            module.forward = MethodType(nn.LayerNorm.forward, module)
    return exact


if __name__ == "__main__":
    model = filled(sizes, weights)
    computed = sinusoids(sizes.moments, sizes.width)
    positions_difference = float((computed - model.encoder.positional_embedding).abs().max())
    print(f"sinusoids, computed and in the file (float16): {positions_difference:.1e} apart")
    assert positions_difference < 2**-11, "the file rounds to 11 binary digits, no more"

    reference = load_engine("base", device="cpu").model.requires_grad_(False)
    tokenizer = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
    text = tokenizer.encode(" " + TEXT)
    tokens = torch.tensor([[*tokenizer.sot_sequence, tokenizer.no_timestamps, *text]])
    states = model.encoder(mels[0][None])
    cache = model.decoder.new_cache()
    logits, attention = model.decoder(tokens, states, cache)
    shapes = {
        "samples": whole[0], "log-mel": mels[0], "states": states,
        "tokens": tokens, "logits": logits,
        "keys in self-attention, one per token": cache[0]["self"][0],
        "keys in cross-attention, one per moment": cache[0]["cross"][0],
        "weights of all cross-attention": attention,
    }  # fmt: skip
    for name, tensor in shapes.items():
        print(f"{name}: {list(tensor.shape)}")
    reference_logits = [reference(mel[None], tokens) for mel in reference_mels]
    logits_difference = largest_difference(
        [model(mel[None], tokens) for mel in mels], reference_logits
    )
    largest_logit = max(float(row.abs().max()) for row in reference_logits)
    exact, exact_reference = filled(sizes, weights).double(), in_float64(reference)
    exact_states = exact.encoder(mels[0][None].double())
    exact_logits = exact.decoder(tokens, exact_states)[0]
    if not QUICK:
        exact_reference_states = exact_reference.encoder(mels[0][None].double())
        states_difference = largest_difference([exact_states], [exact_reference_states])
        print(f"states in float64 differ from openai-whisper's by {states_difference:.1e}")
        assert states_difference < 1e-5, "the encoder is another one"
    theirs = exact_reference.decoder(tokens, exact_states if QUICK else exact_reference_states)
    exact_difference = largest_difference([exact_logits], [theirs])
    rounding = largest_difference([logits], [exact_logits])
    print(f"logits up to {largest_logit:.0f}; from openai-whisper's: float32", end=" ")
    print(f"{logits_difference:.1e}, float64 {exact_difference:.1e}; by rounding {rounding:.1e}")
    assert exact_difference < 1e-5, "its logits are rounded to float32, 4e-6 between 64 and 128"
    assert logits_difference < 3e-4, "more than two networks rounded in float32"

# %%
# What the cache saves
# --------------------
#
# Without a cache, each step computes everything again: the keys and values of 1500 moments of sound
# and of all earlier tokens. Keeping those of the sound saves most of the work. Keeping those of the
# text as well makes a step cost almost the same however long the text is by then.
#
# Training needs no cache. The whole text is known, the mask hides the future, and one pass gives
# the logits of all positions; the loss is the mean of :math:`-\log p(\text{next token})`. That
# one pass gives the logits of the steps is shown here too, in float64.


def step_by_step(model: Whisper, states: Tensor, tokens: Tensor, keep: tuple[str, ...]) -> Tensor:
    """The logits of every position, computed one after the other; `keep` stays between steps."""
    cache, rows = model.decoder.new_cache(), []
    for n in range(1, tokens.shape[1] + 1):
        feed = tokens[:, n - 1 : n] if "self" in keep else tokens[:, :n]
        rows.append(model.decoder(feed, states, cache)[0][:, -1])
        cache = [{name: kept[name] for name in keep} for kept in cache]
    return torch.stack(rows, dim=1)


def operations(model: Whisper, states: Tensor, tokens: Tensor, keep: tuple[str, ...]) -> int:
    """Of `step_by_step`, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        step_by_step(model, states, tokens, keep)
    return counter.get_total_flops()


if __name__ == "__main__":
    some = tokens[:, :6] if QUICK else tokens
    stepped = step_by_step(exact, exact_states, some, keep=("self", "cross"))
    cache_difference = largest_difference([stepped], [exact_logits[:, : some.shape[1]]])
    work, seconds = {}, {}
    step_by_step(model, states, some[:, :2], ())  # the first run is slow
    for keep in ((), ("cross",), ("self", "cross")):
        start = time.perf_counter()
        step_by_step(model, states, some, keep)
        seconds[keep] = time.perf_counter() - start
        work[keep] = operations(model, states, some, keep)
        kept = " and ".join(keep) or "nothing"
        print(f"kept {kept:>14}: {work[keep] / 1e9:6.1f} GFLOP, {seconds[keep]:5.2f} s")
    cache_saves_work = work[()] / work["self", "cross"]
    cache_saves_time = seconds[()] / seconds["self", "cross"]
    print(f"{some.shape[1]} tokens: with the cache {cache_saves_work:.0f} times less work and")
    print(f"{cache_saves_time:.0f} times less time; logits {cache_difference:.1e} apart")
    length, first = some.shape[1], {}  # the work of the first so many steps
    for n in (1, 2, length - 1):
        first[n] = operations(model, states, some[:, :n], ("self", "cross"))
    second, last = first[2] - first[1], work["self", "cross"] - first[length - 1]
    print(f"with all kept, step {length} costs {last / second:.3f} times what step 2 does")
    assert last < 1.1 * second, "a step should cost almost the same, early or late"
    assert work["cross",] < 0.5 * work[()], "the keys of the sound are most of the work"
    assert cache_difference < 1e-9, "more than the rounding of float64"
    assert work["self", "cross"] < work["cross",] < work[()], "each part of the cache saves work"
    assert cache_saves_time > 1, "the cache saves no time"

# %%
# Where the decoder looks
# -----------------------
#
# Cross-attention can be looked at. Each row below is a token about to be written, each column a
# moment of the sound. Some heads follow the speech word by word; the list of eight of them comes
# with the weights. Others rest: most of their attention lies on the silence that fills the
# window, of which the picture shows the first two seconds.


SECONDS_AFTER = 2  # s of silence that the picture shows


def draw_attention(mel: Tensor, panels: dict[str, Tensor], labels: list[str]) -> plt.Figure:
    """The log-mel, and weights [tokens, moments] on the same time axis."""
    moments = next(iter(panels.values())).shape[1]
    end = moments * 2 * HOP / RATE  # s
    figure, axes = plt.subplots(
        3, 1, figsize=(9, 14), sharex=True, height_ratios=(2, 3, 3), layout="constrained"
    )
    image = axes[0].imshow(
        mel[:, : 2 * moments].numpy(), origin="lower", aspect="auto", extent=(0, end, 0, 80)
    )
    figure.colorbar(image, ax=axes[0], label="log-mel as the encoder reads it")
    axes[0].set(ylabel="mel band", title="What the encoder sees: the log-mel")
    for axis, (title, weights) in zip(axes[1:], panels.items(), strict=True):
        extent, top = (0, end, len(weights) - 0.5, -0.5), float(weights.quantile(0.995))
        image = axis.imshow(weights.numpy(), aspect="auto", extent=extent, cmap="magma", vmax=top)
        figure.colorbar(image, ax=axis, label="weight")
        axis.set(ylabel="token about to be written", title=title)
        axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axes[2].set_xlabel("time, s")
    return figure


def aligning_heads(name: str) -> list[tuple[int, int]]:
    """(layer, head) of the cross-attention that follows the speech, as published."""
    config = json.loads((hub.fetch(name) / "config.json").read_text())
    return [(layer, head) for layer, head in config["alignment_heads"]]


if __name__ == "__main__":
    moments = len(speech[0]) // (2 * HOP)
    look = attention[:, 0, :, -len(text) - 1 : -1]  # [layers, heads, text, 1500]
    on_speech = look[..., :moments].sum(-1).mean(-1)  # [layers, heads]: its share of the attention
    chosen = tuple(zip(*aligning_heads("base"), strict=True))  # layers, heads
    layer, head = divmod(int(on_speech.argmin()), sizes.heads)
    following_share, resting_share = float(on_speech[chosen].mean()), float(on_speech.min())
    resting = int((on_speech < 0.5).sum())
    print(f"{resting} of {on_speech.numel()} heads have less than half of it on the speech")
    seen = moments + SECONDS_AFTER * 50  # moments
    panels = {
        f"{len(chosen[0])} heads that follow: {following_share:.0%} of their attention "
        "is on the speech": look[chosen].mean(0)[:, :seen],
        f"Layer {layer + 1}, head {head + 1}, which rests: {resting_share:.0%} of its attention "
        "is on the speech": look[layer, head, :, :seen],
    }
    labels = [tokenizer.decode([token]).strip() for token in text]
    figure = draw_attention(mels[0], panels, labels)
    keep_picture(figure, "whisper_attention")
    plt.close(figure)
    assert resting > 1, "fewer than two heads rest"
    assert resting_share < 0.5 < following_share, "those that are said to follow do not"

# %%
# Whisper beside the standard Transformer
# ---------------------------------------
#
# Whisper is the encoder–decoder Transformer of 2017 with little changed. The input is sound
# instead of words, the norm comes before each part instead of after it, and the tasks are tokens.
# The rest of what makes it Whisper is its training data and the rules of its search, not its
# network.
#
# .. csv-table::
#    :delim: |
#    :header: part | Transformer (Vaswani et al. 2017) | Whisper
#
#    enters the encoder | token vectors times :math:`\sqrt{d}` | log-mel, two convolutions with GELU
#    positions, encoder | sinusoids, sine and cosine in turn | sinusoids, first the sines
#    positions, decoder | sinusoids | learned
#    layer norm | after: :math:`\mathrm{LN}(x + f(x))` | before: :math:`x + f(\mathrm{LN}(x))`
#    last layer norm | none | one at the end of each stack
#    activation | ReLU | GELU
#    biases in attention | none | on query, value and output, none on the key
#    feed-forward width | :math:`4 d` | :math:`4 d`
#    output head | tied to the token vectors | tied to the token vectors
#    masks | padding; the future in the decoder | the future in the decoder; padding is silence
#    enters the decoder | the text so far | language, task and times as tokens, and the text so far
#    loss | cross-entropy, smoothed labels | cross-entropy
#    search | beams with a length penalty | greedy or beams, with rules on the tokens
#
# The proof of the resemblance: PyTorch's own ``nn.Transformer``, told to put the norm first and
# to use GELU, takes Whisper's weights (with zero for the bias of the keys) and gives Whisper's
# logits. It has one bias more per attention, and nothing else more or less.
#
# Both halves are needed because sound and text are two sequences. An encoder alone reads: BERT and
# wav2vec 2.0 give vectors, to be classified or compared. A decoder alone writes on from what it has
# read: GPT, where input and output are one sequence. Both together turn one sequence into another:
# the Transformer for translation, T5, Whisper.


def same_attention(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    """Copy the weights; the bias of the keys, which Whisper lacks, is zero."""
    parts = (ours.query, ours.key, ours.value)
    biases = (ours.query.bias, torch.zeros_like(ours.query.bias), ours.value.bias)
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat(biases))
    theirs.out_proj.load_state_dict(ours.out.state_dict())


def standard_transformer(model: Whisper, s: Sizes) -> nn.Transformer:
    """PyTorch's own Transformer with the weights of Whisper's blocks, in float64."""
    body = nn.Transformer(
        s.width, s.heads, s.encoder_layers, s.decoder_layers, GROWTH * s.width, dropout=0.0,
        activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64,
    ).requires_grad_(False).eval()  # fmt: skip
    pairs = [(body.encoder.norm, model.encoder.ln_post), (body.decoder.norm, model.decoder.ln)]
    for theirs, ours in zip(
        [*body.encoder.layers, *body.decoder.layers],
        [*model.encoder.blocks, *model.decoder.blocks],
        strict=True,
    ):
        same_attention(theirs.self_attn, ours.attn)
        norms = [ours.attn_ln, ours.mlp_ln]
        if isinstance(ours, DecoderBlock):
            same_attention(theirs.multihead_attn, ours.cross_attn)
            norms.insert(1, ours.cross_attn_ln)
        pairs += [(theirs.linear1, ours.mlp[0]), (theirs.linear2, ours.mlp[2])]
        pairs += [(getattr(theirs, f"norm{k}"), norm) for k, norm in enumerate(norms, 1)]
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())
    return body


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says that a short cut needs the norm behind
        body = standard_transformer(exact, sizes)
    embedding, place = exact.decoder.token_embedding, exact.decoder.positional_embedding
    length = tokens.shape[1]
    hidden = body(
        exact.encoder.stem(mels[0][None].double()),  # the sound, after the convolutions
        embedding(tokens) + place[:length],  # the text so far
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(length, dtype=torch.float64),
        tgt_is_causal=True,
    )
    standard_difference = largest_difference([hidden @ embedding.weight.T], [exact_logits])
    extra_parameters = sum(p.numel() for p in body.parameters()) - sum(
        parameters_by_hand[part] for part in ("encoder blocks", "decoder blocks")
    )
    key_biases = (sizes.encoder_layers + 2 * sizes.decoder_layers) * sizes.width
    print(f"nn.Transformer with Whisper's weights: logits {standard_difference:.1e} apart")
    print(f"it has {extra_parameters} parameters more; biases of keys: {key_biases}")
    assert standard_difference < 1e-9, "more than the rounding of float64"
    assert extra_parameters == key_biases, "the blocks are not the standard ones"

# %%
# What this does not do
# ---------------------
#
# It computes probabilities and searches for no text: the next step is the recipe
# ``whisper_search``. It does not train the network, and it stays in float32, where OpenAI's
# package can use half precision. It reads one window of 30 seconds.
#
# Exercises
# ---------
#
# 1. Set the encoder's vectors of position to zero and look at the attention again. What is left of
#    the staircase?
# 2. Write the cost of one step as a formula in the width, the layers and the number of tokens, and
#    compare it with the counted work.
# 3. Cut the log-mel after the last word, and the positions with it. How much time does the encoder
#    save, and how far do the logits move?
# 4. Count the parameters of the model ``tiny.en`` from its sizes, then let ``official`` check you.
#
# Papers
# ------
#
# * A. Radford, J. W. Kim, T. Xu, G. Brockman, C. McLeavey, I. Sutskever. 2022. Robust Speech
#   Recognition via Large-Scale Weak Supervision.
# * A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. N. Gomez, L. Kaiser,
#   I. Polosukhin. 2017. Attention Is All You Need.
# * R. Xiong, Y. Yang, D. He, K. Zheng, S. Zheng, C. Xing, H. Zhang, Y. Lan, L. Wang, T. Liu.
#   2020. On Layer Normalization in the Transformer Architecture.
# * J. Devlin et al. 2019. BERT. A. Baevski et al. 2020. wav2vec 2.0. A. Radford et al. 2018.
#   Improving Language Understanding by Generative Pre-Training (GPT). C. Raffel et al. 2020.
#   Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer (T5).
# * D. Hendrycks, K. Gimpel. 2016. Gaussian Error Linear Units (GELUs).
