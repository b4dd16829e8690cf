"""Stand-ins and sounds for the tests of the demo."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gradio as gr
import numpy as np
import soundfile
from scripted_kit import ScriptedKit

import speechkit as sk

RATE = 48_000  # of the microphones
TUTOR_SAYS = "A log mel is a picture of sound."


class StubTutor:
    """Stands in for `Tutor`: the same answer to all."""

    speculative = True

    def warm_up(self) -> None:
        pass

    def __call__(self, text: str, speaker: str | None) -> str:
        return TUTOR_SAYS


def close(url: str) -> None:
    for page in gr.Blocks.get_instances():
        if page.is_running and page.local_url == url:
            page.close(verbose=False)


def sound_file(path: Path, seconds: float, rate: int = 16000) -> Path:
    soundfile.write(path, np.zeros(round(seconds * rate), np.float32), rate)
    return path


def in_a_row(*parts: sk.Audio | float) -> sk.Audio:
    """Speech, and silences in seconds, at the microphones' rate."""
    pieces = [
        np.zeros(round(part * RATE), np.float32)
        if isinstance(part, float)
        else part.resample(RATE).samples
        for part in parts
    ]
    return sk.Audio(np.concatenate(pieces), RATE)


def another_voice(speech: sk.Audio) -> sk.Audio:
    """The same words from a shorter throat: played faster, which makes all frequencies higher."""
    return sk.Audio(speech.samples, round(1.3 * speech.sample_rate))


class ScriptedPipeline(ScriptedKit):
    """Stands in for `Pipeline`: reads the recording as it would, and answers the same to all."""

    SAYS = sk.Audio(np.sin(np.linspace(0, 3000, 22050, dtype=np.float32)) * np.float32(0.1), 22050)
    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        type(self).made.append(arguments)
        self.limits: list[sk.Limits | None] = []
        self.respond = StubTutor()
        self.book.speakers = lambda: {"Ada": 1}
        self.voice.name = "scripted"
        self.encoder.warm_up = lambda: None  # type: ignore[attr-defined]

    def talk(self, source: str, *, limits: sk.Limits | None = None) -> Any:
        self.limits.append(limits)
        sk.load_audio(source, limits=limits or sk.Limits())
        timings = {"load": 0.0, "hear": 0.25, "speak": 0.5}
        return SimpleNamespace(
            text="", speaker=None, reply="Yes.", audio=self.SAYS, timings=timings
        )
