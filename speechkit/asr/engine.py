"""What a Whisper engine does, and the data that passes through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

WINDOW_S = 30.0  # seconds that the encoder sees at most
WINDOW_FRAMES = 3000
FRAMES_PER_SECOND = 100  # of the log-mel spectrogram
TOKEN_S = 0.02  # one position of the encoder's output
MAX_TOKENS = 224  # that a window can hold: half of the decoder's context

# Punctuation that belongs to the word after it and before it, as in whisper.timing.
PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True)
class DecodeOptions:
    """How to turn encoded windows into tokens.

    Attributes:
        language: code such as "en"; must be known by then.
        task: "transcribe", or "translate" into English.
        prompt: tokens of earlier text that sets style and spelling; may be empty.
        prefix: tokens that the text begins with.
        temperature: 0 takes the likeliest; above 0 tokens are drawn.
        beam_size: hypotheses kept at temperature 0; 1 is greedy.
        max_tokens: where to stop.
        seed: of the draws.
        retry: whether a doubtful window is read again.
    """

    language: str
    task: str = "transcribe"
    prompt: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    temperature: float = 0.0
    beam_size: int = 1
    max_tokens: int = MAX_TOKENS
    seed: int = 0
    retry: bool = True


@dataclass(frozen=True)
class Hypothesis:
    """What the decoder wrote for one window.

    Attributes:
        tokens: of the text, its prefix included, without the start sequence and the end token.
        mean_log_probability: over the tokens and the end, natural logarithm.
        no_speech_probability: that the window holds no speech, 0 to 1.
    """

    tokens: tuple[int, ...]
    mean_log_probability: float
    no_speech_probability: float


@dataclass(frozen=True)
class TimedWord:
    """A word of a window: its text (with its leading space), tokens, and seconds in the window.

    Attributes:
        probability: mean of its tokens', punctuation apart.
        mark_probability: of the punctuation behind it, of several marks the one that ends a sentence; 1
            without any, or where one token spells word and mark.
    """

    text: str
    tokens: tuple[int, ...]
    start: float
    end: float
    probability: float
    mark_probability: float = 1.0


class AsrEngine(Protocol):
    """One Whisper model on arrays; the leading dimension is a batch of windows.

    Attributes:
        full_windows: whether the encoder takes windows of `WINDOW_FRAMES` only.
    """

    n_mels: int
    multilingual: bool
    languages: tuple[str, ...]
    full_windows: bool

    def tokenizer(self, language: str, task: str) -> Any:
        """openai-whisper's `Tokenizer` for this model."""

    def encode(self, mel: torch.Tensor, frames: Sequence[int] | None = None) -> Any:
        """Log-mel (batch, n_mels, frames) → the engine's own encoded windows.

        `frames` says how many of each window's frames matter (all of them if None); the others hold
        silence, and an engine may leave them out.
        """

    def detect_language(self, encoded: Any) -> list[dict[str, float]]:
        """For each window: language code → probability."""

    def decode(self, encoded: Any, options: DecodeOptions) -> list[Hypothesis]:
        """The text of each window, without timestamps."""

    def align(
        self,
        encoded: Any,
        tokens: Sequence[Sequence[int]],
        frames: Sequence[int],
        options: DecodeOptions,
    ) -> list[list[TimedWord]]:
        """Times of the words that each window's text tokens spell, in its first frames."""
