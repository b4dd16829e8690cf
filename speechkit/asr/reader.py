"""Windows of speech in, their words out: the encoder's cut, batches, guards, word times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from speechkit.asr.engine import (
    FRAMES_PER_SECOND,
    MAX_TOKENS,
    WINDOW_FRAMES,
    AsrEngine,
    DecodeOptions,
    Hypothesis,
)
from speechkit.asr.guards import DOUBT, SILENCE, TEMPERATURES, fault, is_silence
from speechkit.asr.transcript import Dropped, Word
from speechkit.asr.windows import Window
from speechkit.asr.words import interpolate_words, place_words
from speechkit.errors import WeightsError
from speechkit.features import WHISPER_HOP, whisper_log_mel

SHORTEST_S = 8.0  # that the encoder sees; benchmarks/margin.py measures what it costs
TAIL_S = 1.0  # silence that the encoder sees after a window
UNSPACED = ("zh", "ja", "th", "lo", "my", "yue")  # written without spaces; as in whisper.tokenizer


@dataclass(frozen=True)
class Encoded:
    """Windows that went through the encoder together, and its states."""

    windows: tuple[Window, ...]
    states: Any
    full: bool


@dataclass(frozen=True)
class Reading:
    """What a window says.

    Attributes:
        words: with the spaces before them, in the time of the recording.
        confidence: exp of the mean log-probability of the tokens, 0 to 1.
        dropped: set when a guard took the words away.
    """

    words: tuple[Word, ...]
    confidence: float
    dropped: Dropped | None = None


class WindowReader:
    """Reads windows with an engine."""

    def __init__(self, engine: AsrEngine) -> None:
        self.engine = engine

    def encode(self, windows: Sequence[Window], full: bool = False) -> Encoded:
        """Encode windows, each with a tail of silence, or filled up to 30 s."""
        full = full or self.engine.full_windows
        frames = [WINDOW_FRAMES if full else _frames(window) for window in windows]
        samples = np.zeros((len(windows), max(frames) * WHISPER_HOP), np.float32)
        for row, window in zip(samples, windows, strict=True):
            length = min(len(window.samples), len(row))
            row[:length] = window.samples[:length]
        mel = whisper_log_mel(torch.from_numpy(samples), self.engine.n_mels)
        return Encoded(tuple(windows), self.engine.encode(mel, frames), full)

    def read(
        self, windows: Sequence[Window], options: DecodeOptions, encoded: Encoded | None = None
    ) -> list[Reading]:
        """The words of each window; `encoded` may hold these windows already encoded."""
        encoded = encoded or self.encode(windows)
        first = self.engine.decode(encoded.states, bounded(options, windows))
        placed = self.place(encoded, first, options)
        believed = (None,) if options.retry else (None, DOUBT)
        return [
            Reading(words, _confidence(hypothesis))
            if self._reason(hypothesis, window, options) in believed
            else self._read_again(window, hypothesis, encoded.full, options)
            for window, hypothesis, words in zip(windows, first, placed, strict=True)
        ]

    def place(
        self, encoded: Encoded, hypotheses: Sequence[Hypothesis], options: DecodeOptions
    ) -> list[tuple[Word, ...]]:
        """The words of each hypothesis with their times."""
        frames = [min(len(w.samples) // WHISPER_HOP, WINDOW_FRAMES) for w in encoded.windows]
        tokens = [h.tokens for h in hypotheses]
        aligned = self.engine.align(encoded.states, tokens, frames, options)
        spaced = is_spaced(options)
        placed = []
        for window, text, words in zip(encoded.windows, tokens, aligned, strict=True):
            if words:
                placed.append(place_words(words, window, spaced))
            else:
                placed.append(interpolate_words(self.text(text, options), window, spaced))
        return placed

    def text(self, tokens: Sequence[int], options: DecodeOptions) -> str:
        """The text that tokens spell, with its leading space."""
        tokenizer = self.engine.tokenizer(options.language, options.task)
        text: str = tokenizer.decode([token for token in tokens if token < tokenizer.eot])
        return text

    def _read_again(
        self, window: Window, first: Hypothesis, full: bool, options: DecodeOptions
    ) -> Reading:
        """A doubtful window in the full 30 s, then at rising temperatures, to the first good text.

        When none is good, the likeliest that does not repeat itself counts. An engine that can't draw
        from its weights has no temperatures.
        """
        tried = [first]
        reasons = [self._reason(first, window, options)]
        if reasons[0] == SILENCE or not options.retry:
            return self._without(window, first, str(reasons[0]), options)
        encoded = self.encode([window], full=True)
        for temperature in TEMPERATURES[1 if full else 0 :]:
            if reasons[-1] in (None, SILENCE):
                break
            hot = replace(options, temperature=temperature)
            try:
                tried.append(self.engine.decode(encoded.states, hot)[0])
            except WeightsError:
                if temperature == 0:
                    raise
                break
            reasons.append(self._reason(tried[-1], window, options))
        if reasons[-1] not in (None, SILENCE):
            best = max(range(len(tried)), key=lambda i: _merit(tried[i], reasons[i]))
            tried, reasons = [tried[best]], [reasons[best]]
        hypothesis, reason = tried[-1], reasons[-1]
        if reason in (None, DOUBT):
            return Reading(self.place(encoded, [hypothesis], options)[0], _confidence(hypothesis))
        return self._without(window, hypothesis, str(reason), options)

    def _without(
        self, window: Window, hypothesis: Hypothesis, reason: str, options: DecodeOptions
    ) -> Reading:
        """A window whose words are taken away."""
        text = self.text(hypothesis.tokens, options).strip()
        dropped = Dropped(window.start_s, window.end_s, text, reason) if text else None
        return Reading((), 0.0, dropped)

    def _reason(self, hypothesis: Hypothesis, window: Window, options: DecodeOptions) -> str | None:
        """Why the hypothesis is not believed; None when it is."""
        if is_silence(hypothesis, window.peak):
            return SILENCE
        return fault(hypothesis, self.text(hypothesis.tokens, options), window.speech_s)


def _merit(hypothesis: Hypothesis, reason: str | None) -> tuple[bool, float]:
    return reason == DOUBT, hypothesis.mean_log_probability


def _frames(window: Window) -> int:
    """How many frames of a window the encoder sees: an even number."""
    seconds = max(window.duration + TAIL_S, SHORTEST_S)
    return min(2 * round(seconds * FRAMES_PER_SECOND / 2), WINDOW_FRAMES)


def is_spaced(options: DecodeOptions) -> bool:
    """Whether the text is in a script that puts spaces between words."""
    return options.task == "translate" or options.language not in UNSPACED


def bounded(options: DecodeOptions, windows: Sequence[Window]) -> DecodeOptions:
    """The options with no more tokens than the longest window can be spoken in: a loop ends early."""
    longest = max(window.duration for window in windows)
    return replace(options, max_tokens=min(MAX_TOKENS, 32 + round(16 * longest)))


def _confidence(hypothesis: Hypothesis) -> float:
    return math.exp(min(0.0, hypothesis.mean_log_probability))
