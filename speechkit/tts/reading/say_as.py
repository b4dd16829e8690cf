"""SSML's say-as: text whose kind is told, not guessed."""

from __future__ import annotations

import re
from collections.abc import Callable

from num2words import num2words

from speechkit.errors import InputError
from speechkit.tts.reading import amounts, dates, english, marks, others
from speechkit.tts.reading.numerals import (
    NUMBER,
    cardinal,
    digits,
    fraction,
    mixed,
    number,
    ordinal,
)
from speechkit.tts.reading.numerals import year as year_words

_INTEGER = re.compile(r"\d{1,3}(?:,\d{3})+|\d+")
_NUMBER = re.compile(rf"[-−+]?(?:{NUMBER}|\.\d+)")
_FRACTION = re.compile(r"(?:(\d+)(?:\s|\+|-))?(\d+)/(\d+)")
_DATE_FORMS = ("mdy", "dmy", "ymd", "md", "dm", "ym", "my", "y", "m", "d")


def say_as(text: str, kind: str, detail: str = "", language: str = "en-us") -> str:
    """`text` in words, as SSML's `<say-as interpret-as=kind format=detail>` asks for.

    Args:
        text: what the element holds.
        kind: cardinal, number, ordinal, digits, characters (spell-out, verbatim), date, time,
            telephone, currency, fraction, unit, or address and others that read as plain text.
        detail: the order in a date, for example "mdy"; "ymd" and its like with year, month, day.
        language: espeak's name of the language.

    Raises:
        InputError: the kind is unknown, or `text` isn't of that kind.
    """
    reader = _KINDS.get(kind.strip().lower())
    if reader is None:
        raise InputError(f"say-as has no kind {kind!r}; give one of {', '.join(_KINDS)}")
    plain = marks.plain(text).strip()
    spoken = reader(plain, detail.strip().lower(), language) if plain else None
    if not spoken:
        raise InputError(f"{plain[:40]!r} can't be said as {kind}{f' {detail}' if detail else ''}")
    return spoken


def _british(language: str) -> bool:
    return not language.startswith("en-us")


def _cardinal(text: str, detail: str, language: str) -> str | None:
    if not language.startswith("en"):
        return others.read(text, language) if re.search(r"\d", text) else None
    if _INTEGER.fullmatch(text.lstrip("+-−")) and len(text) <= 40:
        text = re.sub(r"(?<=^)0+(?=\d)", "", text)
    return number(text, _british(language)) if _NUMBER.fullmatch(text) else None


def _ordinal(text: str, detail: str, language: str) -> str | None:
    whole = re.fullmatch(r"(\d[\d,.]*?)(?:st|nd|rd|th|\.|e|er|º|ª|o|a)?", text)
    if not whole or not whole[1].replace(",", "").replace(".", "").isdecimal():
        return None
    plain = whole[1].replace(",", "").replace(".", "")
    if language.startswith("en"):
        return ordinal(plain, _british(language))
    name = others.number_language(language)
    if name is None or len(plain) > 9:
        return f"{plain}."
    try:
        return str(num2words(int(plain), lang=name, to="ordinal"))
    except (NotImplementedError, IndexError, KeyError, TypeError):
        return f"{plain}."


def _digits(text: str, detail: str, language: str) -> str | None:
    if not re.fullmatch(r"[\d\s.,()+/-]*\d[\d\s.,()+/-]*", text):
        return None
    figures = re.sub(r"\D", "", text)
    return (
        digits(figures) if language.startswith("en") else others.read(" ".join(figures), language)
    )


def _characters(text: str, detail: str, language: str) -> str | None:
    """Each character's name; hyphens keep "A" a letter where espeak would say the article."""
    if not language.startswith("en"):
        return " ".join(others.read(c, language) for c in text if not c.isspace()) or None
    spoken = ""
    for c in text:
        word = digits(c) if c.isdecimal() else c.upper() if c.isalpha() else _sign(c)
        spoken += (
            word if not spoken else f"{'-' if spoken.endswith('A') or word == 'A' else ' '}{word}"
        )
    return spoken


def _sign(c: str) -> str:
    return marks.LETTER_NAMES.get(c) or marks.name(c) or c


def _date(text: str, detail: str, language: str) -> str | None:
    if not language.startswith("en"):
        return others.read(text, language)
    british = _british(language)
    parts = re.findall(r"\d+", text)
    written = re.search(r"[A-Za-z]{3}", text)
    order = detail.replace("yyyy", "y").replace("mm", "m").replace("dd", "d").strip("-/. ")
    order = re.sub(r"[-/. ]", "", order)
    if order and order not in _DATE_FORMS:
        raise InputError(
            f"say-as has no date format {detail!r}; give one of {', '.join(_DATE_FORMS)}"
        )
    if order and not written:
        if len(parts) == 1 and len(parts[0]) == 8 and len(order) == 3:
            at = {"ymd": (4, 6)}.get(order, (2, 4))
            parts = [parts[0][: at[0]], parts[0][at[0] : at[1]], parts[0][at[1] :]]
        return (
            _ordered_date(dict(zip(order, parts, strict=True)), british)
            if len(parts) == len(order)
            else None
        )
    spoken = english.read(text, british) if parts else ""
    if re.fullmatch(r"\d{3,4}", text):
        return year_words(text, british)
    return spoken if written or spoken != english.read(text.replace("/", " "), british) else None


def _ordered_date(parts: dict[str, str], british: bool) -> str | None:
    if any(len(part) > 4 for part in parts.values()):
        return None
    day, month, year = int(parts.get("d", "1")), int(parts.get("m", "1")), parts.get("y", "")
    if not (1 <= day <= 31 and 1 <= month <= 12 and len(year) <= 4):
        return None
    year = dates.full_year(year)
    if "d" in parts and "m" in parts:
        return dates.say(day, month, year, british)
    if "m" in parts:
        return f"{dates.MONTH_NAMES[month - 1]} {year_words(year, british) if year else ''}".strip()
    return year_words(year, british) if year else ordinal(str(day))


def _time(text: str, detail: str, language: str) -> str | None:
    if not language.startswith("en"):
        return others.read(text, language)
    if not re.search(r"\d", text):
        return None
    spoken = dates.times(re.sub(r"(?<=\d)[.h](?=\d\d(?![\dms'\"]))", ":", text))
    if not re.search(r"\d", spoken):
        return spoken
    found = re.fullmatch(
        r"(?:(\d{1,3})h)?\s?(?:(\d{1,3})(?:m|min|'))?\s?(?:(\d{1,3})(?:s|\"))?", text
    )
    if not found:
        return None
    named = [
        f"{cardinal(n)} {unit}{'' if n == '1' else 's'}"
        for n, unit in zip(found.groups(), ("hour", "minute", "second"), strict=True)
        if n
    ]
    return " ".join(named)


def _telephone(text: str, detail: str, language: str) -> str | None:
    if not re.search(r"\d", text) or re.search(r"[^\w\s().,+/*#-]", text):
        return None
    if not language.startswith("en"):
        return ", ".join(
            others.read(" ".join(group), language) for group in re.findall(r"\d+", text)
        )
    names = {"*": "star", "#": "pound" if not _british(language) else "hash"}
    groups = re.findall(r"\d+|[A-Za-z]+|[*#]", text)
    spoken = ", ".join(names.get(g) or (digits(g) if g.isdecimal() else g) for g in groups)
    return f"plus {spoken}" if text.startswith("+") else spoken


def _currency(text: str, detail: str, language: str) -> str | None:
    if not language.startswith("en"):
        return others.read(text, language)
    amount = f"{detail.upper()} {text}" if detail and _NUMBER.fullmatch(text) else text
    return amounts.money(amount, _british(language))


def _fraction(text: str, detail: str, language: str) -> str | None:
    found = _FRACTION.fullmatch(text)
    if not found or not language.startswith("en"):
        return others.read(text, language) if found else None
    whole, top, bottom = found.groups()
    british = _british(language)
    return mixed(whole, top, bottom, british) if whole else fraction(top, bottom, british)


def _plain(text: str, detail: str, language: str) -> str | None:
    return (
        english.read(text, _british(language))
        if language.startswith("en")
        else others.read(text, language)
    )


def _unit(text: str, detail: str, language: str) -> str | None:
    return _plain(text, detail, language) if re.search(r"\d", text) else None


_KINDS: dict[str, Callable[[str, str, str], str | None]] = {
    "cardinal": _cardinal,
    "number": _cardinal,
    "ordinal": _ordinal,
    "digits": _digits,
    "characters": _characters,
    "spell-out": _characters,
    "verbatim": _characters,
    "date": _date,
    "time": _time,
    "telephone": _telephone,
    "currency": _currency,
    "fraction": _fraction,
    "unit": _unit,
    "address": _plain,
    "name": _plain,
    "net": _plain,
    "other": _plain,
}
