"""Scripts: which letters a language is written in, and words in others."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from speechkit.tts.normalize import transliterate

# First letters of a script's Unicode names; languages that are not here are written in Latin letters.
_SCRIPTS = {
    "CYRILLIC": "ru uk be bg mk sr kk ky tt ba cv",
    "GREEK": "el grc",
    "ARABIC": "ar fa ur ug sd",
    "HEBREW": "he",
    "DEVANAGARI": "hi mr ne kok",
    "BENGALI": "bn as bpy",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy hyw",
    "CJK HIRAGANA KATAKANA BOPOMOFO": "cmn yue hak zh ja",
    "HANGUL": "ko",
    "THAI": "th",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "SINHALA": "si",
    "ETHIOPIC": "am",
    "MYANMAR": "my shn",
    "ORIYA": "or",
}


def own_script(text: str, language: str) -> str:
    """Words in a script that `language` (espeak's name) is not written in, in Latin letters.

    Single letters stay: they are names and units ("α", "10 kΩ", "5 μm"), which are written out.
    """
    if text.isascii():
        return text
    own = _own(language.split("-")[0])
    return _words().sub(lambda word: word[0] if _knows(word[0], own) else _latin(word), text)


def _latin(word: re.Match[str]) -> str:
    """With a space behind it, where another word follows at once, as in scripts without spaces."""
    after = word.string[word.end() : word.end() + 1]
    latin = "".join(c for c in transliterate(word[0]) if unicodedata.category(c)[0] != "M")
    return latin + (" " if after.isalnum() else "")


@lru_cache(maxsize=64)
def _own(base: str) -> tuple[str, ...]:
    found = [script for script, codes in _SCRIPTS.items() if base in codes.split()]
    return tuple(found[0].split()) if found else ("LATIN",)


def _knows(word: str, own: tuple[str, ...]) -> bool:
    letters = [c for c in word if unicodedata.category(c) in ("Ll", "Lu", "Lt", "Lo")]
    foreign = [c for c in letters if not unicodedata.name(c, "").startswith(("LATIN", *own))]
    symbols = all(unicodedata.name(c, "").startswith(("GREEK", "MICRO", "OHM")) for c in foreign)
    return not foreign or (symbols and len(foreign) == 1)


@lru_cache(maxsize=1)
def _words() -> re.Pattern[str]:
    """A word with its combining marks and joiners, which `\\w` alone doesn't know."""
    return re.compile(f"(?:[^\\W\ue000-\uf8ff]|[{joined_marks()}])+")


@lru_cache(maxsize=1)
def joined_marks() -> str:
    """Combining marks of all scripts and the two joiners, for a character class of a pattern."""
    marks = "".join(c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.category(c)[0] == "M")
    return re.escape(marks) + "\u200c\u200d"
