r"""
VITS: a small one, trained
==========================

Answers question 27 (VITS: components and training objectives) by training one, and in part question
19 (VAE against autoencoder), with what the trained encoder and prior are good for.

Needs the voice ``en_US-joe-medium`` (63 MB, fetched on first use), which reads the sentences that a
small VITS learns from. Takes about QUICKTIME in quick mode and FULLTIME in full, on two cores.

The problem. ``04_vits_objective.py`` writes down five losses. Do they fall together? Does the search
find the right alignment, when the model that it asks knows nothing at first and learns from what the
search finds? And what comes out after minutes instead of days?
"""

import importlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from common import QUICK, keep_picture, keep_sound
from torch import Tensor, nn

import speechkit as sk

vits = importlib.import_module("03_vits")  # names that begin with a digit
objective = importlib.import_module("04_vits_objective")

# %%
# Speech to train on
# ------------------
#
# The real voice reads short sentences, and a small VITS learns from them. This has a use beyond
# saving recordings: the true alignment is known, so what the search finds can be checked against
# it. At 11,025 Hz with a hop of 128 samples a frame is as long as the voice's own.
#
# Stress marks, spaces and blanks are left out; the frames that they had go to the symbol before
# them.

SOUND = objective.Sound(rate=11_025, fft=512, hop=128, mels=64)
COLOURS = ("red", "green", "white", "black", "brown", "grey")
ANIMALS = ("bird", "fish", "dog", "horse", "sheep", "mouse")
VERBS = ("sings", "runs", "sleeps", "jumps", "hides", "waits")
LEFT_OUT = "ˈˌː "


@dataclass
class Recording:
    """A sentence with its sound and the frames of each symbol."""

    text: str
    symbols: list[str]
    durations: Tensor  # [T] frames
    wave: Tensor  # [frames * hop]


def record(voice: vits.Vits, text: str) -> Recording:
    phonemes, ids, owners = vits.spell(text)
    spoken = voice.speak(ids)
    symbols, durations = ["^"], [0]
    for owner, frames in zip(owners, spoken.durations.long().tolist(), strict=True):
        if owner >= 0 and phonemes[owner] not in LEFT_OUT:
            symbols.append(phonemes[owner])
            durations.append(0)
        durations[-1] += frames
    sound = sk.Audio(spoken.samples.numpy(), vits.VITS_RATE).resample(SOUND.rate)
    return Recording(text, symbols, torch.tensor(durations), torch.tensor(sound.samples))


def collate(recordings: Sequence[Recording], alphabet: str) -> objective.Batch:
    ids = [torch.tensor([alphabet.index(s) for s in r.symbols]) for r in recordings]
    frames = torch.stack([r.durations.sum() for r in recordings])
    return objective.Batch(
        nn.utils.rnn.pad_sequence(ids, batch_first=True),
        torch.tensor([len(i) for i in ids]),
        nn.utils.rnn.pad_sequence([r.wave for r in recordings], batch_first=True),
        frames,
    )


if __name__ == "__main__":
    voice = vits.load_voice()
    texts = [f"The {c} {a} {v}." for c, a, v in itertools.product(COLOURS, ANIMALS, VERBS)]
    order = np.random.default_rng(0).permutation(len(texts))[: 36 if QUICK else 108]
    torch.manual_seed(0)
    recordings = [record(voice, texts[i]) for i in order]
    heard, unheard = recordings[12:], recordings[:12]  # trained on, and kept for the check
    alphabet = "".join(sorted({s for r in recordings for s in r.symbols}))
    length_s = sum(len(r.wave) for r in heard) / SOUND.rate
    print(
        f"{len(heard)} sentences, {length_s:.0f} s of speech, {len(alphabet)} symbols: {alphabet}"
    )
    assert all(len(r.wave) == r.durations.sum() * SOUND.hop for r in recordings), "whole frames"

# %%
# A small VITS, and how right its alignment is
# --------------------------------------------
#
# The search always returns a path from the first symbol to the last, so a path alone proves nothing.
# Three numbers do, on sentences that were not trained on: the share of frames that get their true
# symbol, the correlation of found and true durations, and the probability that the true symbol has,
# frame by frame, when the search is left out. A path of equal steps is what knowing nothing gives.

SIZES = vits.Sizes(
    channels=48,
    wide=96,
    layers=2,
    duration_channels=32,
    flows=2,
    flow_layers=2,
    decoder_channels=64,
    rates=(8, 4, 4),
    kernels=(3, 5),
    dilations=((1, 2), (2, 6)),
)


@dataclass
class Check:
    """How well symbols and frames were matched."""

    aligned: objective.Aligned
    truth: Tensor  # [B, T, frames] the true path
    right: float  # share of frames with their true symbol
    correlation: float  # of found and true durations
    sure: float  # mean probability of the true symbol


@torch.no_grad()
def check(model: nn.Module, recordings: Sequence[Recording], alphabet: str) -> Check:
    batch = collate(recordings, alphabet)
    durations = nn.utils.rnn.pad_sequence([r.durations for r in recordings], batch_first=True)
    truth = vits.path_matrix(durations).mT
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(
            0
        )  # the posterior draws; always alike here, and training is not disturbed
        a = model.align(batch)
    real = a.text_mask[:, 0].bool()
    pairs = np.stack([a.path.sum(2)[real].numpy(), durations[real].numpy()])
    silent = a.scores.masked_fill(~real[..., None], -torch.inf)
    share = a.mask.sum()
    return Check(
        a,
        truth,
        ((a.path * truth).sum() / share).item(),
        np.corrcoef(pairs)[0, 1].item(),
        ((silent.softmax(1) * truth).sum() / share).item(),
    )


def even_path_right(recordings: Sequence[Recording]) -> float:
    """Share of frames that a path of equal steps gets right."""
    right, frames = 0, 0
    for r in recordings:
        owners = torch.arange(len(r.durations)).repeat_interleave(r.durations)
        even = torch.arange(len(owners)) * len(r.durations) // len(owners)
        right, frames = right + (owners == even).sum().item(), frames + len(owners)
    return right / frames


if __name__ == "__main__":
    torch.manual_seed(0)
    model = objective.VitsTrainer(SIZES, SOUND, posterior_layers=4)
    critics = objective.Critics(
        [
            objective.ScaleCritic(1, (8, 16, 32, 32)),
            objective.ScaleCritic(2, (8, 16, 32, 32)),
            *(objective.PeriodCritic(period, (8, 16, 32, 32)) for period in (2, 3, 5)),
        ]
    )
    even_right = even_path_right(unheard)
    before = check(model, unheard, alphabet)
    print(f"a path of equal steps has {even_right:.0%} of the frames right")
    print(
        f"before training: {before.right:.0%} right, correlation {before.correlation:.2f}, ", end=""
    )
    print(f"probability of the true symbol {before.sure:.3f}")

# %%
# Training
# --------
#
# Each step teaches the critics first, then everything else. The optimiser is AdamW with a short
# memory of gradients (0.8), as for all adversarial training here, because what is learned from keeps
# changing.

STEPS = 60 if QUICK else 1200
BATCH = 8
RATE = 1e-3  # of learning; 2e-4 for a large VITS


def optimiser(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), RATE, betas=(0.8, 0.99), eps=1e-9)


def train_step(model, critics, batch, generator_steps, critic_steps) -> dict[str, float]:
    """One step of both; the losses as they were."""
    losses, real, fake = model(batch)
    judged = objective.heard_by(critics, real, fake.detach())
    critic_steps.zero_grad()
    judged["critics"].backward()
    critic_steps.step()
    losses |= objective.heard_by(critics, real, fake)
    critic_loss = losses.pop("critics")
    generator_steps.zero_grad()
    sum(losses.values()).backward()
    generator_steps.step()
    return {name: loss.item() for name, loss in (losses | {"critics": critic_loss}).items()}


if __name__ == "__main__":
    steps = (optimiser(model), optimiser(critics))
    random, history, checks, began = np.random.default_rng(0), [], [], time.perf_counter()
    for step in range(STEPS):
        chosen = [heard[i] for i in random.choice(len(heard), BATCH, replace=False)]
        history.append(train_step(model, critics, collate(chosen, alphabet), *steps))
        if step % (STEPS // 20) == 0:
            c = check(model, unheard, alphabet)
            checks.append((step, c.right, c.correlation, c.sure))
            print(
                step,
                f"{time.perf_counter() - began:.0f}s",
                {k: round(v, 2) for k, v in history[-1].items()},
                [round(x, 3) for x in checks[-1][1:]],
                flush=True,
            )
    training_s = time.perf_counter() - began
    print(f"{STEPS} steps in {training_s:.0f} s")
