"""A signal of any length cut into windows of speech, at pauses, as it comes in.

Whisper sees at most 30 s at once. A window begins a margin before speech is detected and ends a margin
after it; pauses up to `Cutting.max_pause` stay inside. Speech that goes on longer than a window is
cut at its longest pause, or, where it has none, at the frame least likely to be speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from speechkit.decode import Samples
from speechkit.vad import FRAME, FRAME_S, QUIET, SAMPLE_RATE, SPEECH, Probabilities, SpeechDetector

CUT_SEARCH = 6  # frames, 0.2 s


@dataclass(frozen=True)
class Cutting:
    """How to cut; seconds and probabilities.

    Attributes:
        max_window: the longest window.
        max_pause: a longer pause ends the window.
        margin: kept around detected speech.
        onset, offset: speech begins at this probability and ends below that one.
    """

    max_window: float = 15.0
    max_pause: float = 1.0
    margin: float = 0.8
    onset: float = SPEECH
    offset: float = QUIET


@dataclass(frozen=True)
class Window:
    """A piece of the signal in which somebody speaks.

    Attributes:
        start: first sample, counted from the start of the signal at 16 kHz.
        samples: float32, shape (n,).
        speech: for each frame of 32 ms, its probability of speech.
    """

    start: int
    samples: Samples
    speech: Probabilities

    @property
    def start_s(self) -> float:
        """Seconds from the start of the signal."""
        return self.start / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """Seconds from the start of the signal."""
        return self.start_s + self.duration

    @property
    def speech_s(self) -> float:
        """Seconds of detected speech in it."""
        return float((self.speech >= QUIET).sum()) * FRAME_S

    @property
    def peak(self) -> float:
        """The highest probability of speech in it."""
        return float(self.speech.max(initial=0.0))

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / SAMPLE_RATE


class Windower:
    """Takes samples, gives windows: each as soon as it is known where it ends."""

    def __init__(self, cutting: Cutting, offset: int = 0) -> None:
        """`offset` is the sample of the recording at which the signal begins."""
        self.cutting = cutting
        self._offset = offset
        self._detector = SpeechDetector()
        self._samples: Samples = np.zeros(0, np.float32)  # not yet given away
        self._speech: Probabilities = np.zeros(0, np.float32)  # of their whole frames
        self._start = 0  # frame at which they begin
        self._cut = False  # whether they begin at a cut inside speech

    def feed(self, samples: Samples) -> Iterator[Window]:
        """The next samples, 16 kHz; yields the windows that end in them."""
        self._samples = np.concatenate([self._samples, samples])
        self._speech = np.concatenate([self._speech, self._detector.feed(samples)])
        yield from self._windows(final=False)

    def finish(self) -> Iterator[Window]:
        """The signal ends; yields what is left."""
        self._speech = np.concatenate([self._speech, self._detector.finish()])
        yield from self._windows(final=True)

    def pending(self) -> Window | None:
        """The speech that has begun and not ended, up to now; None while nobody speaks."""
        onset = self._onset()
        if onset is None:
            return None
        first = max(0, onset - _frames(self.cutting.margin))
        return self._window(first, len(self._speech))

    def cut(self, near_s: float) -> Window:
        """End the pending window where it is quietest within 0.2 s of a time inside it."""
        total = len(self._speech)
        middle = round((near_s * SAMPLE_RATE - self._offset) / FRAME) - self._start
        middle = min(max(1, middle), total)
        ends = np.arange(max(1, middle - CUT_SEARCH), min(total, middle + CUT_SEARCH) + 1)
        loudness = self._speech[ends - 1] + self._speech[np.minimum(ends, total - 1)]
        quietest = np.lexsort((np.abs(ends - middle), loudness))[0]  # of equal ones the nearest
        return self._take(int(ends[quietest]), cut=True)

    def _windows(self, final: bool) -> Iterator[Window]:
        cutting, margin = self.cutting, _frames(self.cutting.margin)
        longest, pause = _frames(cutting.max_window), _frames(cutting.max_pause)
        while True:
            onset = self._onset()
            if onset is None:
                keep = 0 if final else margin
                self._drop(max(0, len(self._speech) - keep))
                return
            if onset > margin:
                self._drop(onset - margin)
                onset = margin
            view = self._speech[:longest]  # what comes later changes nothing, however it is fed
            loud = np.flatnonzero(view[onset:] >= cutting.offset) + onset
            gaps = np.flatnonzero(np.diff(loud, append=len(view)) > pause)
            if len(gaps):  # a long pause begins there; the margin stays in it
                yield self._take(int(loud[gaps[0]]) + 1 + min(margin, pause), cut=False)
            elif len(self._speech) > longest:
                yield self._take(_best_cut(view, cutting.offset), cut=True)
            elif final:
                yield self._take(min(int(loud[-1]) + 1 + margin, len(view)), cut=False)
            else:
                return

    def _onset(self) -> int | None:
        """The first frame of speech in what is left."""
        if self._cut:  # speech goes on, unless more than the margin behind the cut is quiet
            near = self._speech[: _frames(self.cutting.margin) + 1]
            above = np.flatnonzero(near >= self.cutting.offset)
            if len(above):
                return int(above[0])
            self._cut = len(near) <= _frames(self.cutting.margin)
            if self._cut:
                return None
        above = np.flatnonzero(self._speech >= self.cutting.onset)
        return int(above[0]) if len(above) else None

    def _take(self, frames: int, cut: bool) -> Window:
        window = self._window(0, frames)
        self._drop(frames)
        self._cut = cut
        return window

    def _window(self, first: int, after: int) -> Window:
        return Window(
            self._offset + (self._start + first) * FRAME,
            self._samples[first * FRAME : after * FRAME].copy(),
            self._speech[first:after],
        )

    def _drop(self, frames: int) -> None:
        self._samples = self._samples[frames * FRAME :]
        self._speech = self._speech[frames:]
        self._start += frames


def _frames(seconds: float) -> int:
    return int(seconds * SAMPLE_RATE) // FRAME


def _best_cut(speech: Probabilities, offset: float) -> int:
    """Where to cut speech that is longer than a window: a frame in its second half.

    The middle of the longest pause, of equal ones the last; without any, the frame least likely to be
    speech, its neighbours considered.
    """
    half = len(speech) // 2
    quiet = np.concatenate([[False], speech[half:] < offset, [False]])
    edges = np.flatnonzero(np.diff(quiet.astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if len(starts):
        longest = len(starts) - 1 - int(np.argmax((ends - starts)[::-1]))
        return half + int(starts[longest] + ends[longest] + 1) // 2
    smooth = np.convolve(speech[half:], np.ones(3) / 3, mode="same")
    return half + 1 + int(np.argmin(smooth[1:-1]))
