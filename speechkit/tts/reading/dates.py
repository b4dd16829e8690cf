"""Dates and times of day → English words."""

from __future__ import annotations

import re

from speechkit.tts.reading.abbreviations import MONTHS, STARTER
from speechkit.tts.reading.numerals import cardinal, ordinal, pairs, plural, year

MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_SHORT_MONTHS = "|".join(sorted(MONTHS, key=len, reverse=True))
_MONTH = rf"(?P<month>{'|'.join(MONTH_NAMES)}|(?:{_SHORT_MONTHS})\b\.?)"
_DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_TO_DAY = r"(?:\s?[-–]\s?(?P<to>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?)?"
_YEAR = r"(?P<comma>,)?\s(?P<year>[12]\d{3})(?![\w%]|[.,:/-]\d)"
_MONTH_DAY = re.compile(rf"\b{_MONTH}\s{_DAY}{_TO_DAY}(?![\w:%/]|[.,]\d)(?:{_YEAR})?")
_DAY_MONTH = re.compile(
    rf"(?<![\w.,:/-])(?P<the>the\s)?{_DAY}{_TO_DAY}(?:\sof)?\s{_MONTH}(?!\w|\s\d{{1,2}}\b)(?:{_YEAR})?"
)
_MONTH_YEAR = re.compile(rf"\b{_MONTH},?\s(?P<year>[12]\d{{3}})(?![\w%]|[.,:/-]\d)")
_NUMERIC = re.compile(r"(?<![\w/.,-])(\d{1,4})([-/.])(\d{1,2})\2(\d{2,4})(?![\w/-]|[.,]\d)")
_ISO_TIME = re.compile(r"(?<=\d)T(?=\d\d:\d\d)|(?<=\d\d:\d\d:\d\d)\.\d+(?=Z|\b)|(?<=\d\d:\d\d)Z\b")
_ON = re.compile(r"\b(on|On|by|By|since|Since|until|Until)\s(\d{1,2})/(\d{1,2})(?![\w/-]|[.,]\d)")

_AMPM = r"(?:\s?(?:(?P<dotted>[aApP])\.\s?[mM]\.?|(?P<bare>[aApP])[mM])(?![\w]))"
_CLOCK = re.compile(
    rf"(?<![\w.,:/])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d))?{_AMPM}?(?![\d:])(?!\.\d)"
)
_HOUR = re.compile(rf"(?<![\w.,:/])(?P<h>1[0-2]|0?[1-9]){_AMPM}")
_OCLOCK = re.compile(r"(?<![\w.,:/])(1[0-2]|[1-9])(?=\so'clock)")


def read(text: str, british: bool = False) -> str:
    """Write out the dates, then the times of day."""
    text = _ISO_TIME.sub(lambda m: {"T": ", ", "Z": " UTC"}.get(m[0], ""), text)
    text = _NUMERIC.sub(lambda m: _numeric(m, british), text)
    text = _DAY_MONTH.sub(lambda m: _day_month(m, british), text)
    text = _MONTH_DAY.sub(lambda m: _month_day(m, british), text)
    text = _MONTH_YEAR.sub(lambda m: f"{_name(m['month'])} {year(m['year'], british)}", text)
    text = _ON.sub(lambda m: _on(m, british), text)
    return times(text, british)


def _name(month: str) -> str:
    return MONTHS.get(month.rstrip("."), month.rstrip("."))


def say(day: int, month: int, of_year: str, british: bool) -> str:
    """A day of the calendar: "March fifth, nineteen ninety-nine", British "the fifth of March"."""
    name, place = MONTH_NAMES[month - 1], ordinal(str(day))
    words = f"the {place} of {name}" if british else f"{name} {place}"
    if not of_year:
        return words
    return f"{words}{' ' if british else ', '}{year(of_year, british)}"


def full_year(text: str) -> str:
    """The year that two digits stand for: up to 49 this century, from 50 the last."""
    return text if len(text) != 2 else ("20" if text < "50" else "19") + text


def _numeric(match: re.Match[str], british: bool) -> str:
    first, sign, second, last = match.groups()
    if len(first) == 4 and len(last) <= 2:
        day, month, of_year = last, second, first
    elif len(first) <= 2 and len(last) in ((2, 4) if sign == "/" else (4,)):
        us = not british and sign != "."
        month, day = (first, second) if us else (second, first)
        if int(month) > 12:
            day, month = month, day
        of_year = full_year(last)
    else:
        return match[0]
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    return say(int(day), int(month), of_year, british)


def _on(match: re.Match[str], british: bool) -> str:
    first, second = int(match[2]), int(match[3])
    day, month = (first, second) if british else (second, first)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{match[1]} {say(day, month, '', british)}"


def _days(match: re.Match[str]) -> str:
    words = ordinal(match["day"])
    return f"{words} to {ordinal(match['to'])}" if match["to"] else words


def _month_day(match: re.Match[str], british: bool) -> str:
    words = f"{_name(match['month'])} {'the ' if british else ''}{_days(match)}"
    return (
        f"{words}{match['comma'] or ''} {year(match['year'], british)}" if match["year"] else words
    )


def _day_month(match: re.Match[str], british: bool) -> str:
    words = f"the {_days(match)} of {_name(match['month'])}"
    return (
        f"{words}{match['comma'] or ''} {year(match['year'], british)}" if match["year"] else words
    )


def times(text: str, british: bool = False) -> str:
    """Write out the times of day in `text`."""
    text = re.sub(r"(?<=\d)\s?[-–]\s?(?=(?:[01]?\d|2[0-4]):[0-5]\d(?!\d))", " to ", text)
    text = re.sub(r"(?<=\d)\s?[-–]\s?(?=\d{1,2}\s?[aApP]\.?[mM]\b)", " to ", text)
    text = re.sub(r"(?<=\d)(\s?[aApP]\.?[mM]\.?)\s?[-–]\s?(?=\d)", r"\1 to ", text)
    text = _CLOCK.sub(lambda m: clock(m, british), text)
    text = _HOUR.sub(lambda m: cardinal(str(int(m["h"]))) + _half_day(m), text)
    return _OCLOCK.sub(lambda m: cardinal(m[1]), text)


def _half_day(match: re.Match[str]) -> str:
    letter = (match["dotted"] or match["bare"]).upper()
    ends = match[0].endswith(".") and STARTER.match(match.string[match.end() : match.end() + 30])
    return f" {letter}M" + ("." if ends else "")


def clock(match: re.Match[str], british: bool) -> str:
    """A time with minutes: "3:05" → "three oh five", "3:00" → "three o'clock"."""
    hour, minute = int(match["h"]), match["m"]
    half = match["dotted"] or match["bare"]
    if minute != "00":
        words = f"{cardinal(str(hour))} {_minute(minute)}"
    elif half or match["s"]:
        words = cardinal(str(hour))
    elif hour > 12:
        words = f"{cardinal(str(hour))} hundred"
    else:
        words = f"{cardinal(str(hour))} o'clock" if hour else "midnight"
    if match["s"] and match["s"] != "00":
        seconds = int(match["s"])
        words += f" and {cardinal(str(seconds))} second{'' if seconds == 1 else 's'}"
    elif match["s"] and minute == "00":
        words += " o'clock" if not half else ""
    return words + (_half_day(match) if half else "")


def _minute(minute: str) -> str:
    return f"oh {cardinal(minute[1])}" if minute[0] == "0" else cardinal(minute)


_DECADE = re.compile(r"(?<![\w.,'])(?:'(?P<short>[1-9]0)|(?P<long>1[1-9]\d0|20\d0))'?s(?!\w)")
_BARE_DECADE = re.compile(r"\b(in|the|early|mid|late|of|her|his|their|my|your)([\s-])([2-9]0)'?s\b")
_ERA = re.compile(r"(?<![\w.,])(\d{1,4})\s?(BCE?|CE|AD)\b|\b(AD|A-D)\s(\d{1,4})(?![\w,.]\d)")
_SPAN = re.compile(
    r"(?<![\w.,:/$£€-])(1[1-9]\d\d|20\d\d)(?:\s?[-–—]\s?(1[1-9]\d\d|20\d\d|\d\d)|\s(to|and)\s(1[1-9]\d\d|20\d\d))(?![\w%°]|[.,:/-]\d)"
)
_CONTEXT = (
    r"in|In|since|Since|from|From|until|Until|till|by|By|before|Before|after|After|during|During|of|"
    r"circa|early|Early|late|Late|mid|year|years|Year|spring|Spring|summer|Summer|autumn|fall|winter|"
    r"Winter|Christmas|copyright|Copyright|the|The|class|vintage|through|between|Between"
)
_IN_YEAR = re.compile(
    rf"\b({_CONTEXT})([\s-])(1\d{{3}}|20\d\d)(?![\w%°$€£]|[.,:/-]\d|\s?[×x*+=÷])(?!-\w)"
)
_LONE_YEAR = re.compile(
    r"(?<![\w.,:/$£€¥#+×÷=^-])(?<![+×÷=*] )(?<!US\$)((?:19|20)\d\d)(?![\w%°$€£¢]|[.,:/-]\d|\s?[×x*+=÷^])"
)
_SHORT_YEAR = re.compile(r"(?<![\w'])'(\d\d)(?![\w'])")
# A number of these is an amount: "in 1500 cities", "of 2000 people".
_COUNTED = re.compile(
    r"\s+(?!(?:was|is|as|has|this|his|its|us|does|yes|across|plus|perhaps|thus|always|towards|less|unless)"
    r"\b)(?:[a-z]+(?<!s)s|[a-z]+ [a-z]+(?<!s)s(?= of)|people|men|women|children|percent|feet|"
    r"miles?|dollars?|different|other|more|million|billion|thousand|hundred|[kmc]?m|k?g|[MGTk]i?B|k?Hz|k?W|km/h|mph|°)\b"
)


def decades(text: str) -> str:
    """Write out the decades and centuries: "1990s", "the '90s", "the 60s", "1800s"."""
    text = _DECADE.sub(
        lambda m: plural(cardinal(m["short"]) if m["short"] else _decade(m["long"])), text
    )
    return _BARE_DECADE.sub(lambda m: f"{m[1]}{m[2]}{plural(cardinal(m[3]))}", text)


def years(text: str, british: bool = False) -> str:
    """Write out eras, spans of years, and years where the words around say so."""
    text = _ERA.sub(lambda m: _era(m, british), text)
    text = _SPAN.sub(lambda m: _span(m, british), text)
    text = _IN_YEAR.sub(
        lambda m: m[0] if _counted(m) else f"{m[1]}{m[2]}{year(m[3], british)}", text
    )
    text = _LONE_YEAR.sub(lambda m: m[0] if _counted(m) else year(m[1], british), text)
    return _SHORT_YEAR.sub(lambda m: _minute(m[1]), text)


def _decade(text: str) -> str:
    return cardinal(text) if text == "2000" else pairs(text)


def _span(match: re.Match[str], british: bool) -> str:
    if _counted(match):
        return match[0]
    first, until, word, second = match.groups()
    last = _minute(until) if until and len(until) == 2 else year(until or second, british)
    return f"{year(first, british)} {word or 'to'} {last}"


def _era(match: re.Match[str], british: bool) -> str:
    number, era = match[1] or match[4], match[2] or match[3]
    said = "A-D" if era in ("AD", "A-D") else era
    words = year(number, british) if len(number) == 4 else cardinal(number, british)
    return f"{words} {said}" if match[1] else f"{said} {words}"


def _counted(match: re.Match[str]) -> bool:
    return bool(_COUNTED.match(match.string, match.end()))
