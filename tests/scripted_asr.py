"""Stand-ins for recognition's models: words that are tones, and an engine and a detector that hear them.

Word n is three tones of 0.1 s, its octal digits, each digit in a band of its own. `signal` puts words
and silences together; `ScriptedEngine` reads them off the log-mel, knows where each of them is, and
says them or whatever a script makes of them.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit.asr import Transcriber, Transcript
from speechkit.asr.engine import DecodeOptions, Hypothesis, TimedWord
from speechkit.features import whisper_log_mel
from speechkit.vad import FRAME

RATE = 16_000
TONE_S, GAP_S = 0.1, 0.1
WORD_S = 3 * TONE_S
# Every second mel band from 1 kHz on, where bands are wider than the tones' own width.
TONES_HZ = 1000 * np.exp(0.0384 * 2 * np.arange(24))


class AmplitudeDetector:
    """Takes the largest sample of a frame for the probability of speech."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        signal = np.concatenate([self._rest, samples])
        whole = len(signal) // FRAME * FRAME
        self._rest = signal[whole:]
        return np.abs(signal[:whole]).reshape(-1, FRAME).max(axis=1, initial=0)

    def finish(self) -> NDArray[np.float32]:
        missing = -len(self._rest) % FRAME
        return self.feed(np.zeros(missing, np.float32))


def signal(*parts: int | float | Sequence[int]) -> NDArray[np.float32]:
    """Words (int, or several in a list) 0.1 s apart, and silences (float, seconds)."""
    pieces = [np.zeros(0, np.float32)]
    for part in parts:
        if isinstance(part, float):
            pieces.append(np.zeros(round(part * RATE), np.float32))
        else:
            for word in [part] if isinstance(part, int) else part:
                pieces += [_word(word), np.zeros(round(GAP_S * RATE), np.float32)]
    return np.concatenate(pieces)


def places(*parts: int | float | Sequence[int]) -> list[tuple[int, float, float]]:
    """Each word of `signal(*parts)` and the seconds at which it begins and ends."""
    found, at = [], 0.0
    for part in parts:
        if isinstance(part, float):
            at += round(part * RATE) / RATE
        else:
            for word in [part] if isinstance(part, int) else part:
                found.append((word, at, at + WORD_S))
                at += WORD_S + GAP_S
    return found


def spread(*words: int) -> list[int | float]:
    """Parts for `signal` in which each word has a window of its own."""
    return [part for word in words for part in (word, 2.0)]


def text(*words: int) -> str:
    """What the engine says when it hears these words."""
    return " ".join(f"w{word}" for word in words)


def words_in(said: str) -> list[int]:
    """The numbers of the words in a text; -1 for what is not one of them."""
    return [int(w[1:]) if re.fullmatch(r"w\d+", w) else -1 for w in said.split()]


def babble(rng: random.Random, seconds: float, pauses: Sequence[float]) -> list[int | float]:
    """Parts for `signal`: random words for so long, with random pauses among them."""
    parts: list[int | float] = []
    while sum(part if isinstance(part, float) else WORD_S + GAP_S for part in parts) < seconds:
        parts.append(rng.randrange(512) if rng.random() < 0.8 else rng.choice(pauses))
    return parts


@dataclass(frozen=True)
class Heard:
    """A word in a window: its text, and seconds in the window."""

    text: str
    start: float
    end: float


Window = tuple[Heard, ...]
Script = Callable[[Window, DecodeOptions], Hypothesis]


def say(said: str, log_probability: float = -0.2, no_speech: float = 0.01) -> Hypothesis:
    """A hypothesis of this text."""
    tokens = tokenizer("en", "transcribe").encode(" " + said if said else "")
    return Hypothesis(tuple(tokens), log_probability, no_speech)


def repeat(window: Window, options: DecodeOptions) -> Hypothesis:
    """The script of a good model: what it heard, from behind the prefix on."""
    known = tokenizer("en", "transcribe").decode(list(options.prefix)).split()
    rest = "".join(" " + heard.text for heard in window[len(known) :])
    tokens = tuple(tokenizer("en", "transcribe").encode(rest))
    return Hypothesis((*options.prefix, *tokens), -0.2, 0.01)


class ScriptedEngine:
    """Hears the words in a signal and says what the script makes of them.

    Attributes:
        calls: what was heard in each window that was decoded, and the options.
        batches: how many windows were decoded at once.
        detected: how many times a language was asked for.
        mark: probability of the punctuation mark behind each word.
    """

    n_mels = 80

    def __init__(
        self,
        script: Script = repeat,
        multilingual: bool = True,
        full_windows: bool = False,
        likely: Callable[[Window], dict[str, float]] | None = None,
    ) -> None:
        self.script, self.multilingual, self.full_windows = script, multilingual, full_windows
        self.languages = ("en", "de", "ja") if multilingual else ("en",)
        self.likely = likely or (lambda _: {"en": 0.2, "ja": 0.1, "de": 0.7})
        self.calls: list[tuple[str, DecodeOptions]] = []
        self.batches: list[int] = []
        self.detected = 0
        self.mark = 1.0
        self._lock = threading.Lock()

    def tokenizer(self, language: str, task: str) -> Any:
        return tokenizer(language, task)

    def encode(self, mel: torch.Tensor, frames: Sequence[int] | None = None) -> list[Window]:
        """What is heard in the frames that matter."""
        assert mel.shape[1] == 80
        lengths = frames or [mel.shape[2]] * len(mel)
        allowed = [3000] if self.full_windows else range(2, 3001, 2)
        assert all(length in allowed for length in (*lengths, mel.shape[2]))
        return [hear(own[:, :n].numpy()) for own, n in zip(mel, lengths, strict=True)]

    def detect_language(self, encoded: list[Window]) -> list[dict[str, float]]:
        self.detected += 1
        return [self.likely(window) for window in encoded]

    def decode(self, encoded: list[Window], options: DecodeOptions) -> list[Hypothesis]:
        with self._lock:
            self.calls += [(" ".join(h.text for h in window), options) for window in encoded]
            self.batches.append(len(encoded))
        return [self.script(window, options) for window in encoded]

    def align(
        self,
        encoded: list[Window],
        tokens: Sequence[Sequence[int]],
        frames: Sequence[int],
        options: DecodeOptions,
    ) -> list[list[TimedWord]]:
        """The n-th word lies where the n-th word was heard; what is left, behind the last of them."""
        split = self.tokenizer(options.language, options.task).split_to_word_tokens
        aligned = []
        for window, own, length in zip(encoded, tokens, frames, strict=True):
            assert 0 <= length <= 3000
            words, parts = split(list(own))
            last = window[-1].end if window else 0.0
            places = [(h.start, h.end) for h in window] + [(last, last)] * len(words)
            aligned.append(
                [
                    TimedWord(word, tuple(part), *place, 0.9, self.mark)
                    for word, part, place in zip(words, parts, places, strict=False)
                ]
            )
        return aligned


def read(engine: ScriptedEngine, *parts: int | float | Sequence[int], **options: Any) -> Transcript:
    """The transcript of a signal, in English unless the options say otherwise."""
    options = {"language": "en", **options}
    return Transcriber(engine, "scripted").transcribe((RATE, signal(*parts)), **options)


@lru_cache
def tokenizer(language: str, task: str) -> Any:
    from whisper.tokenizer import get_tokenizer

    return get_tokenizer(True, num_languages=99, language=language, task=task)


def hear(mel: NDArray[np.float32]) -> Window:
    """The words in a log-mel (80, frames); half a word is "t" or "h" and the digits heard of it."""
    loud = mel.max(axis=0) > mel.min() + 1.0  # four decades above the floor
    codes = np.where(loud, _band_of_tone()[mel.argmax(axis=0)], -1)
    edges = np.flatnonzero(np.diff(codes, prepend=-2, append=-2))
    runs = [
        (int(codes[a]), int(a) / 100, int(b) / 100)
        for a, b in itertools.pairwise(edges)
        if codes[a] >= 0 and b - a >= 4
    ]
    heard: list[Heard] = []
    at = 0
    while at < len(runs):
        group = [runs[at]]
        while at + len(group) < len(runs) and runs[at + len(group)][0] // 8 > group[-1][0] // 8:
            group.append(runs[at + len(group)])
        digits = "".join(str(code % 8) for code, _, _ in group)
        name = f"w{int(digits, 8)}" if len(group) == 3 else f"h{digits}"
        heard.append(Heard(name, group[0][1], group[-1][2]))
        at += len(group)
    return tuple(heard)


def _word(number: int) -> NDArray[np.float32]:
    digits = (number // 64, number // 8 % 8, number % 8)
    t = np.arange(round(TONE_S * RATE)) / RATE
    tones = [0.99 * np.sin(2 * np.pi * TONES_HZ[8 * i + d] * t) for i, d in enumerate(digits)]
    return np.concatenate(tones).astype(np.float32)


@lru_cache(maxsize=1)
def _band_of_tone() -> NDArray[np.int64]:
    """Mel band → the number of the tone in it or next to it."""
    t = np.arange(RATE // 2) / RATE
    tones = np.sin(2 * np.pi * TONES_HZ[:, None] * t).astype(np.float32)
    bands = whisper_log_mel(torch.from_numpy(tones)).mean(dim=2).argmax(dim=1).numpy()
    assert np.all(np.diff(bands) >= 2)
    return np.abs(np.arange(80)[:, None] - bands).argmin(axis=1)
