"""Speech detection with Silero VAD: how likely each 32 ms of a recording hold speech.

The network reads 512 samples at 16 kHz and the 64 before them, and carries an LSTM state from frame to
frame (Silero Team 2024, github.com/snakers4/silero-vad, MIT). Its weights lie in the silero-vad
package; the file that takes many frames in one call is used, which gives the same numbers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechkit.audio import AudioSource, Limits, stream_audio
from speechkit.decode import Samples, to_float
from speechkit.errors import AudioError, InputError, WeightsError

SAMPLE_RATE = 16_000
FRAME = 512  # samples that one probability stands for: 32 ms
FRAME_S = FRAME / SAMPLE_RATE
SPEECH = 0.5  # the probability from which on speech begins
QUIET = 0.35  # the probability below which a frame belongs to a pause, once speech has begun
_CONTEXT, _STATE, _BLOCK = 64, (1, 1, 128), 512  # samples, the LSTM's shape, frames in one call

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Stretch:
    """A stretch of speech: seconds from the start of the recording."""

    start: float
    end: float


class SpeechDetector:
    """Speech probabilities of a signal that comes in pieces.

    The pieces may have any length: what does not fill a frame waits for the next one. The numbers do
    not depend on where the signal was cut.
    """

    def __init__(self) -> None:
        self._session = _session()
        self.reset()

    def reset(self) -> None:
        """Begin a new signal."""
        self._rest: Samples = np.zeros(0, np.float32)
        self._context: Samples = np.zeros(_CONTEXT, np.float32)
        self._hidden, self._cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)

    def feed(self, samples: NDArray[Any]) -> Probabilities:
        """The next samples (n,), 16 kHz → the probability of each frame that is now complete.

        Floats are in [-1, 1]; integers are divided by their full scale.

        Raises:
            AudioError: samples of another type or shape.
        """
        if samples.ndim != 1:
            raise AudioError(
                f"SpeechDetector: samples of shape {samples.shape}; give one channel at 16 kHz, (n,)"
            )
        signal = np.concatenate([self._rest, to_float(samples, "SpeechDetector")])
        whole = len(signal) // FRAME * FRAME
        self._rest = signal[whole:]
        frames = signal[:whole].reshape(-1, FRAME)
        parts = [self._run(frames[i : i + _BLOCK]) for i in range(0, len(frames), _BLOCK)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def finish(self) -> Probabilities:
        """The probability of the last frame, filled up with zeros, if one was begun; then reset."""
        missing = -len(self._rest) % FRAME
        last = self.feed(np.zeros(missing, np.float32)) if missing else np.zeros(0, np.float32)
        self.reset()
        return last

    def _run(self, frames: Samples) -> Probabilities:
        before = np.concatenate([self._context[None], frames[:-1, -_CONTEXT:]])
        self._context = frames[-1, -_CONTEXT:].copy()
        inputs = {"input": np.hstack([before, frames]), "h": self._hidden, "c": self._cell}
        speech, self._hidden, self._cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
        probabilities: Probabilities = speech.reshape(-1)
        return probabilities


def detect_speech(
    source: AudioSource,
    *,
    threshold: float = SPEECH,
    min_pause: float = 0.1,
    min_speech: float = 0.1,
    limits: Limits | None = None,
) -> list[Stretch]:
    """Where somebody speaks in a recording of any length, in order.

    Speech begins with a frame of at least `threshold` and lasts until the probability stays below
    `threshold - 0.15` (at least 0.01) for `min_pause` seconds, rounded to frames of 32 ms and at least
    one; what is shorter than `min_speech` is left out.

    Raises:
        AudioError: audio that can't be read.
        InputError: a threshold outside (0, 1).
    """
    if not 0 < threshold < 1:
        raise InputError(f"threshold is {threshold}; give a probability between 0 and 1")
    detector, parts, seconds = SpeechDetector(), [], 0.0
    for block in stream_audio(source, SAMPLE_RATE, limits=limits or Limits()):
        seconds += len(block) / SAMPLE_RATE
        parts.append(detector.feed(block))
    probabilities = np.concatenate([*parts, detector.finish()])
    pause = max(1, round(min_pause / FRAME_S))
    return [
        Stretch(start * FRAME_S, min(end * FRAME_S, seconds))
        for start, end in speech_frames(probabilities, threshold, pause)
        if (end - start) * FRAME_S >= min_speech
    ]


def speech_frames(
    probabilities: Probabilities, threshold: float, min_pause: int
) -> Iterator[tuple[int, int]]:
    """First frame and the frame after the last of each stretch; pauses last `min_pause` frames."""
    start = last = -1  # of the stretch under way: its first frame, its last frame that spoke
    for i in np.flatnonzero(probabilities >= max(threshold - 0.15, 0.01)).tolist():
        if start >= 0 and i - last > min_pause:
            yield start, last + 1
            start = -1
        if start < 0 and probabilities[i] >= threshold:
            start = i
        if start >= 0:
            last = i
    if start >= 0:
        yield start, last + 1


@lru_cache(maxsize=1)
def _session() -> Any:
    """The network in ONNX Runtime, on one thread: its steps follow one another."""
    import onnxruntime

    # Importing silero_vad would set torch to one thread; only its data is wanted.
    package = importlib.util.find_spec("silero_vad")
    if package is None or package.origin is None:
        raise WeightsError("silero-vad is not installed; run: pip install silero-vad")
    weights = Path(package.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
