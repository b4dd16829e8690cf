"""How far live recognition lags behind a speaker: a recording fed at its own speed.

    python benchmarks/live.py RECORDING [LANGUAGE]

A word's lag is the time from its end in the recording to the result in which it became certain (or was
in the final text of its utterance). Ends are taken from the final results' word times.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np

import speechkit as sk

RATE = 16_000
PIECE_S = 0.1


class Clock:
    """Feeds the pieces when they would have been recorded."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples
        self.start = 0.0
        self.late: list[float] = []  # how far behind the recording each piece was asked for

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """(rate, samples), each after it has been spoken."""
        self.start = time.perf_counter()
        step = int(PIECE_S * RATE)
        for i in range(0, len(self.samples), step):
            wait = (i + step) / RATE - self.now()
            self.late.append(max(0.0, -wait))
            if wait > 0:
                time.sleep(wait)
            yield RATE, self.samples[i : i + step]

    def now(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start


def main() -> None:
    """Measure and print."""
    if len(sys.argv) < 2:
        print("skipped: give a recording")
        return
    clock = Clock(sk.load_audio(sys.argv[1], RATE).samples)
    asr = sk.load_asr("base")
    asr.warm_up()
    lags: list[float] = []
    ends: list[float] = []
    certain: list[float] = []  # when each word of the utterance under way became certain
    for result in asr.stream(clock.pieces(), language=sys.argv[2] if sys.argv[2:] else "en"):
        words = result.text.split()
        certain += [clock.now()] * (len(words) - len(certain))
        if result.final:
            lags += [at - w.end for at, w in zip(certain, result.words, strict=False)]
            ends += [clock.now() - result.end] if result.words else []
            certain = []
    if not lags:
        print("the recording has no words")
        return
    seconds = len(clock.samples) / RATE
    print(f"{seconds:.1f} s, {len(lags)} words, {len(ends)} utterances; seconds")
    for name, values in (
        ("a word is certain after its end", lags),
        ("an utterance is final after its end", ends),
        ("the next piece is taken late by", clock.late),
    ):
        print(f"{name:36} 50 % {np.median(values):6.2f}   95 % {np.percentile(values, 95):6.2f}")


if __name__ == "__main__":
    main()
