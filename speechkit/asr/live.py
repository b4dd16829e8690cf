"""Recognition of live audio: words as they become certain, then the whole utterance.

The words of an utterance are guessed anew every half second. A word is certain when two guesses in
a row agree on it and on all before it (local agreement: Liu et al. 2020, "Low-latency
sequence-to-sequence speech recognition and translation by partial hypothesis selection"; Macháček
et al. 2023, "Turning Whisper into real-time transcription system"). Later guesses begin with the words
that are certain, so those are never taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from speechkit.asr.engine import WINDOW_S, DecodeOptions, Hypothesis
from speechkit.asr.reader import Encoded, WindowReader, bounded
from speechkit.asr.transcript import Word
from speechkit.asr.windows import Cutting, Window, Windower
from speechkit.asr.words import segment_of
from speechkit.audio import Audio, Resampler, as_audio
from speechkit.decode import Samples
from speechkit.errors import AudioError
from speechkit.vad import SAMPLE_RATE

STEP_S = 0.5  # between guesses, at least
STEP_SHARE = 1 / 15  # of the utterance, since longer ones take longer to guess
LONGEST_S = 15.0  # an utterance that lasts longer is cut behind a certain word
PAUSE_S = 0.6  # ends an utterance
SURE_S = 3.0  # of an utterance, before a word is certain whose language is not settled

Frames: TypeAlias = Iterable[Audio | tuple[int, Any]]


@dataclass(frozen=True)
class LiveSegment:
    """What is known of an utterance.

    Attributes:
        text: the words that are certain; it only grows until `final`.
        pending: the guess at what follows, which may change; "" when `final`.
        start, end: of the utterance so far, seconds from the start of the stream.
        final: whether the utterance has ended: the next result belongs to another one.
        words: of the text with their times, when `final`.
        language: its code.
    """

    text: str
    pending: str
    start: float
    end: float
    final: bool
    words: tuple[Word, ...] = ()
    language: str = "en"


class LiveReader:
    """Follows one stream of speech: feed it samples; each call gives what became known by them."""

    def __init__(self, reader: WindowReader, options: DecodeOptions, language: str | None) -> None:
        """`language` None: it is detected in the first utterance that has words, and kept."""
        self._reader, self._engine = reader, reader.engine
        self._options, self._language = options, language
        self._windower = Windower(Cutting(max_window=WINDOW_S, max_pause=PAUSE_S))
        self._begin()

    def _begin(self) -> None:
        """Begin an utterance."""
        self._certain: tuple[int, ...] = ()  # tokens
        self._certain_language: str | None = None  # in which they were guessed
        self._last: list[list[int]] = []  # the last guess after them, in words
        self._guessed_s = 0.0  # length of the utterance at that guess

    def feed(self, samples: Samples) -> Iterator[LiveSegment]:
        """The next samples, 16 kHz."""
        for window in self._windower.feed(samples):
            yield self._finish(window)
        pending = self._windower.pending()
        if pending is None:
            return
        if pending.duration - self._guessed_s >= max(STEP_S, pending.duration * STEP_SHARE):
            yield self._guess(pending)
            if pending.duration > LONGEST_S and self._certain:
                yield self._cut(pending)

    def finish(self) -> Iterator[LiveSegment]:
        """The stream ends."""
        for window in self._windower.finish():
            yield self._finish(window)

    def _guess(self, window: Window) -> LiveSegment:
        """Guess the utterance so far; what the last guess said too is certain."""
        self._guessed_s = window.duration
        encoded, options = self._encode(window)
        hypothesis = self._engine.decode(encoded.states, bounded(options, [window]))[0]
        new = hypothesis.tokens[len(self._certain) :]
        words = self._words(new, options)
        agreed = 0
        for word, before in zip(words, self._last, strict=False):
            if word != before:
                break
            agreed += 1
        # What was said last may be half a word, and its full stop may be none.
        spoken = [i for i, word in enumerate(words) if self._is_word(word, options)]
        agreed = min(agreed, spoken[-1] if spoken else 0)
        if self._language is None and window.duration < SURE_S:
            agreed = 0
        self._certain += tuple(token for word in words[:agreed] for token in word)
        if self._certain:
            self._certain_language = options.language
        self._last = words[agreed:]
        text = self._reader.text(self._certain, options).strip()
        pending = self._reader.text([t for word in self._last for t in word], options).strip()
        start, end = window.start_s, window.end_s
        return LiveSegment(text, pending, start, end, False, (), options.language)

    def _finish(self, window: Window) -> LiveSegment:
        """The whole utterance."""
        encoded, options = self._encode(window)
        reading = self._reader.read([window], options, encoded)[0]
        words = reading.words
        if not words:  # a guard took all, but some of it has been given away
            words = self._place(encoded, options)
        if words:
            self._language = options.language
        self._begin()
        return _final(words, window, options)

    def _cut(self, window: Window) -> LiveSegment:
        """End a long utterance behind its last certain word."""
        encoded, options = self._encode(window)
        words = self._place(encoded, options)
        taken = self._windower.cut(words[-1].end if words else window.end_s)
        self._language = options.language
        self._begin()
        return _final(words, taken, options)

    def _encode(self, window: Window) -> tuple[Encoded, DecodeOptions]:
        """The window encoded, and the options to read it with."""
        encoded = self._reader.encode([window])
        language = self._language or self._certain_language
        if language is None:
            probabilities = self._engine.detect_language(encoded.states)[0]
            language = max(probabilities, key=lambda code: probabilities[code])
        return encoded, replace(self._options, language=language, prefix=self._certain)

    def _place(self, encoded: Encoded, options: DecodeOptions) -> tuple[Word, ...]:
        """The certain words with their times."""
        certain = Hypothesis(self._certain, 0.0, 0.0)
        return self._reader.place(encoded, [certain], options)[0] if self._certain else ()

    def _words(self, tokens: tuple[int, ...], options: DecodeOptions) -> list[list[int]]:
        tokenizer = self._engine.tokenizer(options.language, options.task)
        words: list[list[int]] = tokenizer.split_to_word_tokens(list(tokens))[1]
        return words

    def _is_word(self, tokens: list[int], options: DecodeOptions) -> bool:
        return any(letter.isalnum() for letter in self._reader.text(tokens, options))


def _final(words: tuple[Word, ...], window: Window, options: DecodeOptions) -> LiveSegment:
    if not words:
        return LiveSegment("", "", window.start_s, window.end_s, True, (), options.language)
    whole = segment_of(list(words), 1.0, with_words=True)
    return LiveSegment(whole.text, "", whole.start, whole.end, True, whole.words, options.language)


def at_16_khz(frames: Frames) -> Iterator[Samples]:
    """Pieces of audio as 16 kHz samples, resampled as one signal.

    Raises:
        AudioError: a piece that isn't audio, or another sample rate than that of the first.
    """
    resampler, first = None, 0
    for piece in frames:
        audio = as_audio(piece)
        if resampler is None:
            resampler, first = Resampler(audio.sample_rate, SAMPLE_RATE), audio.sample_rate
        if audio.sample_rate != first:
            raise AudioError(
                f"the stream changes from {first} to {audio.sample_rate} Hz; begin a new stream"
            )
        yield resampler.feed(audio.samples)
    if resampler:
        yield resampler.finish()
