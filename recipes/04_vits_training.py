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
# The real voice reads numbers of three to five digits, and a small VITS learns from them. This has a
# use beyond saving recordings: the true alignment is known, so what the search finds can be checked
# against it. At 11,025 Hz with a hop of 128 samples a frame is as long as the voice's own.
#
# Stress marks, length marks, spaces and blanks are left out, to have one symbol per sound. The frames
# of a stress mark go to the sound that it stands before, the others to the sound that they follow.

SOUND = objective.Sound(rate=11_025, fft=512, hop=128, mels=64)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STRESS = ("\u02c8", "\u02cc")  # the marks of primary and secondary stress
LEFT_OUT = (*STRESS, "\u02d0", " ")  # and of length


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
    symbols, durations, early = ["^"], [0], 0
    for owner, frames in zip(owners, spoken.durations.long().tolist(), strict=True):
        phoneme = phonemes[owner] if owner >= 0 else None
        if phoneme and phoneme not in LEFT_OUT:
            symbols.append(phoneme)
            durations.append(early)
            early = 0
        if phoneme in STRESS or early:  # a stress mark and its blank belong to what follows
            early += frames
        else:
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
    voice, random = vits.load_voice(), np.random.default_rng(0)
    texts = []
    while len(texts) < (44 if QUICK else 140):
        text = " ".join(random.choice(WORDS, random.integers(3, 6))) + "."
        if text not in texts:
            texts.append(text)
    torch.manual_seed(0)
    recordings = [record(voice, text) for text in texts]
    heard, unheard = recordings[12:], recordings[:12]  # trained on, and kept for the check
    alphabet = "".join(sorted({s for r in recordings for s in r.symbols}))
    length_s = sum(len(r.wave) for r in heard) / SOUND.rate
    print(f"{len(heard)} numbers, {length_s:.0f} s of speech, {len(alphabet)} symbols: {alphabet}")
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

STEPS = 90 if QUICK else 1200
BATCH = 8
RATE = 2e-3  # of learning, falling to a twentieth along a cosine; 2e-4 for a large VITS
EACH = 15 if QUICK else 60  # steps between checks


def optimiser(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), RATE, betas=(0.8, 0.99), eps=1e-9, fused=True)


def train_step(model, critics, batch, generator_steps, critic_steps) -> dict[str, float]:
    """One step of the critics and one of the rest; the six losses."""
    losses, real, fake = model(batch)
    (real_scores, real_found), (fake_scores, _) = critics(real), critics(fake.detach())
    critic_loss = objective.critic_loss(real_scores, fake_scores)
    critic_steps.zero_grad()
    critic_loss.backward()
    critic_steps.step()
    with torch.no_grad():
        _, real_found = critics(real)  # as the critics hear now
    fake_scores, fake_found = critics(fake)
    losses["adversarial"] = objective.adversarial_loss(fake_scores)
    losses["features"] = objective.feature_loss(real_found, fake_found)
    generator_steps.zero_grad()
    sum(losses.values()).backward()
    generator_steps.step()
    return {name: loss.item() for name, loss in (losses | {"critics": critic_loss}).items()}


if __name__ == "__main__":
    steps = (optimiser(model), optimiser(critics))
    falls = [torch.optim.lr_scheduler.CosineAnnealingLR(s, STEPS, RATE / 20) for s in steps]
    history, checks, began = [], [(0, before.right, before.correlation, before.sure)], time.time()
    for step in range(1, STEPS + 1):
        chosen = [heard[i] for i in random.choice(len(heard), BATCH, replace=False)]
        history.append(train_step(model, critics, collate(chosen, alphabet), *steps))
        for fall in falls:
            fall.step()
        if step % EACH == 0:
            now = check(model, unheard, alphabet)
            checks.append((step, now.right, now.correlation, now.sure))
    after, training_s = now, time.time() - began
    losses = {name: np.array([losses[name] for losses in history]) for name in history[0]}
    tenth = STEPS // 10
    started = {name: values[:5].mean().item() for name, values in losses.items()}
    ended = {name: values[-tenth:].mean().item() for name, values in losses.items()}
    highest = {n: np.convolve(v, np.ones(5) / 5, "valid").max().item() for n, v in losses.items()}
    print(f"{STEPS} steps took {training_s:.0f} s; losses: first steps, highest, last tenth")
    for name in losses:
        print(f"{name:12} {started[name]:8.2f} {highest[name]:8.2f} {ended[name]:8.2f}")
    print(
        f"after training: {after.right:.0%} of frames right, correlation {after.correlation:.2f}, "
    )
    print(f"probability of the true symbol {after.sure:.3f}")
