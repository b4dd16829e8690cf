"""Turns of speakers: as data, as RTTM files, and joined to the words of a transcript."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from speechkit.asr.formats import timed_parts
from speechkit.asr.transcript import Segment, Transcript, Word
from speechkit.errors import InputError, SpeechkitError


@dataclass(frozen=True)
class Turn:
    """A stretch in which one voice speaks; turns of several voices may overlap.

    Attributes:
        start, end: seconds.
        speaker: "speaker 1" for the voice that is heard first, and so on.
        text: what was said, where that is known.
    """

    start: float
    end: float
    speaker: str
    text: str = ""


def write_rttm(turns: Iterable[Turn], path: str | os.PathLike[str], recording: str = "") -> Path:
    """Write turns as NIST's RTTM; spaces in names become underscores.

    Args:
        recording: its name in the file; the file's own name by default.

    Raises:
        SpeechkitError: the file can't be written.
    """
    target = Path(path)
    name = "_".join((recording or target.stem).split()) or "recording"
    lines = [
        f"SPEAKER {name} 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> "
        f"{'_'.join(turn.speaker.split())} <NA> <NA>\n"
        for turn in turns
    ]
    try:
        target.write_text("".join(lines), encoding="utf-8")
    except OSError as e:
        raise SpeechkitError(f"{target}: can't be written: {e}; choose another file") from e
    return target


def read_rttm(path: str | os.PathLike[str]) -> list[Turn]:
    """Read the turns of an RTTM file, whatever recording they belong to, in order.

    Raises:
        InputError: the file can't be read, or a line of it.
    """
    source, turns = Path(path), []
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{source}: can't be read: {e}; give an RTTM file") from e
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue  # other kinds of lines tell about other things
        try:
            start, length = float(fields[3]), float(fields[4])
            turns.append(Turn(start, start + length, fields[7]))
        except (IndexError, ValueError) as e:
            raise InputError(f"{source}: line {number} is not RTTM: {line[:60]!r}") from e
    return sorted(turns, key=lambda turn: (turn.start, turn.end))


def assign_speakers(transcript: Transcript, turns: Sequence[Turn]) -> Transcript:
    """The transcript with a speaker for each word, cut where the speaker changes.

    A word goes to the voice that speaks for most of it; without any, to the nearest turn. A segment
    without words is not cut.
    """
    segments: list[Segment] = []
    for segment in transcript.segments:
        if segment.words:
            segments += _cut(segment, turns)
        else:
            segments.append(replace(segment, speaker=_speaker_of(segment, turns)))
    return replace(transcript, segments=tuple(segments))


def _cut(segment: Segment, turns: Sequence[Turn]) -> Iterator[Segment]:
    """The segment in parts of one speaker each."""
    words = [replace(word, speaker=_speaker_of(word, turns)) for word in segment.words]
    texts = [part for part, _, _ in timed_parts(segment, segment.text)]
    for speaker, group in groupby(zip(words, texts, strict=True), lambda pair: pair[0].speaker):
        own, parts = zip(*group, strict=True)
        yield replace(
            segment,
            start=segment.start if own[0] is words[0] else own[0].start,
            end=segment.end if own[-1] is words[-1] else own[-1].end,
            text="".join(parts).strip(),
            words=own,
            speaker=speaker,
        )


def _speaker_of(part: Word | Segment, turns: Sequence[Turn]) -> str:
    """Who speaks between its start and its end."""
    if not turns:
        return ""
    shared: dict[str, float] = {}
    for turn in turns:
        common = min(part.end, turn.end) - max(part.start, turn.start)
        if common > 0:
            shared[turn.speaker] = shared.get(turn.speaker, 0.0) + common
    if shared:
        return max(shared, key=lambda name: shared[name])
    middle = (part.start + part.end) / 2
    return min(turns, key=lambda t: max(t.start - middle, middle - t.end)).speaker
