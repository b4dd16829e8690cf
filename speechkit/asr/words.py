"""Words of a window with their times, made whole, orderly, and kept out of pauses."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from speechkit.asr.engine import TimedWord
from speechkit.asr.transcript import Segment, Word
from speechkit.asr.windows import Window
from speechkit.marks import ENDS, WIDE_ENDS
from speechkit.vad import FRAME_S, SPEECH, Probabilities, speech_frames

MAX_PAUSE = 0.5  # seconds; no word lies in a longer one
SENTENCE_PAUSE = 0.8  # a longer silence between words ends a segment
SENTENCE_ENDS = tuple(ENDS + WIDE_ENDS)
CLOSING = "\"'”’»)]」』）"  # may follow the mark that ends a sentence
MIN_SENTENCE = 1.0  # seconds; a shorter one, such as "Mr.", goes on
_SLACK = FRAME_S  # speech is detected about a frame late


def place_words(aligned: list[TimedWord], window: Window, spaced: bool) -> tuple[Word, ...]:
    """The words of a window in the recording's time, with the spaces before them.

    Args:
        aligned: words as the attention places them, seconds in the window.
        window: they were read in.
        spaced: whether the script puts spaces between words.

    Times never go backwards, stay in the window, and leave out pauses of more than 0.5 s. A word that
    has no length in the alignment, or had to be moved out of its place there, is "interpolated".
    """
    duration = window.duration
    pauses = list(_pauses(window.speech, duration))
    words: list[Word] = []
    at = 0.0
    for word in _join_parts(aligned) if spaced else aligned:
        if not word.text.strip():
            continue
        begin, end = _out_of_pauses(word.start, word.end, pauses)
        begin = min(max(begin, at), duration)
        end = min(max(end, begin), duration)
        elsewhere = end <= word.start or begin >= word.end  # or it has no length
        source = "interpolated" if elsewhere else "aligned"
        start, stop = window.start_s + begin, window.start_s + end
        words.append(_word(word.text, start, stop, word.probability, source, word.mark_probability))
        at = end
    return tuple(words)


def interpolate_words(text: str, window: Window, spaced: bool) -> tuple[Word, ...]:
    """Words spread over a window in proportion to their letters, where there is no alignment."""
    parts = [f" {p}" for p in text.split()] if spaced else re.findall(r"\s*\S", text.strip())
    bounds = np.cumsum([0, *(len(part) for part in parts)])
    times = window.start_s + window.duration * bounds / max(1, bounds[-1])
    return tuple(
        _word(part, start, end, 0.0, "interpolated")
        for part, start, end in zip(parts, times[:-1], times[1:], strict=True)
    )


def _word(
    text: str, start: float, end: float, probability: float, source: str, mark: float = 1.0
) -> Word:
    times = round(float(start), 3), round(float(end), 3)
    return Word(text, *times, probability, source, mark_probability=mark)


def sentences(words: Iterable[Word]) -> Iterator[list[Word]]:
    """The words in groups that end with a sentence or before a pause."""
    group: list[Word] = []
    for word in words:
        if group and word.start - group[-1].end > SENTENCE_PAUSE:
            yield group
            group = []
        group.append(word)
        long_enough = word.end - group[0].start >= MIN_SENTENCE
        if long_enough and word.text.rstrip(CLOSING).endswith(SENTENCE_ENDS):
            yield group
            group = []
    if group:
        yield group


def segment_of(words: list[Word], confidence: float, with_words: bool) -> Segment:
    """A segment of these words, whose own spaces become its text's."""
    text = "".join(word.text for word in words).strip()
    bare = tuple(replace(word, text=word.text.strip()) for word in words if with_words)
    return Segment(words[0].start, words[-1].end, text, confidence, bare)


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
        joined[-1] = replace(
            word,
            text=head.text + word.text,
            tokens=tokens,
            start=head.start,
            probability=probability,
        )
    return joined


def _pauses(speech: Probabilities, duration: float) -> Iterator[tuple[float, float]]:
    """Start and end of each pause of more than 0.5 s, in seconds of the window.

    What lies before the first and behind the last speech is part of a pause however short it is here.
    """
    at = 0.0
    for first, after in speech_frames(speech, SPEECH, math.ceil(MAX_PAUSE / FRAME_S)):
        start = first * FRAME_S - _SLACK
        if start > at:
            yield at, start
        at = after * FRAME_S + _SLACK
    if 0 < at < duration:
        yield at, duration


def _out_of_pauses(
    start: float, end: float, pauses: list[tuple[float, float]]
) -> tuple[float, float]:
    """The longest part of [start, end] that lies in no pause; if there is none, the nearest edge."""
    parts = [(start, end)]
    for begin, stop in pauses:
        rest = []
        for a, b in parts:
            if b <= begin or a >= stop:
                rest.append((a, b))
            else:
                rest += [part for part in ((a, begin), (stop, b)) if part[1] > part[0]]
        parts = rest
    if parts:
        return max(parts, key=lambda part: part[1] - part[0])
    begin, stop = next(p for p in pauses if p[0] <= start <= p[1])
    edge = begin if start - begin < stop - end else stop
    return edge, edge
