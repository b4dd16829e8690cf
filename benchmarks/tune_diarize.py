"""Choose the numbers of diarisation on made conversations.

    python benchmarks/tune_diarize.py [FOLDER]     # default: $SPEECHKIT_EVAL

Two to four voices of `voices.py` take turns, with pauses of up to 1 s or overlaps of up to 1.5 s, at -45
to -20 dB, some in a made room, over noise at 15 to 35 dB. Prints the diarisation error rate (DER, no
collar, overlap counted) of the numbers as they are and of each alone changed. The true turns come from
the same detector on each voice alone, with pauses of 0.5 s bridged, as people mark them.
"""

from __future__ import annotations

import argparse
import os
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from der import DiarizationScore
from remembering import Remembering
from voices import NOISES, RATE, Voices, make_noise, read_voices, speaker_of

import speechkit as sk
from speechkit.augment import add_noise, add_reverb
from speechkit.speaker.diarization import TUNING

CONVERSATIONS = 24
CHANGES: dict[str, tuple[float, ...]] = {
    "merge": (0.2, 0.25, 0.35, 0.4),
    "change": (0.05, 0.2, 0.3),
    "least": (1, 4, 6),
    "pause": (0.1, 0.5),
    "window": (1.0, 2.0),
    "hop": (0.25, 1.0),
    "vote": (0.0, 0.3, 1.0),
    "alone": (0.0, 0.8),
}


@dataclass(frozen=True)
class Conversation:
    """A recording and its true turns."""

    audio: sk.Audio
    turns: list[sk.Turn]


def converse(voices: Voices, draw: random.Random) -> Conversation:
    """Some voices in turn."""
    names: list[str] = []
    for name in draw.sample(sorted(voices), len(voices)):
        if speaker_of(name) not in map(speaker_of, names):
            names.append(name)
    names = names[: draw.randint(2, 4)]
    parts, turns, at, last = [], [], 0.5, ""
    for _ in range(draw.randint(8, 14)):
        name = draw.choice([n for n in names if n != last])
        samples = draw.choice(voices[name])[: round(draw.uniform(1.5, 9.0) * RATE)]
        samples = samples / max(1e-4, float(np.sqrt(np.mean(samples**2))))
        stretches = sk.detect_speech((RATE, (0.05 * samples).clip(-1, 1)), min_pause=0.5)
        if not stretches:
            continue
        start = max(0.0, at + (draw.uniform(-1.5, 0) if draw.random() < 0.3 else draw.random()))
        parts.append((round(start * RATE), samples))
        turns += [sk.Turn(start + s.start, start + s.end, name) for s in stretches]
        at, last = start + len(samples) / RATE, name
    mixed = np.zeros(max(start + len(x) for start, x in parts) + RATE // 2)
    for start, x in parts:
        mixed[start : start + len(x)] += x
    mixed *= 10 ** (draw.uniform(-45, -20) / 20)
    audio = sk.Audio(mixed.clip(-1, 1).astype(np.float32), RATE)
    if draw.random() < 0.4:
        rng = np.random.default_rng(draw.randrange(2**32))
        seconds = np.arange(round(0.4 * RATE)) / RATE
        room = rng.normal(size=len(seconds)) * np.exp(-seconds / draw.uniform(0.02, 0.06))
        room[0] = np.abs(room).max() * 2
        audio = add_reverb(audio, sk.Audio((room / np.abs(room).max()).astype(np.float32), RATE))
    noise = make_noise(draw.choice(NOISES[:3]), voices, draw)
    return Conversation(add_noise(audio, noise, draw.uniform(15, 35), seed=0), turns)


def main() -> None:
    """Make the conversations, try the numbers, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "sv" / "trials_meta.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    voices, draw = read_voices(folder), random.Random(0)
    conversations = [converse(voices, draw) for _ in range(CONVERSATIONS)]
    encoder = Remembering()
    settings = [("as it is", TUNING)]
    settings += [
        (f"{name} {value}", replace(TUNING, **{name: value}))
        for name, values in CHANGES.items()
        for value in values
    ]
    for name, tuning in settings:
        score = DiarizationScore()
        for conversation in conversations:
            turns = sk.diarize(conversation.audio, encoder=encoder, tuning=tuning)
            score.add(conversation.turns, turns, conversation.audio.duration)
        print(f"{name:16} {score}", flush=True)


if __name__ == "__main__":
    main()
