"""What every recipe uses: its quick mode, the folder of its pictures and sounds, speech to work on."""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from matplotlib.figure import Figure

import speechkit as sk

# a smaller run of the same code: the tests'
QUICK = "--quick" in sys.argv or bool(os.environ.get("QUICK"))
OUT = Path(os.environ.get("SPEECHKIT_RECIPES_OUT", "out/recipes"))
HERE = Path(__file__).resolve().parent
EVAL = Path(os.environ.get("SPEECHKIT_EVAL") or HERE.parents[1] / "shared" / "speech")
RATE = 16_000  # Hz: what Whisper and ECAPA-TDNN hear


def import_recipe(name: str) -> ModuleType:
    """Another recipe's definitions, by its name without the number."""
    [file] = HERE.glob(f"[0-9][0-9]_{name}.py")
    return importlib.import_module(file.stem)


def keep_picture(figure: Figure, name: str) -> Path:
    """Save a figure as OUT/name.png, and say where it is."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.png"
    figure.savefig(path, dpi=120, bbox_inches="tight")
    print(f"picture: {path}")
    return path


def keep_sound(audio: sk.Audio, name: str) -> Path:
    """Save a sound as OUT/name.wav, and say where it is."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.wav"
    audio.save(path)
    print(f"sound: {path}")
    return path


def say(text: str, seed: int = 0, rate: int = RATE) -> sk.Audio:
    """A text spoken by the real VITS voice, at `rate` Hz."""
    return _voice().synthesize(text, seed=seed).resample(rate)


@cache
def _voice() -> sk.Voice:
    return sk.load_tts("en_US-joe-medium")


def listed(folder: str, dataset: str, count: int) -> list[tuple[sk.Audio, dict[str, str]]]:
    """Recordings of the evaluation speech at 16 kHz, each with its line; none where it is not."""
    manifest = EVAL / folder / "manifest.jsonl"
    lines = manifest.read_text().splitlines() if manifest.is_file() else []
    rows = [row for row in map(json.loads, lines) if row["dataset"] == dataset][:count]
    return [(sk.load_audio(manifest.parent / row["audio"]).resample(RATE), row) for row in rows]


def recorded(dataset: str = "librispeech-test-other", count: int = 4) -> list[tuple[sk.Audio, str]]:
    """Real recordings at 16 kHz with their words; none where the evaluation speech is not."""
    return [(audio, row["text"]) for audio, row in listed("asr_en", dataset, count)]
