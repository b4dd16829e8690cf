r"""
ECAPA-TDNN: a voice in 192 numbers
==================================

:Answers: questions 17 (TDNN and ECAPA-TDNN), 16 (in: a waveform; out: one embedding), 25 (speaker
    verification: the network)
:Needs: the weights of ``spkrec-ecapa-voxceleb``; the voice ``en_US-joe-medium``; recordings are
    used where there are some
:Takes: about 30 s (15 s with ``--quick``) on two cores, weights fetched before

ECAPA-TDNN maps a recording of any length to one vector, so that vectors of one person point the
same way and vectors of two people do not. Two recordings of one person differ in almost every
sample: other words, another room, another mood. The network is a stack of convolutions over time,
as speaker networks were before it, with four additions: convolutions in groups that pass on to each
other, gates that look at the whole recording, a layer that reads all blocks side by side, and an
average over time whose weights are learned.

This file builds it from its parts, loads the real weights, and ends at the same vectors as
speechbrain's module.

``41_ecapa_inside.py`` goes on with what the trained network sees and attends to.
"""

import math
import re
from collections.abc import Callable

import torch
from common import QUICK, RATE, keep_picture, recorded, say
from matplotlib.figure import Figure
from torch import Tensor, nn

import speechkit as sk

WINDOW, HOP = 400, 160  # samples: 25 ms and 10 ms at 16 kHz
MELS, EMBEDDING = 80, 192  # numbers per frame that go in, and per recording that come out
FLOOR_POWER, RANGE_DB = 1e-10, 80.0  # the smallest power, and how far below the loudest is kept
HERTZ_OF_MEL, MELS_PER_DECADE = 700.0, 2595.0  # the mel scale is linear below 700 Hz or so
SCALE = 8  # groups of channels in a Res2Net block
LONGEST_S = 6  # seconds that are taken of a recording
DILATIONS = (2, 3, 4)  # frames between the taps of the three blocks
SMALLEST_VARIANCE = 1e-12  # keeps the square root's slope finite

# %%
# What goes in: a filter bank
# ---------------------------
#
# The network does not see the waveform. It sees 80 numbers for each hundredth of a second: how
# loud the sound is, in decibels, in 80 bands that are narrow at low frequencies and wide at high
# ones, as hearing is. Then the mean of each band over the recording is taken away, which removes
# what the microphone and the room do to all frames alike.
#
# A frame :math:`t` is 25 ms long, weighted with a Hamming window :math:`w`. Its power at
# :math:`f_k = 16000\,k/400` Hz, the bands, and the result are
#
# .. math::
#
#    P_{tk} = \Bigl|\sum_{n=0}^{399} w_n\, x_{160t+n-200}\, e^{-2\pi i k n/400}\Bigr|^2, \qquad
#    d_{tm} = 10 \log_{10} \sum_k M_{mk} P_{tk}, \qquad
#    y_{tm} = d_{tm} - \frac1T \sum_{t'} d_{t'm}.
#
# :math:`M` holds triangles whose centres are evenly spaced on the mel scale :math:`2595 \log_{10}(1
# + f/700)`. Two things distinguish speakers most: the bands show the resonances of the throat and
# mouth, and the pitch shows in the low bands and in how the bands flicker. Powers below
# :math:`10^{-10}` count as that, and nothing counts as lower than 80 dB below the loudest.


def mel_triangles() -> Tensor:
    """The weight of each frequency in each band: [bands, frequencies]."""
    top = MELS_PER_DECADE * math.log10(1 + RATE / 2 / HERTZ_OF_MEL)  # mel
    mels = torch.linspace(0, top, MELS + 2)
    edges = HERTZ_OF_MEL * (10 ** (mels / MELS_PER_DECADE) - 1)  # Hz
    centres, widths = edges[1:-1, None], (edges[1:-1] - edges[:-2])[:, None]
    distance = (torch.linspace(0, RATE / 2, WINDOW // 2 + 1) - centres) / widths
    return (1 - distance.abs()).clamp(min=0)  # as steep to the right as to the left


def decibels(samples: Tensor) -> Tensor:
    """The filter bank before the mean is taken away: [samples] -> [frames, bands]."""
    padded = nn.functional.pad(samples, (WINDOW // 2, WINDOW // 2))  # zeros beyond both ends
    frames = padded.unfold(0, WINDOW, HOP) * torch.hamming_window(WINDOW)  # [frames, samples]
    power = torch.view_as_real(torch.fft.rfft(frames)).square().sum(-1)  # [frames, frequencies]
    bands = (power @ mel_triangles().T).clamp(min=FLOOR_POWER).log10() * 10
    return bands.clamp(min=float(bands.max()) - RANGE_DB)


def filter_bank(samples: Tensor) -> Tensor:
    """What ECAPA-TDNN reads: [samples] -> [frames, bands], 100 frames per second, mean 0."""
    bands = decibels(samples)
    return bands - bands.mean(dim=0)


# %%
# The recordings are spoken by the voice, and real ones join them where there are some. The filter
# bank equals speechbrain's two layers for it to a thousandth of a decibel: both sum the same
# numbers in float32, in another order, and a logarithm magnifies the last digit of a quiet band.


def draw_filter_bank(bank: Tensor) -> Figure:
    """Every eighth triangle, and what the network reads of a sentence [frames, bands]."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 2))
    hertz = torch.linspace(0, RATE / 2, WINDOW // 2 + 1)
    top.plot(hertz, mel_triangles()[3::8].T, color="C0", linewidth=1)
    top.set(xlabel="frequency (Hz)", ylabel="weight", title="Ten of the 80 bands")
    reach = (0, len(bank) * HOP / RATE, 0, MELS)
    image = bottom.imshow(bank.T, aspect="auto", origin="lower", cmap="magma", extent=reach)
    figure.colorbar(image, ax=bottom, label="dB above the band's mean")
    bottom.set(xlabel="time (s)", ylabel="band", title="A sentence as the network reads it")
    return figure


if __name__ == "__main__":
    from speechbrain.lobes.features import Fbank
    from speechbrain.processing.features import InputNormalization

    sentence = say("She read the letter twice, and put it back into the drawer.")
    others = [audio for audio, _ in recorded(count=2 if QUICK else 6)]
    waves = [torch.tensor(audio.samples[: LONGEST_S * RATE]) for audio in [sentence, *others]]

    reference_bank = Fbank(n_mels=MELS)
    reference_mean = InputNormalization(norm_type="sentence", std_norm=False)

    def reference_features(samples: Tensor) -> Tensor:
        """speechbrain's features: [samples] -> [frames, bands]."""
        return reference_mean(reference_bank(samples[None]), torch.ones(1))[0]

    features = [filter_bank(wave) for wave in waves]
    feature_difference = max(
        float((ours - reference_features(wave)).abs().max())
        for ours, wave in zip(features, waves, strict=True)
    )
    print(f"{len(waves[0]) / RATE:.2f} s of speech -> filter bank {list(features[0].shape)}")
    print(f"filter bank, largest difference from speechbrain's: {feature_difference:.1e} dB")
    assert feature_difference < 1e-3, "the filter bank is not speechbrain's"
    keep_picture(draw_filter_bank(features[0]), "ecapa_filter_bank")

    tone = torch.sin(2 * math.pi * 1000 * torch.arange(RATE) / RATE)  # 1000 Hz, a second
    loudest_band = int(decibels(tone)[50].argmax())
    centre = int(mel_triangles()[loudest_band].argmax()) * RATE // WINDOW  # Hz
    print(f"a tone of 1000 Hz is loudest in band {loudest_band}, whose centre is near {centre} Hz")
    assert abs(centre - 1000) <= RATE // WINDOW, "the bands are not where they should be"

# %%
# TDNN: a convolution that sees further
# -------------------------------------
#
# A time-delay neural network applies the same small network to every stretch of frames. That is a
# convolution over time. Its taps, the frames that it reads, may stand apart: with dilation 3 a
# layer of three taps sees frames :math:`t-3`, :math:`t` and :math:`t+3`, so a few layers see a
# second of speech with few weights.
#
# .. math::
#
#    z_{ct} = b_c + \sum_{i} \sum_{k=-K}^{K} W_{cik}\, x_{i,\,t+kd}, \qquad
#    y_{ct} = \gamma_c\, \frac{\max(z_{ct}, 0) - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c .
#
# The second formula is a rectifier and then batch normalisation. In training :math:`\mu` and
# :math:`\sigma` are of the batch; afterwards they are fixed, and the layer is the same for every
# recording. At the ends of a recording the frames are mirrored, so the length stays.
#
# With 2K + 1 taps a layer reaches Kd frames to each side, and layers in a row add up. The x-vector
# network of 2018 begins with 5 taps, then 3 taps with dilation 2, then 3 with dilation 3: 2 + 2 + 3
# = 7 frames to each side, 15 in all. Whether that is true, the gradient says: an output frame has
# no slope at the input frames that it does not see.


class Tdnn(nn.Module):
    """Dilated convolution, rectifier, batch norm: [batch, inputs, frames] -> [.., outputs, ..]."""

    def __init__(self, inputs: int, outputs: int, taps: int = 1, dilation: int = 1) -> None:
        super().__init__()
        edge = reach(taps, dilation)  # frames mirrored at each end
        self.conv = nn.Conv1d(
            inputs, outputs, taps, dilation=dilation, padding=edge, padding_mode="reflect"
        )
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.relu(self.conv(x)))


def reach(taps: int, dilation: int) -> int:
    """How many frames a convolution sees to each side."""
    return (taps - 1) // 2 * dilation


def seen(layers: Callable[[Tensor], Tensor], bands: int, frames: int) -> Tensor:
    """How strongly the middle output frame depends on each input frame: [frames], 0 where not."""
    noise = torch.randn(1, bands, frames, generator=torch.Generator().manual_seed(0))
    noise.requires_grad_()
    layers(noise)[0, :, frames // 2].sum().backward()
    return noise.grad[0].norm(dim=0)


def context(slopes: Tensor) -> int:
    """The number of frames from the first to the last that is seen."""
    touched = torch.nonzero(slopes)
    return int(touched.max() - touched.min()) + 1


if __name__ == "__main__":
    torch.manual_seed(0)
    x_vector = nn.Sequential(Tdnn(MELS, 64, 5), Tdnn(64, 64, 3, 2), Tdnn(64, 64, 3, 3)).eval()
    x_vector_by_hand = 1 + 2 * (reach(5, 1) + reach(3, 2) + reach(3, 3))  # frames
    x_vector_context = context(seen(x_vector, MELS, 101))
    print(f"x-vector layers see {x_vector_context} frames, {x_vector_by_hand} by hand")
    assert x_vector_context == x_vector_by_hand, "the context is not the sum of the reaches"

# %%
# Res2Net: groups that pass on
# ----------------------------
#
# A block splits its channels into 8 groups. The first passes as it is, the second goes through a
# small convolution, and to each later one the result of the group before it is added first. So the
# last group has been through seven convolutions and the second through one: one layer holds eight
# widths of context, and costs far fewer weights than one convolution over all channels.
#
# .. math::
#
#    y_1 = x_1, \qquad y_2 = K_2(x_2), \qquad y_g = K_g(x_g + y_{g-1}), \quad g = 3 \dots 8.


class Res2(nn.Module):
    """Convolutions in groups, each fed by the one before: [batch, channels, frames], same out."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width = channels // SCALE
        self.steps = nn.ModuleList(Tdnn(width, width, 3, dilation) for _ in range(SCALE - 1))

    def forward(self, x: Tensor) -> Tensor:
        first, *groups = x.chunk(SCALE, dim=1)  # each [batch, channels / 8, frames]
        passed, outputs = torch.zeros_like(first), [first]
        for step, group in zip(self.steps, groups, strict=True):
            passed = step(group + passed)  # y_g
            outputs.append(passed)
        return torch.cat(outputs, dim=1)


if __name__ == "__main__":
    torch.manual_seed(0)
    block = Res2(64, dilation=2).eval()
    widths = [  # of what each of the 8 groups of 8 channels sees
        context(seen(lambda x, g=g: block(x).chunk(SCALE, dim=1)[g], 64, 101)) for g in range(SCALE)
    ]
    print(f"frames that the groups of a Res2Net block with dilation 2 see: {widths}")
    assert widths == [1 + 2 * 2 * g for g in range(SCALE)], "a group does not feed the next"

    group_weights = sum(p.numel() for p in Res2(1024, 2).parameters() if p.ndim == 3)
    full_weights = 3 * 1024 * 1024
    print(f"weights: {group_weights:,} in groups, {full_weights:,} in one convolution")

# %%
# Squeeze and excitation: a look at the whole recording
# -----------------------------------------------------
#
# Squeeze and excitation lets every frame know of the whole recording, where the convolutions see
# little more than a second. The squeeze takes the mean of every channel over the whole recording,
# and a small network makes of it a gate between 0 and 1 for each channel. So a channel that says
# nothing in this recording, because of its noise or its room, can be turned down.
#
# .. math:: g = \operatorname{sigmoid}\bigl(W_2 \max(W_1 \bar x + b_1, 0) + b_2\bigr), \qquad
#    y_{ct} = g_c\, x_{ct}, \qquad \bar x_c = \frac1T \sum_t x_{ct}.
#
# ``mask`` is 1 for frames of the recording and 0 for frames that only fill up a batch.


class SqueezeExcite(nn.Module):
    """A gate for each channel, from the whole recording: [batch, channels, frames], same out."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        mean = (x * mask).sum(-1) / mask.sum(-1)  # [batch, channels]
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(mean))))
        return x * gate[..., None]


class Block(nn.Module):
    """Mix, look around, mix, gate, and add what came in: [batch, channels, frames], same out."""

    def __init__(self, channels: int, dilation: int, hidden: int) -> None:
        super().__init__()
        self.enter, self.leave = Tdnn(channels, channels), Tdnn(channels, channels)
        self.around = Res2(channels, dilation)
        self.gate = SqueezeExcite(channels, hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x + self.gate(self.leave(self.around(self.enter(x))), mask)


# %%
# Attentive statistics pooling: which frames count
# ------------------------------------------------
#
# A recording of any length has to become a vector of one length. The x-vector takes the mean and
# the standard deviation of each channel over time, all frames alike. ECAPA-TDNN learns weights: a
# small network scores every frame, separately for every channel, and the softmax over time makes
# weights of the scores. So a vowel can count for more than a pause.
#
# .. math::
#
#    \alpha_{ct} = \operatorname{softmax}_t \bigl(V \tanh h_t + k\bigr)_c, \qquad
#    \mu_c = \sum_t \alpha_{ct}\, x_{ct}, \qquad
#    \sigma_c^2 = \sum_t \alpha_{ct}\, (x_{ct} - \mu_c)^2 .
#
# :math:`h_t` is a layer over frame :math:`t` and over the plain mean and deviation of the
# recording, so that a frame is scored in the light of the rest.


def statistics(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and deviation over time: [batch, channels, frames] -> two of [.., 1]."""
    mean = (weights * x).sum(-1, keepdim=True)
    variance = (weights * (x - mean).square()).sum(-1, keepdim=True)
    return mean, variance.clamp(min=SMALLEST_VARIANCE).sqrt()


class AttentivePooling(nn.Module):
    """Mean and deviation over the frames that matter: [batch, C, frames] -> [batch, 2 C]."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.listen = Tdnn(3 * channels, hidden)
        self.score = nn.Conv1d(hidden, channels, 1)

    def attention(self, x: Tensor, mask: Tensor) -> Tensor:
        """The weight of each frame in each channel, 1 in sum: [batch, C, frames]."""
        mean, deviation = statistics(x, mask / mask.sum(-1, keepdim=True))
        heard = torch.cat([x, mean.expand_as(x), deviation.expand_as(x)], dim=1)
        scores = self.score(torch.tanh(self.listen(heard)))
        return scores.masked_fill(mask == 0, -math.inf).softmax(-1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        mean, deviation = statistics(x, self.attention(x, mask))
        return torch.cat([mean, deviation], dim=1)[..., 0]


# %%
# A toy shows what the weights are for. Sequences of 60 frames are noise, but for three frames
# somewhere that carry one of ten patterns and a mark that says so. A linear layer has to name the
# pattern from what pooling leaves. With equal weights three frames drown in sixty.

TOY_CLASSES, TOY_CHANNELS, TOY_FRAMES, TOY_SPEAKING = 10, 8, 60, 3


def toy_sequences(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise with three telling frames: [count, channels, frames], and the classes [count]."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(
        TOY_CLASSES, TOY_CHANNELS - 1, generator=torch.Generator().manual_seed(1)
    )
    classes = torch.randint(TOY_CLASSES, (count,), generator=generator)
    x = torch.randn(count, TOY_CHANNELS, TOY_FRAMES, generator=generator)
    x[:, 0] *= 0.1  # the mark: near 0 in noise, 1 where a pattern is
    for item, label in enumerate(classes):
        where = torch.randperm(TOY_FRAMES, generator=generator)[:TOY_SPEAKING]
        x[item, 0, where] += 1.0
        x[item, 1:, where] = 1.5 * patterns[label, :, None] + 0.5 * x[item, 1:, where]
    return x, classes


def toy_accuracy(attentive: bool, steps: int) -> float:
    """Share of new sequences that are named rightly after training."""
    torch.manual_seed(0)
    pooling = AttentivePooling(TOY_CHANNELS, hidden=16)
    name = nn.Linear(2 * TOY_CHANNELS, TOY_CLASSES)
    mask = torch.ones(1, 1, TOY_FRAMES)
    optimiser = torch.optim.Adam([*pooling.parameters(), *name.parameters()], lr=0.02)

    def answer(x: Tensor) -> Tensor:
        if attentive:
            return name(pooling(x, mask))
        return name(torch.cat(statistics(x, mask / TOY_FRAMES), dim=1)[..., 0])

    x, classes = toy_sequences(1024, seed=2)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(answer(x), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    pooling.eval()
    x, classes = toy_sequences(1000, seed=3)
    with torch.no_grad():
        return float((answer(x).argmax(1) == classes).float().mean())


if __name__ == "__main__":
    toy_steps = 120 if QUICK else 300
    accuracy_of_average = toy_accuracy(attentive=False, steps=toy_steps)
    accuracy_of_attention = toy_accuracy(attentive=True, steps=toy_steps)
    print(f"named rightly: {accuracy_of_average:.1%} with equal weights, ", end="")
    print(f"{accuracy_of_attention:.1%} with learned ones")
    assert accuracy_of_attention > accuracy_of_average + 0.1, "attention did not help"

# %%
# The whole network
# -----------------
#
# ECAPA-TDNN is a first layer, three blocks, a layer that gathers them, a pooling over time and a
# last linear layer. The first layer turns 80 bands into 1024 channels. The blocks have dilations 2,
# 3 and 4. The next layer reads the outputs of all three blocks side by side, since an early one may
# hold what a later one has lost; this is multi-layer feature aggregation. Pooling makes one vector
# of 2 x 3072 numbers, and a linear layer makes 192 of it.


class EcapaTdnn(nn.Module):
    """A filter bank in, a voice out: [batch, frames, bands] -> [batch, embedding]."""

    def __init__(self, channels: int = 1024, gathered: int = 3072, hidden: int = 128) -> None:
        super().__init__()
        self.first = Tdnn(MELS, channels, 5)
        self.blocks = nn.ModuleList(Block(channels, d, hidden) for d in DILATIONS)
        self.gather = Tdnn(len(DILATIONS) * channels, gathered)
        self.pool = AttentivePooling(gathered, hidden)
        self.pool_norm = nn.BatchNorm1d(2 * gathered)
        self.embed = nn.Linear(2 * gathered, EMBEDDING)

    def frames(self, bands: Tensor, mask: Tensor) -> Tensor:
        """All before the pooling: [batch, bands, frames] -> [batch, gathered, frames]."""
        x = self.first(bands)
        outputs = []
        for block in self.blocks:
            x = block(x, mask)
            outputs.append(x)
        return self.gather(torch.cat(outputs, dim=1))

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """`lengths` (frames) says how much of each item is not padding."""
        count = features.shape[1]
        lengths = torch.full((len(features),), count) if lengths is None else lengths
        mask = (torch.arange(count) < lengths[:, None])[:, None].float()  # [batch, 1, frames]
        x = self.frames(features.transpose(1, 2), mask)
        return self.embed(self.pool_norm(self.pool(x, mask)))


# %%
# The real weights
# ----------------
#
# The checkpoint was trained by speechbrain on 7,205 speakers of VoxCeleb. It is read as data:
# tensors and names, nothing that runs. Only the names differ from ours, and a kernel of one tap is
# a matrix.

OUR_NAMES = (  # speechbrain's name, ours
    (r"\.(conv|norm)\.(conv|norm)\.", r".\1."),  # its wrappers around torch's layers
    (r"^blocks\.0\.", "first."),
    (r"^blocks\.([123])\.", lambda match: f"blocks.{int(match[1]) - 1}."),
    (r"\.tdnn1\.", ".enter."),
    (r"\.tdnn2\.", ".leave."),
    (r"\.res2net_block\.blocks\.", ".around.steps."),
    (r"\.se_block\.conv1\.conv\.", ".gate.squeeze."),
    (r"\.se_block\.conv2\.conv\.", ".gate.excite."),
    (r"^mfa\.", "gather."),
    (r"^asp\.tdnn\.", "pool.listen."),
    (r"^asp\.conv\.(conv\.)?", "pool.score."),
    (r"^asp_bn\.norm\.", "pool_norm."),
    (r"^fc\.conv\.", "embed."),
)


def load_ecapa() -> EcapaTdnn:
    """The network with the weights of `spkrec-ecapa-voxceleb`, ready to embed."""
    file = sk.hub.fetch("spkrec-ecapa-voxceleb") / "embedding_model.ckpt"
    network, weights = EcapaTdnn(), {}
    for name, tensor in torch.load(file, map_location="cpu", weights_only=True).items():
        for theirs, ours in OUR_NAMES:
            name = re.sub(theirs, ours, name)
        is_matrix = name.startswith("embed.") or ".gate." in name
        weights[name] = tensor.squeeze(-1) if is_matrix and tensor.ndim == 3 else tensor
    network.load_state_dict(weights)  # strict: every name fits, and every shape
    return network.eval()


# %%
# How many parameters? Count them by hand: a layer from :math:`i` to :math:`o` channels with
# :math:`k` taps has :math:`iok` weights, :math:`o` biases, and :math:`2o` for its batch norm.


def count_by_hand(c: int = 1024, g: int = 3072, h: int = 128) -> dict[str, int]:
    """The trained numbers of each part; letters as in `EcapaTdnn`, in its order."""

    def tdnn(inputs: int, outputs: int, taps: int) -> int:
        return inputs * outputs * taps + outputs + 2 * outputs

    width = c // SCALE
    block = 2 * tdnn(c, c, 1) + 7 * tdnn(width, width, 3) + (c * h + h) + (h * c + c)
    return {
        "first layer": tdnn(MELS, c, 5),
        "three blocks": 3 * block,
        "aggregation": tdnn(3 * c, g, 1),
        "pooling": tdnn(3 * g, h, 1) + (h * g + g),
        "batch norm": 2 * 2 * g,
        "embedding": 2 * g * EMBEDDING + EMBEDDING,
    }


if __name__ == "__main__":
    ecapa = load_ecapa()
    reference = sk.load_speaker_encoder(engine="reference", device="cpu").engine.model
    for part, count in count_by_hand().items():
        print(f"{part:>13}: {count:>10,} parameters")
    parameters_by_hand = sum(count_by_hand().values())
    parameters = sum(p.numel() for p in ecapa.parameters())
    reference_parameters = sum(p.numel() for p in reference.parameters())
    print(f"          all: {parameters_by_hand:>10,} by hand, {parameters:,} in the network")
    assert parameters == parameters_by_hand == reference_parameters, "the count is wrong"

# %%
# The same vectors as the reference
# ---------------------------------
#
# An embedding is compared by its direction, so it is scaled to length 1 first. Ours and
# speechbrain's then differ by less than 1e-5 in every one of the 192 numbers: the same sums in
# float32, in another order. Anything larger would mean another formula.
#
# In a padded batch the masks keep the padding out of the gates and of the pooling, but the
# convolutions at the end of a short recording still see it. speechbrain does the same, and ours
# equals it; the embedding of a padded recording is therefore not quite the one it has alone. The
# last line says how far it turns.


def unit(embeddings: Tensor) -> Tensor:
    """Each of length 1: [.., embedding]."""
    return nn.functional.normalize(embeddings, dim=-1)


if __name__ == "__main__":
    with torch.inference_mode():
        embeddings = torch.cat([ecapa(one[None]) for one in features])
        reference_embeddings = torch.cat(
            [reference(reference_features(wave)[None])[:, 0] for wave in waves]
        )
    embedding_difference = float((unit(embeddings) - unit(reference_embeddings)).abs().max())
    print(f"{len(waves)} recordings, from the waveform on: embeddings of length 1 differ from ")
    print(f"speechbrain's by {embedding_difference:.1e} at most")
    assert embedding_difference < 1e-5, "the embeddings are not speechbrain's"

    cut = features[0][: len(features[0]) // 2]  # the first half of the sentence, padded with zeros
    padded = torch.nn.utils.rnn.pad_sequence([features[0], cut], batch_first=True)
    lengths = torch.tensor([len(features[0]), len(cut)])
    with torch.inference_mode():
        in_batch = ecapa(padded, lengths)
        in_reference = reference(padded, lengths / len(features[0]))[:, 0]
        alone = ecapa(cut[None])
    batch_difference = float((unit(in_batch) - unit(in_reference)).abs().max())
    padded_cosine = float(unit(in_batch[1]) @ unit(alone[0]))
    print(f"in a padded batch: {batch_difference:.1e}; ", end="")
    print(f"cosine of the padded recording with itself alone: {padded_cosine:.4f}")
    assert batch_difference < 1e-5, "the masks are not speechbrain's"

# %%
# What this does not do
# ---------------------
#
# It does not look into the trained network: ``41_ecapa_inside.py`` does. It does not train:
# ``44_speaker_training.py`` trains a small network of this class. It embeds a whole recording at
# once, in float32; ``speechkit.speaker`` cuts long ones and runs part of the network on 8-bit
# numbers. The filter bank and the network stand for one checkpoint: another one may want other
# features.
#
# Exercises
# ---------
#
# 1. Set ``SCALE`` to 4. How many parameters are there now, by hand and by code?
# 2. Take the mean and deviation out of what the attention hears. Which line changes, and what does
#    the toy say?
# 3. Give the toy a second telling moment with another pattern. Does one set of weights find both?
# 4. Count the multiplications for one second of speech, part by part. Which part is the dearest?
#
# Papers
# ------
#
# - Waibel, Hanazawa, Hinton, Shikano, Lang, 1989: Phoneme Recognition Using Time-Delay Neural
#   Networks.
# - Snyder, Garcia-Romero, Sell, Povey, Khudanpur, 2018: X-Vectors: Robust DNN Embeddings for
#   Speaker Recognition.
# - Okabe, Koshinaka, Shinoda, 2018: Attentive Statistics Pooling for Deep Speaker Embedding.
# - Hu, Shen, Sun, 2018: Squeeze-and-Excitation Networks.
# - Gao, Cheng, Zhao, Zhang, Yang, Torr, 2019: Res2Net: A New Multi-Scale Backbone Architecture.
# - Desplanques, Thienpondt, Demuynck, 2020: ECAPA-TDNN: Emphasized Channel Attention, Propagation
#   and Aggregation in TDNN Based Speaker Verification.
# - Ravanelli et al., 2021: SpeechBrain: A General-Purpose Speech Toolkit.
