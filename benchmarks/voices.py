"""Voices to fit numbers on: real speakers who are in no trial of the evaluation, and these replayed.

Played faster or slower a speaker counts as another voice, never compared with the same one's others.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

import speechkit as sk
from speechkit.augment import change_speed

RATE = 16_000
SPEEDS = (0.85, 1.0, 1.15)
MOST = 8  # recordings of a speaker
MIN_S = 1.2
UNSURE = ("mfa-multilingual", "nst-")  # names that stand for a file, or for several people
NOISES = ("white", "pink", "brown", "voices")

Voices = dict[str, list[np.ndarray]]


def read_voices(folder: Path) -> Voices:
    """Name of the voice → recordings, of those speakers of asr_en/ and asr_multi/ not in sv/."""
    rows = (folder / "sv" / "trials_meta.jsonl").read_text().splitlines()
    tested = {json.loads(row)[side] for row in rows for side in ("enrol_spk", "test_spk")}
    people: Voices = defaultdict(list)
    for part in ("asr_en", "asr_multi"):
        for line in (folder / part / "manifest.jsonl").read_text().splitlines():
            row = json.loads(line)
            speaker = re.sub(r"^asterisk-\w+ ", "", row["speaker"])  # one person in two languages
            if row["dataset"] == "long" or row["speaker"] in tested or "speakers" in speaker:
                continue
            if speaker.startswith(UNSURE):
                continue
            if row["duration"] >= MIN_S and len(people[speaker]) < MOST:
                people[speaker].append(sk.load_audio(folder / part / row["audio"], RATE).samples)
    return {
        f"{name}*{speed}": [change_speed((RATE, x), speed).samples for x in many]
        for name, many in people.items()
        for speed in SPEEDS
        if many
    }


def speaker_of(voice: str) -> str:
    """Who was recorded, whatever the speed."""
    return voice.split("*")[0]


def make_noise(kind: str, voices: Voices, draw: random.Random) -> sk.Audio:
    """20 s of coloured noise, or of three voices at once."""
    length = 20 * RATE
    if kind == "voices":
        names = draw.sample(sorted(voices), 3)
        wave = np.sum([np.resize(draw.choice(voices[name]), length) for name in names], axis=0)
    else:
        spectrum = np.fft.rfft(np.random.default_rng(draw.randrange(2**32)).normal(size=length))
        slope = {"white": 0.0, "pink": 0.5, "brown": 1.0}[kind]
        wave = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 50.0) ** slope, length)
    return sk.Audio((0.5 * wave / np.abs(wave).max()).astype(np.float32), RATE)
