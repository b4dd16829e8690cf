"""Whether what the microphone hears is the reply itself, coming back from the loudspeaker."""

from __future__ import annotations

import numpy as np

from speechkit.decode import Samples

RATE = 16_000
DELAY_S = 0.6  # between handing out a sample and hearing it, at most
PIECE_S = 0.25  # that is looked at
ECHO = 0.3  # share of the energy from which on it is the echo


class EchoGuard:
    """Remembers what was played, and compares.

    What is heard is searched for in what was played shortly before: the greatest squared
    correlation over all delays is the share of its energy that one delayed copy explains.
    """

    def __init__(self) -> None:
        self._played: Samples = np.zeros(0, np.float32)  # 16 kHz
        self._start = 0  # sample of the loop's clock at which it begins

    def play(self, start: int, samples: Samples) -> None:
        """Samples (n,), 16 kHz, that are played from sample `start` of the loop's clock on."""
        gap = start - (self._start + len(self._played))
        if not len(self._played) or gap > RATE:
            self._start, self._played = start, samples
            return
        filled = np.zeros(max(gap, 0), np.float32)
        self._played = np.concatenate([self._played, filled, samples])
        surplus = len(self._played) - 4 * RATE
        if surplus > 0:
            self._played, self._start = self._played[surplus:], self._start + surplus

    def explained(self, end: int, heard: Samples) -> float:
        """Share of the energy of what was heard up to sample `end` that is the reply's; 0 to 1."""
        heard = heard[-int(PIECE_S * RATE) :]
        length = len(heard) + int(DELAY_S * RATE)
        last = end - self._start
        played = self._played[max(last - length, 0) : max(last, 0)]
        played = np.pad(played, (length - len(played), 0))  # before it there was silence
        energy = float(heard @ heard)
        if energy < 1e-9 or not played.any():  # the latter when no reply was played lately
            return 0.0
        size = 1 << (len(played) + len(heard) - 1).bit_length()
        spectrum = np.fft.rfft(played, size) * np.conj(np.fft.rfft(heard, size))
        match = np.fft.irfft(spectrum, size)[: len(played) - len(heard) + 1]
        power = np.cumsum(np.concatenate([[0.0], played.astype(np.float64) ** 2]))
        own = power[len(heard) :] - power[: len(match)]
        loud = own > 1e-3 * own.max(initial=0.0) + 1e-9
        return float(np.max(match[loud] ** 2 / own[loud] / energy, initial=0.0))
