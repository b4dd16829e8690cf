"""Amounts of something: money, percentages, measures → English words."""

from __future__ import annotations

import re

from speechkit.tts.reading.abbreviations import STARTER
from speechkit.tts.reading.numerals import NUMBER, cardinal, fraction, mixed, number

_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion",
           "t": "trillion", "tn": "trillion"}  # fmt: skip
_CENTS = ("cent", "cents")
_DOLLAR = ("dollar", "dollars", *_CENTS)
CURRENCY = {  # one and several units, one and several hundredths
    "$": _DOLLAR,
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", *_CENTS),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₿": ("bitcoin", "bitcoins", *_CENTS),
    "₺": ("lira", "lira", "kuruş", "kuruş"),
    "₪": ("shekel", "shekels", "agora", "agorot"),
    "₫": ("dong", "dong", "xu", "xu"),
    "₴": ("hryvnia", "hryvnias", "kopiyka", "kopiykas"),
    "₦": ("naira", "naira", "kobo", "kobo"),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
    "SEK": ("Swedish krona", "Swedish kronor", "öre", "öre"),
    "PLN": ("zloty", "zlotys", "grosz", "groszy"),
}
_NATIONS = {"US": "US", "C": "Canadian", "CA": "Canadian", "A": "Australian", "AU": "Australian",
            "NZ": "New Zealand", "HK": "Hong Kong", "S": "Singapore"}  # fmt: skip
_CODES = {"USD": "US$", "EUR": "€", "GBP": "£", "JPY": "¥", "CAD": "C$", "AUD": "A$", "INR": "₹",
          "CHF": "CHF", "SEK": "SEK", "PLN": "PLN", "NZD": "NZ$"}  # fmt: skip
_SIGN = rf"(?:(?:{'|'.join(_NATIONS)})\$|[$£€¥₹₽₩₿₺₪₫₴₦])"
_CODE = "|".join(_CODES)
_AMOUNT = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_SCALE = (
    r"(?:(?P<hyphen>[\s-]?)(?P<word>thousand|million|billion|trillion|bn|mn|tn)"
    r"|(?P<letter>[kmbtKMBT]))?(?!\w)"
)
_MONEY = re.compile(
    rf"(?<![\w])(?P<minus>[-−])?(?P<sign>{_SIGN}|(?:{_CODE})(?=\s?\d))\s?(?P<low>{_AMOUNT})"
    rf"(?:\s?[-–]\s?(?P=sign)?(?P<high>{_AMOUNT}))?(?![,.]*\d){_SCALE}(?P<each>-(?=[a-z]))?",
    re.IGNORECASE,
)
_MONEY_AFTER = re.compile(
    rf"(?<![\w.,$£€])(?P<low>{_AMOUNT})(?P<high>)(?:\s?(?P<word>thousand|million|billion|trillion|bn))?"
    rf"(?P<hyphen>)(?P<letter>)(?P<each>)(?P<minus>)\s?(?P<sign>[£€¥₹₽₩₿₺₪₫₴₦]|(?:{_CODE})\b)"
)
_GLUED = re.compile(rf"(?<!\w)([$£€])({_AMOUNT})(?=[a-z])(?!st\b|nd\b|rd\b|th\b)")
_CENT = re.compile(rf"({NUMBER})\s?¢")
_THOUSANDS = re.compile(r"(?<!\w)([$£€])1,000(,000)?s(?!\w)")
_PER_CURRENCY = re.compile(r"((?:dollar|pound|cent|euro|yen|pence)s?)\s?/\s?([a-z]+)\b")

# symbol: one and several
UNITS = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer",
    "µm": "micrometer",
    "m": "meter", "mi": "mile", "yd": "yard", "kg": "kilogram", "g": "gram", "mg": "milligram",
    "µg": "microgram", "lb": "pound", "lbs": "pound", "oz": "ounce", "t": "ton", "l": "liter",
    "L": "liter",
    "ml": "milliliter", "mL": "milliliter", "cl": "centiliter", "dl": "deciliter", "ha": "hectare",
    "s": "second", "sec": "second", "secs": "second", "ms": "millisecond", "ns": "nanosecond",
    "µs": "microsecond", "min": "minute", "mins": "minute", "h": "hour", "hr": "hour",
    "hrs": "hour",
    "yr": "year", "yrs": "year", "wk": "week", "wks": "week", "ft": "foot", "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz", "GHz": "gigahertz", "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte",
    "GB": "gigabyte", "TB": "terabyte", "PB": "petabyte", "MiB": "mebibyte", "GiB": "gibibyte",
    "Kb": "kilobit", "Mb": "megabit", "Gb": "gigabit", "kbps": "kilobit per second", "V": "volt",
    "Mbps": "megabit per second", "Gbps": "gigabit per second", "W": "watt", "kW": "kilowatt",
    "mV": "millivolt",
    "kV": "kilovolt", "MW": "megawatt", "GW": "gigawatt", "kWh": "kilowatt hour", "Wh": "watt hour",
    "mAh": "milliamp hour", "mA": "milliamp", "dB": "decibel", "px": "pixel",
    "mph": "mile per hour",
    "kph": "kilometer per hour", "kmh": "kilometer per hour", "rpm": "revolution per minute",
    "bpm": "beat per minute",
    "fps": "frame per second", "psi": "P-S-I", "Pa": "pascal", "kPa": "kilopascal",
    "hPa": "hectopascal",
    "kJ": "kilojoule", "cal": "calorie", "kcal": "kilocalorie", "Nm": "newton meter",
    "kN": "kilonewton",
    "°C": "degree Celsius", "°F": "degree Fahrenheit", "°": "degree", "Ω": "ohm",
    "kΩ": "kiloohm", "K": "kelvin",
    "sq ft": "square foot", "fl oz": "fluid ounce", "pt": "point", "dpi": "dot per inch",
    "ppm": "part per million",
    "tbsp": "tablespoon", "tsp": "teaspoon", "μm": "micrometer", "μs": "microsecond",
    "μg": "microgram",
}  # fmt: skip
_LONG_ONLY = {"K", "pt"}  # these need a space before: "4K" is a picture, "5pt" a type size
_BRITISH = {"meter": "metre", "liter": "litre"}
_UNIT = "|".join(re.escape(u) for u in sorted(UNITS, key=len, reverse=True))
_ANY_NUMBER = rf"{NUMBER}(?:\s\d{{1,2}}/\d{{1,3}})?|(?<![\d/])\d{{1,2}}/\d{{1,3}}"
_MEASURE = re.compile(
    rf"(?<![\w.])(?P<minus>[-−])?(?P<low>{_ANY_NUMBER})(?:\s?[-–]\s?(?P<high>{_AMOUNT}))?(?P<gap>[\s-]?)"
    rf"(?P<unit>{_UNIT})(?P<power>\^[23]|(?<=m)[23](?!\w))?(?:/(?P<per>{_UNIT})(?P<per_power>\^?[23])?)?"
    r"(?P<dot>\.(?=[\s,;:?!)]|$))?(?![\w'/])"
)
_LONE_UNIT = re.compile(
    rf"(?<![\w.])(?P<unit>{_UNIT})(?:(?P<power>\^[23])|/(?P<per>km|m|s|h|hr|min|kg|L|l)(?P<pp>\^?[23])?)(?!\w)"
)
_FEET = re.compile(
    r"(?<![\w.])(\d{1,3})(?:'|\s?ft\.?)\s?(\d{1,2}(?:\.\d+)?)(?:\"|''|\s?in\b(?:\.(?=\s[a-z]))?)?(?![\w'])"
)
_FOOT = re.compile(r"(?<![\w.'])(\d{1,4})'(?=\s?[x×]|[\s,.;)]|$)")
_INCH = re.compile(
    rf"((?<![\d/])\d{{1,2}}/\d{{1,2}}|{NUMBER}(?:\s\d/\d{{1,2}})?)(-)?(?:\"|\s?in\.(?=\s(?:of|by|x|long|wide|tall|deep|high)\b))"
)
_PERCENT = re.compile(
    rf"(?<![\w.])(?P<minus>[-−+])?(?P<low>{NUMBER})\s?%?(?:\s?[-–]\s?(?P<high>{_AMOUNT}))?\s?%(?!\w)"
)


def read(text: str, british: bool = False) -> str:
    """Write out the money, percentages and measures in `text`."""
    text = _THOUSANDS.sub(
        lambda m: f"{'millions' if m[2] else 'thousands'} of {CURRENCY[m[1]][1]}", text
    )
    text = _MONEY.sub(lambda m: _money(m, british), text)
    text = _MONEY_AFTER.sub(lambda m: _money(m, british), text)
    text = _GLUED.sub(lambda m: f"{_coins(m[2], CURRENCY[m[1]], british)} ", text)
    text = _CENT.sub(lambda m: f"{number(m[1], british)} {_CENTS[m[1] != '1']}", text)
    text = _PER_CURRENCY.sub(lambda m: f"{m[1]} per {_per_word(m[2])}", text)
    text = _PERCENT.sub(lambda m: _percent(m, british), text)
    text = _FEET.sub(lambda m: f"{cardinal(m[1])} foot {number(m[2])}", text)
    text = _INCH.sub(lambda m: _inches(m, british), text)
    text = _FOOT.sub(lambda m: f"{cardinal(m[1])} {'foot' if m[1] == '1' else 'feet'}", text)
    text = _MEASURE.sub(lambda m: _measure(m, british), text)
    return _LONE_UNIT.sub(lambda m: _lone_unit(m, british), text)


def _currency(sign: str) -> tuple[str, str, str, str]:
    sign = _CODES.get(sign.upper(), sign)
    nation = _NATIONS.get(sign[:-1].upper(), "") if sign.endswith("$") else ""
    words = CURRENCY[sign[-1] if sign[-1] in CURRENCY else sign.upper()]
    return (f"{nation} {words[0]}", f"{nation} {words[1]}", *words[2:]) if nation else words


def _money(match: re.Match[str], british: bool) -> str:
    one, many, one_part, many_parts = _currency(match["sign"])
    low, high = match["low"], match["high"]
    scale = (match["word"] or match["letter"] or "").lower()
    scale = _SCALES.get(scale, scale)
    minus = "minus " if match["minus"] else ""
    between = f"{number(low, british)} to {number(high, british)}" if high else ""
    if scale or high:
        amount = f"{between or number(low, british)} {scale}".strip()
        adjective = (match["hyphen"] == "-" and not high) or match["each"]
        return f"{minus}{amount} {one if adjective else many}{' ' if match['each'] else ''}"
    if match["each"]:
        return f"{minus}{number(low, british)} {one} "
    return minus + _coins(low, (one, many, one_part, many_parts), british)


def _coins(amount: str, names: tuple[str, str, str, str], british: bool) -> str:
    whole, _, hundredths = amount.partition(".")
    one, many, one_part, many_parts = names
    if hundredths and len(hundredths) != 2:
        return f"{number(amount, british)} {many}"
    units = f"{cardinal(whole, british)} {one if whole == '1' else many}"
    parts = int(hundredths or 0)
    if not parts:
        return units
    small = f"{cardinal(str(parts))} {one_part if parts == 1 else many_parts}"
    return small if whole == "0" else f"{units} and {small}"


def money(text: str, british: bool = False) -> str | None:
    """A whole text that is one amount of money in words; None if it is none."""
    found = _MONEY.fullmatch(text) or _MONEY_AFTER.fullmatch(text)
    return _money(found, british) if found else None


def _per_word(word: str) -> str:
    short = {"mo": "month", "yr": "year", "hr": "hour", "h": "hour", "wk": "week", "d": "day"}
    return short.get(word) or UNITS.get(word) or word


def _percent(match: re.Match[str], british: bool) -> str:
    sign = {"-": "minus ", "−": "minus ", "+": "plus "}.get(match["minus"] or "", "")
    high = f" to {number(match['high'], british)}" if match["high"] else ""
    return f"{sign}{number(match['low'], british)}{high} percent"


def _inches(match: re.Match[str], british: bool) -> str:
    if "/" in match[1] and " " not in match[1]:
        return f"{_amount(match[1], british)} of an inch"
    one = match[1] == "1" or match[2]
    return f"{_amount(match[1], british)}{'-' if match[2] else ' '}{'inch' if one else 'inches'}"


def _amount(text: str, british: bool) -> str:
    if "/" not in text:
        return number(text, british)
    *whole, part = text.split()
    top, bottom = part.split("/")
    return mixed(whole[0], top, bottom, british) if whole else fraction(top, bottom, british)


def unit(symbol: str, several: bool, power: str = "", british: bool = False) -> str:
    """The name of a unit: "km" → "kilometers"; `power` "2" or "3" makes it square or cubic."""
    first, *rest = UNITS[symbol].split(" ")
    rest_of = " ".join(["", *rest])
    if several:
        last = rest[-1] if rest and "per" not in rest and first != "degree" else ""
        if last:
            rest_of = rest_of.removesuffix(last) + _several(last)
        else:
            first = _several(first)
    name = {"2": "square ", "3": "cubic "}.get(power[-1:], "") + first + rest_of
    for american, spelling in _BRITISH.items() if british else ():
        name = name.replace(american, spelling)
    return name


def _several(word: str) -> str:
    odd = {"foot": "feet", "hertz": "hertz", "P-S-I": "P-S-I", "kelvin": "kelvin"}
    return odd.get(word) or (word + ("es" if word.endswith("ch") else "s"))


def _measure(match: re.Match[str], british: bool) -> str:
    symbol, gap, high = match["unit"], match["gap"], match["high"]
    if symbol in _LONG_ONLY and gap != " ":
        return match[0]
    fraction_of = "/" in match["low"] and " " not in match["low"]
    several = bool(high) or not (match["low"] == "1" or gap == "-" or fraction_of)
    sign = "minus " if match["minus"] else ""
    amount = _amount(match["low"], british) + (f" to {number(high, british)}" if high else "")
    of = " of a " if fraction_of else gap or " "
    if amount == "one half" and fraction_of:
        amount, of = "half", " a "
    per = (
        f" per {unit(match['per'], False, match['per_power'] or '', british)}"
        if match["per"]
        else ""
    )
    ends = match["dot"] and STARTER.match(match.string[match.end() : match.end() + 30])
    name = unit(symbol, several, match["power"] or "", british)
    return f"{sign}{amount}{of}{name}{per}{'.' if ends else ''}"


def _lone_unit(match: re.Match[str], british: bool) -> str:
    name = unit(match["unit"], True, match["power"] or "", british)
    return (
        f"{name} per {unit(match['per'], False, match['pp'] or '', british)}"
        if match["per"]
        else name
    )
