"""Transcripts as files: plain text, SubRip, WebVTT, tab-separated values, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from speechkit.errors import InputError

if TYPE_CHECKING:
    from speechkit.asr.transcript import Segment, Transcript

FORMATS = ("txt", "srt", "vtt", "tsv", "json")
SHORTEST_S = 0.001  # players refuse a cue that ends as it begins


@dataclass(frozen=True)
class Cue:
    """What is on the screen at once: seconds, one or more lines, and who says it, if known."""

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str = ""


def write(transcript: Transcript, format: str, line_length: int | None, lines: int) -> str:
    """The transcript in a format; see `Transcript.to`."""
    if format not in FORMATS:
        raise InputError(f"format {format!r} is unknown; choose one of {', '.join(FORMATS)}")
    if (line_length is not None and line_length < 1) or lines < 1:
        raise InputError(f"line_length={line_length}, lines={lines}; give 1 or more of each")
    segments = transcript.segments
    if format == "txt":
        return "".join(f"{_named(segment)}\n" for segment in segments)
    if format == "json":
        return json.dumps(asdict(transcript), ensure_ascii=False, indent=2) + "\n"
    if format == "tsv":
        rows = (f"{round(s.start * 1000)}\t{round(s.end * 1000)}\t{_named(s)}\n" for s in segments)
        return "start\tend\ttext\n" + "".join(rows)
    cues = [
        replace(cue, end=max(cue.end, cue.start + SHORTEST_S), speaker=_one_line(segment.speaker))
        for segment in segments
        for cue in cues_of(segment, line_length, lines)
    ]
    if format == "srt":
        return "".join(
            f"{i}\n{_clock(c.start, ',')} --> {_clock(c.end, ',')}\n{_srt_text(c)}\n\n"
            for i, c in enumerate(cues, 1)
        )
    return "WEBVTT\n\n" + "".join(
        f"{_clock(c.start, '.')} --> {_clock(c.end, '.')}\n{_vtt_text(c)}\n\n" for c in cues
    )


def cues_of(segment: Segment, line_length: int | None, lines: int) -> Iterator[Cue]:
    """The segment as cues of at most `lines` lines of `line_length` characters.

    Words are kept whole unless one is longer than a line. Without timed words, times are shared out
    by the number of characters.
    """
    text = _one_line(segment.text)
    if line_length is None or not text:
        yield Cue(segment.start, segment.end, (text,))
        return
    done: list[str] = []
    line, start, end = "", segment.start, segment.start
    for part, part_start, part_end in _parts(segment, text, line_length):
        if line and len((line + part).strip()) > line_length:
            done.append(line.strip())
            line = ""
            if len(done) == lines:
                yield Cue(start, end, tuple(done))
                done, start = [], part_start
        line, end = line + part, part_end
    yield Cue(start, max(end, segment.end), (*done, line.strip()))


def _parts(segment: Segment, text: str, line_length: int) -> Iterator[tuple[str, float, float]]:
    """Words with the spaces before them and their times; parts of words that are too long."""
    for part, start, end in timed_parts(segment, text):
        pieces = [part[i : i + line_length] for i in range(0, len(part), line_length)]
        if len(part.strip()) <= line_length:
            pieces = [part]
        step = (end - start) / len(pieces)
        for i, piece in enumerate(pieces):
            yield piece, start + i * step, start + (i + 1) * step


def timed_parts(segment: Segment, text: str) -> Iterator[tuple[str, float, float]]:
    """The text in words that join to it, with their times."""
    at = 0
    if segment.words:
        for i, word in enumerate(segment.words):
            found = text.find(word.text, at)
            stop = found + len(word.text) if found >= 0 else at
            stop = len(text) if i == len(segment.words) - 1 else stop
            yield text[at:stop], word.start, word.end
            at = stop
        return
    rate = (segment.end - segment.start) / len(text)
    for match in re.finditer(r"\s*\S+", text):
        a, b = match.span()
        yield match[0], segment.start + a * rate, segment.start + b * rate


def _clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds, as subtitles write them."""
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _named(segment: Segment) -> str:
    """The text, after who says it."""
    text = _one_line(segment.text)
    return f"{_one_line(segment.speaker)}: {text}" if segment.speaker else text


def _srt_text(cue: Cue) -> str:
    """SubRip knows no escapes, and an arrow would end the cue: it is made shorter."""
    text = "\n".join([f"{cue.speaker}:"] * bool(cue.speaker) + list(cue.lines))
    return re.sub("-{2,}>", "->", text)


def _vtt_text(cue: Cue) -> str:
    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return f"<v {escaped(cue.speaker)}>" * bool(cue.speaker) + escaped("\n".join(cue.lines))
