"""Windows of speech in, their words out: batches, the encoder's cut, the guards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from speechkit.asr.engine import (
    FRAMES_PER_SECOND,
    MAX_TOKENS,
    WINDOW_FRAMES,
    AsrEngine,
    DecodeOptions,
    Hypothesis,
    TimedWord,
)
from speechkit.asr.guards import TEMPERATURES, fault, is_silence
from speechkit.asr.transcript import Dropped, Segment
from speechkit.asr.windows import Window
from speechkit.asr.words import interpolate_words, place_words, segment_of, sentences
from speechkit.features import WHISPER_HOP, whisper_log_mel

TAIL_S = 1.0  # silence that the encoder sees after a window; see docs/python.md for what it costs
UNSPACED = ("zh", "ja", "th", "lo", "my", "yue")  # written without spaces; as in whisper.tokenizer


@dataclass(frozen=True)
class Encoded:
    """Windows that went through the encoder together."""

    windows: tuple[Window, ...]
    states: Any
    full: bool


class WindowReader:
    """Reads windows with an engine."""

    def __init__(self, engine: AsrEngine) -> None:
        self.engine = engine

    def encode(self, windows: Sequence[Window], full: bool = False) -> Encoded:
        """Encode windows, padded with silence to the longest of them and a tail, or to 30 s."""
        full = full or self.engine.full_windows
        longest = max(len(window.samples) for window in windows) // WHISPER_HOP
        frames = longest + int(TAIL_S * FRAMES_PER_SECOND)
        frames = WINDOW_FRAMES if full else min(frames + frames % 2, WINDOW_FRAMES)
        length = frames * WHISPER_HOP
        samples = torch.zeros(len(windows), length)
        for row, window in zip(samples, windows, strict=True):
            row[: len(window.samples)] = torch.from_numpy(window.samples[:length])
        mel = whisper_log_mel(samples, self.engine.n_mels)
        return Encoded(tuple(windows), self.engine.encode(mel), full)

    def read(
        self,
        windows: Sequence[Window],
        options: DecodeOptions,
        words: bool,
        encoded: Encoded | None = None,
    ) -> list[list[Segment | Dropped]]:
        """The segments of each window and what the guards took out of it.

        `encoded` may hold these windows already encoded.
        """
        encoded = encoded or self.encode(windows)
        tokenizer = self.engine.tokenizer(options.language, options.task)
        first = self.engine.decode(encoded.states, _bounded(options, windows))
        texts = [self._text(h, tokenizer) for h in first]
        doubted = [
            i for i, (h, text) in enumerate(zip(first, texts, strict=True)) if fault(h, text)
        ]
        good = [i for i in range(len(windows)) if i not in doubted]
        results: list[list[Segment | Dropped]] = [[] for _ in windows]
        aligned = self._align(encoded, first, options)
        for i in good:
            results[i] = self._segments(windows[i], first[i], aligned[i], options, words)
        for i in doubted:
            results[i] = self._read_again(windows[i], first[i], encoded.full, options, words)
        return results

    def _read_again(
        self,
        window: Window,
        first: Hypothesis,
        full: bool,
        options: DecodeOptions,
        words: bool,
    ) -> list[Segment | Dropped]:
        """A doubtful window in the full 30 s, then at rising temperatures, to the first good text.

        When none is good, the likeliest that does not repeat itself counts.
        """
        tokenizer = self.engine.tokenizer(options.language, options.task)
        encoded = self.encode([window], full=True)
        tried = [first] if full else []
        for temperature in TEMPERATURES[len(tried) :]:
            hypothesis = self.engine.decode(
                encoded.states, replace(options, temperature=temperature)
            )[0]
            tried.append(hypothesis)
            if is_silence(hypothesis) or not fault(hypothesis, self._text(hypothesis, tokenizer)):
                break
        last = tried[-1]
        if not is_silence(last) and fault(last, self._text(last, tokenizer)):
            last = max(tried, key=lambda h: _merit(h, self._text(h, tokenizer)))
        text = self._text(last, tokenizer)
        reason = "no speech" if is_silence(last) else fault(last, text)
        if text and reason in ("no speech", "repetition"):
            return [Dropped(window.start_s, window.start_s + window.duration, text, reason)]
        aligned = self._align(encoded, [last], options)[0]
        return self._segments(window, last, aligned, options, words)

    def _text(self, hypothesis: Hypothesis, tokenizer: Any) -> str:
        text: str = tokenizer.decode([t for t in hypothesis.tokens if t < tokenizer.eot])
        return text.strip()

    def _align(
        self, encoded: Encoded, hypotheses: Sequence[Hypothesis], options: DecodeOptions
    ) -> list[list[TimedWord]]:
        """The words of each hypothesis with their places in its window."""
        frames = [min(len(w.samples) // WHISPER_HOP, WINDOW_FRAMES) for w in encoded.windows]
        tokens = [h.tokens for h in hypotheses]
        return self.engine.align(encoded.states, tokens, frames, options)

    def _segments(
        self,
        window: Window,
        hypothesis: Hypothesis,
        aligned: list[TimedWord],
        options: DecodeOptions,
        words: bool,
    ) -> list[Segment | Dropped]:
        tokenizer = self.engine.tokenizer(options.language, options.task)
        spaced = is_spaced(options)
        placed = place_words(aligned, window.speech, window.start_s, window.duration, spaced)
        if not placed and (text := self._text(hypothesis, tokenizer)):
            parts = [f" {part}" for part in text.split()] if spaced else list(text)
            placed = interpolate_words(parts, window.start_s, window.start_s + window.duration)
        confidence = math.exp(min(0.0, hypothesis.mean_log_probability))
        return [segment_of(group, confidence, words) for group in sentences(placed)]


def is_spaced(options: DecodeOptions) -> bool:
    """Whether the text is in a script that puts spaces between words."""
    return options.task == "translate" or options.language not in UNSPACED


def _merit(hypothesis: Hypothesis, text: str) -> tuple[bool, float]:
    return fault(hypothesis, text) != "repetition", hypothesis.mean_log_probability


def _bounded(options: DecodeOptions, windows: Sequence[Window]) -> DecodeOptions:
    """The options with no more tokens than the longest window can be spoken in: a loop ends early."""
    longest = max(window.duration for window in windows)
    return replace(options, max_tokens=min(MAX_TOKENS, 32 + round(16 * longest)))
