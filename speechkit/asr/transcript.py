"""What recognition returns, and the file formats it can be written in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from speechkit.errors import InputError

FORMATS = ("txt", "srt", "vtt", "tsv", "json")


@dataclass(frozen=True)
class Word:
    """One word with its punctuation.

    Attributes:
        text: the word, without spaces around it.
        start, end: seconds from the start of the recording.
        probability: mean probability of its tokens, 0 to 1.
        source: "aligned" when the times come from the model's attention, "interpolated" when they
            were filled in between neighbours.
    """

    text: str
    start: float
    end: float
    probability: float
    source: str = "aligned"


@dataclass(frozen=True)
class Segment:
    """A stretch of speech, about a sentence.

    Attributes:
        start, end: seconds from the start of the recording.
        text: what was said.
        confidence: exp of the mean log-probability of the tokens in its window, 0 to 1.
        words: with their times, when they were asked for.
    """

    start: float
    end: float
    text: str
    confidence: float
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A stretch in which the model wrote something that a guard did not believe.

    Attributes:
        start, end: seconds from the start of the recording.
        text: what was removed.
        reason: why.
    """

    start: float
    end: float
    text: str
    reason: str


@dataclass(frozen=True)
class Transcript:
    """The words of a recording.

    Attributes:
        text: all that was said.
        language: its code, such as "en".
        duration: of the recording, in seconds.
        segments: in order.
        dropped: what the guards removed, in order.
        language_probability: 1 when the language was given.
    """

    text: str
    language: str
    duration: float
    segments: tuple[Segment, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    language_probability: float = 1.0

    def to(self, format: str) -> str:
        """The transcript as "txt", "srt", "vtt", "tsv" (milliseconds) or "json".

        Raises:
            InputError: another format.
        """
        if format == "txt":
            return "".join(f"{segment.text}\n" for segment in self.segments)
        if format == "srt":
            return "".join(
                f"{i}\n{_clock(s.start, ',')} --> {_clock(s.end, ',')}\n{_srt_text(s.text)}\n\n"
                for i, s in enumerate(self.segments, 1)
            )
        if format == "vtt":
            cues = (
                f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n{_vtt_text(s.text)}\n\n"
                for s in self.segments
            )
            return "WEBVTT\n\n" + "".join(cues)
        if format == "tsv":
            rows = (
                f"{round(s.start * 1000)}\t{round(s.end * 1000)}\t{_one_line(s.text)}\n"
                for s in self.segments
            )
            return "start\tend\ttext\n" + "".join(rows)
        if format == "json":
            return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"
        raise InputError(f"format {format!r} is unknown; choose one of {', '.join(FORMATS)}")

    def save(self, path: str | Path) -> Path:
        """Write the transcript in the format that the name's ending says; returns the path.

        Raises:
            InputError: an unknown ending, or a place that can't be written to.
        """
        path = Path(path)
        content = self.to(path.suffix.lstrip(".").lower())
        try:
            path.write_text(content, encoding="utf-8")
        except OSError as e:
            raise InputError(f"{path}: can't be written: {e.strerror}; choose another place") from e
        return path


def settle_words(words: Iterable[Word], start: float, end: float) -> tuple[Word, ...]:
    """Word times made orderly: inside [start, end], never going backwards.

    A word whose times had to be moved more than 0.1 s, or that has no length, is "interpolated".
    """
    settled: list[Word] = []
    at = start
    for word in words:
        new_start = min(max(word.start, at), end)
        new_end = min(max(word.end, new_start), end)
        moved = max(abs(new_start - word.start), abs(new_end - word.end)) > 0.1
        source = "interpolated" if moved or new_end == new_start else word.source
        settled.append(replace(word, start=new_start, end=new_end, source=source))
        at = new_end
    return tuple(settled)


def _clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds, as subtitles write them."""
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _srt_text(text: str) -> str:
    """SubRip knows no escapes, and an arrow would end the cue: it is made shorter."""
    return re.sub("-{2,}>", "->", _one_line(text))


def _vtt_text(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _one_line(escaped)
