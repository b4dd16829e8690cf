"""English short forms that espeak misreads, written out: amounts of money, "No. 5", "Jan. 5"."""

from __future__ import annotations

import re

# The lookahead stops at the first digit it meets: looking for the last one took quadratic time.
_MONEY = re.compile(
    r"(?<!\w)([$£€])\s?(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?(?![,.]*\d)"
    r"(?:[\s-]?(thousand|million|billion|trillion|bn)|([kmb]))?(?!\w)",
    re.IGNORECASE,
)
_SCALES = {"k": "thousand", "m": "million", "b": "billion", "bn": "billion"}
_CURRENCY = {  # sign: one and several units, one and several hundredths
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
}
_BEFORE_NUMBER = {
    "No": "number",
    "Nos": "numbers",
    "Fig": "figure",
    "Vol": "volume",
    "approx": "approximately",
    "Jan": "January",
    "Feb": "February",
    "Mar": "March",
    "Apr": "April",
    "Aug": "August",
    "Sep": "September",
    "Sept": "September",
    "Oct": "October",
    "Nov": "November",
    "Dec": "December",
}
_SHORT = re.compile(rf"\b({'|'.join(_BEFORE_NUMBER)})\.(?=\s?\d)")
_ANYWHERE = {"vs": "versus", "Mt": "Mount", "dept": "department", "Dept": "Department"}
_SHORT_ANYWHERE = re.compile(rf"\b({'|'.join(_ANYWHERE)})\.(?=\s+\w)")


def write_out(text: str) -> str:
    """Replace the short forms; all else, numbers too, is left to espeak.

    Amounts that letters follow ("$5x") are left to espeak too, unless the letters are a scale ("$5M").

    Example: "No. 5 costs $45.50." → "number 5 costs 45 dollars and 50 cents."
    """
    text = _MONEY.sub(_money, text)
    text = _SHORT.sub(lambda match: _BEFORE_NUMBER[match[1]], text)
    return _SHORT_ANYWHERE.sub(lambda match: _ANYWHERE[match[1]], text)


def _money(match: re.Match[str]) -> str:
    sign, whole, fraction, word, letter = match.groups()
    scale = (word or letter or "").lower()
    scale = _SCALES.get(scale, scale)
    one, many, one_part, many_parts = _CURRENCY[sign]
    if scale or (fraction and len(fraction) != 2):
        amount = f"{whole}.{fraction}" if fraction else whole
        return f"{amount} {scale} {many}" if scale else f"{amount} {many}"
    units = f"{whole} {one if whole == '1' else many}"
    parts = int(fraction or 0)
    if not parts:
        return units
    hundredths = f"{parts} {one_part if parts == 1 else many_parts}"
    return hundredths if whole == "0" else f"{units} and {hundredths}"
