"""What a VITS engine does, and the data that passes through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
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
    """

    length_scale: float
    noise_scale: float
    noise_w: float
    seed: int


@dataclass(frozen=True)
class Latent:
    """A planned utterance.

    Attributes:
        z: (channels, frames), what the waveform decoder reads.
        durations: frames of each id; they sum to `frames`.
    """

    z: torch.Tensor
    durations: list[int]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.z.shape[-1])


class TtsEngine(Protocol):
    """One VITS model on arrays."""

    config: VoiceConfig
    hop_length: int

    def plan(self, ids: list[int], controls: Controls) -> Latent:
        """Everything before the waveform decoder."""

    def render(self, latent: Latent, start: int, stop: int) -> Samples:
        """The waveform of frames `start` to `stop`, (stop - start) * hop_length samples."""
