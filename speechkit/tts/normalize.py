"""Real-world text → words: what espeak misreads or skips is written out before it reads.

    normalize("Dr. Smith paid $45.50 at 3:05.", "en-us")
    "Doctor Smith paid forty-five dollars and fifty cents at three oh five."

English is read in full; in other languages numbers, money, percentages and emoji are written out where
there are words for them, and espeak reads the rest.
"""

from __future__ import annotations

import re
import unicodedata

import anyascii

from speechkit.tts.reading import english, marks, others
from speechkit.tts.reading.say_as import say_as

__all__ = ["normalize", "say_as", "transliterate"]


def normalize(text: str, language: str) -> str:
    """`text` as words that espeak reads right, with the punctuation that makes its pauses.

    In English no digit and no symbol is left. Private-use characters (U+E000 to U+F8FF), and text
    that has nothing to write out, stay as they are.

    Args:
        text: a sentence or any text.
        language: espeak's name of the language, for example "en-us", "en-gb", "de", "fr-fr".

    Example: "2nd, 5km & ½" → "second, five kilometers and one half"
    """
    language = language.lower()
    if language.split("-")[0] == "en":
        return english.read(text, not language.startswith("en-us"))
    return others.read(text, language)


def transliterate(text: str) -> str:
    """`text` in Latin letters, for words in a script that the voice's language has no letters for.

    Latin letters keep their diacritics. A visible character that has no transliteration becomes its
    name.

    Example: "Привет, café" → "Privet, café"
    """
    return _FOREIGN.sub(lambda run: _latin(run[0]), text)


_FOREIGN = re.compile("[^\x00-\u024f\u1e00-\u1eff\ue000-\uf8ff’‘“”…—–]{1,100}")


def _latin(run: str) -> str:
    latin = "".join(_letter(c) for c in run)
    if latin.strip() or not any(unicodedata.category(c)[0] in "LNPS" for c in run):
        return latin
    return " ".join(marks.name(c) or "symbol" for c in run)


def _letter(c: str) -> str:
    category = unicodedata.category(c)
    if category == "Mn":
        return c
    latin: str = anyascii.anyascii(c)
    if category[0] in "SN" and (not latin or re.fullmatch(r":\w+:", latin)):
        named = re.sub(r"\d", "", latin.strip(":").replace("_", " "))
        return f" {named or marks.name(c) or 'symbol'} "
    return latin
