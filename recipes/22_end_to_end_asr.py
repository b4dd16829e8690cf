r"""
End-to-end recognition: CTC from scratch
========================================

:Answers: questions 22 (what end-to-end training means for speech, and how to build it), 3 (loss
    functions: CTC)
:Needs: the voice ``en_US-joe-medium``
:Takes: about 40 s (15 s with ``--quick``) on two cores, weights fetched before

An end-to-end recogniser is one network that is trained on pairs of sound and text alone, with one
loss that compares what it writes with what was said. The difficulty is time: a recording has a
hundred frames per second, its text a dozen characters, and nobody has written down which frames
belong to which character. CTC, connectionist temporal classification, is a loss that adds up all
the ways to assign them. It is written out here, checked, and used to train a small recogniser on
sentences that the toolkit's own voice speaks.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from common import QUICK, RATE, keep_picture, keep_sound, say
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

import speechkit as sk
from speechkit.augment import change_speed, spec_augment
from speechkit.features import whisper_log_mel

SYMBOLS = "- abcdefghijklmnopqrstuvwxyz"  # the first is the blank, the second parts words
BLANK = 0
LOG_ZERO = -1e30  # stands for log 0; with infinity itself the gradient would not be a number

# %%
# What end-to-end means
# ---------------------
#
# A classical recogniser is built of parts, and each part is trained or written by itself. An
# end-to-end recogniser is one network from sound to characters, and every weight in it is moved by
# the error in the text. It needs no table of pronunciations and no marks in time, but it learns
# spelling, pronunciation and grammar from transcribed speech alone.
#
# ==================  ===============================  ====================================
# part                classical pipeline               end-to-end
# ==================  ===============================  ====================================
# sound to frames     fixed features                   fixed features or first layers
# acoustic model      states of phonemes, trained on   the network; no alignment is given:
#                     frames that are aligned first    the loss goes over all of them
# lexicon             words as phonemes, by hand       none; the network spells
# language model      trained on text alone            inside the network, as far as the
#                                                      transcripts teach it; one more may be
#                                                      added in the search
# search              a graph made of all the parts    greedy, or a small beam
# trained for         likelihood of frames; that of    the probability of the text,
#                     text: each part has its own      given the sound
# needs               speech, lexicon, much text       much transcribed speech
# ==================  ===============================  ====================================

# %%
# The collapse rule
# -----------------
#
# CTC lets the network name one symbol in every frame: a character, or a blank that means nothing
# new. The text is what remains when repeated symbols are merged and blanks are then taken out. So
# a double letter needs a blank between its two halves, and many paths mean the same text.
#
# .. math:: B(\text{hh-e-ll-lo}) = \text{hello}, \qquad
#           P(y \mid x) = \sum_{\pi :\, B(\pi) = y} \; \prod_{t=1}^{T} p_t(\pi_t)
#
# The product says what CTC assumes: given the sound, the symbol of a frame does not depend on the
# symbols of the others.


def collapse(path: Sequence[int]) -> tuple[int, ...]:
    """Symbols of frames -> labels: repeats merged, then blanks taken out."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


def encode(text: str) -> Tensor:
    """Characters -> numbers [len(text)]."""
    return torch.tensor([SYMBOLS.index(character) for character in text], dtype=torch.long)


def decode(labels: Sequence[int]) -> str:
    """Numbers -> characters."""
    return "".join(SYMBOLS[label] for label in labels)


def sum_over_paths(probs: Tensor) -> dict[tuple[int, ...], float]:
    """[T, C] -> the probability of every text, by visiting all C^T paths."""
    texts: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(probs.shape[1]), repeat=len(probs)):
        texts[collapse(path)] += math.prod(float(probs[t, symbol]) for t, symbol in enumerate(path))
    return dict(texts)


if __name__ == "__main__":
    hello = decode(collapse(encode("hh-e-ll-lo").tolist()))
    helo = decode(collapse(encode("hhe-lllloo").tolist()))
    print(f"hh-e-ll-lo means {hello}; hhe-lllloo means {helo}")
    assert (hello, helo) == ("hello", "helo"), "only a blank keeps two equal letters apart"

    torch.manual_seed(0)
    tiny = torch.randn(5, 3, dtype=torch.float64).softmax(dim=1)  # five frames: blank, 1, 2
    by_paths = sum_over_paths(tiny)
    total = sum(by_paths.values())
    print(f"{3**5} paths mean {len(by_paths)} texts, with probabilities that sum to {total:.12f}")
    assert abs(total - 1) < 1e-12, "every path means exactly one text"

# %%
# The forward algorithm
# ---------------------
#
# Visiting all paths takes time that grows exponentially with the length. The forward algorithm adds
# them up frame by frame instead. It puts a blank before, between and after the characters, and asks
# for each of these places how probable it is to have come exactly that far.
#
# With :math:`z` for the :math:`U` labels and their :math:`U + 1` blanks, a path may stay where it
# is, go to the next place, or jump over a blank that separates two different labels:
#
# .. math::
#
#    \alpha_t(s) = p_t(z_s) \bigl( \alpha_{t-1}(s) + \alpha_{t-1}(s-1)
#    + [z_s \ne z_{s-2}]\, \alpha_{t-1}(s-2) \bigr), \quad
#    L = -\ln \bigl( \alpha_T(2U) + \alpha_T(2U+1) \bigr)
#
# The products of hundreds of probabilities are too small for floating-point numbers. So everything
# is kept as logarithms: products become sums, and sums become ``logsumexp``.


def with_blanks(labels: Tensor) -> Tensor:
    """[U] -> [2U + 1]: a blank before, between and after the labels."""
    places = torch.full((2 * len(labels) + 1,), BLANK)
    places[1::2] = labels
    return places


def ctc_forward(log_probs: Tensor, labels: Tensor) -> Tensor:
    """log alpha [T, 2U + 1] of log probabilities [T, C] and labels [U]."""
    z = with_blanks(labels)
    emission = log_probs[:, z]  # log p_t(z_s): [T, 2U + 1]
    may_jump = F.pad(z[2:] != z[:-2], (2, 0))[: len(z)]  # never onto a blank: its z_{s-2} is one
    rows = [torch.where(torch.arange(len(z)) < 2, emission[0], LOG_ZERO)]  # begin: a blank or z_2
    for now in emission[1:]:
        stay = rows[-1]
        step = F.pad(stay, (1, 0), value=LOG_ZERO)[:-1]
        jump = torch.where(may_jump, F.pad(stay, (2, 0), value=LOG_ZERO)[:-2], LOG_ZERO)
        rows.append(now + torch.stack([stay, step, jump]).logsumexp(dim=0))
    return torch.stack(rows)


def ctc_loss(log_probs: Tensor, labels: Tensor) -> Tensor:
    """-ln P(labels | sound): [T, C], [U] -> one number."""
    return -ctc_forward(log_probs, labels)[-1, -2:].logsumexp(dim=0)  # the end: label or blank


# %%
# On the tiny case the loss must give the sums over all paths, for every text. On a longer one it
# must be torch's. A text that needs more frames than there are has no path: one frame for each
# label, and one for each blank between equal ones.

if __name__ == "__main__":
    forward_difference = max(
        abs(float((-ctc_loss(tiny.log(), torch.tensor(text, dtype=torch.long))).exp()) - p)
        for text, p in by_paths.items()
    )
    print(f"all {len(by_paths)} texts, forward against all paths: {forward_difference:.1e}")
    assert forward_difference < 1e-12, "the forward algorithm is not the sum over paths"

    spelling = encode("a small balloon")
    logits = torch.randn(60, len(SYMBOLS), dtype=torch.float64, requires_grad=True)
    our_loss = ctc_loss(logits.log_softmax(dim=1), spelling)
    lengths = torch.tensor([len(logits)]), torch.tensor([len(spelling)])
    torchs_loss = F.ctc_loss(
        logits.log_softmax(dim=1)[:, None], spelling[None], *lengths, reduction="sum"
    )
    ctc_difference = abs(our_loss.item() - torchs_loss.item())
    print(f"CTC loss {our_loss.item():.6f}, torch's {torchs_loss.item():.6f} nats")
    assert ctc_difference < 1e-9, "the loss is not torch's"

    too_short, just_enough = (
        ctc_loss(tiny[:frames].log(), torch.tensor([1, 1])).item() for frames in (2, 3)
    )
    print(f"a double letter: {too_short:.0e} nats in two frames, {just_enough:.3f} in three")
    assert too_short > 1e29 > 100 > just_enough, "a double letter needs three frames"

# %%
# The gradient: expected counts
# -----------------------------
#
# The gradient of CTC has a plain meaning. With respect to the logits of a frame it is the network's
# probability of each symbol minus the share of the valid paths that pass through that symbol there.
# Training moves the one towards the other, so the network itself supplies the alignment that it is
# then trained on.
#
# .. math:: \frac{\partial L}{\partial \text{logit}_{tk}} = p_t(k) - \gamma_t(k), \qquad
#           \gamma_t(k) = -\frac{\partial L}{\partial \ln p_t(k)}
#
# The shares :math:`\gamma` also follow from a second recursion, from the end, which is the first
# one with sound and labels turned round. Its product with :math:`\alpha` counts a frame's own
# probability twice:
#
# .. math:: \gamma_t(s) = \frac{\alpha_t(s)\, \beta_t(s)}{p_t(z_s)\, P(y \mid x)}


def occupancy(log_probs: Tensor, labels: Tensor) -> Tensor:
    """gamma [T, 2U + 1]: the share of the valid paths at each place in each frame."""
    alpha = ctc_forward(log_probs, labels)
    beta = ctc_forward(log_probs.flip(0), labels.flip(0)).flip(0, 1)
    log_total = alpha[-1, -2:].logsumexp(dim=0)
    return (alpha + beta - log_probs[:, with_blanks(labels)] - log_total).exp()


if __name__ == "__main__":
    [our_gradient] = torch.autograd.grad(our_loss, logits)
    [torchs_gradient] = torch.autograd.grad(torchs_loss, logits)
    gradient_difference = (our_gradient - torchs_gradient).abs().max().item()
    with torch.no_grad():
        log_probs = logits.log_softmax(dim=1)
        share = occupancy(log_probs, spelling)
        gamma = torch.zeros_like(log_probs).index_add(1, with_blanks(spelling), share)
        formula_difference = (log_probs.exp() - gamma - our_gradient).abs().max().item()
    print(f"gradient, ours by autograd against torch's: {gradient_difference:.1e}")
    print(f"gradient, probabilities minus shares against autograd: {formula_difference:.1e}")
    assert gradient_difference < 1e-9, "the gradient is not torch's"
    assert formula_difference < 1e-9, "the gradient is not p - gamma"
    assert (share.sum(dim=1) - 1).abs().max() < 1e-9, "each path is somewhere in each frame"

# %%
# CTC, transducer, attention: who knows what was written
# ------------------------------------------------------
#
# CTC decides each frame without knowing what it has decided in the others. A transducer also sees
# the text that it has written so far, and still goes through the sound from left to right. An
# attention decoder sees its text too, and may look anywhere in the sound.
#
# ==========  ================================  =====================  =======================
# .           factors of the probability        moves through sound    can run live
# ==========  ================================  =====================  =======================
# CTC         :math:`p(\pi_t \mid x)`           left to right          if the encoder can
# transducer  :math:`p(k \mid x_t, y_{<u})`     left to right          if the encoder can
# attention   :math:`p(y_u \mid x, y_{<u})`     wherever it looks      not as it stands
# ==========  ================================  =====================  =======================
#
# A transducer's path goes through a lattice of frames and labels. In each point it either writes
# the next label and stays in its frame, or writes a blank and goes to the next frame. With
# :math:`\varnothing` for blank,
#
# .. math::
#
#    \alpha(t, u) = \alpha(t-1, u)\, p(\varnothing \mid t-1, u)
#    + \alpha(t, u-1)\, p(y_u \mid t, u-1), \quad
#    P(y \mid x) = \alpha(T, U)\, p(\varnothing \mid T, U)


def transducer_loss(log_probs: Tensor, labels: Tensor) -> Tensor:
    """-ln P(labels | sound): log probabilities [T, U + 1, C], labels [U] -> one number."""
    frames, places, _ = log_probs.shape
    alpha = {(0, 0): log_probs.new_zeros(())}
    for t, u in itertools.product(range(frames), range(places)):
        ways = []
        if t > 0:
            ways.append(alpha[t - 1, u] + log_probs[t - 1, u, BLANK])  # on to the next frame
        if u > 0:
            ways.append(alpha[t, u - 1] + log_probs[t, u - 1, labels[u - 1]])  # one more label
        if ways:
            alpha[t, u] = torch.stack(ways).logsumexp(dim=0)
    return -(alpha[frames - 1, places - 1] + log_probs[-1, -1, BLANK])


if __name__ == "__main__":
    from torchaudio.functional import rnnt_loss

    lattice = torch.randn(4, 4, 5)  # four frames, three labels, five symbols
    written = torch.tensor([2, 2, 4])
    by_recursion = transducer_loss(lattice.log_softmax(dim=-1), written).item()
    by_torchaudio = rnnt_loss(
        lattice[None],
        written[None].int(),
        *(torch.tensor([n], dtype=torch.int32) for n in (4, 3)),
        blank=BLANK,
    ).item()
    print(f"transducer loss {by_recursion:.5f}, torchaudio's {by_torchaudio:.5f} nats")
    assert abs(by_recursion - by_torchaudio) < 1e-4, "the transducer loss is not torchaudio's"

# %%
# What the independence of CTC costs shows when one sound has two spellings. Let the text be "ab" or
# "ba", at random. Whoever sees its own first letter knows the second, so the best loss is
# :math:`\ln 2`. Free tables in place of networks are trained on this: one row for each frame for
# CTC, one for each frame and each text written so far for the transducer.

EITHER = (torch.tensor([1, 2]), torch.tensor([2, 1]))  # ab, ba
WRITTEN = (torch.tensor([0, 1, 3]), torch.tensor([0, 2, 4]))  # nothing, a or b, ab or ba


def fit_table(kind: str, frames: int = 3, steps: int = 100) -> float:
    """The loss that a free table reaches on both texts, in nats."""
    torch.manual_seed(0)
    shape = (frames, 3) if kind == "ctc" else (5, frames, 3)  # [written,] frame, symbol
    table = torch.randn(shape, requires_grad=True)
    optimiser = torch.optim.Adam([table], lr=0.3)
    for _ in range(steps):
        log_probs = table.log_softmax(dim=-1)
        if kind == "ctc":
            loss = sum(ctc_loss(log_probs, text) for text in EITHER) / 2
        else:
            lattices = [log_probs[so_far].transpose(0, 1) for so_far in WRITTEN]  # [T, U + 1, C]
            pairs = zip(lattices, EITHER, strict=True)
            loss = sum(transducer_loss(lattice, text) for lattice, text in pairs) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.item()


if __name__ == "__main__":
    fits = {kind: fit_table(kind) for kind in ("ctc", "transducer")}
    for kind, reached in fits.items():
        print(f"two spellings of one sound, {kind}: {reached:.3f} nats; ln 2 is 0.693, ln 4 1.386")
    assert fits["ctc"] > 1.9 * math.log(2), "independent frames cannot agree on one spelling"
    assert fits["transducer"] < 1.1 * math.log(2), "the first letter tells the second"

# %%
# Sentences to learn
# ------------------
#
# A recogniser that is to learn within a minute needs a small world. Here fifteen words make
# sentences such as "tom ate eight plums", spoken by a synthetic voice. Two pairs of words sound
# alike, ate and eight, blew and blue, so that sound alone cannot tell them apart.
#
# The sentences held out for the test are in no training text. Each recording is heard at several
# speeds, and some are joined to longer ones, so that few recordings go a long way.

SUBJECTS, VERBS = ("ann", "tom", "we"), ("ate", "blew", "saw")
NUMBERS, COLOURS = ("two", "eight", "nine"), ("blue", "red", "green")
THINGS = ("plums", "bells", "horns")
TRAINING, TEST, STEPS = (10, 4, 100) if QUICK else (24, 20, 250)
SPEEDS = (0.9, 1.0, 1.1)


def sentences(count: int, seed: int, without: frozenset[str] = frozenset()) -> list[str]:
    """Different sentences of subject, verb, number or colour, and thing; each word about as often."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        kinds = (SUBJECTS * 2, VERBS * 2, NUMBERS + COLOURS, THINGS * 2)
        for words in zip(*(rng.sample(kind, 6) for kind in kinds), strict=True):
            if (text := " ".join(words)) not in without and len(found) < count:
                found[text] = None
    return list(found)


def log_mel(audio: sk.Audio, speed: float = 1.0) -> Tensor:
    """Log-mel spectrogram [80, frames], 100 frames per second."""
    heard = audio if speed == 1.0 else change_speed(audio, speed)
    return whisper_log_mel(torch.tensor(heard.samples))


if __name__ == "__main__":
    test_texts = sentences(TEST, seed=1)
    training_texts = sentences(TRAINING, seed=2, without=frozenset(test_texts))
    training_speech = [say(text, seed=i) for i, text in enumerate(training_texts)]
    test_speech = [say(text, seed=1000 + i) for i, text in enumerate(test_texts)]
    keep_sound(test_speech[0], "ctc_sentence")
    training_mels = [[log_mel(audio, speed) for speed in SPEEDS] for audio in training_speech]
    test_mels = [log_mel(audio) for audio in test_speech]
    seconds = sum(len(audio.samples) for audio in training_speech) / RATE
    print(
        f"{TRAINING} sentences to train on, {seconds:.0f} s; {TEST} held out: {test_texts[0]}, ..."
    )
    assert not set(test_texts) & set(training_texts), "what is tested must not be learned"

# %%
# The network
# -----------
#
# The network turns frames of sound into probabilities of characters. Convolutions look at three
# tenths of a second around each frame and keep every fourth, so 25 times a second the network names
# a symbol. A recurrent layer in both directions can then add what was heard before and what comes
# after.
#
# It is built in two forms, with and without the recurrent layer. The one without decides from those
# three tenths of a second alone, which are about a word.

WIDTH, MELS, KEEPS = 64, 80, 4  # channels, mel bands, every which frame is kept


def convolution(channels: int, stride: int) -> nn.Sequential:
    """Five frames at a time, every `stride` of them; each channel normalised over the batch."""
    filters = nn.Conv1d(channels, WIDTH, 5, stride, padding=2)
    return nn.Sequential(filters, nn.GELU(), nn.BatchNorm1d(WIDTH))


class Recogniser(nn.Module):
    """Log-mel frames -> log probabilities of symbols."""

    def __init__(self, context: bool) -> None:
        super().__init__()
        self.local = nn.Sequential(
            convolution(MELS, stride=2), convolution(WIDTH, stride=2), convolution(WIDTH, stride=1)
        )
        self.context = (
            nn.GRU(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True) if context else None
        )
        self.spell = nn.Linear(WIDTH, len(SYMBOLS))

    def forward(self, mel: Tensor) -> Tensor:
        """[batch, 80, frames] -> [batch, frames / 4, symbols]"""
        x = self.local(mel).transpose(1, 2)
        if self.context is not None:
            x = x + self.context(x)[0]
        return self.spell(x).log_softmax(dim=-1)


# %%
# That the whole chain is one function can be tested. The log-mel spectrogram has a derivative too,
# so the error in the text can be traced to each sample of the waveform. A small step along that
# gradient must change the loss by the gradient's length times the step.

if __name__ == "__main__":
    torch.manual_seed(0)
    untrained = Recogniser(context=True)
    wave = torch.tensor(test_speech[0].samples, requires_grad=True)
    labels = encode(test_texts[0])

    def loss_of(samples: Tensor) -> Tensor:
        return ctc_loss(untrained(whisper_log_mel(samples)[None])[0], labels)

    [slope] = torch.autograd.grad(loss_of(wave), wave)
    with torch.no_grad():
        step = 1e-5 / slope.norm()  # the waveform moves by 1e-5 in all
        measured = float(loss_of(wave + step * slope) - loss_of(wave - step * slope))
    foreseen = float(2 * step * slope.norm() ** 2)
    print(f"from characters to samples: foreseen change {foreseen:.4f}, measured {measured:.4f}")
    assert abs(measured / foreseen - 1) < 0.1, "the gradient reaches the waveform"

# %%
# Training
# --------
#
# Training draws a few recordings, hides pieces of their time and bands, lets the network name
# symbols, and lowers the CTC loss of the right texts. Nothing tells it where in the sound a character
# lies.


def draw_batch(
    mels: list[list[Tensor]], texts: list[str], rng: random.Random, size: int = 8
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Masked log-mels [size, 80, frames], the numbers of frames kept, the labels."""
    drawn = []
    for _ in range(size):
        chosen = [rng.randrange(len(texts)) for _ in range(rng.choice((1, 1, 2)))]  # some joined
        mel = torch.cat([rng.choice(mels[i]) for i in chosen], dim=1)
        masked = spec_augment(mel, time_width=8, seed=rng.randrange(10**6))
        drawn.append((masked, encode(" ".join(texts[i] for i in chosen))))
    frames = torch.tensor([mel.shape[1] for mel, _ in drawn])
    longest = int(frames.max())
    batch = torch.stack([F.pad(mel, (0, longest - mel.shape[1])) for mel, _ in drawn])
    return batch, (frames + KEEPS - 1) // KEEPS, [labels for _, labels in drawn]


def train(model: Recogniser, mels: list[list[Tensor]], texts: list[str], steps: int) -> list[float]:
    """Losses in nats per character, one for each step."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=steps)
    rng, losses = random.Random(0), []
    for _ in range(steps):
        batch, frames, labels = draw_batch(mels, texts, rng)
        log_probs = model(batch).transpose(0, 1)  # [frames, batch, symbols]
        sizes = torch.tensor([len(one) for one in labels])
        loss = F.ctc_loss(log_probs, torch.cat(labels), frames, sizes)  # each by its length
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimiser.step()
        plan.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    before = untrained(test_mels[0][None])[0].detach()  # for the picture
    models, curves = {}, {}
    for name in ("local", "with context"):
        torch.manual_seed(0)
        models[name] = Recogniser(context=name != "local")
        curves[name] = train(models[name], training_mels, training_texts, STEPS)
        first, last = (sum(part) / 10 for part in (curves[name][:10], curves[name][-10:]))
        print(f"{name}: loss {first:.2f}, after {STEPS} steps {last:.3f} nats per character")
        assert last < first / 3, "it should learn"

# %%
# Decoding: greedy and prefix beam search
# ---------------------------------------
#
# Greedy decoding takes the most probable symbol of each frame and collapses the path. That is the
# most probable path, but not always the most probable text, since a text adds up many paths. Prefix
# beam search keeps the most probable beginnings of texts, and adds up the paths that lead to the
# same beginning.
#
# Each beginning has two probabilities: of the paths that end in a blank, and of those that end in
# its last character. The same character again makes a new one only after a blank; otherwise it
# prolongs the last.
#
# With a language model, a beginning :math:`y` of :math:`n` complete words is ranked by
#
# .. math:: \ln P(y \mid x) + \lambda \ln P_{\mathrm{LM}}(y) + \mu\, n .
#
# The bonus :math:`\mu` makes up for every word costing probability.


def greedy(log_probs: Tensor) -> str:
    """[T, C] -> the text of the best path."""
    return decode(collapse(log_probs.argmax(dim=1).tolist()))


def log_add(a: float, b: float) -> float:
    """ln(e^a + e^b)"""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def no_language(text: str, finished: bool) -> float:
    """The score of a text where there is no language model."""
    return 0.0


def beam_search(
    log_probs: Tensor, width: int, language: Callable[[str, bool], float] = no_language
) -> list[tuple[str, float]]:
    """Texts and their scores, the best first; `language` scores a text, finished or not."""
    beams = {"": (0.0, -math.inf)}  # ln P of the paths that end in a blank, in a character
    for frame in log_probs.tolist():
        longer: dict[str, list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        for text, (in_blank, in_character) in beams.items():
            either = log_add(in_blank, in_character)
            same = longer[text]
            same[0] = log_add(same[0], either + frame[BLANK])
            for k, character in enumerate(SYMBOLS[1 : len(frame)], start=1):
                repeats = text.endswith(character)
                if repeats:
                    same[1] = log_add(same[1], in_character + frame[k])
                new = longer[text + character]
                new[1] = log_add(new[1], (in_blank if repeats else either) + frame[k])
        scores = {text: log_add(*ends) + language(text, False) for text, ends in longer.items()}
        kept = sorted(scores, key=scores.__getitem__, reverse=True)[:width]
        beams = {text: (longer[text][0], longer[text][1]) for text in kept}
    final = {text: log_add(*ends) + language(text, True) for text, ends in beams.items()}
    return sorted(final.items(), key=lambda item: item[1], reverse=True)


# %%
# With room for all beginnings the search is exact, which the tiny case shows. Two frames are enough
# for the best path and the best text to differ.

if __name__ == "__main__":
    exact = dict(beam_search(tiny.log(), width=1000))
    search_difference = max(abs(math.exp(exact[decode(text)]) - p) for text, p in by_paths.items())
    two_frames = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()  # blank, space
    best_path, (best_text, score) = greedy(two_frames), beam_search(two_frames, width=4)[0]
    print(f"search with room for all against all paths: {search_difference:.1e}")
    print(
        f"two frames: best path {best_path!r}, best text {best_text!r}, p = {math.exp(score):.2f}"
    )
    assert search_difference < 1e-12, "the search does not add up the paths"
    assert (best_path, best_text) == ("", " "), "the best path is not the best text"
    assert abs(math.exp(score) - 0.64) < 1e-6, "0.4 * 0.6 + 0.6 * 0.4 + 0.4 * 0.4"

# %%
# A bigram model of words
# -----------------------
#
# A language model says how probable a text is before anything is heard. A bigram model looks at one
# word before: it counts how often each word follows each other one. It learns from text alone,
# which is cheaper than speech with transcripts.
#
# .. math:: P(w \mid v) = \frac{\text{count}(v, w) + k}{\text{count}(v) + k\, V}
#
# The :math:`k` keeps a little for pairs that were not seen. While a word is only begun, it counts
# with the probability of all words that begin so. If none does, the text is impossible: the model
# is a lexicon too. With a weight :math:`\lambda` of zero it is nothing but a lexicon.


class Bigram:
    """Probabilities of known words, each given the one before; `.` begins and ends a sentence."""

    def __init__(self, texts: list[str], k: float = 0.01) -> None:
        lines = [[".", *text.split(), "."] for text in texts]
        self.k, self.words = k, sorted({word for line in lines for word in line})
        self.pairs = Counter(pair for line in lines for pair in itertools.pairwise(line))
        self.first = Counter(word for line in lines for word in line[:-1])

    def p(self, before: str, word: str) -> float:
        """P(word | before)"""
        seen, of = self.pairs[before, word], self.first[before]
        return (seen + self.k) / (of + self.k * len(self.words))

    def p_begun(self, before: str, begun: str) -> float:
        """The probability of all words that begin so."""
        return sum(self.p(before, word) for word in self.words if word.startswith(begun))

    def scorer(self, weight: float, bonus: float) -> Callable[[str, bool], float]:
        """What `beam_search` asks: weight * ln P + bonus * words, -infinity for no words."""

        @cache
        def score(text: str, finished: bool) -> float:
            words = [".", *text.split(" "), *(["."] if finished else [])]
            if not all(word in self.words for word in words[:-1]):
                return -math.inf
            p = math.prod(self.p(*pair) for pair in itertools.pairwise(words[:-1]))
            p *= self.p_begun(*words[-2:])
            return weight * math.log(p) + bonus * (len(words) - 2) if p > 0 else -math.inf

        return score


if __name__ == "__main__":
    lm_texts = sentences(100, seed=3, without=frozenset(test_texts))
    bigram = Bigram(lm_texts)
    likely = {(v, w): bigram.p(v, w) for v in ("tom", "ate") for w in ("ate", "eight")}
    for (v, w), p in likely.items():
        print(f"after {v}: {w} {p:.5f}")
    every_word = sum(bigram.p("tom", word) for word in bigram.words)
    assert abs(every_word - 1) < 1e-9, "these are probabilities"
    assert likely["tom", "ate"] > 100 * likely["tom", "eight"], "verbs follow subjects"
    assert likely["ate", "eight"] > 100 * likely["ate", "ate"], "numbers follow verbs"

# %%
# The choice between words that sound alike, with a sound that is made for it: each frame is sure of
# its symbol but for two, where "blue" is a little more probable than "blew". The lexicon has both
# words, so it writes the more probable one. The bigram knows that a verb comes here.

if __name__ == "__main__":
    unsure = F.one_hot(encode("tom blue two bel-ls"), len(SYMBOLS)) * 0.9 + 0.001
    for frame, (one, other) in ((6, "ue"), (7, "ew")):
        unsure[frame, encode(one + other)] = torch.tensor([0.55, 0.45])
    choices = {
        how: beam_search(unsure.log(), 8, bigram.scorer(weight, 0.0))[0][0]
        for how, weight in (("lexicon", 0.0), ("bigram", 1.0))
    }
    print("blue or blew:", choices)
    assert choices["lexicon"] == "tom blue two bells", "a lexicon can't choose"
    assert choices["bigram"] == "tom blew two bells", "a verb follows the subject"

# %%
# What the language model is worth
# --------------------------------
#
# A recogniser is judged by its errors on sentences that it has not seen. The edits, the fewest
# characters or words to insert, delete or replace, are divided by the length of what was said. A
# lexicon mends words that are none. Between words that sound alike only the words around can choose:
# a language model knows them, and so does a network that hears the context.
#
# Below, each network is decoded in four ways. Beside them stands what can be had without listening:
# always the sentence that fits the training texts best. The beam without a language model hardly
# changes what greedy decoding writes. The lexicon removes words that are none. The bigram repairs
# some words that are spelled right and make no sense in their place. Without it, the network with
# context writes more of the words that sound alike right than the one without. Some mistakes of the
# network without context are pieces of two words run together.


def edits(wanted: Sequence[str], got: Sequence[str]) -> int:
    """The fewest insertions, deletions and replacements that turn one into the other."""
    row = list(range(len(got) + 1))  # from nothing to each beginning of `got`
    for i, one in enumerate(wanted, start=1):
        corner, row[0] = row[0], i
        for j, other in enumerate(got, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (one != other))
    return row[-1]


def error_rates(wanted: list[str], got: list[str]) -> tuple[float, float]:
    """Character and word error rates, percent: all edits over all that was said."""

    def rate(cut: Callable[[str], Sequence[str]]) -> float:
        pairs = [(cut(a), cut(b)) for a, b in zip(wanted, got, strict=True)]
        return 100 * sum(edits(a, b) for a, b in pairs) / sum(len(a) for a, _ in pairs)

    return rate(list), rate(str.split)


BEAM, LM_WEIGHT, WORD_BONUS = 8, 1.0, 1.0
ALIKE = {"ate", "eight", "blew", "blue"}


def right_alike(wanted: list[str], got: list[str]) -> float:
    """Of the words that sound alike, the share written right and in a text of as many words."""
    pairs = [(a, b.split()) for a, b in zip(map(str.split, wanted), got, strict=True)]
    hits = [len(a) == len(b) and w == b[i] for a, b in pairs for i, w in enumerate(a) if w in ALIKE]
    return sum(hits) / len(hits)


if __name__ == "__main__":
    from torchaudio.functional import edit_distance

    languages = {
        "beam": no_language,
        "beam, lexicon": bigram.scorer(0.0, 0.0),
        "beam, bigram": bigram.scorer(LM_WEIGHT, WORD_BONUS),
    }
    heard, rates, posteriors = {}, {}, {}
    for name, model in models.items():
        model.eval()
        with torch.no_grad():
            posteriors[name] = [model(mel[None])[0] for mel in test_mels]
        heard[name, "greedy"] = [greedy(one) for one in posteriors[name]]
        for how, language in languages.items():
            heard[name, how] = [beam_search(one, BEAM, language)[0][0] for one in posteriors[name]]
    constant = min(training_texts, key=lambda one: error_rates(training_texts, [one] * TRAINING))
    heard["deaf", "constant"] = [constant] * TEST
    print("network       decoding        errors in characters, words")
    for (name, how), got in heard.items():
        rates[name, how] = error_rates(test_texts, got)
        print("{:13s} {:14s} {:6.1f} %  {:6.1f} %".format(name, how, *rates[name, how]))
    for said, *got in zip(
        test_texts, *(heard["local", how] for how in ("greedy", *languages)), strict=True
    ):
        if said.split()[1:2] != got[0].split()[1:2]:  # its second word went wrong
            print(f"{said} -> " + " | ".join(got))
    pairs = [(a, b) for got in heard.values() for a, b in zip(test_texts, got, strict=True)]
    assert all(edits(a, b) == edit_distance(a, b) for a, b in pairs), "not torchaudio's edits"
    alike = {
        how: [right_alike(test_texts, heard[name, how]) for name in models]
        for how in ("beam, lexicon", "beam, bigram")
    }
    for how, (local, context) in alike.items():
        print(f"of ate, eight, blew and blue right, {how}: ", end="")
        print(f"local {100 * local:.0f} %, with context {100 * context:.0f} %")
    mean = {
        how: [sum(rates[name, how][unit] for name in models) / 2 for unit in (0, 1)]
        for how in ("greedy", *languages)
    }
    assert mean["greedy"][0] < rates["deaf", "constant"][0] * 2 / 3, "the networks should hear"
    assert abs(mean["beam"][0] - mean["greedy"][0]) < 3, "adding up paths changes little"
    assert mean["beam, lexicon"][1] < 0.8 * mean["greedy"][1], "a lexicon helps"
    assert mean["beam, bigram"][1] < mean["beam, lexicon"][1], "a bigram helps more"
    if not QUICK:  # four sentences are too few to tell
        assert sum(alike["beam, bigram"]) > sum(alike["beam, lexicon"]), "a bigram helps to choose"
        assert alike["beam, lexicon"][1] > alike["beam, lexicon"][0] + 0.1, "and so does context"

# %%
# Spikes
# ------
#
# For the CTC loss it does not matter how long a character lasts, only that it comes. So a network
# that has many frames for each character names it in one or a few of them, however long it sounds,
# and says blank in the rest. The more frames there are, the more of them are blank: the output
# becomes a row of spikes.
#
# A toy isolates this: a free table of logits, all zero at first, is trained to write four labels.
# If there are many frames, the blank begins with the largest share of the valid paths, since more
# than half of the places in a text with its blanks are blanks. It wins more in the training.

FOUR = torch.tensor([1, 2, 3, 4])


def best_runs(probs: Tensor) -> list[int]:
    """For how many frames in a row each character wins: [T, C] -> the lengths."""
    runs = itertools.groupby(probs.argmax(dim=1).tolist())
    return [len(list(run)) for symbol, run in runs if symbol != BLANK]


def fit_four(frames: int, steps: int = 150) -> Tensor:
    """Probabilities [frames, 5] of a table that learned to write four labels."""
    table = torch.zeros(frames, 5, requires_grad=True)
    for _ in range(steps):
        loss = F.ctc_loss(table.log_softmax(dim=1), FOUR, (frames,), (4,), reduction="sum")
        [slope] = torch.autograd.grad(loss, table)  # torch's loss is the faster one
        table = (table - slope).detach().requires_grad_()
    return table.detach().softmax(dim=1)


def draw_posteriors(axes: Axes, probs: Tensor, frame_s: float, names: str) -> None:
    """The probability of each symbol over time, each named where it wins; the blank in grey."""
    time, curves, best = np.arange(len(probs)) * frame_s, probs.T.numpy(), probs.argmax(dim=1)
    axes.fill_between(time, curves[BLANK], color="0.85", label="blank")
    for k in sorted(set(best.tolist()) - {BLANK}):
        [line] = axes.plot(time, curves[k], linewidth=1.2)
        for t in (best == k).nonzero()[:, 0].tolist():
            place = time[t], curves[k, t] + 0.03
            axes.text(*place, names[k], color=line.get_color(), ha="center")
    axes.set(ylabel="probability", ylim=(0, 1.2))
    axes.legend(loc="lower right")


if __name__ == "__main__":
    fitted = {frames: fit_four(frames) for frames in (8, 16, 32)}
    blank_wins, blank_first = {}, {}
    for frames, probs in fitted.items():
        equal = torch.zeros(frames, 5).log_softmax(dim=1)
        blank_first[frames] = float(occupancy(equal, FOUR)[:, ::2].sum() / frames)
        blank_wins[frames] = float((probs.argmax(dim=1) == BLANK).float().mean())
        percent = [round(100 * share) for share in (blank_first[frames], blank_wins[frames])]
        print(
            f"{frames:2d} frames for four labels: the blank has {percent[0]} % of the valid paths"
        )
        print(f"    at first, then wins {percent[1]} % of the frames; labels {best_runs(probs)}")
    assert blank_wins[32] > 0.6 > 0.1 > blank_wins[8], "more frames are more blanks"
    assert blank_first[32] > 0.4, "blanks are more than half of the places"
    assert all(len(best_runs(probs)) == 4 for probs in fitted.values()), "each label wins once"
    assert max(best_runs(fitted[32])) <= 4, "a label does not last longer for that"

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, frames in zip(figure.subplots(2, 1), (8, 32), strict=True):
        draw_posteriors(axes, fitted[frames], 1, "-abcd")
        axes.set_title(f"{frames} frames for four labels")
        axes.set_xlabel("frame")
    keep_picture(figure, "ctc_spikes_toy")

# %%
# The recogniser has about two frames for each character, so there is little room for blanks. The
# first picture shows its probabilities under the log-mel spectrogram. The second shows the shares
# :math:`\gamma` of the valid paths. Before the training the paths spread over all places that can
# be reached in time. After it, nearly all the probability lies on one staircase.


def draw_spikes(mel: Tensor, log_probs: Tensor) -> Figure:
    """Log-mel [80, frames] and, below, the probability of each symbol over time."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    extent = (0, mel.shape[1] / 100, 0, MELS)
    image = above.imshow(mel.numpy(), origin="lower", aspect="auto", extent=extent, cmap="magma")
    figure.colorbar(image, ax=above, label="log-mel (Whisper's scale)")
    above.set(ylabel="mel band", title=f"written: {greedy(log_probs)}")
    draw_posteriors(below, log_probs.exp(), KEEPS / 100, SYMBOLS.replace(" ", "␣"))
    below.set_xlabel("time (s)")
    return figure


def draw_paths(before: Tensor, after: Tensor, text: str) -> Figure:
    """Shares of the valid paths [frames, places], before and after the training."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = [SYMBOLS[k].replace("-", "").replace(" ", "␣") for k in with_blanks(encode(text))]
    for axes, share, title in zip(panels, (before, after), ("Before", "After"), strict=True):
        extent = (0, len(share) * KEEPS / 100, len(names) - 0.5, -0.5)
        image = axes.imshow(share.T.numpy(), aspect="auto", extent=extent, vmin=0, vmax=1)
        axes.set(xlabel="time (s)", title=f"{title} the training")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylabel("place in the text, with its blanks")
    figure.colorbar(image, ax=panels[1], label="share of the valid paths")
    return figure


if __name__ == "__main__":
    after = posteriors["with context"]
    blank_share = float((torch.cat(after).argmax(dim=1) == BLANK).float().mean())
    runs = [run for one in after for run in best_runs(one)]
    frames_each = sum(map(len, after)) / sum(map(len, test_texts))
    print(
        f"{frames_each:.2f} frames for each character; it wins {sum(runs) / len(runs):.2f} in a row,"
    )
    print(f"    and the blank wins {100 * blank_share:.0f} % of the frames")
    assert blank_share < blank_wins[32] / 2, "two frames for each leave little room for blanks"

    shares = [occupancy(one, encode(test_texts[0])) for one in (before, after[0])]
    certain = [float(share.amax(dim=1).mean()) for share in shares]
    print("the likeliest place of a frame has, before and after the training, ", end="")
    print(f"{100 * certain[0]:.0f} % and {100 * certain[1]:.0f} % of the paths")
    assert certain[0] < 0.6 < 0.75 < certain[1], "training should choose one alignment"
    keep_picture(draw_spikes(test_mels[0], after[0]), "ctc_spikes")
    keep_picture(draw_paths(*shares, test_texts[0]), "ctc_paths")

# %%
# Where Whisper differs
# ---------------------
#
# Whisper is end-to-end too, but it is an attention model: an encoder, and a decoder that writes one
# token after the other and looks back at the whole sound for each. It needs no CTC, because the
# decoder's attention finds the place in the sound. ``20_whisper.py`` builds it,
# ``21_whisper_search.py`` decodes with it.
#
# =====================  ============================  =======================================
# .                      the recogniser above          Whisper
# =====================  ============================  =======================================
# writes                 characters                    pieces of words
# loss                   CTC: all alignments           cross-entropy of the next token
# language model         outside, in the search        the decoder itself
# length of the text     at most one symbol a frame    free; it ends when a token says so
# order                  that of the sound             any; so it can translate
# =====================  ============================  =======================================

# %%
# What this recipe does not do
# ----------------------------
#
# The recogniser knows one synthetic voice and fifteen words. Real ones learn from thousands of
# hours, write pieces of words, and have deep encoders that were often trained on untranscribed
# speech first. The transducer and attention are outlined, not trained on sound. The weight of the
# language model and the bonus were not tuned. Decoding in a stream, times of words from the spikes
# and graphs of finite-state transducers are left out.
#
# Exercises
# ---------
#
# 1. Add a word that sounds like another, such as "read" beside "red". How often is it right,
#    with and without the bigram?
# 2. Keep every eighth frame instead of every fourth. Which sentences can no longer be written, and
#    what does the loss say about them?
# 3. Vary ``LM_WEIGHT`` from 0 to 3 and draw the word error rate. Use sentences that are neither for
#    training nor for the test.
# 4. Train the network with the transducer's loss: add a small recurrent network that reads the
#    text so far, and a layer that joins both.
#
# Papers
# ------
#
# - Graves, Fernández, Gomez, Schmidhuber, 2006: Connectionist Temporal Classification: Labelling
#   Unsegmented Sequence Data with Recurrent Neural Networks.
# - Graves, 2012: Sequence Transduction with Recurrent Neural Networks.
# - Graves, Jaitly, 2014: Towards End-to-End Speech Recognition with Recurrent Neural Networks.
# - Hannun, Maas, Jurafsky, Ng, 2014: First-Pass Large Vocabulary Continuous Speech Recognition
#   using Bi-Directional Recurrent DNNs.
# - Chan, Jaitly, Le, Vinyals, 2016: Listen, Attend and Spell.
# - Park et al., 2019: SpecAugment: A Simple Data Augmentation Method for Automatic Speech
#   Recognition.
# - Zeyer, Schlüter, Ney, 2021: Why does CTC result in peaky behavior?
# - Radford, Kim, Xu, Brockman, McLeavey, Sutskever, 2022: Robust Speech Recognition via Large-Scale
#   Weak Supervision.
