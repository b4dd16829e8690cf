r"""
VITS: a small one, trained
==========================

:Answers: question 27 (VITS) by training one; of 19 (VAE against autoencoder) what the trained
    encoder and prior are good for
:Needs: the voice ``en_US-joe-medium``, which reads the sentences that the small VITS learns from;
    without ``--quick`` also Whisper ``base``, which writes down what comes out
:Takes: about 2 min (15 s with ``--quick``) on two cores, weights fetched before

VITS is trained with the five losses that ``32_vits_objective.py`` writes down. The mel and KL
losses fall from the start, the duration loss only when the alignment settles. The search asks a
model that knows nothing at first and learns from what the search finds; all the same it finds an
alignment that is better than equal steps, though far from exact. After two minutes a recording that
the small VITS has encoded and decoded can be recognised again; what it speaks from the text alone
can't be understood yet.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from common import QUICK, import_recipe, keep_picture, keep_sound
from matplotlib.figure import Figure
from torch import Tensor, nn

import speechkit as sk

vits = import_recipe("vits")
objective = import_recipe("vits_objective")

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
#
# Everything runs on one core: with arrays as small as these, two mostly wait for each other.

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
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    count, held_out, most = (24, 8, 3) if QUICK else (100, 12, 5)  # numbers, and digits of one
    voice, random = vits.load_voice(), np.random.default_rng(0)
    texts = []
    while len(texts) < count:
        text = " ".join(random.choice(WORDS, random.integers(3, most + 1))) + "."
        if text not in texts:
            texts.append(text)
    torch.manual_seed(0)
    recordings = [record(voice, text) for text in texts]
    heard, unheard = recordings[held_out:], recordings[:held_out]  # the second for the check
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
# symbol, the correlation of found and true durations, and the probability that the true place in
# the text has, frame by frame, when the search is left out; a sound that occurs twice shares it. A
# path of equal steps is what knowing nothing gives.

SIZES = vits.Sizes(
    channels=48,
    wide=96,
    layers=2,
    duration_channels=32,
    duration_flows=2,
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
    sure: float  # mean probability of the true symbol, at its place in the text


@torch.no_grad()
def check(model: nn.Module, recordings: Sequence[Recording], alphabet: str) -> Check:
    batch = collate(recordings, alphabet)
    durations = nn.utils.rnn.pad_sequence([r.durations for r in recordings], batch_first=True)
    truth = vits.path_matrix(durations).mT
    with torch.random.fork_rng(devices=[]):  # training is not disturbed
        torch.manual_seed(0)  # the posterior draws: always alike here
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
    model = objective.VitsTrainer(SIZES, SOUND, posterior_layers=4, segment=16)
    widths = (8, 16, 32, 32)
    periods = [objective.PeriodCritic(period, widths) for period in (2, 3, 5)]
    critics = objective.Critics([objective.ScaleCritic(1, widths), *periods])
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
# Each step teaches the critics first, then everything else. The optimiser is AdamW with betas of 0.8
# and 0.99, as in the VITS paper: its memory of gradients is short, since each side learns from the
# other, which keeps changing.
#
# The quick mode takes 40 steps of 500. After them the sound is nearer to the recordings and the
# alignment has just begun; the rest of what is said below shows in the full mode.

STEPS = 40 if QUICK else 500
BATCH = 8
RATE = 3e-3  # of learning, falling to a twentieth along a cosine; 2e-4 for a large VITS
EACH = STEPS // (4 if QUICK else 10)  # steps between checks


def optimiser(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), RATE, betas=(0.8, 0.99), eps=1e-9, fused=True)


def train_step(model, critics, batch, generator_steps, critic_steps) -> dict[str, float]:
    """One step of the critics and one of the rest; the six losses."""
    losses, real, fake = model(batch)
    (real_scores, _), (fake_scores, _) = critics(real), critics(fake.detach())
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

# %%
# Which losses fall
# -----------------
#
# Only the sum of the losses is minimised, and its parts need not fall alike. The mel distance and
# the KL term fall from the start. The duration loss rises first, probably because the search changes
# its mind about every symbol while it knows little, and falls when the alignment settles. The
# critics and the decoder play against each other, so their losses need not fall; the distance of
# features grows, as if the critics found more to look at.


def draw_losses(losses: dict[str, np.ndarray], even: float, checks: list[tuple]) -> Figure:
    """Each loss over the steps, and how right the alignment is."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(3, 3).flat
    for axis, (name, values) in zip(axes, losses.items(), strict=False):
        width = max(1, len(values) // 40)
        axis.plot(values, color="0.85", linewidth=0.5)
        axis.plot(np.convolve(values, np.ones(width) / width, "valid"), color="C0")
        axis.set(title=name, xlabel="step", ylabel="loss")
    steps, right, correlation, sure = zip(*checks, strict=True)
    shown = {"share of frames right": right, "correlation of durations": correlation}
    shown["probability of the true symbol"] = sure
    for axis, (name, values) in zip(list(figure.axes)[6:], shown.items(), strict=True):
        axis.plot(steps, values, color="C2", marker=".")
        axis.set(title=name, xlabel="step", ylabel=name.split()[0], ylim=(-0.2, 1))
    figure.axes[6].axhline(even, color="0.5", linestyle="--", label="equal steps")
    figure.axes[6].legend()
    figure.suptitle("Losses while a small VITS learns, and its alignment on unheard sentences")
    return figure


if __name__ == "__main__":
    keep_picture(draw_losses(losses, even_right, checks), "vits_training_losses")
    for name in ("mel", "kl"):
        assert ended[name] < started[name] / 1.3, f"the {name} loss does not fall"
    if not QUICK:  # what comes later than the first steps
        assert highest["duration"] > 1.1 * started["duration"], "the duration loss does not rise"
        assert ended["duration"] < 0.9 * highest["duration"], (
            "the duration loss does not fall again"
        )
        assert ended["features"] > 3 * started["features"], "the critics find no more than before"

# %%
# The alignment turns diagonal
# ----------------------------
#
# Before training the scores are strong but random: each frame prefers some symbol for no reason,
# and the path is chance. Afterwards the true symbols are more probable, and with the order of the
# text to help, the path follows the true one. It is far from perfect: borders between sounds are
# often some frames off. But more frames have their true symbol than with equal steps, and the
# borders lie nearer to the true ones.


def border_distance(recordings: Sequence[Recording], durations: Sequence[Tensor]) -> float:
    """Mean distance, in frames, of the borders between symbols from the true ones."""
    pairs = zip(recordings, durations, strict=True)
    gaps = [(d.cumsum(0) - r.durations.cumsum(0))[:-1] for r, d in pairs]
    return torch.cat(gaps).abs().mean().item()


def found_durations(state: Check, recordings: Sequence[Recording]) -> list[Tensor]:
    paths = zip(state.aligned.path, recordings, strict=True)
    return [path.sum(1)[: len(r.symbols)] for path, r in paths]


def draw_alignment(recording: Recording, states: dict[str, Check], row: int) -> Figure:
    """How well each frame fits each symbol, with the path that was found and the true one."""
    count, frames = len(recording.symbols), int(recording.durations.sum())
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axis, (name, state) in zip(
        figure.subplots(len(states), 1, sharex=True), states.items(), strict=True
    ):
        scores = state.aligned.scores[row, :count, :frames].softmax(0)
        image = axis.imshow(
            scores, aspect="auto", origin="lower", cmap="magma", interpolation="nearest", vmax=1
        )
        for path, color, label in (
            (state.aligned.path, "C0", "found"),
            (state.truth, "C2", "true"),
        ):
            symbols = path[row, :count, :frames].argmax(0)
            axis.step(range(frames), symbols, color=color, where="mid", label=label)
        axis.set_yticks(range(count), recording.symbols, fontsize=7)
        axis.set(title=f"{name}: probability of each symbol", ylabel="symbol")
        axis.legend(loc="lower right")
    figure.colorbar(image, ax=figure.axes, label="probability")
    figure.axes[len(states) - 1].set_xlabel(f"frame of {1000 * SOUND.hop / SOUND.rate:.1f} ms")
    return figure


if __name__ == "__main__":
    figure = draw_alignment(unheard[0], {"Before": before, "After": after}, 0)
    keep_picture(figure, "vits_training_alignment")
    equal = [r.durations.sum() / len(r.durations) * torch.ones(len(r.durations)) for r in unheard]
    borders_equal = border_distance(unheard, equal)
    borders_before, borders_after = (
        border_distance(unheard, found_durations(state, unheard)) for state in (before, after)
    )
    print(
        f"borders are {borders_before:.1f} frames off before training, {borders_after:.1f} after,"
    )
    print(f"{borders_equal:.1f} with equal steps")
    assert borders_after < 0.85 * borders_before, "the borders came no nearer"
    assert after.right > 1.2 * before.right, "no more frames have their true symbol"
    if not QUICK:
        assert borders_after < 0.8 * borders_equal, "equal steps have nearer borders"
        assert after.right > 1.3 * even_right, "no better than equal steps"
        assert after.sure > 2 * before.sure, "the model is no surer of the true symbols"
        assert after.correlation > before.correlation + 0.2, "found durations are no better"

# %%
# Encoder and prior: more than an autoencoder
# -------------------------------------------
#
# Decoding what the encoder found gives the recording back; an autoencoder does as much. What an
# autoencoder lacks is a density to draw new latents from. A VAE has one, and in VITS the text gives
# it. So latents are drawn from the prior, for the recording's own text and for another one, and for
# no text at all, and all are decoded and compared with the recording. Only the timing comes from a
# recording, the alignment that was found, so that frames can be compared one by one. Compared are
# the frames that both texts have.


@torch.no_grad()
def rebuild(model: nn.Module, state: Check) -> dict[str, Tensor]:
    """Waves [B, n] from four kinds of latents of the same length."""
    a, mask = state.aligned, state.aligned.mask
    torch.manual_seed(0)
    noise = torch.randn_like(a.mean)
    drawn = a.mean + 0.667 * noise * a.log_scale.exp()
    latents = {
        "the encoder's": a.z,
        "drawn for the text": model.flow.inverse(drawn * mask, mask),
        "drawn for another text": model.flow.inverse(drawn.roll(1, 0) * mask, mask),
        "drawn for no text": model.flow.inverse(0.667 * noise * mask, mask),
    }
    return {name: model.decoder(z * mask)[:, 0] for name, z in latents.items()}


def mel_distance(wave: Tensor, state: Check) -> float:
    """Mean absolute difference of log-mels to the recordings, in natural log units."""
    heard = objective.log_mel(objective.linear_spectrogram(wave, SOUND), SOUND)
    wanted = objective.log_mel(state.aligned.linear, SOUND)
    both = state.aligned.mask * state.aligned.mask.roll(1, 0)
    gaps = (heard - wanted).abs().mean(1, keepdim=True) * both
    return (gaps.sum() / both.sum()).item()


if __name__ == "__main__":
    rebuilt = rebuild(model, after)
    mel_distances = {name: mel_distance(wave, after) for name, wave in rebuilt.items()}
    for name, distance in mel_distances.items():
        print(f"{name:24} {distance:.2f} from the recordings")
    near, own, other, nothing = mel_distances.values()
    assert near < 0.9 * own, "the encoder does not know what the recording sounds like"
    assert QUICK or own < 0.8 * min(other, nothing), "the prior does not know its text's sound"

# %%
# What it says
# ------------
#
# The small VITS speaks a number that it has never heard, with durations that it draws itself. The
# pictures show the recording, what comes back from the encoder, and what comes from the text alone.
# In the full mode Whisper writes down what it hears in each of the three.

if __name__ == "__main__":
    ids = [alphabet.index(symbol) for symbol in unheard[0].symbols]
    torch.manual_seed(1)
    spoken = model.speak(ids).samples.numpy()
    spoken = 0.5 * spoken / max(float(np.abs(spoken).max()), 1e-6)
    keep_sound(sk.Audio(spoken, SOUND.rate), "vits_training_small_voice")
    keep_sound(sk.Audio(unheard[0].wave.numpy(), SOUND.rate), "vits_training_recording")
    spoken_s = len(spoken) / SOUND.rate
    waves = {
        "Recording": unheard[0].wave,
        "Rebuilt from the encoder's latents": rebuilt["the encoder's"][0, : len(unheard[0].wave)],
        "Spoken from the text alone": torch.tensor(spoken),
    }
    again = waves["Rebuilt from the encoder's latents"].numpy().copy()
    keep_sound(sk.Audio(again, SOUND.rate), "vits_training_rebuilt")
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axis, (title, wave) in zip(figure.subplots(3, sharex=True), waves.items(), strict=True):
        mel = objective.log_mel(objective.linear_spectrogram(wave[None], SOUND), SOUND)[0]
        reach = (0, len(wave) / SOUND.rate, 0, SOUND.mels)
        image = axis.imshow(
            mel, origin="lower", aspect="auto", cmap="magma", extent=reach, vmin=-9, vmax=2
        )
        axis.set(title=title, ylabel="mel bin")
    figure.colorbar(image, ax=figure.axes, label="log-mel (natural logarithm)")
    last = figure.axes[2]
    seconds = max(len(wave) for wave in waves.values()) / SOUND.rate
    last.set(xlabel="time (s)", xlim=(0, seconds))
    keep_picture(figure, "vits_training_speech")
    torch.set_num_threads(threads)
    print(
        f'"{unheard[0].text}" takes the voice {len(unheard[0].wave) / SOUND.rate:.1f} s, ', end=""
    )
    print(f"the small VITS {spoken_s:.1f} s")
    if not QUICK:
        asr, digits = sk.load_asr("base"), []
        for title, wave in waves.items():
            text = asr.transcribe((SOUND.rate, wave.numpy()), language="en", retry=False).text
            print(f"{title}: Whisper hears {text!r}")
            digits.append({letter for letter in text if letter.isdigit()})
        assert len(digits[0] & digits[1]) >= 3, "what was rebuilt is not recognised"

# %%
# What this does not do
# ---------------------
#
# It does not make a voice to use: the network is small, the sound stops at 5.5 kHz, and there are ten
# words. Left out are several speakers, mixed precision and validation by listening.
#
# Exercises
# ---------
#
# 1. Train without critics. Which loss falls lower, and how does it sound?
# 2. Start with paths of equal steps in place of the search for the first hundred steps. Does the
#    alignment come sooner?
# 3. Multiply the KL term by 0.1 and by 10. What happens to the mel distance and to what ``speak`` says?
# 4. Give the search the true durations. Which losses improve, and by how much?
#
# Papers
# ------
#
# * J. Kim, J. Kong, J. Son. 2021. Conditional Variational Autoencoder with Adversarial Learning for
#   End-to-End Text-to-Speech.
# * J. Kim, S. Kim, J. Kong, S. Yoon. 2020. Glow-TTS: A Generative Flow for Text-to-Speech via Monotonic
#   Alignment Search.
# * I. Loshchilov, F. Hutter. 2019. Decoupled Weight Decay Regularization.
