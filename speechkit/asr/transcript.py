"""What recognition returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from speechkit.asr.formats import write
from speechkit.errors import InputError


@dataclass(frozen=True)
class Word:
    """One word with its punctuation.

    Attributes:
        text: the word, without spaces around it.
        start, end: seconds from the start of the recording.
        probability: mean probability of its tokens, 0 to 1, punctuation apart.
        mark_probability: of the punctuation mark behind it, 0 to 1; 1 without one, or where it is not
            known apart from the word. That of a full stop is low where the voice does not sound as if a
            sentence ended there.
        source: "aligned" when the times come from the model's attention, "interpolated" when they
            were filled in between neighbours.
        speaker: who says it, where that was asked for.
    """

    text: str
    start: float
    end: float
    probability: float
    source: str = "aligned"
    speaker: str = ""
    mark_probability: float = 1.0


@dataclass(frozen=True)
class Segment:
    """A stretch of speech, about a sentence.

    Attributes:
        start, end: seconds from the start of the recording.
        text: what was said.
        confidence: exp of the mean log-probability of the tokens in its window, 0 to 1.
        words: with their times, when they were asked for.
        speaker: who says it, where that was asked for.
    """

    start: float
    end: float
    text: str
    confidence: float
    words: tuple[Word, ...] = ()
    speaker: str = ""

    def later(self, seconds: float) -> Segment:
        """The segment with its words, `seconds` later."""
        words = tuple(replace(w, start=w.start + seconds, end=w.end + seconds) for w in self.words)
        return replace(self, start=self.start + seconds, end=self.end + seconds, words=words)


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
        language: its code, such as "en"; that too when nothing was heard and none was given.
        duration: of the recording, in seconds.
        segments: in order.
        dropped: what the guards removed, in order.
        language_probability: 1 when the language was given, 0 when nothing was heard to tell it by.
    """

    text: str
    language: str
    duration: float
    segments: tuple[Segment, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    language_probability: float = 1.0

    def to(self, format: str, *, line_length: int | None = None, lines: int = 2) -> str:
        """The transcript as "txt", "srt", "vtt", "tsv" (milliseconds) or "json".

        Subtitles (srt, vtt) have a cue for each segment. With a `line_length`, in characters, segments
        are cut at words into cues of at most `lines` such lines; timed words make the cuts exact.
        Speakers, where they are known, stand before the text; in srt on a line of their own.

        Raises:
            InputError: another format, or a length or number of lines below 1.
        """
        return write(self, format, line_length, lines)

    def save(self, path: str | Path, *, line_length: int | None = None, lines: int = 2) -> Path:
        """Write the transcript in the format that the name's ending says; returns the path.

        Raises:
            InputError: what `to` raises, an unknown ending, or a place that can't be written to.
        """
        path = Path(path)
        format = path.suffix.lstrip(".").lower()
        content = self.to(format, line_length=line_length, lines=lines)
        try:
            path.write_text(content, encoding="utf-8")
        except OSError as e:
            raise InputError(f"{path}: can't be written: {e.strerror}; choose another place") from e
        return path
