r"""
Attention, masks and positions
==============================

:Answers: questions 5 (why attention, why several heads), 6 (queries, keys and values; why divide by
    :math:`\sqrt{d_k}`), 7 (who asks and who answers in cross-attention), 10 (why positions, why
    added), 23 (what leaks without each mask)
:Needs: no weights; the classes of ``10_transformer.py``
:Takes: about 2 min (20 s with ``--quick``) on two cores, weights fetched before

The Transformer's parts look like conventions: a root here, a mask there, a table of sines added to
everything. Each of them answers a failure. This recipe takes them out one at a time and measures
what goes wrong.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from common import QUICK, import_recipe, keep_picture
from matplotlib import pyplot as plt
from torch import Tensor, nn

transformer = import_recipe("transformer")
PAD, attention = transformer.PAD, transformer.attention

# %%
# Why attention: a look-up by content
# -----------------------------------
#
# Attention finds things by what they are, not by where they stand. A query that fits a key gets
# that key's value, whether it stands next door or at the other end. Nothing has to be carried from
# place to place on the way, and all places are worked on at once.
#
# .. math::  A(q, K, V) = \sum_s w_s v_s, \qquad
#            w_s = \frac{\exp(q \cdot k_s / \sqrt{d_k})}{\sum_r \exp(q \cdot k_r / \sqrt{d_k})}
#
# Below, one of many random keys is asked for. The weight that it gets does not depend on its place.

LENGTH, WIDTH = 200, 64  # places, numbers per vector


if __name__ == "__main__":
    torch.manual_seed(0)
    key, value = torch.randn(LENGTH, WIDTH), torch.randn(LENGTH, WIDTH)
    found = []
    for place in (0, LENGTH // 2, LENGTH - 1):
        order = torch.randperm(LENGTH)
        order[order == 7], order[place] = order[place].clone(), 7  # key 7 goes to this place
        answer, weight = attention(key[7:8], key[order], value[order])
        found.append(answer)
        print(f"key 7 at place {place:3d}: weight {weight[0, place].item():.6f}")
    by_content_difference = max((other - found[0]).abs().max().item() for other in found)
    print(f"largest difference of the three answers: {by_content_difference:.1e}")
    assert by_content_difference < 1e-5, "the same sum in another order"

# %%
# Why divide by the root of d_k
# -----------------------------
#
# A dot product of two random vectors grows with their width: if their entries are independent, with
# mean 0 and variance 1, its variance is the number of terms. Large scores make softmax choose one
# place and give the others nothing. Then its gradient is almost zero, and the layer cannot learn to
# look elsewhere. Dividing by the root of the width keeps the variance of the scores at one,
# whatever the width.
#
# .. math::  \mathrm{Var}(q \cdot k) = \sum_{i=1}^{d_k} \mathrm{Var}(q_i k_i) = d_k, \qquad
#            \frac{\partial w_i}{\partial s_j} = w_i (\delta_{ij} - w_j)
#
# The second formula is the gradient of softmax. It vanishes when one weight is 1 and the others 0.

KEYS, QUERIES = 32, 500  # places to look at; queries to average over
KEY_WIDTHS = (4, 16, 64, 256, 1024)


def sharpness(d_k: int, divide: bool) -> tuple[float, float]:
    """Mean entropy of the weights, bits; median norm of the gradient of softmax at its scores."""
    torch.manual_seed(0)
    score = (torch.randn(QUERIES, 1, d_k) @ torch.randn(QUERIES, d_k, KEYS))[:, 0]
    weight = (score / math.sqrt(d_k) if divide else score).double().softmax(dim=-1)
    entropy = -(weight * weight.clamp(min=1e-300).log2()).sum(dim=-1)  # bits; at most log2(KEYS)
    slope = torch.diag_embed(weight) - weight[:, :, None] * weight[:, None, :]  # the Jacobian
    return entropy.mean().item(), slope.flatten(1).norm(dim=1).median().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    score_variance = {
        d_k: (torch.randn(20_000, d_k) * torch.randn(20_000, d_k)).sum(dim=1).var().item()
        for d_k in KEY_WIDTHS
    }
    print("variance of a dot product, by width:", {d: round(v) for d, v in score_variance.items()})
    assert all(abs(v / d - 1) < 0.1 for d, v in score_variance.items()), "it is the width"

    scaled = [sharpness(d_k, divide=True) for d_k in KEY_WIDTHS]
    unscaled = [sharpness(d_k, divide=False) for d_k in KEY_WIDTHS]
    print(f"entropy of the weights (at most {math.log2(KEYS):.0f} bits), gradient of softmax")
    for d_k, (bits, slope), (bits_raw, slope_raw) in zip(KEY_WIDTHS, scaled, unscaled, strict=True):
        print(
            f"d_k {d_k:4d}   divided {bits:.2f} bits, {slope:.3f}"
            f"   not divided {bits_raw:.2f} bits, {slope_raw:.1e}"
        )
    assert max(bits for bits, _ in scaled) - min(bits for bits, _ in scaled) < 0.5, "no drift"
    assert max(unscaled[-1][0] / 0.5, unscaled[-1][1] / 1e-3) < 1.0, "one place takes all"

    figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), constrained_layout=True)
    names = ("entropy of the weights (bits)", "norm of softmax's gradient (1)")
    for part, (axes, name) in enumerate(zip(panels, names, strict=True)):
        for curve, label in ((scaled, "divided by the root"), (unscaled, "not divided")):
            axes.semilogx(KEY_WIDTHS, [point[part] for point in curve], "o-", label=label)
        axes.set(xlabel="width of a key, d_k", ylabel=name, xticks=KEY_WIDTHS)
        axes.set_xticks(KEY_WIDTHS, [str(d_k) for d_k in KEY_WIDTHS])
        axes.minorticks_off()
    panels[1].set_yscale("log")
    panels[0].legend()
    figure.suptitle("Without the root, wide keys make softmax sharp and its gradient vanish")
    keep_picture(figure, "attention_scale")
    plt.close(figure)

# %%
# Why several heads
# -----------------
#
# One head gives one average. If two places matter for different reasons, their vectors are mixed
# into one sum, and no projection can take it apart again. Two heads give two averages, one for each
# place, at the same number of parameters.
#
# Let the target be two independent vectors side by side, :math:`x_1` and :math:`x_2`. From the
# mixture :math:`m = a x_1 + b x_2` the best linear guess explains these shares of their variance:
#
# .. math::  \frac{a^2}{a^2 + b^2} \text{ of } x_1, \quad \frac{b^2}{a^2 + b^2} \text{ of } x_2
#
# They sum to one. So half of the variance is lost, whatever the weights are. A trained head does a
# little better than that, because its weights change with the content.

CONTENT, PLACES = 4, 4  # numbers per place that matter; places, marked by a one in their row


def two_places(count: int) -> tuple[Tensor, Tensor]:
    """[count, PLACES, CONTENT + PLACES], and the wanted: first and last content together."""
    content = torch.randn(count, PLACES, CONTENT)
    place = torch.eye(PLACES).expand(count, -1, -1)
    return torch.cat([content, place], dim=-1), content[:, [0, -1]].flatten(1)


def train_heads(heads: int, steps: int) -> tuple[float, int]:
    """Mean squared error after training, of variance 1, and the number of parameters."""
    torch.manual_seed(0)
    layer = transformer.MultiHeadAttention(CONTENT + PLACES, heads)
    asked = torch.ones(1, 1, CONTENT + PLACES)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.02)
    for _ in range(steps):
        source, wanted = two_places(256)
        loss = F.mse_loss(layer(asked.expand(256, -1, -1), source)[:, 0], wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        source, wanted = two_places(10_000)
        error = F.mse_loss(layer(asked.expand(10_000, -1, -1), source)[:, 0], wanted)
    return error.item(), transformer.count(layer)


if __name__ == "__main__":
    torch.manual_seed(0)
    _, wanted = two_places(20_000)
    unexplained = {}
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        mixture = share * wanted[:, :CONTENT] + (1 - share) * wanted[:, CONTENT:]
        guess = mixture @ torch.linalg.lstsq(mixture, wanted).solution
        unexplained[share] = F.mse_loss(guess, wanted).item()
    print("best guess from one average, by the share of the first place:")
    print("  ", {share: round(error, 3) for share, error in unexplained.items()})
    assert all(abs(error - 0.5) < 0.02 for error in unexplained.values()), "half is lost, always"

    head_errors = {heads: train_heads(heads, steps=1000) for heads in (1, 2)}
    for heads, (error, parameters) in head_errors.items():
        print(f"trained, heads: {heads}   parameters: {parameters}   squared error: {error:.4f}")
    assert head_errors[1][1] == head_errors[2][1], "heads cost no parameters"
    assert head_errors[2][0] < 0.05 < 0.3 < head_errors[1][0], "two heads see two places"

# %%
# What each mask prevents
# -----------------------
#
# A mask is needed where something could be read that must not be known. Without the causal mask,
# the decoder sees the token it has to predict. Without the padding masks, the result for a string
# changes with the filling behind it, so with its neighbours in the batch. Each of these is measured
# by changing what must not matter and looking at the logits of the real tokens.

SIZE = transformer.Size()


@torch.no_grad()
def leak(left_out: str, what: str) -> float:
    """Largest change of the logits of real tokens when `what` changes, with a mask left out."""
    model = transformer.new_model(SIZE)
    model.open = frozenset({left_out})
    source, target = transformer.reversal(count=64, longest=8, seed=4)
    source, target = source[source[:, 4] == PAD], target[source[:, 4] == PAD]  # up to 4 digits
    before = model(source, target[:, :-1])
    if what == "future":
        other = target.clone()
        other[:, 2:] = transformer.FIRST_DIGIT  # all after the first digit
        after, seen = model(source, other[:, :-1])[:, :2], slice(0, 2)
    elif what == "source filling":
        after, seen = model(F.pad(source, (0, 4), value=PAD), target[:, :-1]), slice(None)
    else:
        after = model(source, F.pad(target[:, :-1], (0, 4), value=PAD))[:, : target.shape[1] - 1]
        seen = slice(None)
    counted = (target[:, :-1] != PAD)[:, seen, None]
    return ((after - before[:, seen]) * counted).abs().max().item()


if __name__ == "__main__":
    leaks = {
        (left_out, what): leak(left_out, what)
        for what, masks in (
            ("future", ("nothing", "causal")),
            ("source filling", ("nothing", "encoder", "cross")),
            ("target filling", ("nothing", "decoder")),
        )
        for left_out in masks
    }
    print("change of the logits of real tokens")
    for (left_out, what), change in leaks.items():
        print(f"  when the {what:14s} changes, mask left out: {left_out:8s} {change:.1e}")
    for (left_out, what), change in leaks.items():
        if left_out in ("nothing", "decoder"):  # filling at the end is the future: causal hides it
            assert change < 1e-5, f"{what} leaks although it is masked"
        else:
            assert change > 1e-2, f"{what} should leak without the {left_out} mask"

# %%
# What comes of a leak shows in training. Without the causal mask the decoder copies the next token
# out of its own input. The loss falls sooner than it should, and when the model has to write by
# itself, with nothing to copy from, it fails.

LOW = 0.1  # nats

if __name__ == "__main__":
    LONGEST, STEPS = (4, 100) if QUICK else (6, 500)
    steps_to_low, written_right = {}, {}
    for name, left_out in (("with", frozenset()), ("without", frozenset({"causal"}))):
        model = transformer.new_model(SIZE)
        model.open = left_out
        losses = transformer.train(model, STEPS, LONGEST)
        steps_to_low[name] = next(step for step, loss in enumerate(losses) if loss < LOW)
        written_right[name] = transformer.exact_match(model, LONGEST)
        print(
            f"{name} causal mask: loss under {LOW} nats after {steps_to_low[name]} steps, "
            f"exact match when writing {100 * written_right[name]:.1f} %"
        )
    assert steps_to_low["without"] < steps_to_low["with"], "the answer stands in the input"
    assert written_right["without"] < 0.2 < 0.9 < written_right["with"], "it only learned to copy"

# %%
# Cross-attention: who asks and who answers
# -----------------------------------------
#
# The decoder is writing, so the decoder asks: its vector says what is needed next. The encoder has
# read the source, so it answers: its keys say what stands where, its values what to take from
# there. There is one answer per query, so the output is as long as the target, whatever the length
# of the source. The other way round there would be one vector per source token, of no use to the
# decoder.
#
# .. math::
#
#    Q = X_{\mathrm{dec}} W^Q \in \mathbb{R}^{m \times d}, \quad
#    K = Y_{\mathrm{enc}} W^K, \; V = Y_{\mathrm{enc}} W^V \in \mathbb{R}^{n \times d}
#
#    Q K^\top \in \mathbb{R}^{m \times n}, \quad A(Q, K, V) \in \mathbb{R}^{m \times d}
#
# Keys and values are also the only way from the loss into the encoder. If the memory is cut off
# from the graph, no parameter of the encoder gets a gradient.


def encoder_gradient(model: nn.Module, cut: bool) -> float:
    """Norm of the loss's gradient over all parameters of the encoder's blocks."""
    source, target = transformer.reversal(count=64, longest=8, seed=5)
    memory = model.encode(source)
    logits = model.decode(target[:, :-1], memory.detach() if cut else memory, source)
    model.zero_grad()
    loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)
    loss.backward()
    parts = [p.grad.norm() for p in model.encoder.parameters() if p.grad is not None]
    return torch.stack(parts).norm().item() if parts else 0.0


if __name__ == "__main__":
    torch.manual_seed(0)
    layer = transformer.MultiHeadAttention(width=64, heads=4)
    decoder_states, memory = torch.randn(1, 3, 64), torch.randn(1, 7, 64)
    cross_shape = tuple(layer(decoder_states, memory).shape)
    weight_shape = tuple(layer.weight.shape)
    swapped_shape = tuple(layer(memory, decoder_states).shape)
    print(f"3 target places, 7 source places: weights {weight_shape}, output {cross_shape}")
    print(f"query from the encoder instead: output {swapped_shape}")
    assert (cross_shape, weight_shape) == ((1, 3, 64), (1, 4, 3, 7)), "an answer per query"
    assert swapped_shape == (1, 7, 64), "an answer per source place"

    model = transformer.new_model(SIZE)
    gradient_open, gradient_cut = (encoder_gradient(model, cut) for cut in (False, True))
    print(f"gradient in the encoder: {gradient_open:.3f}; with the memory cut off: {gradient_cut}")
    assert gradient_cut == 0.0 < gradient_open, "keys and values are the only way"

# %%
# Why positions
# -------------
#
# Attention is a sum over places, and a sum does not know the order of its terms. If the tokens are
# shuffled, the outputs are the same vectors, shuffled. "Dog bites man" and "man bites dog" are then
# one and the same. So the place itself has to be put into the vectors, or into the scores.
#
# .. math::  f(P X) = P f(X) \quad \text{for every permutation } P


@torch.no_grad()
def shuffled_difference(positions: str) -> float:
    """Largest difference between encoding shuffled tokens and shuffling the encoded ones."""
    model = transformer.new_model(transformer.Size(positions=positions))
    if positions == "relative":  # they start at zero; as if trained
        nn.init.normal_(model.source_places.by_distance)
    source = torch.arange(transformer.FIRST_DIGIT, transformer.VOCABULARY)[None]
    order = torch.randperm(source.shape[1])
    return (model.encode(source[:, order]) - model.encode(source)[:, order]).abs().max().item()


KINDS = ("none", "sinusoidal", "learned", "relative")

if __name__ == "__main__":
    order_seen = {kind: shuffled_difference(kind) for kind in KINDS}
    for kind, difference in order_seen.items():
        print(f"positions {kind:10s}: shuffling changes the vectors by {difference:.1e}")
    assert order_seen["none"] < 1e-5 < 0.1 < min(order_seen[k] for k in KINDS[1:]), "order counts"

# %%
# Three ways to tell the place
# ----------------------------
#
# A model can be told the place of a token in three ways: by sines, by learned vectors, or by
# relative positions. Sines need no learning and exist for any place. The vector of a later place is
# the earlier one turned, by an angle that depends on the distance only, so a matrix can express
# "three to the left". Learned vectors are free, but end where the table ends. Relative positions
# put a number per distance into the scores, so that the same pattern gives the same result wherever
# it stands.
#
# .. math::
#
#    \begin{pmatrix} \sin\omega(t+k) \\ \cos\omega(t+k) \end{pmatrix} =
#    \begin{pmatrix} \cos\omega k & \sin\omega k \\ -\sin\omega k & \cos\omega k \end{pmatrix}
#    \begin{pmatrix} \sin\omega t \\ \cos\omega t \end{pmatrix}


def turn(k: int, width: int) -> Tensor:
    """The matrix that takes the sines of any place to those k places later: [width, width]."""
    angle = transformer.sinusoids(k + 1, width)[k].unflatten(0, (-1, 2))  # (sin, cos) of omega k
    sine, cosine = angle.unbind(dim=1)
    pairs = torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], -2)
    return torch.block_diag(*pairs)


@torch.no_grad()
def moved_difference(positions: str, by: int = 5) -> float:
    """Largest change of a string's encoding when it stands `by` places later, after filling."""
    model = transformer.new_model(transformer.Size(positions=positions))
    if positions == "relative":
        nn.init.normal_(model.source_places.by_distance)
    source = torch.arange(transformer.FIRST_DIGIT, transformer.VOCABULARY)[None]
    later = model.encode(F.pad(source, (by, 0), value=PAD))[:, by:]
    return (later - model.encode(source)).abs().max().item()


if __name__ == "__main__":
    table = transformer.sinusoids(100, WIDTH)
    turned = (table[:-3] @ turn(3, WIDTH).T - table[3:]).abs().max().item()
    print(f"sines of all places turned by 3 places: largest error {turned:.1e}")
    assert turned < 1e-4, "float32 sines of up to 100 radians"
    moved = {kind: moved_difference(kind) for kind in KINDS[1:]}
    print("change of a string's vectors when it stands 5 places later:", moved)
    assert moved["relative"] < 1e-5 < 0.1 < moved["sinusoidal"], "distances stay, places do not"

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), constrained_layout=True)
    image = left.imshow(table, aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
    left.set(xlabel="number in the vector", ylabel="place", title="The sines: one row per place")
    figure.colorbar(image, ax=left, label="value (1)")
    for place in (20, 50, 80):
        distance = torch.arange(100) - place
        right.plot(distance, table @ table[place], label=f"from place {place}", alpha=0.7)
    right.set(
        xlabel="distance (places)", ylabel="dot product", title="Likeness depends on distance"
    )
    right.legend()
    keep_picture(figure, "attention_positions")
    plt.close(figure)

# %%
# Why added and not concatenated
# ------------------------------
#
# Adding the position does nearly what concatenating it would do, and costs no width. For what comes
# next, a normalisation aside, is a matrix, and a matrix on two vectors side by side is one matrix
# on the token plus another on the position: concatenation is an addition too, one layer later.
# Adding at once does the same with a position vector of another form, and saves the width: every
# matrix of the model stays d wide. And nothing is lost, because in many dimensions the sum can be
# taken apart again.
#
# .. math::  W \begin{pmatrix} x \\ p \end{pmatrix} = W_x x + W_p p = W_x (x + p'), \qquad
#            p' = W_x^{-1} W_p\, p
#
# To be exact: :math:`p'` fits one matrix. Query, key and value are three, and with concatenation
# each could see the position in its own way. That freedom is what the width would buy.

if __name__ == "__main__":
    torch.manual_seed(0)
    token, place = torch.randn(100, WIDTH).double(), torch.randn(100, WIDTH).double()
    on_token, on_place = torch.randn(2, 3 * WIDTH, WIDTH).double()  # query, key, value stacked
    both = torch.cat([on_token, on_place], dim=1)  # [3 d, 2 d]
    concatenated = torch.cat([token, place], dim=1) @ both.T
    split_difference = (concatenated - (token @ on_token.T + place @ on_place.T)).abs().max().item()
    print(f"W [x; p] against W_x x + W_p p: {split_difference:.1e}")
    assert split_difference < 1e-10, "the same products, summed in another order"

    one = slice(0, WIDTH)  # the query alone
    other_place = torch.linalg.solve(on_token[one], on_place[one] @ place.T).T  # p'
    added_difference = (
        ((token + other_place) @ on_token[one].T - concatenated[:, one]).abs().max().item()
    )
    print(f"W [x; p] against W_x (x + p'), one matrix: {added_difference:.1e}")
    assert added_difference < 1e-6, "double precision, a random matrix inverted"
    solution = torch.linalg.lstsq(on_token, on_place @ place.T).solution.T
    rest = (solution @ on_token.T - place @ on_place.T).norm() / (place @ on_place.T).norm()
    three_matrices_rest = rest.item()
    print(f"one p' for three matrices leaves {100 * three_matrices_rest:.0f} % of the place's part")

    base = {"heads": 8, "hidden": 2048, "layers": 6, "vocabulary": 37_000, "tied": True}
    with torch.device("meta"):  # shapes without numbers
        narrow, wide = (
            transformer.count(transformer.Transformer(transformer.Size(width=width, **base)))
            for width in (512, 512 + 64)
        )
    concatenation_cost = wide / narrow - 1
    print(f"the paper's model with d = 512: {narrow:,d} parameters; with 64 numbers of position ")
    print(f"beside them: {wide:,d}, {100 * concatenation_cost:.0f} % more")

# %%
# Taking the sum apart: one matrix is fitted on half of all pairs of token and place, to give both
# vectors from their sum. It is asked about the other half, and the nearest rows are looked up.


def taken_apart(table: Tensor, places: Tensor) -> float:
    """Share of unseen sums of a token [v, d] and a place [n, d] from which both are found."""
    torch.manual_seed(0)
    v, n, d = len(table), *places.shape
    pairs = torch.cartesian_prod(torch.arange(v), torch.arange(n))[torch.randperm(v * n)]
    token, place = table[pairs[:, 0]], places[pairs[:, 1]]
    half = v * n // 2
    apart = torch.linalg.lstsq((token + place)[:half], torch.cat([token, place], 1)[:half]).solution
    found = (token + place)[half:] @ apart  # [pairs, 2 d]
    nearest = [
        torch.cdist(found[:, :d], table).argmin(1),
        torch.cdist(found[:, d:], places).argmin(1),
    ]
    return torch.stack(nearest, dim=1).eq(pairs[half:]).all(dim=1).float().mean().item()


if __name__ == "__main__":
    found_again = {}
    for kind in ("sinusoidal", "learned"):
        model = transformer.new_model(transformer.Size(positions=kind))
        table = model.token.weight.detach() * math.sqrt(SIZE.width)
        found_again[kind] = taken_apart(table, model.source_places.table.detach())
    print(f"{len(table)} tokens at {SIZE.longest} places, {SIZE.width} numbers a vector; ")
    print("share of unseen pairs that are found again from the sum:", found_again)
    assert min(found_again.values()) > 0.99, "tokens and places lie in different directions"

# %%
# Which kind learns the task
# --------------------------
#
# Which kind of positions learns best depends on the task. Here it is to write a string backwards.
# Without positions the encoder sees a bag of digits, and the answer cannot be known. Sines and
# learned vectors suffice. How soon a kind learns depends on the task: here the place counted from
# the end is what matters.

if __name__ == "__main__":
    match_by_kind = {}
    for kind in KINDS:
        model = transformer.new_model(transformer.Size(positions=kind))
        losses = transformer.train(model, STEPS, LONGEST)
        match_by_kind[kind] = transformer.exact_match(model, LONGEST)
        print(
            f"positions {kind:10s}: loss {losses[-1]:.3f} nats, "
            f"exact match {100 * match_by_kind[kind]:.1f} %"
        )
    assert match_by_kind["none"] < 0.5, "a bag of digits has no order"
    assert min(match_by_kind["sinusoidal"], match_by_kind["learned"]) > 0.9, "places are enough"

# %%
# What this recipe does not do
# ----------------------------
#
# No rotary positions, which turn queries and keys by the angle of their place and so make the score
# depend on the distance. No relative keys and values as in the text encoder of VITS. No sparse or
# local attention. The failures are shown on small models that train in seconds.
#
# Exercises
# ---------
#
# 1. Write rotary positions with `turn`, and show that a moved string keeps its vectors.
# 2. Let the first of the two places count twice as much in the error. Which average is best now?
# 3. Train with keys of width 1024 and no root. At which width does training begin to suffer?
# 4. Put the filling in front of the strings. Which mask is needed now that was not before?
# 5. Concatenate positions in `Transformer.embed`, at equal number of parameters. Is it better?
#
# Papers
# ------
#
# * Bahdanau, Cho, Bengio, 2015: Neural Machine Translation by Jointly Learning to Align and
#   Translate.
# * Vaswani et al., 2017: Attention Is All You Need.
# * Shaw, Uszkoreit, Vaswani, 2018: Self-Attention with Relative Position Representations.
# * Raffel et al., 2020: Exploring the Limits of Transfer Learning with a Unified Text-to-Text
#   Transformer (a number per distance).
# * Su et al., 2021: RoFormer: Enhanced Transformer with Rotary Position Embedding.
