"""What a VITS engine does, and the data that passes through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from speechkit.tts.piper import VoiceConfig

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Controls:
    """How to say it.

    Attributes:
        length_scale: durations are multiplied by this; 2 is half the speed.
        noise_scale: spread of the latent around its mean; 0 is the mean itself.
        noise_w: spread of the durations.
        seed: of the random numbers behind both.
        speaker: which of the voice's speakers, from 0.
    """

    length_scale: float
    noise_scale: float
    noise_w: float
    seed: int
    speaker: int = 0


@dataclass(frozen=True)
class Latent:
    """A planned utterance.

    Attributes:
        z: (channels, frames), what `render` reads.
        durations: frames of each id; they sum to `frames`.
        speaker: who speaks it.
    """

    z: Samples
    durations: list[int]
    speaker: int = 0

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.z.shape[-1])


class TtsEngine(Protocol):
    """One VITS model on arrays.

    Attributes:
        config: what the voice says about itself.
        hop_length: samples that one frame becomes.
        alone: the engine for calls that run at the same time, each in one thread; None where one call
            at a time is quicker.
    """

    config: VoiceConfig
    hop_length: int

    @property
    def alone(self) -> TtsEngine | None: ...

    def plan(self, ids: list[int], controls: Controls, least: Mapping[int, int] = {}) -> Latent:
        """Text to latent: all that has to be known before the first sample.

        `least` maps the positions of some ids to the frames that they must have at least.
        """

    def render(self, latent: Latent, start: int, stop: int) -> Samples:
        """The samples of frames `start` to `stop`, the same whatever else is rendered.

        (stop - start) * hop_length of them.
        """
