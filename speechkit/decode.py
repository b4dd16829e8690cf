"""Decoding: a file to mono samples, block by block and within limits.

libsndfile (soundfile) decodes what it knows and is the judge of WAV, AIFF and their kin: one that
it calls damaged is refused. FFmpeg's libraries (PyAV) decode the rest and what libsndfile gives up
on halfway. Both run inside this process; nothing in a file can make them open another file.
"""

from __future__ import annotations

import logging
import operator
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from speechkit.errors import AudioError

log = logging.getLogger("speechkit")

Samples: TypeAlias = NDArray[np.float32]

MAX_RATE = 1_000_000  # Hz
BLOCK = 1 << 18  # samples, all channels together, decoded or encoded at a time
EMPTY = "an empty recording, with no samples; record it again"
NOT_KNOWN = (1, 18)  # libsndfile's error codes: format, or encoding, that it does not know

# The containers FFmpeg may open. Playlists (HLS, DASH, concat) are left out on purpose, for they
# name other files; WAV and AIFF are libsndfile's.
FFMPEG_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,flac,mp3,aac,ac3,amr,asf,avi,flv,mpegts,mpeg,caf,wv"
)


@dataclass(frozen=True)
class Limits:
    """How much audio one load may take; more raises AudioError as soon as it is seen.

    The defaults let 6 hours of 48 kHz stereo through.
    """

    bytes: int = 4 << 30
    """Size of the file, the bytes or the array."""
    seconds: float = 6 * 3600.0
    """Duration after decoding."""
    samples: int = 1 << 31
    """Decoded samples counted over all channels; also what resampling may make of them."""

    def check(self, name: str, **taken: float) -> None:
        """Raise AudioError if more is taken (`bytes`, `seconds`, `samples`) than is allowed."""
        for what, amount in taken.items():
            limit = getattr(self, what)
            if not amount <= limit:  # also when the limit is NaN
                raise AudioError(
                    f"{name}: over the limit of {limit:.12g} {what}; cut it or raise Limits.{what}"
                )


class _Tame:
    """A binary file as the decoders see it.

    It has no name, so that none guesses the format from the ending. A seek to where nothing is, as
    damaged headers ask for, leaves it where it stands: libsndfile notices that, whereas an
    exception in its callback would be printed and lost.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.read, self.readinto, self.tell = file.read, file.readinto, file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        with suppress(OSError, ValueError):
            self._file.seek(offset, whence)
        return int(self._file.tell())


@dataclass(frozen=True)
class Block:
    """A piece of a mono signal.

    Attributes:
        samples: float32, shape (n,).
        rate: in Hz.
        promised: seconds of the whole recording by its header, 0 if it doesn't say.
    """

    samples: Samples
    rate: int
    promised: float


def decode(file: BinaryIO, name: str, channel: int | None, limits: Limits) -> tuple[Samples, int]:
    """Decode a file to mono samples and their rate."""
    mono = bytearray()  # grows in place, and numpy reads it without a copy
    rate = 0
    for block in decode_blocks(file, name, channel, limits):
        mono += block.samples.tobytes()
        rate = block.rate
    return np.frombuffer(mono, np.float32), rate


def decode_blocks(
    file: BinaryIO, name: str, channel: int | None, limits: Limits
) -> Iterator[Block]:
    """Decode a file with libsndfile or else with FFmpeg, which goes on where the first gave up."""
    import soundfile

    frames, rate = 0, 0
    try:
        for block in _mono(_soundfile_blocks(_Tame(file), name), name, channel, limits):
            frames, rate = frames + len(block.samples), block.rate
            yield block
        return
    except soundfile.LibsndfileError as e:
        fault, damaged = fault_of(e), e.code not in NOT_KNOWN
    file.seek(0)
    skip = frames
    try:
        for block in _mono(_ffmpeg_blocks(_Tame(file), name), name, channel, limits):
            if rate not in (0, block.rate):
                raise AudioError(f"{name}: damaged ({fault}); convert it to WAV or FLAC")
            rest = block.samples[skip:]
            skip -= min(skip, len(block.samples))
            frames += len(rest)
            if len(rest):
                yield replace(block, samples=rest)
    except AudioError:
        raise
    except Exception as e:  # forged files bring forth many kinds in PyAV, IndexError among them
        what = "damaged" if damaged else "not audio in a known format"
        raise AudioError(f"{name}: {what} ({fault}); convert it to WAV or FLAC") from e
    if damaged:
        log.warning("%s: damaged (%s); %.2f s decoded", name, fault, frames / block.rate)


def _mono(
    blocks: Iterator[tuple[int, Samples, float]], name: str, channel: int | None, limits: Limits
) -> Iterator[Block]:
    """Blocks (rate, samples of shape (n, channels), seconds promised) as mono, within the limits."""
    frames, rate = 0, 0
    for block_rate, block, promised in blocks:
        if rate and block_rate != rate:
            raise AudioError(f"{name}: the sample rate changes inside it; convert it to WAV first")
        rate = checked_rate(block_rate, name)
        frames += len(block)
        limits.check(name, seconds=frames / rate, samples=frames * block.shape[1])
        yield Block(to_mono(block, channel, name), rate, promised)
    if not frames:
        raise AudioError(f"{name}: {EMPTY}")


def _soundfile_blocks(file: _Tame, name: str) -> Iterator[tuple[int, Samples, float]]:
    """Decode with libsndfile: (rate, samples (n, channels), seconds promised) block by block."""
    import soundfile

    with soundfile.SoundFile(file) as sound:
        if sound.frames > 1 << 60:  # FLAC of open length, which libsndfile cannot read on from
            raise soundfile.LibsndfileError(NOT_KNOWN[0])
        promised = float(sound.frames)
        header = re.search(r"data : (\d+) \(should be (\d+)\)", sound.extra_info)  # bytes, of a WAV
        # Recorders that stream write a size near 2^31 or 2^32, which promises nothing.
        if header and int(header[1]) < (1 << 31) - (1 << 20):
            promised *= int(header[1]) / max(1, int(header[2]))
        seconds, count = promised / sound.samplerate, 0
        while len(block := sound.read(BLOCK // sound.channels, "float32", always_2d=True)):
            count += len(block)
            yield sound.samplerate, block, seconds
        slack = 0.05 if sound.format == "MP3" else 0.0
        _warn_if_short(name, count / sound.samplerate, seconds, slack)


def _ffmpeg_blocks(file: _Tame, name: str) -> Iterator[tuple[int, Samples, float]]:
    """Decode the first sound track with FFmpeg, as `_soundfile_blocks` does."""
    import av

    options = {"format_whitelist": FFMPEG_FORMATS}
    with av.open(file, "r", options=options, metadata_errors="replace") as container:
        if not container.streams.audio:
            raise AudioError(f"{name}: holds no sound track; choose a file with sound")
        stream = container.streams.audio[0]
        own, whole = stream.duration, container.duration  # in ticks and in microseconds, or None
        promised = float(own * (stream.time_base or 0) if own else (whole or 0) / 1e6)
        seconds, damaged = 0.0, 0
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                damaged += 1
                continue
            for frame in decoded:
                seconds += frame.samples / checked_rate(frame.sample_rate, name)
                shape = (frame.samples, frame.layout.nb_channels)
                array = frame.to_ndarray()
                array = array.T if frame.format.is_planar else array.reshape(shape)
                yield frame.sample_rate, to_float(array, name), promised
        if damaged and not seconds:
            raise AudioError(f"{name}: damaged, nothing in it can be decoded; get it again")
        if damaged:
            log.warning("%s: damaged; %d packets left out", name, damaged)
        _warn_if_short(name, seconds, promised, 0.05)


def _warn_if_short(name: str, seconds: float, promised: float, slack: float) -> None:
    """Log what the header promised and the file does not hold; `slack` where it only estimates."""
    if seconds < (1 - slack) * promised:
        log.warning("%s: cut short; %.2f s decoded of %.2f s", name, seconds, promised)


def to_mono(block: Samples, channel: int | None, name: str) -> Samples:
    """(n, channels) → (n,): one channel, or the average of all."""
    channels = block.shape[1]
    if channel is None:
        if channels == 1:
            return block[:, 0]
        return block @ np.full(channels, 1 / channels, np.float32)  # 15 times faster than mean()
    if channel not in range(channels):
        raise AudioError(f"{name}: no channel {channel}; channels are 0 to {channels - 1}")
    return block[:, channel]


def to_float(array: NDArray[Any], name: str) -> Samples:
    """Integers to float32 by their full scale, uint8 from its middle 128; floats as they are."""
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - np.float32(128)) / np.float32(128)
    if array.dtype in (np.int8, np.int16, np.int32):
        return array.astype(np.float32) / np.float32(-int(np.iinfo(array.dtype).min))
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large a float64 becomes infinite, to be refused
            return array.astype(np.float32, copy=False)
    raise AudioError(
        f"{name}: samples of type {array.dtype}; use uint8, int8, int16, int32 or floats in [-1, 1]"
    )


def checked_rate(rate: Any, name: str) -> int:
    """The sample rate in Hz as an int; AudioError unless it is whole and from 1 to `MAX_RATE`."""
    try:
        number = operator.index(rate)
    except TypeError:
        number = 0
    if isinstance(rate, bool) or not 1 <= number <= MAX_RATE:
        raise AudioError(f"{name}: sample rate {rate!r}; use a whole number of Hz, 1 to {MAX_RATE}")
    return number


def fault_of(error: Exception) -> str:
    """The reason a library gives, on one line."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()).removeprefix("Error : ").rstrip(".")
