"""`Transcriber`: a recording of any length in, its words out, above any Whisper engine.

The recording is read in windows of 30 s. Each window is decoded with timestamps; the next one starts
where the last complete segment ended, as in openai-whisper's `transcribe` (Radford et al. 2022, §3.8)
with `condition_on_previous_text=False`. It differs from that in these points: a window in which every
sample lies below -80 dB of full scale is skipped (Whisper hears " you" in digital silence), a rest of
less than 0.1 s at the end is left out, the prompt is given to each window, and asking for words does
not change the text or the segments.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from speechkit.asr.engine import (
    FRAMES_PER_SECOND,
    TOKEN_S,
    WINDOW_FRAMES,
    WINDOW_S,
    AsrEngine,
    DecodeOptions,
    Hypothesis,
    TimedWord,
)
from speechkit.asr.transcript import Dropped, Segment, Transcript, Word, settle_words
from speechkit.audio import SILENCE, Audio, AudioSource, Limits, load_audio
from speechkit.errors import AudioError, InputError
from speechkit.features import whisper_log_mel
from speechkit.runtime import check_seed

SAMPLE_RATE = 16_000
FRAME = SAMPLE_RATE // FRAMES_PER_SECOND  # samples that a frame of the log-mel moves on
MIN_S = 0.1  # shorter recordings hold no word
UNSPACED = ("zh", "ja", "th", "lo", "my", "yue")  # written without spaces; as in whisper.tokenizer
TASKS = ("transcribe", "translate")

# openai-whisper's thresholds for a window that went wrong, and the temperatures it tries then.
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MAX_COMPRESSION_RATIO = 2.4  # text that compresses better repeats itself
MIN_LOG_PROBABILITY = -1.0
MAX_NO_SPEECH = 0.6


@dataclass(frozen=True)
class _Window:
    """Thirty seconds under work: where it starts, how much of it is recording, its encoding."""

    start_s: float
    frames: int
    encoded: Any
    options: DecodeOptions


@dataclass(frozen=True)
class _Piece:
    """A segment as the decoder marked it: seconds in its window, and its text tokens."""

    start: float
    end: float
    tokens: tuple[int, ...]


class Transcriber:
    """Speech recognition with Whisper.

    Attributes:
        name: the model's name.
        engine: what runs it.
    """

    def __init__(self, engine: AsrEngine, name: str) -> None:
        self.engine = engine
        self.name = name

    def transcribe(
        self,
        source: AudioSource,
        *,
        language: str | None = None,
        task: str = "transcribe",
        words: bool = False,
        prompt: str = "",
        beam_size: int = 1,
        seed: int = 0,
        limits: Limits | None = None,
        progress: Callable[[float, float], object] | None = None,
    ) -> Transcript:
        """Recognise the words of a recording.

        Args:
            source: whatever `load_audio` takes: a path, bytes, a file, (rate, array), an `Audio`.
            language: code such as "en"; when None, detected in the first 30 s that aren't silent.
            task: "transcribe", or "translate" into English.
            words: also time each word.
            prompt: text that sets style and spelling, such as names to expect.
            beam_size: hypotheses kept while decoding; 1 is greedy, 5 slower and a little better.
            seed: of the draws that a window needs when the first attempts fail.
            limits: on the size of the recording.
            progress: called with the seconds done and the seconds in all.

        Raises:
            AudioError: audio that can't be read, or shorter than 0.1 s.
            InputError: an unknown language or task, a beam size below 1, or a seed out of range.
        """
        language = self._check(language, task, beam_size, seed)
        audio = load_audio(source, SAMPLE_RATE, limits=limits or Limits())
        if audio.duration < MIN_S:
            raise AudioError(
                f"the audio is {audio.duration:.3f} s long; give at least {MIN_S} s of speech"
            )
        mel = whisper_log_mel(
            torch.tensor(audio.samples),
            self.engine.n_mels,
            padding=int(WINDOW_S * SAMPLE_RATE),
        )
        if language is None:
            probabilities = self._language_probabilities(mel[:, _first_sound(audio) // FRAME :])
            language = max(probabilities, key=lambda code: probabilities[code])
        options = DecodeOptions(
            language, task, self._prompt_tokens(prompt, language, task), 0.0, beam_size, seed
        )
        items = list(self._segments(mel, audio, options, words, progress))
        segments = tuple(item for item in items if isinstance(item, Segment))
        dropped = tuple(item for item in items if isinstance(item, Dropped))
        text = ("" if _unspaced(options) else " ").join(segment.text for segment in segments)
        return Transcript(text, language, audio.duration, segments, dropped)

    def detect_language(self, source: AudioSource) -> dict[str, float]:
        """Language code → probability, from the first 30 s that aren't silent; likeliest first.

        Raises:
            AudioError: audio that can't be read.
        """
        audio = load_audio(source, SAMPLE_RATE)
        start, padding = _first_sound(audio), int(WINDOW_S * SAMPLE_RATE)
        samples = torch.tensor(audio.samples[start : start + padding])
        probabilities = self._language_probabilities(
            whisper_log_mel(samples, self.engine.n_mels, padding=padding)
        )
        return dict(sorted(probabilities.items(), key=lambda item: -item[1]))

    def warm_up(self) -> None:
        """Recognise a window of nothing, so that the first real call is as quick as the next."""
        encoded = self.engine.encode(torch.zeros(1, self.engine.n_mels, WINDOW_FRAMES))
        self.engine.detect_language(encoded)
        self.engine.decode(encoded, DecodeOptions("en"))

    def _language_probabilities(self, mel: torch.Tensor) -> dict[str, float]:
        return self.engine.detect_language(self.engine.encode(mel[None, :, :WINDOW_FRAMES]))[0]

    def _check(self, language: str | None, task: str, beam_size: int, seed: int) -> str | None:
        if task not in TASKS:
            raise InputError(f"task {task!r} is unknown; choose {' or '.join(TASKS)}")
        check_seed(seed)
        if beam_size < 1:
            raise InputError(f"beam_size is {beam_size}; give 1 or more")
        if not self.engine.multilingual and task == "translate":
            raise InputError(f"model {self.name} knows English only; use base to translate")
        if language is None:
            return None if self.engine.multilingual else "en"
        language = language.lower()
        if language not in self.engine.languages:
            known = ", ".join(self.engine.languages)
            raise InputError(f"model {self.name} has no language {language!r}; it has {known}")
        return language

    def _prompt_tokens(self, prompt: str, language: str, task: str) -> tuple[int, ...]:
        if not prompt.strip():
            return ()
        tokenizer = self.engine.tokenizer(language, task)
        # A marker such as <|endoftext|> is text here: it must not steer the decoder.
        return tuple(tokenizer.encode(" " + prompt.strip(), disallowed_special=()))

    def _segments(
        self,
        mel: torch.Tensor,
        audio: Audio,
        options: DecodeOptions,
        words: bool,
        progress: Callable[[float, float], object] | None,
    ) -> Iterator[Segment | Dropped]:
        """Window after window; each starts where the last complete segment ended."""
        total = mel.shape[-1] - WINDOW_FRAMES  # the log-mel ends with a window of silence
        seek = 0
        while seek < total:
            frames = min(WINDOW_FRAMES, total - seek)
            samples = audio.samples[seek * FRAME : (seek + frames) * FRAME]
            if float(np.abs(samples).max()) < SILENCE:
                seek += frames
            else:
                part = mel[:, seek : seek + frames]
                part = torch.nn.functional.pad(part, (0, WINDOW_FRAMES - frames))
                encoded = self.engine.encode(part[None])
                window = _Window(seek / FRAMES_PER_SECOND, frames, encoded, options)
                items, done = self._read_window(window, audio.duration, words)
                yield from items
                seek += done
            if total - seek < MIN_S * FRAMES_PER_SECOND:
                seek = total
            if progress:
                progress(min(seek / FRAMES_PER_SECOND, audio.duration), audio.duration)

    def _read_window(
        self, window: _Window, duration: float, words: bool
    ) -> tuple[list[Segment | Dropped], int]:
        """The window's segments (or what was dropped), and how many frames of it are done."""
        tokenizer = self.engine.tokenizer(window.options.language, window.options.task)
        hypothesis = self._decode(window, tokenizer)
        pieces, done = _cut(hypothesis.tokens, tokenizer, window.frames)
        window_end = min(window.start_s + window.frames / FRAMES_PER_SECOND, duration)
        if _is_silence(hypothesis):
            text = tokenizer.decode([t for p in pieces for t in p.tokens]).strip()
            silence = Dropped(window.start_s, window_end, text, "no speech")
            return ([silence] if text else []), window.frames
        timed = self._time_words(window, pieces) if words else [[] for _ in pieces]
        confidence = math.exp(min(0.0, hypothesis.mean_log_probability))
        segments: list[Segment | Dropped] = []
        for piece, piece_words in zip(pieces, timed, strict=True):
            end = min(window.start_s + piece.end, window_end)
            start = min(window.start_s + piece.start, end)
            text = tokenizer.decode(list(piece.tokens)).strip()
            if text:
                moved = (
                    Word(
                        w.text.strip(),
                        w.start + window.start_s,
                        w.end + window.start_s,
                        w.probability,
                    )
                    for w in piece_words
                )
                segments.append(
                    Segment(start, end, text, confidence, settle_words(moved, start, end))
                )
        return segments, done

    def _decode(self, window: _Window, tokenizer: Any) -> Hypothesis:
        """Decode greedily; when the text repeats itself or is unlikely, at rising temperatures."""
        for temperature in TEMPERATURES:
            options = replace(window.options, temperature=temperature)
            hypothesis = self.engine.decode(window.encoded, options)[0]
            text = tokenizer.decode([t for t in hypothesis.tokens if t < tokenizer.eot]).strip()
            sound = hypothesis.mean_log_probability >= MIN_LOG_PROBABILITY
            if _is_silence(hypothesis) or (sound and _compression(text) <= MAX_COMPRESSION_RATIO):
                break
        return hypothesis

    def _time_words(self, window: _Window, pieces: list[_Piece]) -> list[list[TimedWord]]:
        """The timed words of each piece: the window is aligned at once, then shared out."""
        tokens = [token for piece in pieces for token in piece.tokens]
        aligned = iter(self.engine.align(window.encoded, tokens, window.frames, window.options))
        shared: list[list[TimedWord]] = []
        owed = 0  # tokens that earlier pieces took too many
        for piece in pieces:
            taken: list[TimedWord] = []
            owed += len(piece.tokens)
            while owed > 0 and (word := next(aligned, None)):
                taken.append(word)
                owed -= len(word.tokens)
            shared.append(taken if _unspaced(window.options) else _join_parts(taken))
        return _after_pauses(shared)


def _cut(tokens: tuple[int, ...], tokenizer: Any, frames: int) -> tuple[list[_Piece], int]:
    """Cut a window's tokens at its timestamps.

    Returns:
        The pieces, and how many of the window's frames they cover. Text after the last pair of
        timestamps is cut off by the window: it is read again, whole, in the next one.
    """
    timestamp_begin: int = tokenizer.timestamp_begin
    stamps = [i for i, token in enumerate(tokens) if token >= timestamp_begin]
    pairs = [i for i in stamps if i > 0 and tokens[i - 1] >= timestamp_begin]
    closes = bool(stamps) and stamps[-1] == len(tokens) - 1 and stamps[-1] not in pairs
    window_s = frames / FRAMES_PER_SECOND

    def seconds(token: int) -> float:
        return min(max(0, token - timestamp_begin) * TOKEN_S, window_s)

    if not pairs:
        text = tuple(token for token in tokens if token < tokenizer.eot)
        start = seconds(tokens[0]) if stamps and stamps[0] == 0 else 0.0
        end = seconds(tokens[stamps[-1]]) if stamps and stamps[-1] > 0 else window_s
        return [_Piece(start, max(start, end), text)] if text else [], frames

    pieces, begin = [], 0
    for at in [*pairs, len(tokens)] if closes else pairs:
        part = tokens[begin:at]
        text = tuple(token for token in part if token < tokenizer.eot)
        if text:
            pieces.append(_Piece(seconds(part[0]), seconds(part[-1]), text))
        begin = at
    done = frames if closes else round(seconds(tokens[begin - 1]) * FRAMES_PER_SECOND)
    return pieces, done if done > 0 else frames


def _unspaced(options: DecodeOptions) -> bool:
    """Whether the text is in a script that puts no spaces between words."""
    return options.task == "transcribe" and options.language in UNSPACED


def _join_parts(words: list[TimedWord]) -> list[TimedWord]:
    """Words that Whisper's alignment took apart, such as " well", "-known", made whole again."""
    joined: list[TimedWord] = []
    for word in words:
        if not joined or word.text.startswith(" "):
            joined.append(word)
            continue
        head = joined[-1]
        tokens = head.tokens + word.tokens
        probability = (
            head.probability * len(head.tokens) + word.probability * len(word.tokens)
        ) / len(tokens)
        joined[-1] = TimedWord(head.text + word.text, tokens, head.start, word.end, probability)
    return joined


def _after_pauses(pieces: list[list[TimedWord]]) -> list[list[TimedWord]]:
    """Pieces whose first words follow a pause, without the pause, which attention counts to them.

    The rule of openai-whisper's `add_word_timestamps`: they last at most twice the median word.
    """
    durations = [w.end - w.start for words in pieces for w in words if w.end > w.start]
    median = min(0.7, float(np.median(durations))) if durations else 0.0
    heard_until, tightened = 0.0, []
    for words in pieces:
        if words and words[0].end - heard_until > 4 * median:
            words = _tighten(words, 2 * median)
        heard_until = words[-1].end if words else heard_until
        tightened.append(words)
    return tightened


def _tighten(words: list[TimedWord], longest: float) -> list[TimedWord]:
    """The same words; the first, and the second if it is too long as well, last `longest` seconds."""
    first, rest = words[0], words[1:]
    both = rest[0].end - first.start if rest else 0.0
    if first.end - first.start <= longest and both <= 2 * longest:
        return words
    if rest and rest[0].end - rest[0].start > longest:
        boundary = rest[0].end - longest
        first, rest[0] = replace(first, end=boundary), replace(rest[0], start=boundary)
    return [replace(first, start=max(first.start, first.end - longest)), *rest]


def _first_sound(audio: Audio) -> int:
    """The first sample that isn't silence; 0 when all are."""
    return int(np.argmax(np.abs(audio.samples) >= SILENCE))


def _is_silence(hypothesis: Hypothesis) -> bool:
    return (
        hypothesis.no_speech_probability > MAX_NO_SPEECH
        and hypothesis.mean_log_probability < MIN_LOG_PROBABILITY
    )


def _compression(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0
