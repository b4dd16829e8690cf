"""Audio: one mono signal in memory, loaded within limits, resampled."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from speechkit.decode import (
    BLOCK,
    EMPTY,
    Block,
    Limits,
    Samples,
    checked_rate,
    decode,
    decode_blocks,
    fault_of,
    to_float,
    to_mono,
)
from speechkit.errors import AudioError

__all__ = ["Audio", "AudioSource", "Limits", "load_audio", "stream_audio"]

SILENCE = 1e-4  # peak below which a stretch holds no speech (-80 dB)
MAX_PEAK = 4.0  # full scale + 12 dB; louder samples have the wrong scale
MAX_CHANNELS = 64  # of an array: more means that it lies on its side
MAX_RATIO = 10_000  # of two sample rates: soxr's filters grow with it, to minutes of work
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, eq=False, repr=False)
class Audio:
    """A mono signal. Two Audios are equal only if they are the same object.

    Samples beyond [-1, 1] are clipped, as a player would; beyond `MAX_PEAK` they are refused, since
    then they are not in this scale at all. An array that fits as it is is not copied: `samples` is
    a read-only view of it, so give torch a copy (`torch.tensor(audio.samples)`).

    Raises:
        AudioError: not one-dimensional numbers, NaN or infinity, wrong scale, or a rate that is not
            a whole number from 1 to `MAX_RATE`.
    """

    samples: Samples
    """float32, shape (n,), in [-1, 1]; n may be 0."""
    sample_rate: int
    """Hz."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample_rate", checked_rate(self.sample_rate, "Audio"))
        object.__setattr__(self, "samples", _checked_samples(self.samples))

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def __repr__(self) -> str:
        return f"Audio({self.duration:.3f} s, {self.sample_rate} Hz)"

    def resample(self, rate: int) -> Audio:
        """Return the signal at `rate` Hz; itself if that is its rate.

        The length is round(n * rate / sample_rate), halves up, and at least 1 (0 if n is 0).
        soxr's VHQ filter: flat to 0.1 dB below 90 % of the lower Nyquist frequency, aliases below
        -100 dB.

        Raises:
            AudioError: a rate out of range, rates too far apart, or more than the
                default `Limits.samples` come out.
        """
        rate = checked_rate(rate, "resample")
        if rate == self.sample_rate or not len(self.samples):
            return self if rate == self.sample_rate else Audio(self.samples, rate)
        import soxr

        _check_ratio(self.sample_rate, rate)

        length = _resampled_length(len(self.samples), self.sample_rate, rate)
        if length > DEFAULT_LIMITS.samples:
            raise AudioError(f"resample: {length} samples would come out; cut the audio first")
        at_least = -(-self.sample_rate // rate)  # soxr makes nothing of less than one output sample
        missing = max(0, at_least - len(self.samples))
        padded = np.pad(self.samples, (0, missing)) if missing else self.samples
        out = soxr.resample(padded, self.sample_rate, rate, quality="VHQ")[:length]
        return Audio(np.pad(out, (0, length - len(out))) if len(out) < length else out, rate)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the audio to a file; see `speechkit.encode.save_audio`."""
        from speechkit.encode import save_audio

        return save_audio(self, path)


AudioSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | BinaryIO | tuple[int, Any] | Audio
)
"""What `load_audio` takes."""


def load_audio(
    source: AudioSource,
    sample_rate: int | None = None,
    channel: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Audio:
    """Load audio from wherever it is.

    Args:
        source: a path; the bytes of a file; a binary file object (read from where it stands to its
            end); a pair (rate in Hz, array of shape (n,) or (n, channels), of uint8, int8, int16,
            int32 or floats in [-1, 1]); or an Audio.
        sample_rate: resample to this many Hz; None keeps the rate of the source.
        channel: take this channel, counted from 0; None averages all, in which channels of
            opposite phase cancel.
        limits: what is too much.

    A recording that is cut short or damaged gives what could be decoded, and a warning is logged.

    Raises:
        AudioError: nothing there, not audio, no samples, NaN, over a limit, no such channel.
    """
    rate = None if sample_rate is None else checked_rate(sample_rate, "load_audio")
    name = name_of(source)
    audio = _load(source, name, channel, limits)
    if not len(audio.samples):
        raise AudioError(f"{name}: {EMPTY}")
    if rate is None or rate == audio.sample_rate:
        return audio
    limits.check(name, samples=_resampled_length(len(audio.samples), audio.sample_rate, rate))
    return audio.resample(rate)


def stream_audio(
    source: AudioSource,
    sample_rate: int,
    channel: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_promise: Callable[[float], object] | None = None,
) -> Iterator[Samples]:
    """Load audio in pieces of some seconds, at `sample_rate`: memory does not grow with the length.

    Joined, the pieces are the samples that `load_audio` gives; arguments and errors are its own, but
    an error may come after pieces did. `on_promise` is called once, before the first piece, with the
    seconds that the recording has by its header (0 if it doesn't say).
    """
    rate, name = checked_rate(sample_rate, "stream_audio"), name_of(source)
    resampler: Resampler | None = None
    for block in _blocks(source, name, channel, limits):
        if resampler is None:
            resampler = Resampler(block.rate, rate)
            if on_promise:
                on_promise(block.promised)
        try:
            samples = _checked_samples(block.samples)
        except AudioError as e:
            raise AudioError(f"{name}: {e}") from e
        piece = resampler.feed(samples)
        limits.check(name, samples=_resampled_length(resampler.taken, block.rate, rate))
        if len(piece):
            yield piece
    if resampler and len(piece := resampler.finish()):
        yield piece


class Resampler:
    """`Audio.resample` for a signal that comes in pieces.

    Attributes:
        taken: samples that came in.

    Raises:
        AudioError: rates that are too far apart.
    """

    def __init__(self, old: int, new: int) -> None:
        import soxr

        _check_ratio(old, new)
        self.taken, self._given = 0, 0  # samples in and out
        self._old, self._new = old, new
        self._stream = soxr.ResampleStream(old, new, 1, quality="VHQ") if old != new else None

    def feed(self, samples: Samples, last: bool = False) -> Samples:
        """The next piece, at the new rate; what comes out lags a little behind."""
        self.taken += len(samples)
        if self._stream is None:
            return samples
        out: Samples = np.clip(self._stream.resample_chunk(samples, last=last), -1, 1)
        self._given += len(out)
        return out

    def finish(self) -> Samples:
        """What is left when the last piece has been fed."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        length = _resampled_length(self.taken, self._old, self._new) - self._given
        missing = max(0, -(-self._old // self._new) - self.taken)  # as in `Audio.resample`
        out = self.feed(np.zeros(missing, np.float32), last=True)[:length]
        return np.pad(out, (0, length - len(out)))


def as_audio(piece: Audio | tuple[int, Any]) -> Audio:
    """A piece of a stream as an Audio; it may be empty.

    Raises:
        AudioError: neither an Audio nor a pair (rate, array).
    """
    if isinstance(piece, Audio):
        return piece
    if not (isinstance(piece, tuple) and len(piece) == 2):
        raise AudioError(
            f"a piece of the stream is a {type(piece).__name__}; give (sample_rate, array) or Audio"
        )
    samples, rate = _from_array(piece[0], piece[1], "stream", None, DEFAULT_LIMITS)
    return Audio(samples, rate)


def _load(source: AudioSource, name: str, channel: int | None, limits: Limits) -> Audio:
    """Audio at its own rate from any source."""
    if isinstance(source, Audio):
        source = (source.sample_rate, source.samples)
    if isinstance(source, tuple) and len(source) == 2:
        samples, rate = _from_array(source[0], source[1], name, channel, limits)
    else:
        with _opened(source, name, limits) as file:
            samples, rate = decode(file, name, channel, limits)
    try:
        return Audio(samples, rate)
    except AudioError as e:
        raise AudioError(f"{name}: {e}") from e


def _blocks(source: AudioSource, name: str, channel: int | None, limits: Limits) -> Iterator[Block]:
    """Mono blocks at their own rate from any source."""
    if isinstance(source, Audio):
        source = (source.sample_rate, source.samples)
    if isinstance(source, tuple) and len(source) == 2:
        samples, rate = _from_array(source[0], source[1], name, channel, limits)
        if not len(samples):
            raise AudioError(f"{name}: {EMPTY}")
        for start in range(0, len(samples), BLOCK):
            yield Block(samples[start : start + BLOCK], rate, len(samples) / rate)
        return
    with _opened(source, name, limits) as file:
        held: list[Block] = []
        for block in decode_blocks(file, name, channel, limits):
            held.append(block)  # FFmpeg's frames are short: some are joined
            if sum(len(b.samples) for b in held) >= min(BLOCK, block.rate):
                yield _joined(held)
                held = []
        if held:
            yield _joined(held)


def _joined(blocks: list[Block]) -> Block:
    return replace(blocks[0], samples=np.concatenate([block.samples for block in blocks]))


def _from_array(
    rate: int, data: Any, name: str, channel: int | None, limits: Limits
) -> tuple[Samples, int]:
    """Mono samples and their rate from an array of shape (n,) or (n, channels)."""
    try:
        array = np.asarray(data)
    except (TypeError, ValueError) as e:
        raise AudioError(f"{name}: not an array ({fault_of(e)}); pass (sample_rate, array)") from e
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= MAX_CHANNELS):
        raise AudioError(
            f"{name}: shape {array.shape}; it must be (n,) or (n, channels), with at most "
            f"{MAX_CHANNELS} channels: transpose it if time comes last"
        )
    frames = array.reshape(len(array), -1) if array.size else np.empty((0, 1), np.float32)
    rate = checked_rate(rate, name)
    limits.check(name, bytes=array.nbytes, seconds=len(array) / rate, samples=array.size)
    return to_mono(to_float(frames, name), channel, name), rate


@contextmanager
def _opened(source: Any, name: str, limits: Limits) -> Iterator[BinaryIO]:
    """Open a path, or bytes or what a file object still holds, as a file."""
    if isinstance(source, str | os.PathLike):
        file = _open_path(source, name)
        size = os.fstat(file.fileno()).st_size
    else:
        data = source if isinstance(source, bytes | bytearray) else _read(source, name, limits)
        file, size = io.BytesIO(data), len(data)
    with file:
        limits.check(name, bytes=size)
        if not size:
            raise AudioError(f"{name}: empty, 0 bytes; record or download it again")
        yield file


def _open_path(path: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{name}: a folder; name a file in it")
        if not stat.S_ISREG(mode):  # opening a named pipe could wait for ever
            raise AudioError(f"{name}: not a regular file; save it first or pass its bytes")
        return open(path, "rb")
    except FileNotFoundError as e:
        raise AudioError(f"{name}: no such file; check the path") from e
    except (OSError, ValueError) as e:
        raise AudioError(f"{name}: cannot be opened ({fault_of(e)}); check its permissions") from e


def _read(file: Any, name: str, limits: Limits) -> bytes:
    """What is left in a file object, up to one block over the limit."""
    if not hasattr(file, "read"):
        raise AudioError(
            f"{name}: not audio; pass a path, bytes, a binary file, (sample_rate, array) or Audio"
        )
    data = bytearray()
    try:
        while len(data) <= limits.bytes and (piece := file.read(1 << 20)):
            data += piece
    except (OSError, TypeError, ValueError) as e:
        raise AudioError(
            f"{name}: cannot be read ({fault_of(e)}); it must be open, and in binary mode"
        ) from e
    return bytes(data)


def _checked_samples(given: Any) -> Samples:
    """The samples as a read-only float32 view, finite, shape (n,), clipped to [-1, 1]."""
    if not isinstance(given, np.ndarray) or given.dtype.kind != "f" or given.ndim != 1:
        raise AudioError("samples must be a numpy array of floats, shape (n,); average channels")
    with np.errstate(over="ignore"):
        samples: Samples = given.astype(np.float32, copy=False).view()
    # The extremes pass NaN on, and take no memory for hours of audio.
    extremes = np.array([samples.min(), samples.max()]) if len(samples) else np.zeros(2)
    peak = float(np.abs(extremes).max())
    if not np.isfinite(peak):
        raise AudioError("NaN or infinite samples; look for the fault where they were computed")
    if peak > MAX_PEAK:
        raise AudioError(
            f"samples reach {peak:.6g}, far beyond [-1, 1]; divide them by their full scale "
            "(32768 for 16 bits)"
        )
    if peak > 1:
        samples = np.clip(samples, -1, 1)
    samples.flags.writeable = False
    return samples


def _check_ratio(old: int, new: int) -> None:
    if max(old, new) > MAX_RATIO * min(old, new):
        raise AudioError(
            f"resample: {old} Hz to {new} Hz is too far; stay within a factor of {MAX_RATIO}, "
            "or correct the rate that the recording claims"
        )


def _resampled_length(n: int, old: int, new: int) -> int:
    return max(1, (2 * n * new + old) // (2 * old))


def name_of(source: Any) -> str:
    """What to call the source in a message, on one line."""
    if isinstance(source, Audio):
        return "Audio"
    if isinstance(source, tuple):
        return "array"
    if isinstance(source, bytes | bytearray):
        return "bytes"
    name = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    text = os.fsdecode(name) if isinstance(name, str | os.PathLike) else type(source).__name__
    return text if text.isprintable() and text else repr(text)
