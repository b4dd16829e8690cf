r"""
Inside ECAPA-TDNN: context, attention, batch norm
=================================================

:Answers: of question 17 (ECAPA-TDNN) how far the trained network sees, what it attends to, what
    becomes of its batch norms
:Needs: the weights of ``spkrec-ecapa-voxceleb``; the voice ``en_US-joe-medium``; a recording is
    used where there is one; the network of ``40_ecapa_tdnn.py``
:Takes: about 15 s (10 s with ``--quick``) on two cores, weights fetched before

A network that gives the right answers can still be asked how it finds them. Three questions have
answers in numbers here. How much of the recording does one frame know? Which frames make the
embedding? And which of its parts are only there for the training?
"""

import math
from functools import partial

import torch
from common import RATE, import_recipe, keep_picture, recorded, say
from matplotlib.figure import Figure
from torch import Tensor, nn

ecapa = import_recipe("ecapa_tdnn")

if __name__ == "__main__":
    network = ecapa.load_ecapa()
    sentence = say("She read the letter twice, and put it back into the drawer.")
    heard = [audio for audio, _ in recorded(count=1)] or [sentence]  # a real one where there is one
    wave = torch.tensor(heard[0].samples[: ecapa.LONGEST_S * RATE])
    features = ecapa.filter_bank(wave)  # [frames, bands]

# %%
# How far one frame sees
# ----------------------
#
# Without gates and pooling, a frame before the pooling sees 131 frames, 1.3 seconds. The first
# layer reaches 2 frames. A block's last group has been through 7 convolutions of dilation
# :math:`d`, so a block reaches :math:`7d`, and the three add up: :math:`2 + 7 \cdot (2 + 3 + 4) =
# 65` to each side. With the gates a frame sees the whole recording, if faintly.


def ungated(network: ecapa.EcapaTdnn, depth: int, bands: Tensor) -> Tensor:
    """The output of so many blocks, each gate held at 1: [batch, channels, frames]."""
    x = network.first(bands)
    for block in network.blocks[:depth]:
        x = x + block.leave(block.around(block.enter(x)))
    return x


def field_by_hand(blocks: int) -> int:
    """Frames that an output of the first layer and so many blocks sees."""
    return 1 + 2 * (
        ecapa.reach(5, 1)
        + (ecapa.SCALE - 1) * sum(ecapa.reach(3, d) for d in ecapa.DILATIONS[:blocks])
    )


def draw_field(slopes: dict[str, Tensor]) -> Figure:
    """How strongly the middle frame depends on its neighbours, for each depth."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for label, slope in slopes.items():
        times = (torch.arange(len(slope)) - len(slope) // 2) * ecapa.HOP / RATE
        share = torch.where(slope > 0, slope / slope.max(), math.nan)
        axes.semilogy(times, share, label=label)
    axes.set(xlabel="seconds from the frame", ylabel="slope, the largest as 1")
    axes.set_title("Each block sees further; the gates see the whole recording")
    axes.legend(loc="lower right", fontsize="small")
    return figure


if __name__ == "__main__":
    FIELD_FRAMES = 221  # longer than what is seen, so that the ends are out of sight
    depths = range(len(ecapa.DILATIONS) + 1)
    slopes = [
        ecapa.seen(partial(ungated, network, depth), ecapa.MELS, FIELD_FRAMES) for depth in depths
    ]
    field_frames = [ecapa.context(slope) for slope in slopes]
    fields_by_hand = [field_by_hand(depth) for depth in depths]
    all_frames = torch.ones(1, 1, FIELD_FRAMES)
    gated = ecapa.seen(lambda bands: network.frames(bands, all_frames), ecapa.MELS, FIELD_FRAMES)
    gated_field = ecapa.context(gated)
    seconds_seen = ((field_frames[-1] - 1) * ecapa.HOP + ecapa.WINDOW) / RATE
    print(f"frames seen after 0, 1, 2, 3 blocks: {field_frames}; by hand {fields_by_hand}")
    print(f"the last is {seconds_seen:.3f} s; with gates all {gated_field} of {FIELD_FRAMES}")
    assert field_frames == fields_by_hand, "the measured context is not the computed one"
    assert gated_field == FIELD_FRAMES, "the gates should see everything"
    labels = [f"{depth} blocks: {field_frames[depth]} frames" for depth in depths]
    drawn = dict(zip([*labels, "3 blocks with their gates"], [*slopes, gated], strict=True))
    keep_picture(draw_field(drawn), "ecapa_receptive_field")

# %%
# Where the attention lies
# ------------------------
#
# Every one of the 3072 channels has its own weights over time. Their mean says which frames make
# the embedding: speech more than silence, and some sounds more than others. The picture shows them
# below the filter bank of the same sentence, as multiples of equal weights. How many frames a
# channel really uses, the exponential of the entropy of its weights says: it is n for n equal
# weights.


def draw_attention(bands: Tensor, weights: Tensor) -> Figure:
    """The filter bank [frames, bands], and the weights [channels, frames] times the frames."""
    seconds = len(bands) * ecapa.HOP / RATE
    figure = Figure(figsize=(10, 8), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    extent = (0, seconds, 0, ecapa.MELS)
    image = top.imshow(bands.T, origin="lower", aspect="auto", extent=extent, cmap="magma")
    top.set(ylabel="band", title="The filter bank")
    figure.colorbar(image, ax=top, label="dB from the band's mean")
    ordered = weights[weights.argmax(dim=1).argsort()]  # by the moment a channel attends to most
    extent = (0, seconds, len(weights), 0)
    image = middle.imshow(ordered, aspect="auto", extent=extent, vmin=0, vmax=4)
    middle.set(ylabel="channel, in order", title="Each channel attends to other moments")
    figure.colorbar(image, ax=middle, label="weight, equal weights as 1")
    bottom.plot(torch.arange(len(bands)) * ecapa.HOP / RATE, weights.mean(dim=0))
    bottom.axhline(1, color="0.6", linewidth=0.8)
    bottom.set(xlabel="seconds", ylabel="mean weight", title="Speech counts for more than silence")
    return figure


if __name__ == "__main__":
    with torch.inference_mode():
        everything = torch.ones(1, 1, len(features))
        gathered = network.frames(features.T[None], everything)
        attention = network.pool.attention(gathered, everything)[0]  # [channels, frames]
    weights = attention * attention.shape[-1]  # 1 where all frames count alike
    energy = ecapa.decibels(wave).mean(dim=1)  # dB of each frame
    order = energy.argsort(descending=True)
    half = len(order) // 2
    share_of_loud_half = float(attention[:, order[:half]].sum(dim=1).mean())
    entropy = -(attention * attention.clamp(min=1e-30).log()).sum(dim=1)
    frames_that_count = float(entropy.exp().mean())
    print(f"the louder half of the frames has {share_of_loud_half:.0%} of the attention")
    print(f"a channel's weights are worth {frames_that_count:.0f} of {len(energy)} equal frames")
    assert share_of_loud_half > 0.5, "the attention does not prefer speech"
    keep_picture(draw_attention(features, weights), "ecapa_attention")

# %%
# Batch norm, folded away
# -----------------------
#
# After training a batch norm is one multiplication and one addition per channel. Where a linear
# layer follows, both can move into that layer: :math:`W(ax + c) + b = (Wa)\,x + (Wc + b)`. Here
# each batch norm comes after the rectifier, so it moves forwards into the next layer, not back into
# its own convolution. Mirrored edges allow it, since what is mirrored is normalised already; zeros
# at the edges would not, since a zero is not what the norm makes of a zero.


def fold(norm: nn.BatchNorm1d, linear: nn.Linear) -> nn.Linear:
    """One layer that does what the norm and then the layer do."""
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()  # a
    shift = norm.bias - factor * norm.running_mean  # c
    folded = nn.Linear(linear.in_features, linear.out_features)
    folded.weight.data = linear.weight.data * factor.data
    folded.bias.data = linear(shift).data  # W c + b
    return folded


if __name__ == "__main__":
    folded = fold(network.pool_norm, network.embed)
    with torch.inference_mode():
        pooled = network.pool(gathered, everything)
        fold_difference = float(
            (ecapa.unit(folded(pooled)) - ecapa.unit(network.embed(network.pool_norm(pooled))))
            .abs()
            .max()
        )
    print(f"the last batch norm, folded into the last layer, changes {fold_difference:.1e}")
    assert fold_difference < 1e-5, "folding changed the embedding"

# %%
# One voice, other voices
# -----------------------
#
# Out of ECAPA-TDNN comes one vector of 192 numbers per recording, its embedding. The score of two
# recordings is the cosine of the angle between theirs. Two sentences of one voice score high. The
# same voice played faster or slower, as from a tape, scores lower against itself: its pitch and its
# resonances moved, so it is another throat. ``43_speaker_verification.py`` measures how well the
# score decides.

if __name__ == "__main__":
    from speechkit.augment import change_speed

    second = say("Nobody in the village had ever seen such a winter.", seed=1)
    voices = [change_speed(audio, f) for f in (1.0, 0.8, 1.25) for audio in (sentence, second)]
    with torch.inference_mode():
        found = [network(ecapa.filter_bank(torch.tensor(audio.samples))[None]) for audio in voices]
    # two sentences of the voice, of its slower and of its faster tape
    directions = ecapa.unit(torch.cat(found))
    cosines = directions @ directions.T
    same_voice = float(min(cosines[0, 1], cosines[2, 3], cosines[4, 5]))
    other_voice = float(max(cosines[:2, 2:6].max(), cosines[2:4, 4:6].max()))
    print(f"lowest cosine of one voice: {same_voice:.2f}; highest of two: {other_voice:.2f}")
    assert same_voice > other_voice, "the voices are not told apart"

# %%
# What this does not do
# ---------------------
#
# A slope says what an output would do if an input moved a little, not what it needs. Attention says
# where the pooling looks, not what it finds there. Only the last batch norm is folded. And one
# recording is no statistics.
#
# Exercises
# ---------
#
# 1. Set ``SCALE`` to 4 and compute, then measure, the context.
# 2. Hold each gate at its mean over some recordings. How far do the embeddings turn?
# 3. Replace the attention by equal weights in the real network. Which cosines suffer?
# 4. Fold every batch norm into what follows it. Which of them cannot be folded, because an addition
#    or a group that passes unchanged stands between?
# 5. Cut a recording to 4, 2, 1 and 0.5 s and draw its cosine with the whole.
#
# Papers
# ------
#
# - Ioffe, Szegedy, 2015: Batch Normalization: Accelerating Deep Network Training by Reducing
#   Internal Covariate Shift.
# - Luo, Li, Urtasun, Zemel, 2016: Understanding the Effective Receptive Field in Deep Convolutional
#   Neural Networks.
# - Desplanques, Thienpondt, Demuynck, 2020: ECAPA-TDNN: Emphasized Channel Attention, Propagation
#   and Aggregation in TDNN Based Speaker Verification.
