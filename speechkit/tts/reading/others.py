"""Text in languages other than English: numbers, money, percentages, emoji; the rest is espeak's."""

from __future__ import annotations

import re
from functools import lru_cache

import emoji
from num2words import CONVERTER_CLASSES, num2words

from speechkit.tts.reading import marks
from speechkit.tts.reading.numerals import MAX_DIGITS

_NUM2WORDS = {
    "nb": "no",
    "nn": "no",
    "pt-br": "pt_BR",
    "fr-be": "fr_BE",
    "fr-ch": "fr_CH",
    "kk": "kz",
}
_LEFT_TO_ESPEAK = {"zh", "cmn", "yue", "hak", "ja", "ko", "en"}
_EMOJI = {"cmn": "zh", "yue": "zh", "hak": "zh"}
# language: the decimal comma, percent, and, one, what stands between units and hundredths
_WORDS = {
    "de": ("Komma", "Prozent", "und", "ein", ""),
    "fr": ("virgule", "pour cent", "et", "un", ""),
    "es": ("coma", "por ciento", "y", "un", "con "),
    "it": ("virgola", "per cento", "e", "un", "e "),
    "pt": ("vírgula", "por cento", "e", "um", "e "),
    "nl": ("komma", "procent", "en", "één", ""),
    "sv": ("komma", "procent", "och", "en", ""),
    "da": ("komma", "procent", "og", "en", ""),
    "nb": ("komma", "prosent", "og", "en", ""),
    "pl": ("przecinek", "procent", "i", "jeden", "i "),
    "fi": ("pilkku", "prosenttia", "ja", "yksi", "ja "),
}
_MONEY = {  # one and several: euro, dollar, pound, yen
    "de": ("Euro", "Euro", "Dollar", "Dollar", "Pfund", "Pfund", "Yen", "Yen"),
    "fr": ("euro", "euros", "dollar", "dollars", "livre", "livres", "yen", "yens"),
    "es": ("euro", "euros", "dólar", "dólares", "libra", "libras", "yen", "yenes"),
    "it": ("euro", "euro", "dollaro", "dollari", "sterlina", "sterline", "yen", "yen"),
    "pt": ("euro", "euros", "dólar", "dólares", "libra", "libras", "iene", "ienes"),
    "nl": ("euro", "euro", "dollar", "dollar", "pond", "pond", "yen", "yen"),
    "sv": ("euro", "euro", "dollar", "dollar", "pund", "pund", "yen", "yen"),
}
_HOURS = {"de": "Uhr", "fr": "heures"}
_FEMININE = {"£": {"fr": "une", "es": "una", "it": "una", "pt": "uma"}}
_COMMA = r"(?:\d{1,3}(?:[. ']\d{3})+(?!\d)|\d+)(?:,\d+)?"
_POINT = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_POINT_LANGUAGES = {"he", "th", "hi", "te", "kn", "bn", "am", "cy", "ta"}
# A full stop and a letter, or a second number, may make a number an ordinal or a date: espeak knows.
_AFTER = r"(?![\w/:]|[.,]\d|\.\s+[^\W\d_]|-\d)"
_CLOCK = re.compile(r"(?<![\w.,:])([01]?\d|2[0-4])[:h]([0-5]\d)(?:\s?Uhr)?(?![\w:])")


def read(text: str, language: str) -> str:
    """Write out what `language` (espeak's name) has words for here."""
    base = language.split("-")[0]
    text = marks.emoji_names(text, emoji_language(base))
    text = text if text.isascii() else re.sub(r"\d", lambda d: str(int(d[0])), text)
    if base in _WORDS:
        text = re.sub(r"\s?&\s?", f" {_WORDS[base][2]} ", text)
    name = number_language(language)
    if name is None or not re.search(r"[\d%€$£¥]", text):
        return text
    text = _CLOCK.sub(lambda m: _clock(m, name, base), text)
    text = _money(text, name, base)
    if base in _WORDS:
        text = re.sub(r"(?<=\d)\s?%", f" {_WORDS[base][1]}", text)
    number = _POINT if base in _POINT_LANGUAGES else _COMMA
    pattern = re.compile(rf"(?<![\w.,:/-])(-|−)?({number}){_AFTER}")
    return pattern.sub(lambda m: _minus(name) * bool(m[1]) + say(m[2], name, base), text)


@lru_cache(maxsize=64)
def _minus(name: str) -> str:
    """The word before a negative number, with a space."""
    return _words("-1", name, "cardinal").removesuffix(_words("1", name, "cardinal"))


@lru_cache(maxsize=64)
def emoji_language(base: str) -> str:
    """The language of emoji names for a language of espeak's; English where there is none."""
    name = _EMOJI.get(base, base)
    if name not in emoji.LANGUAGES:
        return "en"
    emoji.config.load_language(name)
    return name


def number_language(language: str) -> str | None:
    """num2words's name of a language of espeak's; None where numbers are left to espeak."""
    base = language.split("-")[0]
    name = _NUM2WORDS.get(language) or _NUM2WORDS.get(base) or base
    return name if name in CONVERTER_CLASSES and base not in _LEFT_TO_ESPEAK else None


def say(text: str, name: str, base: str) -> str:
    """A number as it is written in the language, in words; as written where it has none."""
    if base in _POINT_LANGUAGES:
        whole, _, decimals = text.replace(",", "").partition(".")
    else:
        whole, _, decimals = re.sub(r"[. ']", "", text).partition(",")
    if len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        return " ".join(_words(digit, name, "cardinal") for digit in whole + decimals)
    year = (
        base == "de"
        and not decimals
        and text == whole
        and len(whole) == 4
        and "1100" <= whole < "2000"
    )
    words = _words(whole, name, "year" if year else "cardinal")
    if not decimals:
        return words
    if base not in _WORDS:
        return text
    return f"{words} {_WORDS[base][0]} {' '.join(_words(d, name, 'cardinal') for d in decimals)}"


@lru_cache(maxsize=4096)
def _words(whole: str, name: str, kind: str) -> str:
    try:
        return str(num2words(int(whole), lang=name, to=kind)).replace(",", "").strip()
    except (NotImplementedError, OverflowError, IndexError, KeyError, TypeError, ValueError):
        return whole


def _clock(match: re.Match[str], name: str, base: str) -> str:
    hour = _words(str(int(match[1])), name, "cardinal")
    if hour == "eins":
        hour = "ein"
    minute = _words(str(int(match[2])), name, "cardinal") if match[2] != "00" else ""
    word = _HOURS.get(base, "")
    if base == "fr" and int(match[1]) < 2:
        hour, word = hour.removesuffix("un") + ("une" if hour == "un" else ""), "heure"
    return " ".join(part for part in (hour, word, minute) if part)


def _money(text: str, name: str, base: str) -> str:
    if base not in _MONEY:
        return text
    before = re.compile(rf"(?<!\w)([€$£¥])\s?({_COMMA})(?![\w]|[.,]\d)")
    after = re.compile(rf"(?<![\w.,])({_COMMA})\s?([€$£¥])(?!\w)")
    text = after.sub(lambda m: _coins(m[2], m[1], name, base), text)
    text = before.sub(lambda m: _coins(m[1], m[2], name, base), text)
    several = dict(zip("€$£¥", _MONEY[base][1::2], strict=True))
    return re.sub("[€$£¥]", lambda m: f" {several[m[0]]} ", text)


def _coins(sign: str, amount: str, name: str, base: str) -> str:
    at = "€$£¥".index(sign) * 2
    whole, _, hundredths = amount.partition(",")
    if len(hundredths) not in (0, 2):
        return f"{say(amount, name, base)} {_MONEY[base][at + 1]}"
    one = whole == "1"
    unit = _FEMININE.get(sign, {}).get(base, _WORDS[base][3])
    words = f"{unit if one else say(whole, name, base)} {_MONEY[base][at if one else at + 1]}"
    if not int(hundredths or 0):
        return words
    return f"{words} {_WORDS[base][4]}{_words(str(int(hundredths)), name, 'cardinal')}"
