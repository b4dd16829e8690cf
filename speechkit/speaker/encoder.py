"""`SpeakerEncoder`: whose voice is it? Embeddings and their comparison, above any ECAPA engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit import hub
from speechkit.audio import SILENCE, Audio, AudioSource, load_audio
from speechkit.errors import AudioError, InputError
from speechkit.features import ecapa_fbank

SAMPLE_RATE = 16_000
MIN_S = 0.3  # seconds of audio: less says nothing about a voice
MAX_S = 60  # seconds that are embedded at once: keeps the memory small
DEFAULT_MODEL = "spkrec-ecapa-voxceleb"

# The threshold that speechbrain ships with this model (`SpeakerRecognition.verify_batch`).
THRESHOLD = 0.25

Embedding = NDArray[np.float32]


class SpeakerEngine(Protocol):
    """One speaker model on arrays."""

    def embed(self, fbank: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Filter banks (batch, frames, 80), with the valid share of each (0 to 1) → (batch, 192)."""


@dataclass(frozen=True)
class Verification:
    """Whether two recordings are of one speaker.

    Attributes:
        score: cosine of the angle between the embeddings, -1 to 1.
        threshold: the score from which on the speakers count as the same.
        same: score >= threshold.
    """

    score: float
    threshold: float
    same: bool


class SpeakerEncoder:
    """Speaker embeddings with ECAPA-TDNN.

    Attributes:
        name: the model's name.
        threshold: the score from which on two recordings count as one speaker's.
    """

    def __init__(self, engine: SpeakerEngine, name: str, threshold: float = THRESHOLD) -> None:
        self.engine = engine
        self.name = name
        self.threshold = threshold

    def embed(self, source: AudioSource) -> Embedding:
        """The embedding of a recording: (192,) float32, of length 1.

        More than 60 s are cut into equal parts, whose embeddings are averaged.

        Raises:
            AudioError: audio that can't be read, is silent, or is shorter than 0.3 s.
        """
        audio = load_audio(source, SAMPLE_RATE)
        if audio.duration < MIN_S:
            raise AudioError(
                f"the audio is {audio.duration:.2f} s long; give at least {MIN_S} s of one voice"
            )
        parts = np.array_split(audio.samples, math.ceil(audio.duration / MAX_S))
        # A constant is silence too.
        voiced = [part for part in parts if float(np.ptp(part)) >= 2 * SILENCE]
        if not voiced:
            raise AudioError("the audio is silent; record again closer to the microphone")
        return _unit(np.mean([self._embed(part) for part in voiced], axis=0))

    def _embed(self, samples: NDArray[np.float32]) -> Embedding:
        fbank = ecapa_fbank(torch.tensor(samples)[None])
        return _unit(self.engine.embed(fbank, torch.ones(1))[0].numpy())

    def embed_many(self, sources: Sequence[AudioSource]) -> Embedding:
        """The embeddings of several recordings, in order: (n, 192) float32, each of length 1.

        Raises:
            InputError: no recordings, or one that is not in a list.
            AudioError: as `embed`.
        """
        return np.stack([self.embed(source) for source in checked_list(sources)])

    def verify(
        self, a: AudioSource, b: AudioSource, *, threshold: float | None = None
    ) -> Verification:
        """Compare the voices of two recordings.

        Args:
            a, b: whatever `load_audio` takes.
            threshold: another than the model's own; higher accepts fewer.

        Raises:
            AudioError: as `embed`.
        """
        threshold = self.threshold if threshold is None else threshold
        score = similarity(self.embed(a), self.embed(b))
        return Verification(score, threshold, score >= threshold)

    def warm_up(self) -> None:
        """Embed a second of noise, so that the first real call is as quick as the next."""
        fbank = torch.randn(1, 100, 80, generator=torch.Generator().manual_seed(0))
        self.engine.embed(fbank, torch.ones(1))


def similarity(a: Embedding, b: Embedding) -> float:
    """Cosine of the angle between two embeddings of length 1."""
    return float(np.clip(np.dot(a, b), -1.0, 1.0))


def checked_list(sources: Sequence[AudioSource]) -> Sequence[AudioSource]:
    """The recordings, if they are a list of at least one; raises InputError otherwise."""
    if isinstance(sources, str | bytes | PathLike | Audio) or not len(sources):
        raise InputError("no list of recordings; give a list of at least one")
    return sources


def _unit(embedding: Embedding) -> Embedding:
    return (embedding / np.linalg.norm(embedding)).astype(np.float32)


def load_speaker_encoder(
    model: str = DEFAULT_MODEL, *, engine: str = "reference", device: str = "auto"
) -> SpeakerEncoder:
    """Load the speaker encoder, fetching its weights first where they are missing.

    Args:
        model: a speaker model of `speechkit models list`.
        engine: "reference" (speechbrain's `ECAPA_TDNN`).
        device: "auto", "cpu" or "cuda".

    Raises:
        InputError: unknown model or engine.
        WeightsError: the weights can't be had or are damaged.
    """
    from speechkit.speaker.ecapa import SpeechbrainEngine

    if engine != "reference":
        raise InputError(f"engine {engine!r} is unknown; choose reference")
    if model not in hub.names("speaker"):
        raise InputError(f"model {model!r} is unknown; choose {', '.join(hub.names('speaker'))}")
    checkpoint = hub.fetch(model) / "embedding_model.ckpt"
    return SpeakerEncoder(SpeechbrainEngine(checkpoint, device), model)
