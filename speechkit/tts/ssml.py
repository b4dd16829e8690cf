"""SSML, the W3C's Speech Synthesis Markup Language 1.1 → passages of text, each spoken in one way.

    parse_ssml('<speak>One <break time="1s"/> <prosody rate="fast">two.</prosody></speak>', say_as)

The text is read by expat as a stream, with a list for a stack: its depth and length have no limit
but memory. A document type is refused before anything in it is read, so no entity is ever expanded
and no file or address ever opened. Prefixes and namespaces are ignored.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from xml.parsers import expat

from speechkit.errors import InputError
from speechkit.tts.ssml_values import (
    MAX_BREAK_S,
    MAX_VOLUME_DB,
    RATES,
    break_seconds,
    decibels,
    rate_factor,
)
from speechkit.tts.text import split

log = logging.getLogger("speechkit")

SayAs = Callable[[str, str, str], str]

MAX_SILENCE_S = 3600.0  # of all pauses together: a short text can ask for weeks

_REPLACED = {"say-as", "sub", "phoneme", "metadata"}  # something else is said than what they hold
_PLAIN = {"speak", "w", "token", "desc", "meta"}  # what they hold is said, and nothing is lost
_MAX_NAMED = 10  # unsupported features that the warning names

_CLOSING = ".!?…。！？"
_QUOTES = "\"'”’»)"
_LEADING_MARKS = re.compile(r"[.,;:!?…。，！？]+(?=\s|$)")
_MAX_SHORT = 9  # characters of a short form with its full stop
_TAIL = 16  # characters from which the end of a sentence is known

_ADVICE = {
    expat.errors.XML_ERROR_INVALID_TOKEN: "& must be written &amp; and < must be written &lt;",
    expat.errors.XML_ERROR_UNDEFINED_ENTITY: "write the character itself, & as &amp;",
    expat.errors.XML_ERROR_TAG_MISMATCH: "close each element before the one around it",
    expat.errors.XML_ERROR_NO_ELEMENTS: "close every element; the last is </speak>",
    expat.errors.XML_ERROR_UNCLOSED_TOKEN: "close every element; the last is </speak>",
    expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT: "put all of the text into one <speak> element",
}


@dataclass(frozen=True)
class Passage:
    """A stretch of text spoken in one way.

    Attributes:
        text: paragraphs are separated by an empty line; phonemes may stand in it as [[IPA]]. Empty
            only where silence comes before the first word.
        rate: factor of the speed.
        volume_db: louder by so much; minus infinity is silence.
        pause_s: silence after it, besides the usual pause after a sentence.
        ends_paragraph: whether a paragraph ends with it.
    """

    text: str
    rate: float = 1.0
    volume_db: float = 0.0
    pause_s: float = 0.0
    ends_paragraph: bool = field(default=False, compare=False)


def is_ssml(text: str) -> bool:
    """Whether the first thing in `text`, after XML declaration and comments, is a speak element."""
    at, space = 0, re.compile(r"[\ufeff\s]*")
    while True:
        at = match.end() if (match := space.match(text, at)) else at
        if text.startswith("<?", at):
            closed = text.find("?>", at)
        elif text.startswith("<!--", at):
            closed = text.find("-->", at)
        else:
            break
        if closed < 0:
            return False
        at = closed + 2 + (text[closed] == "-")
    if text.startswith("<!DOCTYPE", at):
        return "<speak" in text  # to be refused, not to be read aloud
    return re.compile(r"<(?:[\w.-]{1,40}:)?speak[\s/>]").match(text, at) is not None


def parse_ssml(text: str, say_as: SayAs) -> list[Passage]:
    """Read SSML.

    Rates and volumes that stand inside each other are multiplied and added, words as well as
    numbers. What can't be done (pitch, emphasis, other voices, sounds ...) is named in one warning,
    and what such elements hold is spoken plainly.

    Args:
        text: a speak element.
        say_as: writes out what a say-as element holds; called with the text, interpret-as, and
            format or else detail, "" for none.

    Raises:
        InputError: names line and column of what is no SSML, of a document type, or of a value that
            is not allowed.
    """
    body = text.lstrip("\ufeff \t\r\n")
    lines_before = text[: len(text) - len(body)].count("\n")
    reader = _Reader(say_as)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True

    def located(handler: Callable[..., None]) -> Callable[..., None]:
        def handle(*given: Any) -> None:
            try:
                handler(*given)
            except InputError as e:
                line, column = parser.CurrentLineNumber, parser.CurrentColumnNumber
                raise InputError(f"{_place(line + lines_before, column)}: {e}") from e

        return handle

    parser.StartDoctypeDeclHandler = located(_refuse_doctype)
    parser.StartElementHandler = located(reader.start)
    parser.EndElementHandler = located(reader.end)
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(body.encode("utf-8", "ignore"), True)
    except expat.ExpatError as e:
        what = expat.ErrorString(e.code)
        do = _ADVICE.get(what, "give well-formed XML")
        raise InputError(f"{_place(e.lineno + lines_before, e.offset)}: {what}; {do}") from e
    if reader.unsupported:
        log.warning(
            "SSML: not supported and left out, the text is spoken: %s",
            ", ".join(reader.unsupported),
        )
    return reader.passages()


def _place(line: int, column: int) -> str:
    return f"SSML line {line}, column {column + 1}"


def _refuse_doctype(*_: object) -> None:
    raise InputError("a document type (<!DOCTYPE ...>) is not allowed; remove it")


@dataclass
class _Run:
    """A passage in the making. Its last part never is one of several spaces in a row."""

    rate: float
    volume_db: float
    parts: list[str] = field(default_factory=list)
    pause_s: float = 0.0

    def space(self) -> None:
        if self.parts and not self.parts[-1][-1].isspace():
            self.parts.append(" ")

    def tail(self) -> str:
        """The last `_TAIL` characters and a few more."""
        found: list[str] = []
        length = 0
        for part in reversed(self.parts):
            found.append(part[-_TAIL:])
            length += len(found[-1])
            if length > _TAIL:
                break
        return "".join(reversed(found))

    def end_with(self, mark: str) -> None:
        """Put `mark` right after the last character that is no space."""
        while self.parts and self.parts[-1].isspace():
            self.parts.pop()
        if self.parts:
            self.parts[-1] = self.parts[-1].rstrip() + mark

    def passage(self) -> Passage:
        text = re.sub(" +", " ", "".join(self.parts))
        text = re.sub(r" ?\n\s*", "\n\n", text)
        pause_s, ends = min(self.pause_s, MAX_BREAK_S), text.endswith("\n\n")
        return Passage(text.strip(), self.rate, self.volume_db, pause_s, ends)


@dataclass
class _Held:
    """An element whose text is collected and then replaced."""

    depth: int
    say: Callable[[str], str]
    parts: list[str] = field(default_factory=list)


class _Reader:
    """Takes what the XML parser finds and makes runs of text of it."""

    def __init__(self, say_as: SayAs) -> None:
        self.unsupported: dict[str, None] = {}  # in the order of the text
        self._say_as = say_as
        self._open: list[tuple[str, float, float]] = []  # name, rate and volume around it
        self._rate, self._volume_db = 1.0, 0.0
        self._runs: list[_Run] = []
        self._held: _Held | None = None
        self._silence_s = 0.0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local(tag)
        given = {_local(key): value.strip() for key, value in attributes.items()}
        if not self._open and name != "speak":
            raise InputError(f"the outermost element is <{tag[:40]}>; it must be <speak>")
        self._open.append((name, self._rate, self._volume_db))
        if self._held:
            return
        if name in _REPLACED:
            self._held = _Held(len(self._open), _replacement(name, given, self._say_as))
        elif name == "p":
            self._end_paragraph()
        elif name == "s":
            self._end_sentence()
        elif name == "break":
            self._break(given)
        elif name == "prosody":
            self._prosody(given)
        elif name not in _PLAIN:
            self._warn(name)

    def end(self, _: str) -> None:
        depth = len(self._open)
        name, rate, volume_db = self._open.pop()
        if self._held:
            if depth == self._held.depth:
                held, self._held = self._held, None
                self.characters(held.say("".join(held.parts)))
            return
        self._rate, self._volume_db = rate, volume_db
        if name == "p":
            self._end_paragraph()
        elif name == "s":
            self._end_sentence()

    def characters(self, text: str) -> None:
        if self._held:
            self._held.parts.append(text)
            return
        text = re.sub(r"\s+", " ", text)
        last = self._runs[-1] if self._runs else None
        if last and last.parts and not self._continues(last):
            marks = _LEADING_MARKS.match(text)
            if marks:  # they close what was said before, in its way
                last.end_with(marks[0])
                text = text[marks.end() :]
        if not text.strip():
            if text and last:
                last.space()
        elif last and self._continues(last):
            last.parts.append(text)
        else:
            self._runs.append(_Run(self._rate, self._volume_db, [text]))

    def passages(self) -> list[Passage]:
        return [run.passage() for run in self._runs]

    def _continues(self, run: _Run) -> bool:
        same = (run.rate, run.volume_db) == (self._rate, self._volume_db)
        return same and not run.pause_s

    def _end_sentence(self) -> None:
        if not self._runs or not (tail := self._runs[-1].tail()).strip() or tail.endswith("\n"):
            return
        run, tail = self._runs[-1], tail.rstrip()
        if not tail.rstrip(_QUOTES).endswith(tuple(_CLOSING)):
            run.end_with(".")
            tail += "."
        if _cuts(tail.split()[-1]):
            run.space()
        else:
            run.end_with("\n\n")

    def _end_paragraph(self) -> None:
        if self._runs and not self._runs[-1].tail().endswith("\n"):
            self._runs[-1].end_with("\n\n")

    def _break(self, given: dict[str, str]) -> None:
        seconds = break_seconds(given)
        self._silence_s += seconds
        if self._silence_s > MAX_SILENCE_S:
            raise InputError(f"the breaks add up to more than {MAX_SILENCE_S:g} s; shorten them")
        if seconds and not self._runs:
            self._runs.append(_Run(self._rate, self._volume_db))
        if seconds:
            self._runs[-1].pause_s += seconds

    def _prosody(self, given: dict[str, str]) -> None:
        low, high = RATES
        if "rate" in given:
            self._rate = min(max(self._rate * rate_factor(given["rate"]), low), high)
        if "volume" in given:
            self._volume_db = min(self._volume_db + decibels(given["volume"]), MAX_VOLUME_DB)
        for name in given.keys() - {"rate", "volume"}:
            self._warn(f"prosody {name}")

    def _warn(self, name: str) -> None:
        if len(self.unsupported) < _MAX_NAMED:
            self.unsupported[name[:40]] = None


def _cuts(word: str) -> bool:
    """Whether the text is cut into sentences after this last word; after "St." it would not be."""
    return not word.endswith(".") or len(word) > _MAX_SHORT or _cuts_after(word)


@lru_cache(maxsize=4096)
def _cuts_after(word: str) -> bool:
    return split(f"{word} Next one.")[-1] == "Next one."


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _replacement(name: str, given: dict[str, str], say_as: SayAs) -> Callable[[str], str]:
    """What is said instead of the text of one of the `_REPLACED` elements."""
    if name == "metadata":
        return lambda text: ""
    if name == "sub":
        alias = _needed(name, given, "alias")
        return lambda text: _spaced(text, alias)
    if name == "phoneme":
        alphabet, ipa = given.get("alphabet", "ipa"), _needed(name, given, "ph")
        if alphabet.lower() != "ipa":
            raise InputError(f"phoneme alphabet={alphabet[:40]!r}; only ipa is known")
        if "[" in ipa or "]" in ipa:
            raise InputError(f"phoneme ph={ipa[:40]!r}; give IPA without brackets")
        return lambda text: _spaced(text, f"[[{' '.join(ipa.split())}]]")
    kind = _needed(name, given, "interpret-as")
    detail = given.get("format") or given.get("detail", "")

    def written_out(text: str) -> str:
        plain = " ".join(text.split())
        return _spaced(text, say_as(plain, kind, detail)) if plain else text

    return written_out


def _spaced(text: str, said: str) -> str:
    """`said` with a space where the `text` that it stands for has one at its ends."""
    return " " * text[:1].isspace() + said + " " * text[-1:].isspace()


def _needed(name: str, given: dict[str, str], attribute: str) -> str:
    if not given.get(attribute):
        raise InputError(f'<{name}> without {attribute}; write <{name} {attribute}="...">')
    return given[attribute]
