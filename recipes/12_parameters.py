r"""
Parameters and gradients
========================

:Answers: questions 8 (which parameters a step updates), 9 (how many there are, counted by hand),
    and of 4 what residuals, the factor :math:`\sqrt{d}` and a tied output head are for
:Needs: no weights; the classes of ``10_transformer.py``
:Takes: about 5 s, with ``--quick`` or without, weights fetched before

A model of a hundred thousand numbers or of a billion is trained by one rule: every number gets a
gradient and moves against it. It helps to know how many there are before any is made, which of them
a step really moves, and whether the gradient reaches them at all. All three can be worked out by
hand, and then looked at.
"""

from __future__ import annotations

import math
import warnings

import torch
from common import import_recipe, keep_picture
from matplotlib import pyplot as plt
from torch import Tensor, nn

transformer = import_recipe("transformer")
Block, Size, Transformer = transformer.Block, transformer.Size, transformer.Transformer
FIRST_DIGIT, VOCABULARY, spell = transformer.FIRST_DIGIT, transformer.VOCABULARY, transformer.spell

# %%
# Counting the parameters by hand
# -------------------------------
#
# To count the parameters of a Transformer, count its matrices. Attention has four of d by d,
# feed-forward two of d by h, and each has biases. With h = 4d an encoder block has about 12 d², a
# decoder block about 16 d²: the rest is small. The embedding has one row per token, and a head that
# is not tied has as much again. Below, a counts an attention, f a feed-forward network, n a norm, L
# the blocks of each side, V the tokens. The last 2n are the final norms of the two sides, which
# PyTorch has and the paper does not.
#
# .. math::
#
#    a = 4(d^2 + d), \quad f = 2dh + h + d, \quad n = 2d
#
#    N = L(a + f + 2n) + L(2a + f + 3n) + 2n + (1 \text{ or } 2)\, V d + \text{positions}


def count_by_hand(size: Size) -> int:
    """The number of parameters of `Transformer(size)`."""
    d, h = size.width, size.hidden
    attends = 4 * (d * d + d)  # query, key, value, out
    feeds = 2 * d * h + h + d
    norm = 2 * d
    encoder = size.layers * (attends + feeds + 2 * norm)
    decoder = size.layers * (2 * attends + feeds + 3 * norm)
    tables = size.vocabulary * d * (1 if size.tied else 2)
    places = {"learned": size.longest * d, "relative": size.heads * (2 * transformer.REACH + 1)}
    return encoder + decoder + 2 * norm + tables + 2 * places.get(size.positions, 0)


if __name__ == "__main__":
    sizes = {
        "as trained here": Size(),
        "tied": Size(tied=True),
        "learned positions": Size(positions="learned"),
        "relative positions": Size(positions="relative"),
        "the paper's base model": Size(512, 8, 2048, 6, vocabulary=37_000, tied=True),
    }
    parameters_by_hand = {name: count_by_hand(size) for name, size in sizes.items()}
    with torch.device("meta"):  # shapes without numbers
        parameters_counted = {
            name: transformer.count(Transformer(size)) for name, size in sizes.items()
        }
    for name, by_hand in parameters_by_hand.items():
        print(f"{name:24s} by hand {by_hand:>10,d}   counted {parameters_counted[name]:>10,d}")
    assert parameters_by_hand == parameters_counted, "the formula forgets nothing"

    rough = sizes["the paper's base model"].layers * (12 + 16) * 512**2  # matrices of the blocks
    share_of_blocks = rough / parameters_by_hand["the paper's base model"]
    print(f"28 L d² = {rough:,d} is {100 * share_of_blocks:.0f} % of the last")

# %%
# The same parameters in PyTorch
# ------------------------------
#
# Two models are the same if they have the same parameters and do the same with them. PyTorch has
# this attention as ``torch.nn.MultiheadAttention`` and the encoder and decoder, without embeddings
# and head, as ``torch.nn.Transformer``. Only the names differ: PyTorch stacks the matrices of
# query, key and value in one. With its weights in the classes used here, the same vectors must come
# out under every mask.


def from_torch(layer: nn.Module) -> dict[str, Tensor]:
    """Weights of PyTorch's attention or Transformer layer under the names used here."""
    names = {"self_attn": "attention", "multihead_attn": "cross", "linear1": "feed.0"}
    names |= {"linear2": "feed.2", "norm1": "norms.0", "norm2": "norms.1", "norm3": "norms.2"}
    state = {}
    for name, value in layer.state_dict().items():
        path, _, last = name.rpartition(".")
        for theirs, ours in names.items():
            path = path.replace(theirs, ours)
        path = path.replace("out_proj", "out")
        if last.startswith("in_proj_"):
            thirds = zip(("query", "key", "value"), value.chunk(3), strict=True)
            state |= {
                f"{path}.{part}.{last[8:]}".lstrip("."): third.clone() for part, third in thirds
            }
        else:
            state[f"{path}.{last}"] = value.clone()
    return state


def compare_attention(use_causal: bool, use_padding: bool) -> float:
    """Largest difference from torch.nn.MultiheadAttention, in outputs and weights."""
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(embed_dim=32, num_heads=4, batch_first=True)
    ours = transformer.MultiHeadAttention(width=32, heads=4)
    ours.load_state_dict(from_torch(theirs))
    source, _ = transformer.reversal(count=8, longest=10, seed=1)
    x, y = torch.randn(8, 10, 32), torch.randn(8, 10, 32)
    allowed = torch.ones(8, 1, 10, 10, dtype=torch.bool)
    if use_causal:
        allowed = allowed & transformer.causal(10)
    if use_padding:
        allowed = allowed & transformer.real(source)
    expected, weight = theirs(  # PyTorch's masks say what is forbidden, not what is allowed
        x, y, y, average_attn_weights=False,
        attn_mask=~transformer.causal(10) if use_causal else None,
        key_padding_mask=source == transformer.PAD if use_padding else None,
    )  # fmt: skip
    got = ours(x, y, allowed)
    return max((got - expected).abs().max().item(), (ours.weight - weight).abs().max().item())


if __name__ == "__main__":
    attention_difference = {
        (use_causal, use_padding): compare_attention(use_causal, use_padding)
        for use_causal in (False, True)
        for use_padding in (False, True)
    }
    for (use_causal, use_padding), difference in attention_difference.items():
        print(f"causal {use_causal!s:5}  padding {use_padding!s:5}  difference {difference:.1e}")
    assert max(attention_difference.values()) < 1e-5, "float32 sums in another order, no more"

# %%
# The whole model: both orders of normalisation, all masks at once, on real tokens. The gradient
# must agree too, back through the decoder and the encoder to the source.


def compare_model(wiring: str) -> tuple[float, float]:
    """Largest difference of the output, and of the gradient at the source, on real tokens."""
    warnings.filterwarnings("ignore", message="enable_nested_tensor")  # a speed-up it can't use
    torch.manual_seed(0)
    size = Size(wiring=wiring)
    theirs = nn.Transformer(
        size.width, size.heads, size.layers, size.layers, size.hidden, dropout=0.0,
        batch_first=True, norm_first=wiring == "pre",
    )  # fmt: skip
    ours = Transformer(size)
    for side in ("encoder", "decoder"):
        layers = getattr(theirs, side).layers
        for block, layer in zip(getattr(ours, side), layers, strict=True):
            block.load_state_dict(from_torch(layer))
    source, target = transformer.reversal(count=8, longest=10, seed=2)
    no_source, no_target = source == transformer.PAD, target == transformer.PAD
    x = ours.embed(source, ours.source_places).detach().requires_grad_()
    y = ours.embed(target, ours.target_places).detach()
    expected = theirs(
        x, y, tgt_mask=~transformer.causal(y.shape[1]), src_key_padding_mask=no_source,
        tgt_key_padding_mask=no_target, memory_key_padding_mask=no_source,
    )  # fmt: skip
    weight = torch.randn_like(expected) * ~no_target[..., None]  # a gradient to send back
    [wanted] = torch.autograd.grad((expected * weight).sum(), x)
    ours.head, ours.embed = nn.Identity(), lambda tokens, places: x if tokens is source else y
    got = ours(source, target)
    [gradient] = torch.autograd.grad((got * weight).sum(), x)
    there = ~no_target
    return (got - expected)[there].abs().max().item(), (gradient - wanted).abs().max().item()


if __name__ == "__main__":
    torch_difference = {wiring: compare_model(wiring) for wiring in ("pre", "post")}
    for wiring, (output, gradient) in torch_difference.items():
        print(f"{wiring}-norm against torch.nn.Transformer: {output:.1e}, gradient {gradient:.1e}")
        assert max(output, gradient) < 1e-4, "float32 rounding through four blocks, no more"

# %%
# One training step: what moves
# -----------------------------
#
# One step moves every parameter that got a gradient: all of the encoder, the decoder and the head
# at once, since the loss at the decoder's end reaches the encoder through cross-attention.
# Embedding rows get a gradient only if their token was in the batch. Weight decay, as in AdamW,
# shrinks the other rows too. Frozen parameters, and parameters that took no part, stay as they are.
# Here :math:`\eta` is the learning rate, :math:`g` the gradient, :math:`\hat m` and :math:`\hat v`
# are running means of :math:`g` and :math:`g^2`, and :math:`\lambda` is the decay.
#
# .. math::
#
#    \theta \leftarrow \theta - \eta\, g \quad \text{(SGD)}
#
#    \theta \leftarrow \theta - \eta\, \lambda\, \theta
#    - \eta\, \hat m / (\sqrt{\hat v} + \varepsilon) \quad \text{(AdamW)}


def moved(model: Transformer, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Name of each parameter -> True where one step on the string 314 changed its number."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    source = torch.tensor([[3, 1, 4]]) + FIRST_DIGIT
    target = torch.tensor([[transformer.START, *(source[0].flip(0).tolist()), transformer.END]])
    optimiser.zero_grad()
    transformer.loss_of(model, source, target).backward()
    optimiser.step()
    return {name: parameter != before[name] for name, parameter in model.named_parameters()}


if __name__ == "__main__":
    rows_moved = {}  # embedding rows, named by their tokens
    for name, tied, make in (
        ("SGD", False, lambda p: torch.optim.SGD(p, lr=0.1)),
        ("SGD, tied head", True, lambda p: torch.optim.SGD(p, lr=0.1)),
        ("AdamW without decay", False, lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.0)),
        ("AdamW, decay 0.01", False, lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01)),
    ):
        model = transformer.new_model(Size(tied=tied))
        change = moved(model, make(model.parameters()))
        rows_moved[name] = spell(change["token.weight"].any(dim=1).nonzero()[:, 0])
        print(f"{name:20s} rows of the embedding that moved: {rows_moved[name]}")
    assert rows_moved["SGD"] == "<134", "START and the digits of the string; END is only predicted"
    assert rows_moved["SGD, tied head"] == spell(torch.arange(VOCABULARY)), "the head uses all rows"
    assert rows_moved["AdamW without decay"] == "<134", "no gradient, no step"
    assert len(rows_moved["AdamW, decay 0.01"]) == VOCABULARY, "decay asks for no gradient"

    model = transformer.new_model(Size())
    model.spare = nn.Linear(4, 4)  # never called, so it gets no gradient, not even of zero
    model.encoder[0].requires_grad_(False)  # frozen: the gradient passes through it, not into it
    change = moved(model, torch.optim.AdamW(model.parameters(), lr=0.1))
    still = [name for name, where in change.items() if not where.any()]
    print("stayed under AdamW:", sorted({".".join(name.split(".")[:2]) for name in still}))
    assert all(name.startswith(("spare", "encoder.0")) for name in still), "all others moved"
    assert len(still) == 2 + len(list(model.encoder[0].parameters())), "and of these, none"

# %%
# One parameter gets a gradient that is always zero: the bias of the keys. It adds the same number
# to all scores of a query, and softmax only sees differences. Whisper leaves this bias out.
#
# .. math::  q \cdot (k_s + b) = q \cdot k_s + \underbrace{q \cdot b}_{\text{same for all } s}

if __name__ == "__main__":
    model = transformer.new_model(Size())
    batch = transformer.reversal(count=64, longest=8, seed=3)
    transformer.loss_of(model, *batch).backward()
    layer = model.encoder[0].attention
    key_bias_gradient = layer.key.bias.grad.norm().item()
    query_bias_gradient = layer.query.bias.grad.norm().item()
    with torch.no_grad():
        before = model(*batch)
        layer.key.bias += 1.0
        key_bias_effect = (model(*batch) - before).abs().max().item()
    print(f"gradient: key bias {key_bias_gradient:.1e}, query bias {query_bias_gradient:.1e}")
    print(f"change of the logits when 1 is added to the key bias: {key_bias_effect:.1e}")
    assert key_bias_gradient < 1e-4 * query_bias_gradient, "rounding is all there is"
    assert key_bias_effect < 1e-4, "softmax does not see it"

# %%
# Why the root of d, and what tying does
# --------------------------------------
#
# The embedding's rows are multiplied by the root of d to be as large as the positions. They are
# drawn small, with variance 1/d. A tied head then gives scores of about 1, with which training can
# start. Reading the rows times the root of d gives the input variance 1, the same order as the
# positions. Without that factor the positions would be much larger than the tokens.


def spread(x: Tensor) -> float:
    """Root of the mean square."""
    return x.square().mean().sqrt().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    tied = Transformer(Size(tied=True))
    table, state = tied.token.weight.detach(), torch.randn(100, tied.size.width)
    scaled_token = spread(table * math.sqrt(tied.size.width))
    place_size = spread(tied.source_places.table)
    print(f"root mean square: position {place_size:.2f}, token's row {spread(table):.2f}, ")
    print(f"row times the root of d {scaled_token:.2f}")
    small_logits = spread(state @ table.T)
    large_logits = spread(state @ table.T * math.sqrt(tied.size.width))
    print(f"logits of a tied head {small_logits:.2f}, with rows of size 1 {large_logits:.2f}")
    assert spread(table) < 0.25 * place_size < 0.5 * scaled_token, "the factor lifts the tokens"
    assert 0.8 < small_logits < 1.2 < 6.0 < large_logits, (
        "rows of size 1 make logits of size root d"
    )

# %%
# Why residuals
# -------------
#
# A residual connection adds what came in to what a part makes of it. So, where the norm stands
# before the part, there is a path through any number of blocks on which nothing is multiplied, for
# the vectors going up and for the gradient coming down; with the norm after it, only the norms lie
# on that path. Without it, and without normalisation, each block passes on a small fraction of the
# gradient, and the fractions multiply. Normalisation alone keeps up the size of the gradient, but
# not what it is about: attention averages, and after a few averages all places hold the same
# vector.
#
# .. math::
#
#    \frac{\partial}{\partial x}(x + f(x)) = I + f'(x), \qquad
#    \text{distinct} = \frac{\sum_t \| x_t - \bar x \|^2}{\sum_t \| x_t \|^2}

DEPTHS = (1, 2, 4, 8, 16, 32)  # blocks
WIRINGS = {
    "pre": "residuals, norm before",
    "post": "residuals, norm after",
    "norm": "norm, no residuals",
    "bare": "neither",
}


def through(wiring: str, depth: int) -> tuple[float, float]:
    """Gradient's norm at the bottom of new blocks over that at the top; how distinct places are."""
    torch.manual_seed(0)
    blocks = [Block(width=32, heads=4, hidden=128, wiring=wiring).double() for _ in range(depth)]
    bottom = x = torch.randn(8, 16, 32, dtype=torch.float64, requires_grad=True)
    for block in blocks:
        x = block(x)
    top = torch.randn_like(x)
    x.backward(top)
    apart = (x - x.mean(dim=1, keepdim=True)).square().sum() / x.square().sum()
    return (bottom.grad.norm() / top.norm()).item(), apart.item()


if __name__ == "__main__":
    passed = {wiring: [through(wiring, depth) for depth in DEPTHS] for wiring in WIRINGS}
    gradient_left = {wiring: [left for left, _ in pairs] for wiring, pairs in passed.items()}
    distinct = {wiring: [apart for _, apart in pairs] for wiring, pairs in passed.items()}
    for title, table in (("gradient left", gradient_left), ("distinct", distinct)):
        print(f"{title:22s}", *(f"{depth:8d}" for depth in DEPTHS), " blocks")
        for wiring, row in table.items():
            print(f"{WIRINGS[wiring]:22s}", *(f"{number:8.1e}" for number in row))
    assert gradient_left["bare"][-1] < 1e-20, "fractions multiply"
    assert distinct["norm"][-1] < 1e-6, "averages of averages are all the same"
    for wiring in ("pre", "post"):
        assert 0.1 < gradient_left[wiring][-1] < 10.0, "residuals carry the gradient"
        assert distinct[wiring][-1] > 0.01, "residuals carry what is different"

    figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), constrained_layout=True)
    for axes, table in zip(panels, (gradient_left, distinct), strict=True):
        for wiring, row in table.items():
            axes.loglog(DEPTHS, row, "o-", label=WIRINGS[wiring])
        axes.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
        axes.minorticks_off()
        axes.set(xlabel="depth (blocks)", ylim=(1e-12, 30.0))
    panels[0].set(ylabel="gradient at the bottom / at the top", title="What comes back down")
    panels[1].set(ylabel="share of variance between places", title="What goes up")
    panels[1].legend(loc="center right")
    figure.suptitle("Residuals carry the gradient down and the differences up")
    keep_picture(figure, "parameters_residuals")
    plt.close(figure)

# %%
# What this recipe does not do
# ----------------------------
#
# It counts numbers, not bytes, operations or seconds. What training needs besides the parameters is
# left out: Adam's two numbers for each of them, and the activations that wait for the backward
# pass.
#
# Exercises
# ---------
#
# 1. Count BERT base by hand: 12 blocks, d = 768, h = 3072, 30,522 tokens, 512 positions, two types.
# 2. Take a step with momentum after the step on 314, on other digits. Which rows move now, and why?
# 3. Freeze everything but the norms and the head, and train. How much of the task can be learned?
# 4. Plot the gradient in each block of a deep post-norm stack. Where is it largest?
#
# Papers
# ------
#
# * Vaswani et al., 2017: Attention Is All You Need.
# * He et al., 2016: Deep Residual Learning for Image Recognition.
# * Dong, Cordonnier, Loukas, 2021: Attention is Not All You Need: Pure Attention Loses Rank Doubly
#   Exponentially with Depth.
# * Xiong et al., 2020: On Layer Normalization in the Transformer Architecture.
# * Press, Wolf, 2017: Using the Output Embedding to Improve Language Models.
# * Loshchilov, Hutter, 2019: Decoupled Weight Decay Regularization (AdamW).
