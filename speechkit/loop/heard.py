"""What is being said: the audio of a turn under way, and the words that are certain by now."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from speechkit.decode import Samples


@dataclass
class Heard:
    """A turn under way.

    Attributes:
        frames: all of it, 32 ms each.
        part: the first frame whose words are not settled.
        settled: words before that frame.
        mark: probability of the punctuation behind them.
        quiet: frames since somebody spoke.
        guessed: frames at the last guess.
        agreed: words that two guesses in a row agreed on.
    """

    frames: list[Samples]
    part: int = 0
    settled: str = ""
    mark: float = 1.0
    quiet: int = 0
    guessed: int = 0
    agreed: list[str] = field(default_factory=list)
    _last_guess: list[str] = field(default_factory=list)

    @property
    def samples(self) -> Samples:
        """Those whose words are not settled."""
        return np.concatenate(self.frames[self.part :])

    def settle(self, words: str, mark: float, part: int) -> None:
        """The words before frame `part` are settled."""
        self.settled, self.mark, self.part = words, mark, part
        self.agreed, self._last_guess = words.split(), []

    def agree(self, guess: str) -> tuple[str, str]:
        """A guess of the words that are not settled → all that two guesses agree on, and the rest."""
        words = [*self.settled.split(), *guess.split()]
        agreed = 0
        for a, b in zip(words, self._last_guess, strict=False):
            if a != b:
                break
            agreed += 1
        self._last_guess = words
        agreed = min(agreed, len(words) - 1)  # what was said last may be half a word
        if agreed > len(self.agreed) and words[: len(self.agreed)] == self.agreed:
            self.agreed = words[:agreed]
        return " ".join(self.agreed), " ".join(words[len(self.agreed) :])
