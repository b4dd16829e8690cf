"""A `Pipeline` of stand-ins for tests of conversations: words are tones, voices are levels."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from scripted_asr import RATE, ScriptedEngine

from speechkit import Audio, load_audio
from speechkit.asr import Transcriber

VOICE_RATE = 22_050
OWN_LEVEL = 0.25  # of the stand-in's voice; speech of other levels is somebody else's


class ScriptedVoice:
    """Says a tone of 0.1 s for each letter, in chunks of 0.25 s."""

    sample_rate = VOICE_RATE

    def warm_up(self) -> None:
        pass

    def synthesize(self, text: str, **_: object) -> Audio:
        seconds = np.arange(round(0.1 * len(text) * VOICE_RATE)) / VOICE_RATE
        return Audio((OWN_LEVEL * np.sin(2 * np.pi * 220 * seconds)).astype(np.float32), VOICE_RATE)

    def stream(self, text: str, **_: object) -> Iterator[Audio]:
        samples = self.synthesize(text).samples
        step = VOICE_RATE // 4
        for start in range(0, len(samples), step):
            yield Audio(samples[start : start + step], VOICE_RATE)


class LevelEncoder:
    """Embeds how loud the loudest sample is: an angle."""

    def embed(self, source: object) -> np.ndarray:
        level = float(np.abs(load_audio(source, RATE).samples).max())  # type: ignore[arg-type]
        return np.array([np.cos(3 * level), np.sin(3 * level)], np.float32)


class ScriptedKit:
    """What `VoiceLoop` needs of a `Pipeline`."""

    def __init__(self, script=None, names=None) -> None:  # type: ignore[no-untyped-def]
        self.asr = Transcriber(ScriptedEngine(script) if script else ScriptedEngine(), "scripted")
        self.voice, self.encoder = ScriptedVoice(), LevelEncoder()
        self.names = names or {}
        self.book = SimpleNamespace(identify=self._identify)

    def load(self) -> None:
        pass

    def _identify(self, source: object) -> str | None:
        level = float(np.abs(load_audio(source, RATE).samples).max())  # type: ignore[arg-type]
        return next((n for n, own in self.names.items() if abs(own - level) < 0.05), None)
