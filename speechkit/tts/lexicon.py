"""A pronunciation lexicon: how to say words that the rules of the language get wrong.

    Lexicon({"Nguyen": "/wɪn/", "NASA": "[[nˈæsə]]", "SQL": "sequel"}).apply("Nguyen of NASA")

What is replaced is a whole word or a row of words. Each place of the text is looked up in a tree of
the entries' words, so the time grows with the text alone, however many entries there are.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from speechkit.errors import InputError
from speechkit.tts.inline import INLINE
from speechkit.tts.scripts import joined_marks

MAX_WORD = 100  # characters of one entry
_SUFFIX = re.compile(r"['’](?!s(?!\w))\w", re.IGNORECASE)  # "don" is no word of its own in "don't"


@dataclass
class _Node:
    """A place in the tree of words: where one more token leads, and what ends here."""

    next: dict[str, _Node] = field(default_factory=dict)
    exact: dict[str, str] = field(default_factory=dict)  # as written: spelling
    any_case: str | None = None  # spelling


class Lexicon:
    """Words and how they are said.

    Case counts only for entries with a capital after their first letter: "NASA" leaves "Nasa" alone,
    "read" also stands for "Read" and "READ". Where several entries fit, the longest is taken, then
    the one with the exact case; of two alike, the later.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        """Build the lexicon.

        Args:
            entries: word or words → another spelling, or phonemes as "[[IPA]]" or "/IPA/".

        Raises:
            InputError: an entry with an empty or too long word, or without a usable spelling.
        """
        self._root = _Node()
        self._count = 0
        for word, spelling in entries.items():
            self._add(word, spelling)

    @classmethod
    def read(cls, path: str | Path) -> Lexicon:
        """Read a UTF-8 file: a JSON object, or lines of a word, a tab and its spelling.

        Empty lines and lines that begin with # say nothing.

        Raises:
            InputError: names the file and line of what can't be read.
        """
        lexicon = cls({})
        for place, word, spelling in _entries(Path(path)):
            try:
                lexicon._add(word, spelling)
            except InputError as e:
                raise InputError(f"{place}: {e}") from e
        return lexicon

    def __len__(self) -> int:
        return self._count

    def apply(self, text: str) -> str:
        """`text` with every word of the lexicon replaced, once: replacements are not looked at.

        A word may be followed by 's. What stands in [[...]] is left alone.
        """
        tokens: list[str] = _tokens().findall(text)
        keys = [_key(token) for token in tokens]
        out, i, before = [], 0, ""
        while i < len(tokens):
            length, spelling = self._longest(tokens, keys, i, before)
            out.append(spelling if length else tokens[i])
            i += max(length, 1)
            before = tokens[i - 1]
        return "".join(out)

    def _longest(
        self, tokens: list[str], keys: list[str], start: int, before: str
    ) -> tuple[int, str]:
        """How many tokens from `start` an entry covers, and its spelling; (0, "") for no entry."""
        if not _is_word(tokens[start]) and before and _is_word(before):
            return 0, ""  # ".NET" is no word of its own in "ASP.NET"
        best, spelling, node, i = 0, "", self._root, start
        while i < len(tokens) and (step := node.next.get(keys[i])):
            node, i = step, i + 1
            found = node.exact.get(_as_written(tokens[start:i])) if node.exact else None
            found = node.any_case if found is None else found
            if found is not None and _ends_word(tokens, i):
                best, spelling = i - start, found
        return best, spelling

    def _add(self, word: object, spelling: object) -> None:
        if not isinstance(word, str) or not word.strip():
            raise InputError("an entry without a word; give a word and its spelling")
        word = " ".join(unicodedata.normalize("NFC", word).split())
        if len(word) > MAX_WORD:
            raise InputError(f"a word of {len(word)} characters; {MAX_WORD} are the most")
        if INLINE.search(word):
            raise InputError(f"the word {word!r} holds phonemes; they belong to the spelling")
        said = _spelling(word, spelling)
        node = self._root
        tokens = _tokens().findall(word)
        for token in tokens:
            node = node.next.setdefault(_key(token), _Node())
        letters = [c for c in word if c.isalpha()]
        if any(c.isupper() for c in letters[1:]):
            written = _as_written(tokens)
            self._count += written not in node.exact
            node.exact[written] = said
        else:
            self._count += node.any_case is None
            node.any_case = said


def _spelling(word: str, spelling: object) -> str:
    """What is written in place of `word`; "/IPA/" becomes "[[IPA]]"."""
    if not isinstance(spelling, str) or not spelling.strip():
        raise InputError(
            f"{word!r} has no spelling; give other letters, or phonemes as [[IPA]] or /IPA/"
        )
    said = " ".join(spelling.split())
    if len(said) > 2 and said[0] == said[-1] == "/":
        said = f"[[{said[1:-1].strip()}]]"
    if "[[" in INLINE.sub("", said):
        raise InputError(f"{word!r}: {spelling.strip()!r} is not phonemes; write them as [[IPA]]")
    return said


@lru_cache(maxsize=1)
def _tokens() -> re.Pattern[str]:
    """Inline phonemes, words, spaces, single other characters; each Han or Hiragana sign is a word.

    A word's combining marks and joiners belong to it, which `\\w` alone doesn't know.
    """
    sign = "\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
    letter = f"(?:(?![{sign}])\\w|[{joined_marks()}])"
    return re.compile(rf"{INLINE.pattern.replace('(', '(?:')}|[{sign}]|{letter}+|\s+|[^\w\s]")


@lru_cache(maxsize=1 << 14)
def _key(token: str) -> str:
    """What tokens have in common that differ only in case, in composition or in kind of space."""
    return " " if token.isspace() else unicodedata.normalize("NFC", token.casefold())


def _as_written(tokens: list[str]) -> str:
    """The tokens in one composition and with single spaces; case is kept."""
    return " ".join(unicodedata.normalize("NFC", "".join(tokens)).split())


def _is_word(token: str) -> bool:
    return token[-1].isalnum() or token[0].isalnum() or "_" in (token[0], token[-1])


def _ends_word(tokens: list[str], end: int) -> bool:
    """Whether a word that is made of the tokens before `end` ends there."""
    if end == len(tokens):
        return True
    if not _is_word(tokens[end - 1]):
        return not _is_word(tokens[end])
    return not _SUFFIX.match("".join(tokens[end : end + 2]))


def _entries(path: Path) -> Iterator[tuple[str, object, object]]:
    """The entries of a file: (where it stands, word, spelling)."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as e:
        raise InputError(f"{path} cannot be read: {e.strerror}; give a lexicon file") from e
    except UnicodeDecodeError as e:
        number = data.count(b"\n", 0, e.start) + 1
        raise InputError(f"{path}, line {number}: not UTF-8; save the file as UTF-8") from e
    if path.suffix == ".json" or text.lstrip().startswith("{"):
        yield from ((str(path), word, said) for word, said in _json_object(path, text).items())
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = re.split(r"\t+", line.strip())
        if len(fields) != 2:
            raise InputError(
                f"{path}, line {number}: {len(fields)} fields; write a word, a tab, its spelling"
            )
        yield f"{path}, line {number}", fields[0], fields[1]


def _json_object(path: Path, text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as e:
        raise InputError(f"{path}, line {e.lineno}: not JSON: {e.msg}") from e
    except RecursionError as e:
        raise InputError(f"{path}: nested too deep; give one object of word: spelling") from e
    if not isinstance(found, dict):
        raise InputError(f"{path}, line 1: no JSON object; give one of word: spelling")
    return found
