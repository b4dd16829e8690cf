"""English text → the words that a reader says."""

from __future__ import annotations

import re

from speechkit.tts.reading import abbreviations, addresses, amounts, dates, marks, quantities

_SMILEYS = {":)": "smiley", ":-)": "smiley", ":(": "sad face", ":-(": "sad face", ";)": "winking face",
            ";-)": "winking face", ":D": "grinning face", ":-D": "grinning face"}  # fmt: skip
_SMILEY = re.compile(r"(?<!\S)(?::-?[)(D]|;-?\))(?=[\s.,!?]|$)")
_BULLET = re.compile(r"(?m)^([ \t]*)(?:[•‣▪◦●○■□▶►➤*+-]|#{1,6})[ \t]+(?=\S)")
_RULE = re.compile(r"([-=*_~#+])\1{2,}")
_EMPHASIS = re.compile(r"(?<!\w)([*_]{1,3}|~~|`+)(?=[^\W_])([^*_~`\n]{1,300})(?<!\s)\1(?!\w)")
_NAMED_SIGN = re.compile(r"\b([CcFGDA])#(?!\w)|\b([CG])\+\+|\b(F|C)\+(?=\W|$)")
_INITIALS = re.compile(r"\b([A-Z]{1,5})/(?=[A-Z]{1,5}\b)")
_SIGN = re.compile("[^\\w\\s.,;:?!'…—\ue000-\uf8ff-]|_")
_LONG_DASH = re.compile(r"(?<=[^\W_])(?:---?|\s---?\s)(?=[^\W_])")
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]{0,15}(?:\s[^<>\n=]{1,40}=[^<>\n]{0,200})?\s?/?>")
_DASH = re.compile(r"\s?–\s?")
_OPEN = re.compile(r"(^|[\s\-—])[(\[{]+\s*|[(\[{]+")
_CLOSE = re.compile(r"[)\]}]+(?=\s|$|[.,;:?!…])|[)\]}]+")
_FOOTNOTE = re.compile(r"(?<=[a-z.,!?])\*+(?!\w)")


def read(text: str, british: bool = False) -> str:
    """Write out everything in `text` that is not words and their punctuation."""
    text = marks.plain(marks.emoji_names(text))
    if _is_plain(text):
        return text
    text = _LONG_DASH.sub(" — ", _TAG.sub("", text))
    text = _SMILEY.sub(lambda m: _SMILEYS[m[0]], text)
    text = _EMPHASIS.sub(r"\2", _RULE.sub(" ", _BULLET.sub(r"\1", text)))
    text = _NAMED_SIGN.sub(_named_sign, addresses.read(text))
    text = abbreviations.read(text, british)
    text = dates.read(text, british)
    text = dates.decades(quantities.codes(text, british))
    text = dates.years(amounts.read(text, british), british)
    text = quantities.numbers(text, british)
    text = abbreviations.spelled(_INITIALS.sub(_initials, text))
    return _signs(text)


_WORDS_ONLY = re.compile(r"(?:[^\W\d_]|[\s,;:?!'…—\ue000-\uf8ff-])*\.?\s*")
_SHORT = re.compile(
    r"\b(?:vs|Dr|St|[A-Z]{2,}s?)\b|\b[A-Za-z]{1,5}\.|\b[IVXLC]+\b|(?i:mon|tue|wed|thu|fri|sat|sun)"
)


def _is_plain(text: str) -> bool:
    return bool(_WORDS_ONLY.fullmatch(text)) and not _SHORT.search(text) and "--" not in text


def _named_sign(match: re.Match[str]) -> str:
    if match[1]:
        return f"{match[1]} sharp"
    return f"{match[2]} plus plus" if match[2] else f"{match[3]} plus"


def _initials(match: re.Match[str]) -> str:
    return f"{match[1]}{'-' if len(match[1]) == 1 else ' '}"


def _signs(text: str) -> str:
    """Brackets become commas, quotes go, and each sign left gets its name."""
    text = _FOOTNOTE.sub("", text.replace('"', "").replace("`", ""))
    text = re.sub(r"(?<=\s)[|•‣▪◦●○■□](?=\s)", ",", text)
    text = re.sub(r"(?<=[^\W\d_])–(?=[^\W\d_])", "-", text)
    text = _OPEN.sub(_opened, text)
    text = _CLOSE.sub(
        lambda m: ", " if m.end() < len(text) and m.string[m.end()].isalnum() else ",", text
    )
    text = _DASH.sub(" — ", text)
    spoken = _SIGN.sub(_sign, text)
    return spoken if spoken == text and "," not in text else tidy(spoken)


def _opened(match: re.Match[str]) -> str:
    start = match.start() == 0 or match.string[match.start() - 1] in ".!?,;:\n"
    return (match[1] or "") if start or match.start(1) == 0 else ", "


def _sign(match: re.Match[str]) -> str:
    name, before, after = marks.name(match[0]), match.start() - 1, match.end()
    text = match.string
    left = "" if before < 0 or text[before].isspace() else " "
    right = " " if after < len(text) and text[after].isalnum() else ""
    return f"{left}{name}{right}" if name else " "


def tidy(text: str) -> str:
    """No space before a mark, no two marks of pause in a row, no two spaces where there was one."""
    text = re.sub(r"(?<=[^\s]) {2,}(?=\S)", " ", text)
    text = re.sub(r"(?<=\S) +(?=[,.;:?!](?![.\w]))", "", text)
    text = re.sub(r",[,\s]*(?=[.;:?!,])", "", text)
    return re.sub(r"(^|(?<=[.!?;:]))\s?,+|,\s*$", lambda m: m[1] or "", text)
