"""Audio to files: whole, or piece by piece while it is made."""

from __future__ import annotations

import contextlib
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechkit.audio import Audio, Resampler, name_of
from speechkit.decode import BLOCK, MAX_RATE, Samples, checked_rate, fault_of
from speechkit.errors import AudioError

# ending → libsndfile's format and encoding, the sample rates in Hz that the encoder takes
FORMATS: dict[str, tuple[str, str, range | tuple[int, ...]]] = {
    ".wav": ("WAV", "PCM_16", range(1, MAX_RATE + 1)),
    ".flac": ("FLAC", "PCM_16", range(1, 655_351)),
    ".ogg": ("OGG", "VORBIS", range(8_000, 192_001)),  # libvorbis crashes far above
    ".opus": ("OGG", "OPUS", (8_000, 12_000, 16_000, 24_000, 48_000)),
    ".mp3": (
        "MP3",
        "MPEG_LAYER_III",
        (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    ),
}


class AudioWriter:
    """A file that is written piece by piece, in the format that its name's ending says.

    .wav and .flac hold 16-bit integers, .ogg is Vorbis; .opus and .mp3 are what they say. Where a
    format does not know the sample rate, the audio is resampled to the next rate above that it
    knows, or to its highest. Under its name the file stands, or replaces an older one, only when it is
    complete: at the end of `with`, unless an error ended it.

        with AudioWriter("book.flac", voice.sample_rate) as out:
            for speech in voice.sentences(text):
                out.write(speech.samples)
    """

    def __init__(self, path: str | os.PathLike[str], sample_rate: int) -> None:
        """Raises AudioError for an unknown ending, or a folder that can't be written to."""
        import soundfile

        self.path = check_savable(path)
        kind, self._encoding, rates = FORMATS[self.path.suffix.lower()]
        rate, self._resampler = checked_rate(sample_rate, "AudioWriter"), None
        if rate not in rates:
            rate = next((r for r in rates if r > rate), rates[-1])
            self._resampler = Resampler(sample_rate, rate)
        self._faults = (OSError, ValueError, soundfile.SoundFileError)
        self._open = ExitStack()
        self._rate, self._written, self._closed = sample_rate, 0, False
        try:
            folder = self._open.enter_context(
                tempfile.TemporaryDirectory(prefix=".speechkit-", dir=self.path.parent)
            )
            self._part = Path(folder) / "part"
            self._file = soundfile.SoundFile(self._part, "w", rate, 1, self._encoding, format=kind)
        except self._faults as e:
            self._open.close()
            raise self._error(e) from e

    def write(self, samples: Samples) -> None:
        """The next samples, float in [-1, 1], shape (n,).

        Raises:
            AudioError: samples of another kind, no room, or the file is closed.
        """
        if self._closed:
            raise AudioError(f"{name_of(self.path)}: is closed; open a new AudioWriter")
        samples = Audio(samples, self._rate).samples
        self._written += len(samples)
        self._put(self._resampler.feed(samples) if self._resampler else samples)

    def close(self) -> Path:
        """Complete the file; its path.

        Raises:
            AudioError: no samples were written, or no room is left.
        """
        if self._closed:
            return self.path
        try:
            if not self._written:
                raise AudioError(f"{name_of(self.path)}: not written, for the audio has no samples")
            if self._resampler:
                self._put(self._resampler.finish())
            self._file.close()
            os.replace(self._part, self.path)
        except self._faults as e:
            raise self._error(e) from e
        finally:
            self.discard()
        return self.path

    def discard(self) -> None:
        """Throw away what was written; nothing, where the file is complete."""
        self._closed = True
        with self._open, contextlib.suppress(*self._faults):
            self._file.close()

    def _put(self, samples: Samples) -> None:
        try:
            for start in range(0, len(samples), BLOCK):
                block = samples[start : start + BLOCK]
                self._file.write(_to_int16(block) if self._encoding == "PCM_16" else block)
        except self._faults as e:
            raise self._error(e) from e

    def _error(self, e: Exception) -> AudioError:
        return AudioError(
            f"{name_of(self.path)}: cannot be written ({fault_of(e)}); "
            "choose a folder that exists and is yours"
        )

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def save_audio(audio: Audio, path: str | os.PathLike[str]) -> Path:
    """Write `audio` in the format that the ending of `path` names, as `AudioWriter` does.

    Raises:
        AudioError: an unknown ending, no samples, or a folder that cannot be written.
    """
    with AudioWriter(path, audio.sample_rate) as out:
        out.write(audio.samples)
    return out.path


def check_savable(path: str | os.PathLike[str]) -> Path:
    """The path, if audio can be saved there by its name; for asking before long work.

    Raises:
        AudioError: an unknown ending, or a folder that does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise AudioError(f"{name_of(path)}: unknown ending; use one of {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise AudioError(f"{name_of(path)}: cannot be written; choose a folder that exists")
    return path


def _to_int16(samples: Samples) -> NDArray[np.int16]:
    """Floats to 16-bit integers, the nearest; the inverse of `to_float`."""
    rounded: NDArray[Any] = np.clip(np.rint(samples * 32768), -32768, 32767)
    return rounded.astype(np.int16)
