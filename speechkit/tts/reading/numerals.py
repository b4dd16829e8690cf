"""Digits → English words: cardinals, ordinals, years, decimals, fractions."""

from __future__ import annotations

from functools import lru_cache

from num2words import num2words

MAX_DIGITS = 12  # a longer number is a code, not an amount, and is read digit by digit
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# A number with or without thousands separators and decimals. Where it stands after a digit it is
# not tried, so a run of digits and commas is scanned once.
NUMBER = r"(?<!\d)(?<!\d[.,])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"


def digits(text: str) -> str:
    """The digits of `text` one by one."""
    return " ".join(DIGITS[int(c)] for c in text if c.isdecimal())


@lru_cache(maxsize=4096)
def cardinal(text: str, british: bool = False) -> str:
    """A whole number: "1,204" → "one thousand two hundred four" (British: "and four")."""
    plain = text.replace(",", "")
    if len(plain) > MAX_DIGITS or (len(plain) > 1 and plain.startswith("0")):
        return digits(plain)
    value = int(plain)
    thousands, rest = divmod(value, 1000)
    if thousands and value < 1_000_000:
        words = f"{cardinal(str(thousands), british)} thousand"
        joint = " and " if british and rest < 100 else " "
        return f"{words}{joint}{cardinal(str(rest), british)}" if rest else words
    said: str = num2words(value, lang="en").replace(",", "")
    return said if british else said.replace(" and ", " ")


@lru_cache(maxsize=4096)
def ordinal(text: str, british: bool = False) -> str:
    """The place in an order: "22" → "twenty-second"."""
    plain = text.replace(",", "").lstrip("0") or "0"
    if len(plain) > MAX_DIGITS:
        return digits(plain)
    words: str = num2words(int(plain), lang="en", to="ordinal").replace(",", "")
    return words if british else words.replace(" and ", " ")


def number(text: str, british: bool = False) -> str:
    """A number with or without sign and decimals: "-3.14" → "minus three point one four"."""
    if text[0] in "-−+":
        return ("plus " if text[0] == "+" else "minus ") + number(text[1:], british)
    whole, point, decimals = text.partition(".")
    words = cardinal(whole, british) if whole else ""
    return f"{words} point {digits(decimals)}".strip() if point else words


def pairs(text: str) -> str:
    """Three or four digits as people say years, flights and houses: "1905" → "nineteen oh five"."""
    head, tail = int(text[:-2]), text[-2:]
    if head % 10 == 0 and len(text) == 4 and (tail == "00" or tail[0] == "0"):
        return cardinal(text)
    if tail == "00":
        return f"{cardinal(str(head))} hundred"
    last = f"oh {DIGITS[int(tail)]}" if tail[0] == "0" else cardinal(tail)
    return f"{cardinal(str(head))} {last}"


def year(text: str, british: bool = False) -> str:
    """A year: 2024 is "twenty twenty-four", 2005 "two thousand five", 987 "nine eighty-seven"."""
    if len(text) not in (3, 4) or text.startswith("0"):
        return cardinal(text, british)
    plain = len(text) == 4 and text[1:3] == "00"
    return cardinal(text, british) if plain else pairs(text)


def plural(words: str) -> str:
    """The plural of a number word: "nineteen eighty" → "nineteen eighties"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("x", "s")) else "s")


def fraction(top: str, bottom: str, british: bool = False) -> str:
    """A fraction: "3", "4" → "three quarters"; with an odd denominator "three over seventeen"."""
    over = cardinal(top, british)
    if top == bottom:
        return f"{over} {over}"
    one = top.lstrip("0") == "1"
    named = {"2": ("half", "halves"), "4": ("quarter", "quarters")}
    if bottom in named:
        return f"{over} {named[bottom][0 if one else 1]}"
    if bottom in ("3", "5", "6", "7", "8", "9", "10", "12", "16", "20", "32", "64", "100", "1000"):
        part = ordinal(bottom, british)
        return f"{over} {part if one else part + 's'}"
    return f"{over} over {cardinal(bottom, british)}"


def mixed(whole: str, top: str, bottom: str, british: bool = False) -> str:
    """A whole number and a fraction: "three and a quarter", "two and an eighth"."""
    part = fraction(top, bottom, british)
    if part.startswith("one ") and " over " not in part:
        part = ("an " if part[4:].startswith("eigh") else "a ") + part[4:]
    return f"{cardinal(whole, british)} and {part}"


_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def roman(text: str) -> str:
    """The value of a Roman numeral in digits: "XIV" → "14"."""
    values = [_ROMAN[c] for c in text]
    after = [*values[1:], 0]
    return str(sum(-v if v < n else v for v, n in zip(values, after, strict=True)))
