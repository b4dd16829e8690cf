"""Characters: what is read the same is made the same; emoji and symbols become their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import emoji

_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
# Where emoji may stand, in short pieces: the search takes quadratic time along a chain of joiners.
_STRETCH = re.compile("(?:[0-9#*]\ufe0f?\u20e3|[^\x00-\xff]){1,100}")
_KEPT_SIGNS = frozenset("©®™")  # emoji's list has them, the table of symbols has them too
_OTHER_FORM = {
    "’": "'", "‘": "'", "‛": "'", "ʼ": "'", "′": "'", "″": '"', "“": '"', "”": '"', "„": '"',
    "«": '"', "»": '"', "‹": '"', "›": '"', "‐": "-", "‑": "-", "‒": "–", "―": "—", "⁃": "•",
    "。": ". ", "、": ", ", "，": ", ", "！": "! ", "？": "? ", "；": "; ", "：": ": ", "¿": "", "¡": "",
    "№": "No. ", "⁄": "/", "∕": "/", "∗": "*", "·": " ", "ˆ": "^", "˜": "~", "∼": "~", "％": "%",
    "⅓": " 1/3", "\u2028": "\n", "\u2029": "\n\n",
}  # fmt: skip
NAMES = {
    "&": "and", "@": "at", "+": "plus", "=": "equals", "%": "percent", "#": "number", "*": "asterisk",
    "/": "slash", "\\": "backslash", "|": "vertical bar", "_": "underscore", "^": "caret", "~": "tilde",
    "<": "less than", ">": "greater than", "≤": "less than or equal to",
    "≥": "greater than or equal to", "≠": "is not equal to", "≈": "approximately", "±": "plus or minus",
    "×": "times", "÷": "divided by", "−": "minus", "√": "square root of", "∞": "infinity",
    "→": "to", "←": "left arrow", "↑": "up", "↓": "down", "⇒": "implies", "↔": "to and from",
    "°": "degrees", "™": "trademark", "®": "registered", "©": "copyright", "§": "section",
    "¶": "paragraph", "µ": "micro", "∑": "sum of", "∏": "product of", "∫": "integral of", "∂": "partial",
    "∆": "delta", "∈": "in", "∴": "therefore", "∵": "because", "$": "dollar", "£": "pound", "€": "euro",
    "¥": "yen", "¢": "cent", "₹": "rupee", "₩": "won", "₽": "ruble", "₿": "bitcoin", "₺": "lira",
    "₫": "dong", "₪": "shekel", "₴": "hryvnia", "₦": "naira", "‰": "per mille", "†": "dagger",
    "‡": "double dagger", "✓": "check mark", "✗": "cross mark", "★": "star", "☆": "star",
}  # fmt: skip
LETTER_NAMES = {
    " ": "space", ".": "dot", ",": "comma", "-": "dash", "'": "apostrophe", '"': "quote",
    "!": "exclamation mark", "?": "question mark", ":": "colon", ";": "semicolon", "(": "open bracket",
    ")": "close bracket", "[": "open bracket", "]": "close bracket", "{": "open brace",
    "}": "close brace", "`": "backtick", "#": "hash", "<": "less than", ">": "greater than",
    "…": "dots", "–": "dash", "—": "dash",
}  # fmt: skip


def emoji_names(text: str, language: str = "en") -> str:
    """Each emoji as the name it has in `language`; a run of the same emoji is named once.

    Names of emoji side by side have commas between them.
    """
    if text.isascii():
        return text
    pieces: list[str] = []
    at, last = 0, ""
    for start, sign in _emoji(text):
        name, between = _emoji_name(sign, language), text[at:start]
        if last and not between.strip():
            pieces.append("" if name == last else f", {name}")
        else:
            pieces += [_spaced(between, bool(last)), _gap(between), name]
        at, last = start + len(sign), name
    return "".join([*pieces, _spaced(text[at:], bool(last))])


def _emoji(text: str) -> Iterator[tuple[int, str]]:
    for stretch in _STRETCH.finditer(text):
        for found in emoji.emoji_list(stretch[0]):
            if found["emoji"] not in _KEPT_SIGNS:
                yield stretch.start() + int(found["match_start"]), str(found["emoji"])


@lru_cache(maxsize=4096)
def _emoji_name(sign: str, language: str) -> str:
    data = emoji.EMOJI_DATA[sign]
    name = str(data.get(language) or data["en"]).strip(":").replace("_", " ")
    flag = language == "en" and "\U0001f1e6" <= sign[0] <= "\U0001f1ff"
    return f"flag of {name}" if flag else name


def _spaced(text: str, after_name: bool) -> str:
    return f" {text}" if after_name and text[:1].isalnum() else text


def _gap(text: str) -> str:
    return "" if not text or text[-1].isspace() else " "


def plain(text: str) -> str:
    """`text` with one form of each digit, quote, dash, space, and no invisible characters.

    Superscripts become powers ("x²" → "x^2"), other small or boxed digits and letters plain ones.
    """
    if not text.isascii():
        text = _SUPERSCRIPT.sub(lambda run: "^" + unicodedata.normalize("NFKC", run[0]), text)
        text = re.sub("(?<=\\d)(?=[¼-¾⅐-⅞])", " ", text)
        text = re.sub("[^\x00-\x7f]", lambda c: _plain_form(c[0]), text)
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", " ", text)


@lru_cache(maxsize=4096)
def _plain_form(c: str) -> str:
    if c in _OTHER_FORM:
        return _OTHER_FORM[c]
    if c in NAMES or "\ue000" <= c <= "\uf8ff":
        return c
    category = unicodedata.category(c)
    if category == "Nd":
        return str(unicodedata.decimal(c))
    if category == "Cf" or category[0] == "M":  # a mark that is in no composed letter
        return ""
    if category in ("Cc", "Cs", "Cn", "Co", "Zs", "Zl", "Zp"):
        return " "
    styled = (
        "\U0001d400" <= c <= "\U0001d7ff" or "\u2100" <= c <= "\u2188" or "\uff01" <= c <= "\uff5e"
    )
    if category in ("No", "Nl") or styled or "\ufb00" <= c <= "\ufb06" or "\u3380" <= c <= "\u33df":
        return unicodedata.normalize("NFKC", c).replace("⁄", "/").replace("−", "-")
    return c


def name(c: str) -> str:
    """The name of a symbol in words; "" for lines, blocks and other marks that draw."""
    if c in NAMES:
        return NAMES[c]
    if "\u2500" <= c <= "\u259f" or "\u2800" <= c <= "\u28ff":
        return ""
    words = unicodedata.name(c, "").lower().replace("-", " ")
    return re.sub(r"\bsign\b|\d+", "", words).strip()
