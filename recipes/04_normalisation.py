r"""
Layer norm and batch norm on sequences
======================================

:Answers: question 11 (layer norm against batch norm, above all for sequences)
:Needs: the weights of Whisper base and ``spkrec-ecapa-voxceleb``; the voice ``en_US-joe-medium``;
    the networks of ``20_whisper.py``, ``31_vits.py`` and ``40_ecapa_tdnn.py``
:Takes: 60 s (15 s with ``--quick``) on two cores, weights fetched before

A normalisation layer shifts and scales the numbers inside a network until their mean is 0 and their
variance is 1. The two common kinds differ in the numbers whose mean is taken. Layer norm takes the
channels of one place in one recording. Batch norm takes one channel over all places of all
recordings in the batch, so a recording's result depends on its neighbours, on the padding, and on
how many there are.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from common import QUICK, RATE, import_recipe, keep_picture
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import speechkit as sk

EPS = 1e-5  # keeps the root away from zero

# %%
# Two averages: over channels, or over the batch
# ----------------------------------------------
#
# Both layers subtract a mean, divide by a standard deviation, and then give each channel a scale
# and a shift that are learned. Layer norm computes both numbers anew for every frame, in training
# and in use. Batch norm computes them for every channel from the batch in training, and keeps a
# running average of them for use.
#
# .. math::
#
#    y = \gamma_c \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta_c, \qquad
#    \mu^{\mathrm{layer}}_{b,t} = \frac1C \sum_c x_{b,c,t}, \qquad
#    \mu^{\mathrm{batch}}_{c} = \frac{1}{BT} \sum_{b,t} x_{b,c,t} .
#
# :math:`B` recordings of :math:`T` frames have :math:`C` channels; :math:`\sigma^2` is the variance
# of the same numbers as the mean :math:`\mu`. The running averages move a tenth of the way at every
# step, the variance with :math:`n - 1` in the denominator, as torch has it.


class LayerNorm(nn.Module):
    """Over the channels of each frame: [batch, channels, frames]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale, self.shift = (
            nn.Parameter(torch.ones(channels)),
            nn.Parameter(torch.zeros(channels)),
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)  # [batch, 1, frames]
        variance = ((x - mean) ** 2).mean(dim=1, keepdim=True)
        return self.scale[:, None] * (x - mean) / (variance + EPS).sqrt() + self.shift[:, None]


class BatchNorm(nn.Module):
    """Over the frames of a batch that the mask [batch, 1, frames] counts; x as above."""

    def __init__(self, channels: int, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked
        self.scale, self.shift = (
            nn.Parameter(torch.ones(channels)),
            nn.Parameter(torch.zeros(channels)),
        )
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.training:
            mean, variance, n = statistics(x, mask if self.masked else None)
            self.mean.lerp_(mean.detach(), 0.1)
            self.variance.lerp_(variance.detach() * n / (n - 1), 0.1)
        else:
            mean, variance = self.mean, self.variance
        centred = x - mean[:, None]
        return (
            self.scale[:, None] * centred / (variance[:, None] + EPS).sqrt() + self.shift[:, None]
        )


def statistics(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, float]:
    """Mean and variance of each channel [channels], and how many numbers each is made of."""
    mask = torch.ones_like(x[:, :1]) if mask is None else mask
    n = mask.sum()
    mean = (x * mask).sum(dim=(0, 2)) / n
    variance = ((x - mean[:, None]) ** 2 * mask).sum(dim=(0, 2)) / n
    return mean, variance, float(n)


def largest(a: Tensor, b: Tensor) -> float:
    """The largest difference."""
    return (a - b).detach().abs().max().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    x = 2 * torch.randn(4, 6, 9) + 1  # [batch, channels, frames]
    ours, theirs = BatchNorm(6), nn.BatchNorm1d(6)
    for _ in range(3):  # three training steps, so that the running averages move
        batch_difference = largest(ours(x), theirs(x))
    running_difference = max(
        largest(ours.mean, theirs.running_mean), largest(ours.variance, theirs.running_var)
    )
    use_difference = largest(ours.eval()(x), theirs.eval()(x))
    by_torch = F.layer_norm(x.transpose(1, 2), (6,)).transpose(1, 2)
    layer_difference = largest(LayerNorm(6)(x), by_torch)
    print(f"beside torch: layer norm {layer_difference:.1e}; batch norm in training ", end="")
    print(f"{batch_difference:.1e}, running {running_difference:.1e}, in use {use_difference:.1e}")
    assert layer_difference < 1e-5, "layer norm is not torch's"
    assert max(batch_difference, running_difference, use_difference) < 1e-5, "batch norm is not"

# %%
# Padding: what zeros do to the statistics
# ----------------------------------------
#
# Recordings in a batch have different lengths, so the short ones are filled up with zeros. Batch
# norm counts these zeros as data. They pull the mean towards zero and change the variance, the more
# the shorter the recordings are beside the longest. A masked batch norm leaves them out. Layer norm
# never sees them, because it looks at one frame at a time.
#
# If a share :math:`r` of the frames is real, with mean :math:`\mu` and variance :math:`\sigma^2`,
#
# .. math:: \mu' = r \mu, \qquad \sigma'^2 = r \sigma^2 + r (1 - r) \mu^2 .
#
# Below, real sentences of one voice as log-mel spectrograms, whose quiet bands lie far from zero.

SENTENCES = (
    "Yes.",
    "Come in.",
    "The train was late again.",
    "She read the letter twice, and put it back into the drawer.",
)


def padded(items: list[Tensor], longest: int) -> tuple[Tensor, Tensor]:
    """[channels, frames] each -> one batch with zeros at the ends, and its mask."""
    batch = torch.stack([F.pad(item, (0, longest - item.shape[1])) for item in items])
    lengths = torch.tensor([item.shape[1] for item in items])
    return batch, (torch.arange(longest) < lengths[:, None])[:, None].float()


def draw_padding(
    batch: Tensor, real: tuple[Tensor, Tensor], mixed: tuple[Tensor, Tensor]
) -> Figure:
    """The padded batch, and the statistics of each band with and without its zeros."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(2, 1, 1))
    image = left.imshow(
        torch.cat(list(batch), dim=0), aspect="auto", cmap="magma", vmin=-11, vmax=1,
        extent=(0, batch.shape[2] * 256 / 22_050, len(batch), 0),
    )  # fmt: skip
    left.set(
        xlabel="seconds",
        ylabel="recording; low bands above",
        title="Four sentences in one batch, zeros behind them",
    )
    left.set_yticks([0.5, 1.5, 2.5, 3.5], ["first", "second", "third", "fourth"])
    figure.colorbar(image, ax=left, label="log-mel (natural logarithm)")
    for axes, part, name in ((middle, 0, "mean"), (right, 1, "variance")):
        axes.plot(real[part], label="real frames")
        axes.plot(mixed[part], label="with padding")
        axes.set(xlabel="mel band", title=f"{name} of each band")
    middle.set(ylabel="natural logarithm")
    right.set(ylabel="natural logarithm, squared")
    right.legend()
    return figure


if __name__ == "__main__":
    from speechkit.features import vits_mel

    speaker = sk.load_tts("en_US-joe-medium")
    said = [speaker.synthesize(text).resample(22_050) for text in SENTENCES]
    spoken = [vits_mel(torch.tensor(audio.samples)) for audio in said]
    frames = [item.shape[1] for item in spoken]
    batch, mask = padded(spoken, max(frames))
    real, mixed = statistics(batch, mask), statistics(batch)
    share = float(mask.mean())
    formula = share * real[0], share * real[1] + share * (1 - share) * real[0] ** 2
    formula_difference = max(largest(formula[0], mixed[0]), largest(formula[1], mixed[1]))
    joined = statistics(torch.cat(spoken, dim=1)[None])  # end to end, without any padding
    masked_difference = max(largest(real[0], joined[0]), largest(real[1], joined[1]))
    print(f"frames {frames}: {share:.0%} of the batch is speech")
    print(f"mean of all bands {real[0].mean():.2f}, with padding {mixed[0].mean():.2f}")
    print(f"variance {real[1].mean():.2f}, with padding {mixed[1].mean():.2f}")
    print(f"formula: {formula_difference:.1e}; masked against end to end: {masked_difference:.1e}")
    assert formula_difference < 1e-3, "the padding does not do what the formula says"
    assert masked_difference < 1e-3, "the mask leaves something of the padding"
    assert abs(mixed[0].mean() / real[0].mean() - share) < 0.01, "the zeros pull the mean"
    keep_picture(draw_padding(batch, real[:2], mixed[:2]), "normalisation_padding")

# %%
# The same, as one recording meets it: how much its normalised frames change when the batch is
# padded further, as happens when a longer neighbour joins it. Nothing about the recording has
# changed.

if __name__ == "__main__":
    kinds: dict[str, Callable[[], nn.Module]] = {
        "batch norm": lambda: BatchNorm(80, masked=False),
        "masked batch norm": lambda: BatchNorm(80),
        "layer norm": lambda: LayerNorm(80),
    }
    moved_by_padding = {}
    for name, new in kinds.items():
        results = []
        for longest in (max(frames), 2 * max(frames)):
            results.append(new()(*padded(spoken, longest))[0, :, : frames[0]])
        moved_by_padding[name] = largest(*results)
        print(
            f"{name:17}: twice the padding moves the first recording by {moved_by_padding[name]:.1e}"
        )
    assert moved_by_padding["batch norm"] > 0.1, "more zeros should change the statistics"
    assert moved_by_padding["masked batch norm"] < 1e-3, "the mask should hide them"
    assert moved_by_padding["layer norm"] < 1e-6, "no frame depends on others"

# %%
# Small batches: statistics that shake
# ------------------------------------
#
# Batch norm estimates a mean from the batch, and an estimate from few examples is noisy. The frames
# of one recording resemble each other, so what counts is the number of recordings, not of frames.
# With two recordings in a batch the mean shakes about seven tenths as much as recordings differ.
# With one, what sets a recording apart is subtracted away.
#
# With a variance :math:`\tau^2` between recordings and :math:`\sigma^2` within one of :math:`T`
# frames,
#
# .. math:: \mathrm{Var}(\mu_B) = \frac{\tau^2}{B} + \frac{\sigma^2}{BT}, \qquad
#           \mathbb E(\sigma_B^2) \approx \tau^2 \Bigl(1 - \frac1B\Bigr) + \sigma^2 .

BETWEEN, WITHIN, FRAMES = 1.0, 1.0, 100  # standard deviations; frames of a recording


def recordings(count: int, batch: int) -> Tensor:
    """Many batches of one channel: [count, batch, frames]."""
    own = BETWEEN * torch.randn(count, batch, 1)
    return own + WITHIN * torch.randn(count, batch, FRAMES)


if __name__ == "__main__":
    torch.manual_seed(0)
    shakes = {}  # by batch: standard deviation of the mean, by formula; mean variance
    for size in (1, 2, 8, 32):
        many = recordings(4000, size).flatten(1)
        by_formula = (BETWEEN**2 / size + WITHIN**2 / (size * FRAMES)) ** 0.5
        shakes[size] = many.mean(dim=1).std().item(), by_formula, many.var(dim=1).mean().item()
        mean_std, _, variance = shakes[size]
        print(
            f"batch of {size:2d}: mean shakes by {mean_std:.3f} (formula {by_formula:.3f}), ",
            end="",
        )
        print(f"variance on average {variance:.2f} of {BETWEEN**2 + WITHIN**2:.0f}")
    assert all(abs(a / b - 1) < 0.05 for a, b, _ in shakes.values()), "the formula does not hold"
    assert shakes[2][0] > 0.5 > 0.2 > shakes[32][0], "two recordings should not be enough"
    for size, (*_, variance) in shakes.items():
        expected = BETWEEN**2 * (1 - 1 / size) + WITHIN**2
        assert abs(variance / expected - 1) < 0.05, "the variance should lack what is between them"

    quiet, loud = torch.randn(1, 3, FRAMES), torch.randn(1, 3, FRAMES) + 5
    apart = {}
    for name, norm in (("in training", BatchNorm(3)), ("in use", BatchNorm(3).eval())):
        apart[name] = (norm(loud).mean() - norm(quiet).mean()).item()
        print(f"batch of 1, {name}: two recordings 5 apart come out {apart[name]:.4f} apart")
    assert abs(apart["in training"]) < 1e-4 < 4.9 < apart["in use"], "the level should vanish"
    try:
        nn.BatchNorm1d(3)(torch.randn(1, 3))  # one vector: its variance is 0
        refused = False
    except ValueError as error:
        refused = True
        print(f"one vector in torch: {error}")
    assert refused, "torch should refuse"

# %%
# Training mode and evaluation mode
# ---------------------------------
#
# Batch norm is two different functions. In training mode it uses the batch, in evaluation mode the
# running averages. Forgetting to switch makes a trained network depend on its batch. Layer norm is
# the same function in both modes.
#
# The real ECAPA-TDNN shows it: the cosine of the embedding of a sentence in evaluation mode, which
# is the right one, and of the same sentence in training mode, in batches with others. Whisper's
# encoder, which has only layer norm, computes the same in every block.


@torch.no_grad()
def in_both_modes(network: nn.Module, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    """What a copy of a network says in evaluation mode, and then in training mode."""
    copy = deepcopy(network)
    return copy.eval()(*inputs), copy.train()(*inputs)


if __name__ == "__main__":
    ecapa = import_recipe("ecapa_tdnn")
    speaker_network = ecapa.load_ecapa()
    banks = [ecapa.filter_bank(torch.tensor(audio.resample(RATE).samples)) for audio in said]
    shortest = min(map(len, banks))
    banks = torch.stack([bank[:shortest] for bank in banks])  # [sentences, frames, bands]
    mode_cosines = {}
    for size in (2, 4):
        right, wrong = in_both_modes(speaker_network, banks[:size])
        mode_cosines[size] = F.cosine_similarity(right[0], wrong[0], dim=0).item()
        print(
            f"ECAPA-TDNN in training mode, batch of {size}: cosine {mode_cosines[size]:.3f} to itself"
        )
    one_alone = speaker_network(banks[:1])[0]
    in_company = F.cosine_similarity(one_alone, speaker_network(banks)[0], dim=0).item()
    print(f"in evaluation mode, alone and with three others: cosine {in_company:.6f}")
    assert max(mode_cosines.values()) < 0.9, "the training mode should be another function"
    assert in_company > 0.9999, "in use, neighbours should not matter"

    whisper = import_recipe("whisper")
    sizes, weights = whisper.official("base")
    recogniser = whisper.filled(sizes, weights)
    states = torch.randn(1, 100, sizes.width)  # what stands between two blocks
    whisper_difference = max(
        largest(*in_both_modes(block, states)) for block in recogniser.encoder.blocks
    )
    print(f"Whisper's encoder, both modes: largest difference of a block {whisper_difference}")
    assert whisper_difference == 0.0, "layer norm has no modes"

# %%
# Who has which
# -------------
#
# Whisper has layer norm and no batch norm. ECAPA-TDNN has batch norm and no layer norm. VITS has
# layer norm in its text encoder and its duration predictor, and none in the flow and the decoder,
# where weight norm took its place during training.
#
# Weight norm touches the weights, not the data: :math:`w = g\, v / \lVert v \rVert`. So there are
# no statistics, and after training the product is written down once, which is why none is left in
# the voice. In the reference implementation, before training, it can be counted. Batch norm can be
# folded away too: ``41_ecapa_inside.py`` does it.


def count(network: nn.Module, *kinds: type[nn.Module]) -> int:
    """Modules of these kinds."""
    return sum(isinstance(module, kinds) for module in network.modules())


def weight_normed(network: nn.Module) -> int:
    """Layers whose weight is a length times a direction."""
    return sum(parametrize.is_parametrized(module, "weight") for module in network.modules())


if __name__ == "__main__":
    voice = import_recipe("vits").load_voice()
    networks = {"Whisper": recogniser, "ECAPA-TDNN": speaker_network}
    networks |= {f"VITS, {name}": part for name, part in voice.named_children()}
    norms = {
        name: (count(network, nn.LayerNorm), count(network, nn.BatchNorm1d), weight_normed(network))
        for name, network in networks.items()
    }
    print("layer norms, batch norms, weight norms:")
    for name, numbers in norms.items():
        print(f"  {name:16}", *(f"{number:3d}" for number in numbers))
    by_hand = 2 * sizes.encoder_layers + 1 + 3 * sizes.decoder_layers + 1
    assert norms["Whisper"] == (by_hand, 0, 0), "two a block, three in the decoder, one at each end"
    assert norms["ECAPA-TDNN"][0] == 0 < norms["ECAPA-TDNN"][1], "it should have batch norm alone"
    assert norms["VITS, text"][0] == 2 * count(voice.text, type(voice.text.layers[0])), (
        "two a layer"
    )
    assert norms["VITS, flow"] == norms["VITS, decoder"] == (0, 0, 0), "weight norm is folded"

    from transformers import VitsConfig, VitsModel

    with torch.device("meta"):  # the structure, without the numbers
        reference = VitsModel(VitsConfig())
    reference.decoder.apply_weight_norm()
    weight_norms = {name: weight_normed(part) for name, part in reference.named_children()}
    print("weight norms in the reference, before training:", weight_norms)
    assert weight_norms["flow"] > 0 < weight_norms["decoder"], "the flow and the decoder have it"
    assert weight_norms["text_encoder"] == 0, "the text encoder has layer norm in its place"

    layer = nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))
    length, direction = (
        layer.parametrizations.weight.original0,
        layer.parametrizations.weight.original1,
    )
    weight_difference = largest(
        layer.weight, length * direction / direction.norm(dim=1, keepdim=True)
    )
    print(f"weight norm by hand beside torch: {weight_difference:.1e}")
    assert weight_difference < 1e-6, "the weight is not length times direction"

# %%
# A small training, batches of two
# --------------------------------
#
# Batch norm learns badly from small batches of sequences. In training each recording is seen
# relative to its partner; in use it is seen relative to the running averages. What is learned for
# the one does not fit the other. Layer norm has no such gap. A mask does not cure it, since two
# recordings are few with or without padding.
#
# The task is to read off a level: every sequence has one, the same in all its frames, under noise,
# and is of 10 to 60 frames. All networks see equally many sequences, in batches of 2 or of 16. The
# error is the mean squared error on new sequences; to know nothing costs 1. With batches of 16
# batch norm is the better one here.

CHANNELS, LONGEST, SEEN = 8, 60, 1000  # numbers per frame, frames, sequences seen in training


def sequences(number: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Padded [number, channels, frames], their mask, and the level of each [number]."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(CHANNELS, 1, generator=torch.Generator().manual_seed(99))
    level = torch.randn(number, generator=generator)
    lengths = torch.randint(10, LONGEST + 1, (number,), generator=generator)
    noise = torch.randn(number, CHANNELS, LONGEST, generator=generator)
    mask = (torch.arange(LONGEST) < lengths[:, None])[:, None].float()
    return (direction * level[:, None, None] + noise) * mask, mask, level


class LevelMeter(nn.Module):
    """Two convolutions, each with a norm, and the mean over real frames."""

    def __init__(self, new_norm: Callable[[int], nn.Module], width: int = 32) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(inputs, width, 5, padding=2) for inputs in (CHANNELS, width)
        )
        self.norms = nn.ModuleList(new_norm(width) for _ in range(2))
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(convolution(x), mask).relu() * mask
        return self.out(x.sum(dim=2) / mask.sum(dim=2))[:, 0]


def level_error(new_norm: Callable[[int], nn.Module], batch: int, seed: int) -> float:
    """Mean squared error on new sequences after training."""
    x, mask, level = sequences(1000, seed=1)
    torch.manual_seed(seed)
    network = LevelMeter(new_norm)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.005)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, SEEN // batch)
    for _ in range(SEEN // batch):
        rows = torch.randint(1000, (batch,))
        loss = F.mse_loss(network(x[rows], mask[rows]), level[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    x, mask, level = sequences(1000, seed=2)
    with torch.no_grad():
        return F.mse_loss(network.eval()(x, mask), level).item()


def draw_errors(errors: dict[tuple[str, int], list[float]]) -> Figure:
    """The error of each norm and batch, a dot for each seed."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    labels = [
        f"{name.replace(' batch', chr(10) + 'batch')},\nbatches of {size}" for name, size in errors
    ]
    for place, values in enumerate(errors.values()):
        axes.semilogy([place] * len(values), values, "o", color="C0", alpha=0.6)
        axes.semilogy([place - 0.2, place + 0.2], [sum(values) / len(values)] * 2, color="black")
    axes.set_xticks(range(len(labels)), labels, fontsize="small")
    axes.set(ylabel="squared error, new sequences (1)", title="A dot is a seed, a line their mean")
    return figure


if __name__ == "__main__":
    trained: dict[str, Callable[[int], nn.Module]] = {
        "batch norm": lambda width: BatchNorm(width, masked=False),
        "masked batch norm": BatchNorm,
        "layer norm": LayerNorm,
    }
    seeds = range(1 if QUICK else 6)
    errors = {
        (name, size): [level_error(new, size, seed) for seed in seeds]
        for name, new in trained.items()
        for size in (2, 16)
    }
    means = {key: sum(values) / len(values) for key, values in errors.items()}
    for (name, size), error in means.items():
        print(f"{name:17} batches of {size:2d}: error {error:.3f}")
    for name in ("batch norm", "masked batch norm"):
        assert means[name, 2] > 1.5 * means["layer norm", 2], "layer norm should need no batch"
        assert means[name, 2] > 2 * means[name, 16], "a larger batch should be enough"
    assert means["batch norm", 16] < means["layer norm", 16], "it should be the better one there"
    keep_picture(draw_errors(errors), "normalisation_batches")

# %%
# Which norm, when
# ----------------
#
# For sequences of different lengths, for small batches and for networks that write one token after
# the other, layer norm is the choice. Batch norm suits pieces of one length in large batches; in
# use it costs nothing, where it can be folded into a neighbouring layer.
#
# ============================  ============================  ==================================
# question                      layer norm                    batch norm
# ============================  ============================  ==================================
# mean over                     channels of one frame         frames of the whole batch
# padding                       not seen                      counted, unless masked
# batch of 1                    the same                      loses the recording's level
# training and use              one function                  two functions
# kept from training            nothing                       mean and variance of each channel
# in use                        computed every time           folded into a layer
# real models                   Whisper, VITS's text encoder  ECAPA-TDNN
# ============================  ============================  ==================================

# %%
# What this recipe does not do
# ----------------------------
#
# No instance norm and no group norm, which average over frames or groups of channels of one
# recording. No RMS norm, which is layer norm without the mean. Nothing on where in a block the norm
# stands: ``12_parameters.py`` and ``20_whisper.py`` say more of that. The training is a toy of a
# few seconds.
#
# Exercises
# ---------
#
# 1. Write group norm, and show that with one group per channel the padding matters again.
# 2. Add renormalisation: in training, use the running averages once they have settled. Does the
#    error with batches of 2 fall?
# 3. Let the sequences of the last section all be 60 frames long. How much of the gap is left?
# 4. Fold the two batch norms of `LevelMeter` into its convolutions. Why do the zeros at the edges
#    not hinder it here?
#
# Papers
# ------
#
# - Ioffe, Szegedy, 2015: Batch Normalization: Accelerating Deep Network Training by Reducing
#   Internal Covariate Shift.
# - Ba, Kiros, Hinton, 2016: Layer Normalization.
# - Salimans, Kingma, 2016: Weight Normalization: A Simple Reparameterization to Accelerate Training
#   of Deep Neural Networks.
# - Ioffe, 2017: Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized
#   Models.
# - Wu, He, 2018: Group Normalization.
