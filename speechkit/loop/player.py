"""The reply on its way to the listener: made in one thread, handed out at the speed of speech."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from speechkit.audio import Audio
from speechkit.decode import Samples

RAMP_S = 0.01  # of a change of loudness
HELD_S = 3.0  # of speech that waits at most: a long reply is made as it is heard
HELD_DUCKED_S = 1.0  # and while it is ducked: the processor is needed to understand who interrupts


class Player:
    """Takes pieces from the thread that makes them, gives them when they are due.

    Attributes:
        underruns: how often a piece was due and not made yet.
        ducked: whether it is softer for now.
        given: samples that have been handed out since `begin`.
    """

    def __init__(self, lead_s: float) -> None:
        self.rate = 1  # Hz; that of the pieces
        self.underruns = 0
        self._lead = lead_s
        self._changed = threading.Condition()
        self.begin(0)

    def begin(self, key: int) -> None:
        """Forget everything; from now on only pieces with this key are taken."""
        with self._changed:
            self._key = key
            self._waiting: deque[Samples] = deque()
            self._complete = self._released = False
            self._end: float | None = None  # second up to which it has been handed out
            self._gain = self._wanted = 1.0
            self.given, self.ducked = 0, False
            self._changed.notify_all()

    def put(self, key: int, piece: Audio) -> bool:
        """A piece; waits while enough is waiting. False when its key is not current any more."""
        with self._changed:
            self._changed.wait_for(lambda: key != self._key or not self._full())
            if key != self._key:
                return False
            self.rate = piece.sample_rate
            self._waiting.append(piece.samples)
            return True

    def complete(self, key: int) -> None:
        """No more pieces come."""
        with self._changed:
            self._complete = self._complete or key == self._key

    def release(self) -> None:
        """From now on pieces are handed out."""
        with self._changed:
            self._released = True

    def duck(self, gain: float) -> None:
        """From now on it is softer by this factor, and is made no further ahead than needed."""
        self._set(True, gain)

    def resume(self) -> None:
        """It is as loud as before."""
        self._set(False, 1.0)

    def _set(self, ducked: bool, gain: float) -> None:
        with self._changed:
            self.ducked, self._wanted = ducked, gain
            self._changed.notify_all()

    @property
    def full(self) -> bool:
        """Whether enough is waiting."""
        with self._changed:
            return self._full()

    def take(self, now: float) -> tuple[float, Audio] | None:
        """What is due at `now` seconds, in one piece, and the second at which it begins."""
        with self._changed:
            if not self._released:
                return None
            if not self._waiting:
                if self._end is not None and self._end < now and not self._complete:
                    self.underruns += 1
                    self._end = None
                return None
            start = now if self._end is None else max(self._end, now)
            count = round((now + self._lead - start) * self.rate)
            if count <= 0:
                return None
            taken = self._cut(count)
            self._end = start + len(taken) / self.rate
            self.given += len(taken)
            self._changed.notify_all()
            return start, Audio(self._louder(taken), self.rate)

    def is_over(self, now: float) -> bool:
        """Whether all has been handed out and heard."""
        with self._changed:
            over = self._complete and self._released and not self._waiting
            return over and (self._end is None or self._end <= now)

    def _full(self) -> bool:
        held = HELD_DUCKED_S if self.ducked else HELD_S
        return sum(map(len, self._waiting)) >= held * self.rate

    def _cut(self, count: int) -> Samples:
        parts = []
        while self._waiting and count > 0:
            piece = self._waiting.popleft()
            parts.append(piece[:count])
            if len(piece) > count:
                self._waiting.appendleft(piece[count:])
            count -= len(parts[-1])
        return np.concatenate(parts)

    def _louder(self, samples: Samples) -> Samples:
        """With the gain that is wanted, which is reached gently."""
        ramp = np.full(len(samples), self._wanted, np.float32)
        length = min(len(samples), round(RAMP_S * self.rate))
        if self._gain != self._wanted:
            ramp[:length] = np.linspace(self._gain, self._wanted, length)
        self._gain = self._wanted
        louder: Samples = samples * ramp
        return louder
