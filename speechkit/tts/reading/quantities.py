"""Numbers by themselves, and what is counted off digit by digit → English words."""

from __future__ import annotations

import re

from speechkit.tts.reading.numerals import (
    NUMBER,
    cardinal,
    digits,
    fraction,
    mixed,
    number,
    ordinal,
    pairs,
    plural,
)

_GROUP = r"[\d]{1,6}"
_PHONE = re.compile(
    r"(?<![\w.,/$£€+-])(?:"
    r"\+\d{1,3}(?:[\s.-]?\(?\d{1,5}\)?){2,5}"
    r"|(?:1[\s.-])?\(\d{3}\)\s?\d{3}[\s.-]?\d{4}"
    r"|(?:1[-.\s])?\d{3}([-.\s])\d{3}\1\d{4}"
    r"|0\d{2,4}[\s-]\d{3,4}[\s-]?\d{3,4}"
    r"|\(0\d{2,4}\)\s?\d{3,4}[\s-]?\d{3,4}"
    r"|[2-9]\d{2}-\d{4}"
    r")(?![\w%/]|[.,-]\d)"
)
_PAGES = re.compile(r"(?:pages?|lines?|years?|of|from|volumes?)\s$")
_CODE = re.compile(r"(?<![\w.,/+-])\d{1,8}(?:-\d{1,8}){2,8}[-\s]?[Xx]?(?![\w/]|[.,-]\d)")
_CARD = re.compile(r"(?<![\w.,/])\d{4}(?:[ -]\d{4}){2,4}(?![\w/]|[.,-]\d)")
_HOUSE = re.compile(
    r"(?<![\w.,$£€-])(\d{3,4})([A-Z]?)(?=\s(?:[NSEW]\.?\s)?(?:[A-Z][a-z]+\s){1,3}"
    r"(?:Street|Avenue|Road|Drive|Lane|Boulevard|Square|Way|Court|Place|Parkway)\b)"
)
_CALLED = re.compile(
    r"\b(Boeing|Airbus|Flight|flight|Room|room|Route|Highway|Interstate|RTX|GTX|Intel|Peugeot|Porsche|Pentium)"
    r"\s([A-Z]?)(\d{3,4})(?![\w,.]\d|\w)"
)
_EMERGENCY = re.compile(
    r"\b(call(?:ed|ing|s)?|Call|dial(?:ed|ing|led|ling)?|Dial)\s(\d{3})(?![\w-]|[.,]\d)"
)
_LINES = re.compile(r"(?<![\w.,])(\d{3,4})([pi])(?!\w)")
_ORDINAL = re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th|ST|ND|RD|TH)(s?)(?!\w)")
_HALVES = re.compile(r"(?<![\w.,/])(\d+)(?:\s|-|\sand\s)(\d{1,3})/(\d{1,4})(?![\w/]|[.,]\d)")
_FRACTION = re.compile(r"(?<![\w.,/])(-|−)?(\d{1,3})/(\d{1,4})(?![\w/]|[.,]\d)")
_POWER = re.compile(r"(?<=[\w)])\s?\^\s?(?:\{?\(?([-−]?)(\d+|[a-z])\)?\}?)(?!\w)")
_SCIENCE = re.compile(r"(?<![\w.,])(\d{1,20}(?:\.\d{1,20})?)[eE]([+-]?)(\d{1,4})(?![\w.])")
_SIZE = re.compile(
    r"(?<![\w.,])(\d{1,5}(?:\.\d+)?)(?:\s?x\s?|×)(\d{1,5}(?:\.\d+)?)(?!\w|\.\d|\s?=)"
)
_PRODUCT = re.compile(r"(?<=[\w)])\s?[*×]\s?(?=[\d(])|(?<=[\d)])\s[*×]\s(?=\w)")
_TIMES = re.compile(rf"(?<!\w)({NUMBER})[x×](?!\w)")
_RATIO = re.compile(r"(?<![\w.,:/])(\d{1,4}):(\d{1,4})(?![\w:/]|[.,]\d)")
_NUM = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_RANGE = re.compile(
    rf"(?<![\w.,/:=+^–-])({_NUM})(?:[-–—]|\s–\s)({_NUM})(?=[A-Za-z]{{1,3}}\b)?(?![\d/:^]|-\d|[.,]\d|\s?=)"
)
_SUM = re.compile(
    r"(?<=\d)\s?[-−–]\s?(?=\d[\d.,]*\s?=)|(?<=\d)\s[-−–]\s(?=\d)|(?<=[\da-z)])\s?−\s?(?=\w)"
)
_NEGATIVE = re.compile(rf"(?<![\w)])[-−](?={NUMBER})|(?<!\S)[-−](?=\.\d)")
_TIGHT = re.compile(r"(?<=[^\W\d_])(?<!\bA)-(?=\d)")
_HASH = re.compile(r"#\s?(?=\d)")
_ABOUT = re.compile(r"(?<!\w)[~∼≈]\s?(?=[\d$£€])")
_PLUS = re.compile(r"(?<=\d)\+(?![\d\w])")
_TO_LETTERS = re.compile(r"\b(B2B|B2C|P2P|C2C|B2G|D2C|E2E|F2F|M2M|V2V|G2G|G2P|S2S|A2A)\b")
_PLURAL = re.compile(r"(?<![\w.,])(\d{1,6})'?s(?!\w)")
_POINT = re.compile(r"(?<![\w.])\.(?=\d)")
_MANY = re.compile(r"(?<![\w.,])(\d+(?:\.\d+)?)([MmKk]|bn|Bn|BN)(?![\w-])")
_LETTER_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_LETTER_A = re.compile(r"\bA-?(?=\d)")
_ANY = re.compile(NUMBER)
_LEFT = re.compile(r"\d+")
_CHAIN = re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}")
_LIST = re.compile(r"(?<=\d),(?=\d)(?!\d{3}(?!\d))")


def codes(text: str, british: bool = False) -> str:
    """Write out the numbers that are read digit by digit or in pairs: telephones, houses, flights."""
    text = _CARD.sub(lambda m: grouped(m[0]), text)
    text = _PHONE.sub(_phone, text)
    text = _CODE.sub(lambda m: grouped(m[0]), text)
    text = _HOUSE.sub(lambda m: pairs(m[1]) + (f" {m[2]}" if m[2] else ""), text)
    text = _CALLED.sub(lambda m: f"{m[1]} {m[2] and m[2] + '-'}{_called(m[3])}", text)
    text = _EMERGENCY.sub(lambda m: f"{m[1]} {digits(m[2])}", text)
    return _LINES.sub(lambda m: f"{pairs(m[1])} {m[2].upper()}", text)


def _called(text: str) -> str:
    return digits(text) if text.startswith("0") else pairs(text)


def _phone(match: re.Match[str]) -> str:
    count = sum(c.isdecimal() for c in match[0])
    before = match.string[max(0, match.start() - 10) : match.start()]
    if not 7 <= count <= 15 or (count == 7 and _PAGES.search(before)):
        return match[0]
    return grouped(match[0])


def grouped(text: str) -> str:
    """Digits one by one with a comma after each group: "555-0199" → "five five five, zero …"."""
    groups = re.findall(r"\d+|[Xx]$", text)
    spoken = ", ".join(digits(group) if group.isdecimal() else "X" for group in groups)
    return f"plus {spoken}" if text.startswith("+") else spoken


def numbers(text: str, british: bool = False) -> str:
    """Write out all numbers that are left in `text`."""
    text = _TO_LETTERS.sub(lambda m: f"{m[0][0]} to {m[0][2]}", text)
    text = _ORDINAL.sub(lambda m: ordinal(m[1], british) + m[2], text)
    text = _HASH.sub("number ", text)
    text = _ABOUT.sub("about ", text)
    text = _SCIENCE.sub(lambda m: _science(m, british), text)
    text = _POWER.sub(_power, text)
    text = _SIZE.sub(lambda m: f"{_side(m[1], british)} by {_side(m[2], british)}", text)
    text = _PRODUCT.sub(" times ", text)
    text = _TIMES.sub(lambda m: f"{number(m[1], british)} times", text)
    text = _HALVES.sub(lambda m: mixed(m[1], m[2], m[3], british), text)
    text = _FRACTION.sub(lambda m: ("minus " if m[1] else "") + fraction(m[2], m[3], british), text)
    text = _RATIO.sub(lambda m: f"{cardinal(m[1], british)} to {cardinal(m[2], british)}", text)
    text = _SUM.sub(" minus ", text)
    text = _RANGE.sub(lambda m: f"{number(m[1], british)} to {number(m[2], british)}", text)
    return _left(text, british)


def _left(text: str, british: bool) -> str:
    text = _CHAIN.sub(lambda m: " point ".join(cardinal(n, british) for n in m[0].split(".")), text)
    text = _NEGATIVE.sub("minus ", _LIST.sub(", ", text))
    text = _PLUS.sub(" plus", text)
    text = _PLURAL.sub(lambda m: plural(cardinal(m[1], british)), text)
    text = _MANY.sub(lambda m: _many(m, british), text)
    text = _TIGHT.sub(" ", _LETTER_A.sub("A-", text))
    text = _LETTER_DIGIT.sub(" ", text)
    text = _POINT.sub("point ", text)
    text = _ANY.sub(lambda m: number(m[0], british), text)
    return _LEFT.sub(lambda m: cardinal(m[0], british), text)


def _side(text: str, british: bool) -> str:
    return (
        pairs(text)
        if len(text) == 4 and text.isdecimal() and text[0] != "0"
        else number(text, british)
    )


def _science(match: re.Match[str], british: bool) -> str:
    minus = "minus " if match[2] == "-" else ""
    return f"{number(match[1], british)} times ten to the power of {minus}{cardinal(match[3], british)}"


def _power(match: re.Match[str]) -> str:
    minus, power = match[1], match[2]
    if not minus and power in ("2", "3"):
        base = match.string[max(0, match.start() - 1) : match.start()]
        if base != "0":
            return " squared" if power == "2" else " cubed"
    words = cardinal(power) if power.isdecimal() else power
    return f" to the power of {'minus ' if minus else ''}{words}"


def _many(match: re.Match[str], british: bool) -> str:
    letter = match[2].lower()
    if letter == "k":
        return f"{number(match[1], british)} K"
    return f"{number(match[1], british)} {'million' if letter == 'm' else 'billion'}"
