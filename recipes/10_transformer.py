r"""
The Transformer, from scratch
=============================

:Answers: questions 4 (the Transformer in full), 5 (the three kinds of attention), 21 (encoder only,
    decoder only, or both), 23 (which attention needs which mask)
:Needs: the weights of Whisper ``base``, at the end
:Takes: about 1 min (20 s with ``--quick``) on two cores, weights fetched before

A Transformer turns one sequence into another: sound into words, say. The two have different
lengths, and what belongs together may stand far apart. It solves this with one tool, attention,
which lets every place of a sequence read from every other place in one step. Whisper is such a
model, the text encoder of VITS is half of one, and the pooling of ECAPA-TDNN is attention without
the rest. Here the whole model is written down and trained to turn strings of digits around. At the
end its blocks run on the real weights of Whisper.

Two more recipes take it to pieces: ``11_attention.py`` and ``12_parameters.py``, which also holds
it against the Transformer of PyTorch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from common import QUICK, keep_picture, recorded, say
from matplotlib import pyplot as plt
from torch import Tensor, nn

# %%
# A task small enough to watch
# ----------------------------
#
# The model shall write a string of digits backwards. The last digit of the input is the first of
# the output, so no place can be copied from its neighbour: the model has to look far away. Strings
# of different lengths share a batch, so the short ones are filled up with a token that means
# nothing.

PAD, START, END, FIRST_DIGIT = 0, 1, 2, 3  # numbers of tokens; the other nine digits follow
VOCABULARY = FIRST_DIGIT + 10  # tokens


def reversal(count: int, longest: int, seed: int) -> tuple[Tensor, Tensor]:
    """Strings of 1 to `longest` digits, and each backwards between START and END.

    Token numbers [count, longest] and [count, longest + 2], filled up with PAD.
    """
    dice = torch.Generator().manual_seed(seed)
    length = torch.randint(1, longest + 1, (count, 1), generator=dice)
    digits = torch.randint(FIRST_DIGIT, VOCABULARY, (count, longest), generator=dice)
    place = torch.arange(longest)
    source = digits.where(place < length, PAD)
    backwards = digits.gather(1, (length - 1 - place).clamp(min=0)).where(place < length, PAD)
    target = F.pad(backwards, (1, 1), value=PAD)
    target[:, 0] = START
    return source, target.scatter(1, length + 1, END)


def spell(tokens: Tensor) -> str:
    """Token numbers [n] as text: digits, < for START, > for END, · for PAD."""
    marks = ["·", "<", ">", *"0123456789"]
    return "".join(marks[token] for token in tokens.tolist())


if __name__ == "__main__":
    source, target = reversal(count=4, longest=6, seed=0)
    for row in range(len(source)):
        print(f"source {spell(source[row])}   target {spell(target[row])}")

# %%
# Attention: an average whose weights depend on the content
# ---------------------------------------------------------
#
# Attention is a look-up in a table that has no sharp edges. Each place asks with a query vector,
# each place offers a key vector and a value vector. The better a key fits the query, the more of
# its value goes into the answer. The weights are positive and sum to one, so the answer is an
# average.
#
# .. math::  A(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}} + M\right) V
#
# :math:`M` is the mask: 0 where looking is allowed, :math:`-\infty` where it is not. Any two places
# are one step apart, however long the sequence. In a recurrent network the same news passes through
# every place between them.


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """query [.., m, d_k], key [.., n, d_k], value [.., n, d_v] -> [.., m, d_v], weights [.., m, n].

    `allowed` is True where a query may look; `bias` is added to the scores (relative positions).
    """
    score = query @ key.mT / math.sqrt(query.shape[-1])  # [.., m, n]: how well each key fits
    if bias is not None:
        score = score + bias
    if allowed is not None:
        score = score.masked_fill(~allowed, -math.inf)  # exp(-inf) = 0: no weight at all
    weight = score.softmax(dim=-1)  # rows are positive and sum to 1
    return weight @ value, weight


if __name__ == "__main__":
    # A query that fits the first key so well that its score is ln 3; the other score is 0.
    asked = torch.tensor([[math.log(3) * math.sqrt(2), 0.0]])
    answer, weight = attention(asked, torch.eye(2), torch.tensor([[10.0], [20.0]]))
    print(f"weights {weight[0].tolist()}, answer {answer.item():.2f}: 3/4 of 10 and 1/4 of 20")
    assert abs(answer.item() - 12.5) < 1e-5, "softmax of (ln 3, 0) is (3/4, 1/4)"

# %%
# Heads
# -----
#
# A head is one attention of its own, on its own projections of the vectors. The width is divided
# among the heads, so four heads cost as much as one. Each can look somewhere else; the output
# projection mixes what they found.
#
# .. math::  \mathrm{head}_i = A(X W^Q_i,\; Y W^K_i,\; Y W^V_i), \qquad
#            \mathrm{out} = [\mathrm{head}_1 \ldots \mathrm{head}_h]\, W^O
#
# Queries come from :math:`X`, keys and values from :math:`Y`. With :math:`Y = X` this is
# self-attention, otherwise cross-attention. It is the same class.


class MultiHeadAttention(nn.Module):
    """X [batch, m, d] asks, Y [batch, n, d] answers: [batch, m, d]."""

    def __init__(self, width: int, heads: int, key_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=key_bias)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.weight: Tensor | None = None  # of the last call, [batch, heads, m, n]: for pictures

    def split(self, x: Tensor) -> Tensor:
        """[batch, n, d] -> [batch, heads, n, d / heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, x: Tensor, y: Tensor, allowed: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        query = self.split(self.query(x))  # [batch, heads, m, d_k]
        key, value = self.split(self.key(y)), self.split(self.value(y))  # [batch, heads, n, d_k]
        mixed, weight = attention(query, key, value, allowed, bias)
        self.weight = weight.detach()
        return self.out(mixed.transpose(1, 2).flatten(2))  # heads side by side: [batch, m, d]


# %%
# Masks
# -----
#
# A mask says who may look where. The padding mask hides the tokens that only fill up a batch, so a
# string's result does not depend on its neighbours in the batch. The causal mask hides the future:
# a decoder is trained on all places at once, and without it each place could read the answer it is
# to give.
#
# ======================  ==========  ===============  ======================================
# attention               query from  key, value from  masks
# ======================  ==========  ===============  ======================================
# encoder self-attention  encoder     encoder          padding of the source
# decoder self-attention  decoder     decoder          causal; it hides padding at the end too
# cross-attention         decoder     encoder          padding of the source, never causal
# ======================  ==========  ===============  ======================================
#
# The decoder needs no padding mask of its own where the filling stands at the end: the causal mask
# hides it from all real tokens, and what the filling itself says is not counted. The model applies
# one all the same; ``11_attention.py`` leaves it out and shows that nothing changes.


def real(tokens: Tensor) -> Tensor:
    """True for tokens that are no filling: [batch, n] -> [batch, 1, 1, n], heads and queries."""
    return (tokens != PAD)[:, None, None, :]


def causal(n: int) -> Tensor:
    """True where place t (row) may look at place s (column), s <= t: [n, n]."""
    return torch.ones(n, n, dtype=torch.bool).tril()


# %%
# Embeddings and positions
# ------------------------
#
# An embedding is a table with one learned row per token. Attention does not see order, so each
# place's number is turned into a vector as well and added. The rows are drawn small, because the
# output head may use the same table, and are multiplied by the square root of the width when they
# are read, so that they are not drowned by the positions.
#
# .. math::
#
#    x_t = \sqrt{d}\, E[\mathrm{token}_t] + p_t
#
#    p_{t,2i} = \sin(t / 10000^{2i/d}), \quad p_{t,2i+1} = \cos(t / 10000^{2i/d})
#
# The original paper computes :math:`p_t` from sines, BERT and Whisper's decoder learn a table, T5
# adds nothing to the embedding and one learned number per distance to the scores instead. All of
# them stand here; the recipe "Attention, masks and positions" compares them.

BASE = 10_000.0  # the slowest sine turns once in almost 2 pi BASE places
REACH = 8  # places: relative positions farther apart share one number


def sinusoids(length: int, width: int) -> Tensor:
    """Sines and cosines of falling frequency: [length, width]."""
    frequency = BASE ** (-torch.arange(0, width, 2) / width)  # radians per place, [width / 2]
    angle = torch.arange(length)[:, None] * frequency  # radians, [length, width / 2]
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class Positions(nn.Module):
    """What one side of the model knows of order: vectors to add, or numbers for the scores."""

    def __init__(self, kind: str, longest: int, width: int, heads: int) -> None:
        super().__init__()
        if kind not in ("sinusoidal", "learned", "relative", "none"):
            raise ValueError(f"positions {kind!r}: choose sinusoidal, learned, relative or none")
        if kind == "sinusoidal":
            self.register_buffer("table", sinusoids(longest, width))
        elif kind == "learned":
            self.table = nn.Parameter(torch.randn(longest, width) / math.sqrt(2))  # a sine's size
        elif kind == "relative":
            self.by_distance = nn.Parameter(torch.zeros(heads, 2 * REACH + 1))
        self.kind = kind

    def add_to(self, x: Tensor) -> Tensor:
        """[batch, n, d] -> [batch, n, d]."""
        return x + self.table[: x.shape[1]] if self.kind in ("sinusoidal", "learned") else x

    def bias(self, n: int) -> Tensor | None:
        """A number for each head, query and key: [heads, n, n]."""
        if self.kind != "relative":
            return None
        distance = torch.arange(n) - torch.arange(n)[:, None]  # key minus query, [n, n]
        return self.by_distance[:, distance.clamp(-REACH, REACH) + REACH]


# %%
# A block: attention, feed-forward, residuals, normalisation
# ----------------------------------------------------------
#
# A block first lets the places exchange news by attention, then works on each place alone with a
# feed-forward network of one hidden layer. Each part's result is added to what came in, which is
# the residual connection. Layer normalisation keeps every vector at mean 0 and variance 1, either
# after the addition, as in the original paper, or before the part, as in GPT-2 and Whisper.
#
# .. math::
#
#    \text{post: } x \leftarrow \mathrm{LN}(x + f(x)), \qquad
#    \text{pre: } x \leftarrow x + f(\mathrm{LN}(x))
#
#    \mathrm{LN}(x) = g \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b, \qquad
#    \text{feed-forward: } f(x) = W_2 \max(0, W_1 x + b_1) + b_2
#
# An encoder block has two parts. A decoder block has cross-attention between them, as a third.

EPSILON = 1e-5  # keeps the root from zero


class LayerNorm(nn.Module):
    """Each vector [.., d] to mean 0 and variance 1, then a learned gain and offset per number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=-1, keepdim=True)
        variance = (x - mean).square().mean(dim=-1, keepdim=True)
        return self.weight * (x - mean) / (variance + EPSILON).sqrt() + self.bias


class Block(nn.Module):
    """One layer, [batch, n, d] -> [batch, n, d]: of an encoder, with `cross` of a decoder.

    `wiring` is "pre" or "post"; for experiments "norm", without residuals, or "bare", without both.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, cross: bool = False, wiring: str = "pre",
        activation: type[nn.Module] = nn.ReLU, key_bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = MultiHeadAttention(width, heads, key_bias)
        self.cross = MultiHeadAttention(width, heads, key_bias) if cross else None
        self.feed = nn.Sequential(nn.Linear(width, hidden), activation(), nn.Linear(hidden, width))
        self.norms = nn.ModuleList(LayerNorm(width) for _ in range(3 if cross else 2))
        self.wiring = wiring

    def add(self, x: Tensor, norm: nn.Module, part) -> Tensor:
        if self.wiring == "post":
            return norm(x + part(x))
        if self.wiring == "pre":
            return x + part(norm(x))
        return part(norm(x)) if self.wiring == "norm" else part(x)

    def forward(
        self, x: Tensor, allowed: Tensor | None = None, bias: Tensor | None = None,
        memory: Tensor | None = None, memory_allowed: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        x = self.add(x, self.norms[0], lambda z: self.attention(z, z, allowed, bias))
        if self.cross is not None:  # query from here, key and value from the encoder
            x = self.add(x, self.norms[1], lambda z: self.cross(z, memory, memory_allowed))
        return self.add(x, self.norms[-1], self.feed)


# %%
# The whole model
# ---------------
#
# The encoder reads the source once and leaves one vector per token, its memory. The decoder writes
# the target token by token: self-attention over what it has written, cross-attention into the
# memory. The output head gives a score for every token of the vocabulary at every place. It may be
# tied, which means that it uses the embedding table again: the score of a token is then the dot
# product of the decoder's vector with the token's row.
#
# .. math::  \mathrm{logits}_t = W h_t \quad (W = E \text{ if tied}), \qquad
#            P(\mathrm{token} \mid \text{past}, \text{source}) = \mathrm{softmax}(\mathrm{logits}_t)


@dataclass(frozen=True)
class Size:
    """Everything that fixes the number of parameters."""

    width: int = 64  # numbers per token, d
    heads: int = 2  # each width / heads wide
    hidden: int = 256  # numbers inside the feed-forward network
    layers: int = 2  # on each side
    vocabulary: int = VOCABULARY  # tokens
    longest: int = 16  # tokens
    positions: str = "sinusoidal"
    wiring: str = "pre"
    tied: bool = False


class Transformer(nn.Module):
    """Source tokens [batch, n], target tokens [batch, m] -> logits [batch, m, vocabulary].

    `open` names masks to leave out, for experiments: "causal", "encoder", "decoder", "cross".
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        shape, places = (
            (size.width, size.heads, size.hidden),
            (size.longest, size.width, size.heads),
        )
        self.size, self.open = size, frozenset()
        self.token = nn.Embedding(size.vocabulary, size.width)
        nn.init.normal_(self.token.weight, std=size.width**-0.5)
        self.source_places = Positions(size.positions, *places)
        self.target_places = Positions(size.positions, *places)
        self.encoder = nn.ModuleList(Block(*shape, wiring=size.wiring) for _ in range(size.layers))
        self.decoder = nn.ModuleList(
            Block(*shape, cross=True, wiring=size.wiring) for _ in range(size.layers)
        )
        self.encoder_norm, self.decoder_norm = LayerNorm(size.width), LayerNorm(size.width)
        self.head = nn.Linear(size.width, size.vocabulary, bias=False)
        if size.tied:
            self.head.weight = self.token.weight

    def embed(self, tokens: Tensor, places: Positions) -> Tensor:
        return places.add_to(self.token(tokens) * math.sqrt(self.size.width))

    def mask(self, name: str, tokens: Tensor) -> Tensor:
        return torch.ones_like(real(tokens)) if name in self.open else real(tokens)

    def encode(self, source: Tensor) -> Tensor:
        """The memory: [batch, n, d]."""
        x, bias = self.embed(source, self.source_places), self.source_places.bias(source.shape[1])
        for block in self.encoder:
            x = block(x, self.mask("encoder", source), bias)
        return self.encoder_norm(x)

    def decode(self, target: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        """Logits for the token after each place: [batch, m, vocabulary]."""
        m = target.shape[1]
        allowed = self.mask("decoder", target)
        if "causal" not in self.open:
            allowed = allowed & causal(m)
        x, bias = self.embed(target, self.target_places), self.target_places.bias(m)
        for block in self.decoder:
            x = block(x, allowed, bias, memory, self.mask("cross", source))
        return self.head(self.decoder_norm(x))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, self.encode(source), source)


def count(model: nn.Module) -> int:
    """The number of parameters; a shared one counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


# %%
# Training, and writing one token at a time
# -----------------------------------------
#
# In training the right tokens stand before each place, so all places learn in one pass: teacher
# forcing. In use there is no right answer to read. The model writes a token, reads it back, and
# goes on until it has written END. Taking the likeliest token each time is greedy decoding.
#
# .. math::  L = -\frac{1}{N} \sum_t \log P(\mathrm{token}_{t+1} \mid \mathrm{token}_{\le t},
#            \mathrm{source})
#
# The loss is the cross-entropy of the next token. The decoder is given the target without its last
# token and must say the target without its first; filling counts for nothing, and :math:`N` is the
# number of tokens that count.

WARM_UP = 0.1  # share of the steps in which the learning rate rises; then it falls to zero


def new_model(size: Size, seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(size)


def loss_of(model: Transformer, source: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of the next token, in nats."""
    logits = model(source, target[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)


def train(
    model: Transformer, steps: int, longest: int, batch: int = 128, rate: float = 2e-3
) -> list[float]:
    """Train on `batch` new strings per step; the loss of each step, in nats."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for step in range(steps):
        done = (step + 1) / (steps + 1)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
        loss = loss_of(model, *reversal(batch, longest, seed=step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def greedy(model: Transformer, source: Tensor) -> Tensor:
    """The likeliest token each time, from START on: [batch, n + 2], PAD after END."""
    memory = model.encode(source)  # once
    written = torch.full((len(source), 1), START)
    for _ in range(source.shape[1] + 1):
        logits = model.decode(written, memory, source)[:, -1]  # of the last place
        written = torch.cat([written, logits.argmax(dim=-1, keepdim=True)], dim=1)
    ended = (written == END).cumsum(dim=1) - (written == END).int()  # 1 and more after END
    return written.masked_fill(ended > 0, PAD)


def exact_match(model: Transformer, longest: int, count: int = 1000) -> float:
    """Share of new strings that come out right in every token."""
    source, target = reversal(count, longest, seed=1_000_000)  # a seed of no training step
    return (greedy(model, source) == target).all(dim=1).float().mean().item()


if __name__ == "__main__":
    LONGEST, STEPS = (6, 300) if QUICK else (8, 1500)
    model = new_model(Size())
    match_before = exact_match(model, LONGEST)
    losses = train(model, STEPS, LONGEST)
    match_after = exact_match(model, LONGEST)
    source, target = reversal(count=6, longest=LONGEST, seed=1_000_001)
    for question, answer in zip(source, greedy(model, source), strict=True):
        print(f"source {spell(question)}   written {spell(answer)}")
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.4f} nats in {STEPS} steps")
    print(f"exact match: {100 * match_before:.1f} % before, {100 * match_after:.1f} % after")
    assert match_after > 0.99, "a model of this size learns to turn strings around"

# %%
# Where it looks
# --------------
#
# The weights of attention can be looked at. In cross-attention, the place that writes token t looks
# at the source's token that comes out there: counted from the end. So the picture is a line from
# the upper right to the lower left. It need not be sharp: the encoder's self-attention can have
# told each token about its neighbours. In the decoder's self-attention everything right of the
# diagonal is empty, because the causal mask forbids it.

if __name__ == "__main__":
    source, target = reversal(count=400, longest=LONGEST, seed=1_000_002)
    whole = (source != PAD).all(dim=1)  # strings of full length: their pictures fit each other
    source, target = source[whole], target[whole]
    with torch.no_grad():
        model(source, target[:, :-1])
    mirror = torch.arange(LONGEST).flip(0)  # the source's place that target place t must copy
    weight = model.decoder[-1].cross.weight[:, :, :LONGEST]  # [batch, heads, digits, source]
    error = (weight.argmax(dim=-1) - mirror).abs()  # places from the largest weight to the mirror
    hits, near = ((error <= most).float().mean(dim=(0, 2)) for most in (0, 1))  # [heads]
    head = int(hits.argmax())
    mirror_share, near_share = hits[head].item(), near[head].item()
    print(f"last cross-attention, head {head + 1}: largest weight on the digit to copy in ")
    print(
        f"{100 * mirror_share:.0f} % of places, at most one beside it in {100 * near_share:.0f} %"
    )
    assert mirror_share > 0.8, "cross-attention runs backwards through the source"
    assert near_share > 0.95, "where it misses, it takes the neighbour, who has heard of the digit"

    digits, written = list(spell(source[0])), list(spell(target[0, :-1]))
    panels = (
        ("encoder, mean of heads", model.encoder[-1].attention.weight[0].mean(0), digits, digits),
        ("decoder, mean of heads", model.decoder[-1].attention.weight[0].mean(0), written, written),
        (f"cross, head {head + 1}", model.decoder[-1].cross.weight[0, head], written, digits),
    )
    figure, row = plt.subplots(1, 3, figsize=(12, 4.6), constrained_layout=True)
    for axes, (title, weight, asking, answering) in zip(row, panels, strict=True):
        image = axes.imshow(weight, vmin=0, vmax=1, cmap="magma")
        axes.set(title=title, xlabel="key: token looked at", ylabel="query: token that looks")
        axes.set_xticks(range(len(answering)), answering)
        axes.set_yticks(range(len(asking)), asking)
    figure.colorbar(image, ax=row, label="weight (1)", shrink=0.8)
    figure.suptitle("Three attentions: cross-attention reads the source backwards")
    keep_picture(figure, "transformer_attention")
    plt.close(figure)

# %%
# The same blocks on real weights
# -------------------------------
#
# Whisper is an encoder-decoder Transformer built of the same blocks: normalisation before each
# part, GELU in place of ReLU, no bias at the keys, sines in the encoder, learned positions in the
# decoder, a tied head. Its source is not a string but 1500 vectors that two convolutions make of 30
# seconds of sound. With its weights in the blocks above, the logits must be those of
# openai-whisper.


def from_whisper(block: nn.Module) -> Block:
    """A block of this file with the weights of one of openai-whisper's."""
    cross = block.cross_attn is not None
    names = {"attn": "attention", "cross_attn": "cross", "mlp": "feed"}
    names |= {"attn_ln": "norms.0", "cross_attn_ln": "norms.1"}
    names["mlp_ln"] = "norms.2" if cross else "norms.1"
    hidden, width = block.mlp[0].weight.shape
    ours = Block(width, block.attn.n_head, hidden, cross, activation=nn.GELU, key_bias=False)
    parts = (name.partition(".") for name in block.state_dict())
    renamed = [f"{names[part]}.{rest}" for part, _, rest in parts]
    ours.load_state_dict(dict(zip(renamed, block.state_dict().values(), strict=True)))
    return ours


if __name__ == "__main__":
    from whisper.tokenizer import get_tokenizer

    from speechkit.asr.openai import load_engine
    from speechkit.features import whisper_log_mel

    whisper = load_engine("base", device="cpu").model
    text = "Attention lets every place of a sequence read from every other place."
    [(speech, text)] = recorded(count=1) or [(say(text), text)]
    tokenizer = get_tokenizer(multilingual=True)
    start = tokenizer.sot_sequence_including_notimestamps
    tokens = torch.tensor([[*start, *tokenizer.encode(" " + text.lower())]])
    mel = whisper_log_mel(torch.tensor(speech.samples), padding=480_000)[:, :3000]  # 30 s

    with torch.inference_mode():
        x = F.gelu(whisper.encoder.conv1(mel[None]))
        x = F.gelu(whisper.encoder.conv2(x)).mT + whisper.encoder.positional_embedding
        for block in whisper.encoder.blocks:
            x = from_whisper(block)(x)
        memory = whisper.encoder.ln_post(x)

        n = tokens.shape[1]
        y = whisper.decoder.token_embedding(tokens) + whisper.decoder.positional_embedding[:n]
        for block in whisper.decoder.blocks:
            y = from_whisper(block)(y, allowed=causal(n), memory=memory)
        logits = whisper.decoder.ln(y) @ whisper.decoder.token_embedding.weight.T
        expected = whisper(mel[None], tokens)
    whisper_difference = (logits - expected).abs().max().item()
    print(f"Whisper base, {n} tokens: logits up to {expected.abs().max():.0f}, ")
    print(f"largest difference from openai-whisper {whisper_difference:.1e}")
    assert whisper_difference < 2e-3, "float32 rounding through twelve blocks"

# %%
# Encoder only, decoder only, or both
# -----------------------------------
#
# An encoder alone turns a sequence into vectors of the same length, each knowing both sides: for
# labels, embeddings and features. A decoder alone continues a sequence: for text, and for anything
# written as tokens. Both together turn one sequence into another. The block is the same: an encoder
# block with a causal mask is a block of GPT.
#
# ====================  =======================  ================  ==============================
# system                which part               positions         in; out
# ====================  =======================  ================  ==============================
# BERT                  encoder                  learned           text with gaps; vectors
# wav2vec 2.0           encoder on convolutions  a convolution     waveform; 50 vectors a second
# VITS, its text half   encoder                  relative, 4 away  phonemes; a distribution each
# GPT-2                 decoder, no cross        learned           text; the next token
# Llama                 decoder, no cross        rotary, relative  text; the next token
# the Transformer       both                     sines             text; its translation
# T5                    both                     relative          text; text
# Whisper               both                     sines, learned    log-mel spectrogram; text
# ====================  =======================  ================  ==============================
#
# ECAPA-TDNN has no block of this kind. Its pooling is a weighted mean and deviation over time, with
# weights from a softmax over the frames: attention without a query.


def stack(blocks: nn.ModuleList, x: Tensor, allowed: Tensor | None = None) -> Tensor:
    for block in blocks:
        x = block(x, allowed)
    return x


if __name__ == "__main__":
    x = model.embed(torch.arange(FIRST_DIGIT, VOCABULARY)[None], model.source_places).detach()
    other_end = x.clone()
    other_end[:, -1] = x[:, 0]  # another last token
    influence = {
        name: (stack(model.encoder, x, mask) - stack(model.encoder, other_end, mask))[:, :-1]
        .abs().max().item()
        for name, mask in (("encoder", None), ("decoder", causal(x.shape[1])))
    }  # fmt: skip
    print("change of the earlier vectors when the last token changes:")
    print(f"  no mask: {influence['encoder']:.2f}   causal mask: {influence['decoder']:.1e}")
    assert influence["decoder"] < 1e-6 < 0.1 < influence["encoder"], "one mask makes the difference"

# %%
# What this recipe does not do
# ----------------------------
#
# No dropout and no label smoothing, which the paper has: the toy has endless data. No cache of keys
# and values while decoding, so each token costs as much as all before it; no beam search; no
# attention that saves memory.
#
# Exercises
# ---------
#
# 1. Train the same model to sort the digits, and look at cross-attention again. Why is there no
#    line?
# 2. Train on up to 8 digits and test on 12, with each kind of positions.
# 3. Make a decoder-only model of `Block`: source, START and target in one sequence, one causal
#    mask.
# 4. Keep keys and values of earlier tokens in `greedy`, and show that the tokens stay the same.
# 5. Leave out each part of a block in turn and train again. Which one can be spared?
#
# Papers
# ------
#
# * Vaswani et al., 2017: Attention Is All You Need.
# * Ba, Kiros, Hinton, 2016: Layer Normalization.
# * He et al., 2016: Deep Residual Learning for Image Recognition.
# * Devlin et al., 2019: BERT: Pre-training of Deep Bidirectional Transformers for Language
#   Understanding.
# * Radford et al., 2019: Language Models are Unsupervised Multitask Learners (GPT-2).
# * Raffel et al., 2020: Exploring the Limits of Transfer Learning with a Unified Text-to-Text
#   Transformer (T5).
# * Baevski et al., 2020: wav2vec 2.0: A Framework for Self-Supervised Learning of Speech
#   Representations.
# * Kim, Kong, Son, 2021: Conditional Variational Autoencoder with Adversarial Learning for
#   End-to-End Text-to-Speech (VITS).
# * Radford et al., 2022: Robust Speech Recognition via Large-Scale Weak Supervision (Whisper).
# * Touvron et al., 2023: LLaMA: Open and Efficient Foundation Language Models.
