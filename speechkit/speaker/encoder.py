"""`SpeakerEncoder`: whose voice is it? Embeddings and their comparison, above any ECAPA engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit import hub
from speechkit.audio import SILENCE, Audio, AudioSource, load_audio
from speechkit.catalog import ENTRIES
from speechkit.decode import Samples
from speechkit.errors import AudioError, InputError, ProcessorError
from speechkit.features import ecapa_fbank
from speechkit.speaker.calibration import log_ratio, probability
from speechkit.speaker.quality import measure_quality

SAMPLE_RATE = 16_000
MIN_S = 0.3  # seconds of audio: less says nothing about a voice
MAX_S = 60  # seconds that are embedded at once: keeps the memory small
DEFAULT_MODEL = "spkrec-ecapa-voxceleb"
CHECKPOINT = "embedding_model.ckpt"
EMBEDDING_SIZE = 192

# One pair of strangers in a hundred reaches it, of 18,011 (benchmarks/calibrate.py).
THRESHOLD = 0.42

Embedding = NDArray[np.float32]


class SpeakerEngine(Protocol):
    """One speaker model on arrays."""

    def embed(self, fbanks: Iterable[torch.Tensor]) -> NDArray[np.float32]:
        """Filter banks, each (frames, 80) → (n, 192), each as if it were alone."""


@dataclass(frozen=True)
class Verification:
    """Whether two recordings are of one speaker.

    Attributes:
        score: cosine of the angle between the embeddings, -1 to 1.
        threshold: the score from which on the speakers count as the same.
        same: score >= threshold: a strict rule, so it may be False where `probability` is above a half.
        log_ratio: natural logarithm of P(score | one speaker) / P(score | two), which knows how long
            and how noisy the recordings are (`calibration`).
        probability: of one speaker, where that was as likely as two before.
    """

    score: float
    threshold: float
    same: bool
    log_ratio: float
    probability: float


class SpeakerEncoder:
    """Speaker embeddings with ECAPA-TDNN.

    Attributes:
        name: the model's name.
        weights: SHA-256 of its weights: embeddings of other weights can't be compared.
        threshold: the score from which on two recordings count as one speaker's.
    """

    def __init__(
        self, engine: SpeakerEngine, name: str, weights: str = "", threshold: float = THRESHOLD
    ) -> None:
        self.engine = engine
        self.name = name
        self.weights = weights
        self.threshold = threshold

    def embed(self, source: AudioSource) -> Embedding:
        """The embedding of a recording: (192,) float32, of length 1.

        More than 60 s are cut into equal parts, whose embeddings are averaged.

        Raises:
            AudioError: audio that can't be read, is silent, or is shorter than 0.3 s.
        """
        embedding: Embedding = self.embed_many([source])[0]
        return embedding

    def embed_many(self, sources: Sequence[AudioSource]) -> Embedding:
        """The embeddings of several recordings, in order: (n, 192) float32, each of length 1.

        Raises:
            InputError: no recordings, or one that is not in a list.
            AudioError: as `embed`.
        """
        owners: list[int] = []

        def fbanks() -> Iterator[torch.Tensor]:
            for i, source in enumerate(checked_list(sources)):
                for part in _parts(source):
                    owners.append(i)
                    yield ecapa_fbank(torch.tensor(part))

        found = _unit(self.engine.embed(fbanks()))
        parts = np.array(owners)
        return _unit(np.stack([found[parts == i].mean(axis=0) for i in range(len(sources))]))

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
        first, second = load_audio(a, SAMPLE_RATE), load_audio(b, SAMPLE_RATE)
        score = similarity(self.embed(first), self.embed(second))
        ratio = log_ratio(score, measure_quality(first), measure_quality(second))
        return Verification(score, threshold, score >= threshold, ratio, probability(ratio))

    def warm_up(self) -> None:
        """Embed a second of noise, so that the first real call is as quick as the next."""
        fbank = torch.randn(100, 80, generator=torch.Generator().manual_seed(0))
        self.engine.embed([fbank, fbank])
        self.engine.embed([fbank])


def similarity(a: Embedding, b: Embedding) -> float:
    """Cosine of the angle between two embeddings of length 1."""
    return float(np.clip(np.dot(a, b), -1.0, 1.0))


def checked_list(sources: Sequence[AudioSource]) -> Sequence[AudioSource]:
    """The recordings, if they are a list of at least one; raises InputError otherwise."""
    if isinstance(sources, str | bytes | PathLike | Audio) or not len(sources):
        raise InputError("no list of recordings; give a list of at least one")
    return sources


def _parts(source: AudioSource) -> list[Samples]:
    """Equal parts of at most 60 s, without those that are silent."""
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
    return voiced


def _unit(embeddings: Embedding) -> Embedding:
    """Each of length 1; shape (192,) or (n, 192)."""
    unit: Embedding = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return unit.astype(np.float32)


def load_speaker_encoder(
    model: str = DEFAULT_MODEL, *, engine: str = "fast", device: str = "auto"
) -> SpeakerEncoder:
    """Load the speaker encoder, fetching its weights first where they are missing.

    Args:
        model: a speaker model of `speechkit models list`.
        engine: "fast" (ONNX Runtime, on the CPU) or "reference" (speechbrain's `ECAPA_TDNN`).
        device: "auto", "cpu" or "cuda", the last for the reference engine.

    Raises:
        InputError: unknown model or engine.
        WeightsError: the weights can't be had or are damaged.
        ProcessorError: the device can't be used.
    """
    if engine not in ("fast", "reference"):
        raise InputError(f"engine {engine!r} is unknown; choose fast or reference")
    if model not in hub.names("speaker"):
        raise InputError(f"model {model!r} is unknown; choose {', '.join(hub.names('speaker'))}")
    if engine == "fast" and device not in ("auto", "cpu"):
        raise ProcessorError(
            f"the fast engine of speaker recognition does not run on {device}; "
            "use device='cpu', or engine='reference'"
        )
    checkpoint = hub.fetch(model) / CHECKPOINT
    if engine == "reference":
        from speechkit.speaker.ecapa import SpeechbrainEngine

        return SpeakerEncoder(SpeechbrainEngine(checkpoint, device), model, weights_hash(model))
    from speechkit.speaker.ort import OnnxEngine

    return SpeakerEncoder(OnnxEngine(checkpoint), model, weights_hash(model))


def weights_hash(model: str) -> str:
    """SHA-256 of the network's weights of a speaker model of the catalogue."""
    return next(file.sha256 for file in ENTRIES[model].files if file.name == CHECKPOINT)
