"""Text → sentences that a voice can speak one at a time."""

from __future__ import annotations

import re
import unicodedata

from speechkit.marks import ENDS, WIDE_ENDS

MAX_SENTENCE = 400  # characters: keeps the memory that one sentence takes small
MAX_WORD = 40  # letters in a row: espeak says no more of a word than fits its buffer

_ABBREVIATION = re.compile(
    r"mr|mrs|ms|dr|prof|sr|jr|st|vs|etc|e\.g|i\.e|dept|est|inc|ltd|co|mt", re.IGNORECASE
)
_BEFORE_NUMBER = re.compile(
    r"nos?|vol|fig|approx|jan|feb|mar|apr|aug|sept?|oct|nov|dec", re.IGNORECASE
)
# After a single letter these begin a sentence: "Plan B. It works." but "George W. Bush".
_STARTER = re.compile(
    r"an?|and|as|at|but|he|here|his|how|if|in|its?|my|not?|now|on|or|our|she|so|that|the|their|then|"
    r"there|these|they|this|those|to|we|what|when|where|which|who|why|yes|your?|I",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")  # "J", "U.S", "a.m"
# The lookbehind lets a run of marks be tried from its first mark only, so time stays linear.
_SENTENCE_END = re.compile(rf"(?<![{ENDS}])[{ENDS}]+[\"'”’)\]]*(?=\s)|[{WIDE_ENDS}]|\n\s*\n")
# espeak ends a clause at the full stop of a title or an initial, and the voice would pause there.
_TITLE_STOP = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|[B-Z])\.(?=\s+\w)")
_LONG_WORD = re.compile(rf"(\w{{{MAX_WORD}}})(?=\w)")
_SPACED_HYPHEN = re.compile(r"(?<=[^\W\d])\s+--?\s+(?=[^\W\d])")  # a dash, not a minus sign
# Brackets and quotes are never spoken, and the voices were not trained on them.
_UNSPOKEN = str.maketrans(dict.fromkeys('"“”„«»*_`~|<>^\\', " ") | dict.fromkeys("()[]{}", ", "))


def split(text: str) -> list[str]:
    """Cut `text` into sentences, as they are written.

    A full stop after an abbreviation or an initial ends nothing. Letters come out composed (Unicode
    NFC) and digits of all scripts as 0 to 9, as espeak reads them.
    """
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit[0])), text)
    found, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        before = text[max(start, match.start() - 50) : match.start()]
        after = text[match.end() : match.end() + 50]
        if match[0].startswith(".") and _is_abbreviation(before, after):
            continue
        found.append(text[start : match.end()])
        start = match.end()
    found.append(text[start:])
    return [piece.strip() for piece in found if piece.strip()]


def tidy(sentence: str) -> list[str]:
    """The sentence without unspoken marks, cut into parts of at most `MAX_SENTENCE` characters.

    It is cut at clause marks, else at spaces; words longer than `MAX_WORD` are cut too.
    """
    cleaned = _clean(sentence)
    return _cut(cleaned) if cleaned else []


def _is_abbreviation(before: str, after: str) -> bool:
    """Whether the full stop between these two bits of text belongs to a short form."""
    last = before.split()[-1:]
    word = last[0].lstrip("(\"'“‘") if last else ""
    follower = (after.split() or [""])[0]
    if _ABBREVIATION.fullmatch(word):
        return True
    if _BEFORE_NUMBER.fullmatch(word):
        return follower[:1].isdigit()
    if not _LETTERS.fullmatch(word) or word in ("a", "I"):
        return False
    if follower[:1].islower() or follower[:1].isdigit():
        return True
    return word[-1].isupper() and not _STARTER.fullmatch(follower.strip(",;:!?"))


def _clean(piece: str) -> str:
    piece = _SPACED_HYPHEN.sub(", ", piece)
    piece = " ".join(_TITLE_STOP.sub(r"\1", piece.translate(_UNSPOKEN)).split())
    piece = re.sub(r"\s+([,.;:!?])", r"\1", _LONG_WORD.sub(r"\1 ", piece))
    return re.sub(r"[,;:]+([,.;:!?])", r"\1", piece).strip(" ,;:")


def _cut(sentence: str) -> list[str]:
    parts, start = [], 0
    while len(sentence) - start > MAX_SENTENCE:
        head = sentence[start : start + MAX_SENTENCE]
        at = max(head.rfind(mark) for mark in (", ", "; ", ": "))
        at = at + 1 if at > 0 else head.rfind(" ")
        at = at if at > 0 else MAX_SENTENCE
        parts.append(head[:at].strip())
        start += at
        start += sentence.startswith(" ", start)  # spaces stand alone: `_clean` saw to that
    rest = sentence[start:].strip()
    return [*parts, rest] if rest else parts
