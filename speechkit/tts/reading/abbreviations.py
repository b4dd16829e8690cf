"""Short forms with a full stop, Roman numerals after what they number, letters said one by one."""

from __future__ import annotations

import re

from speechkit.tts.reading.addresses import letters
from speechkit.tts.reading.numerals import cardinal, ordinal, roman

MONTHS = {
    "Jan": "January", "Feb": "February", "Mar": "March", "Apr": "April", "Jun": "June", "Jul": "July",
    "Aug": "August", "Sep": "September", "Sept": "September", "Oct": "October", "Nov": "November",
    "Dec": "December",
}  # fmt: skip
_NUMBERED = {  # before a number
    "No": "number", "Nos": "numbers", "nos": "numbers", "Fig": "figure", "Figs": "figures",
    "fig": "figure", "figs": "figures", "Vol": "volume", "vol": "volume", "Vols": "volumes",
    "vols": "volumes", "p": "page", "pp": "pages", "ch": "chapter", "Ch": "chapter", "sec": "section",
    "Sec": "section", "Eq": "equation", "eq": "equation", "Apt": "apartment", "apt": "apartment",
    "Ste": "suite", "ext": "extension", "Ext": "extension", "tel": "telephone", "Tel": "telephone",
    "ca": "circa", "c": "circa", "Mar": "March", "Apr": "April", "Jun": "June", "Jul": "July",
    "Art": "article", "art": "article", "par": "paragraph", "ver": "version", "Rev": "revision",
    "Op": "opus", "op": "opus", "Pt": "part", "pt": "part", "Rm": "room", "Hwy": "highway",
}  # fmt: skip
_NAMED = {  # before a name
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Ms", "Messrs": "Messieurs", "Prof": "Professor",
    "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant",
    "Maj": "Major", "Cpl": "Corporal", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative",
    "Rev": "Reverend", "Hon": "Honorable", "Pres": "President", "Supt": "Superintendent",
    "Mt": "Mount", "Ft": "Fort", "Univ": "University",
}  # fmt: skip
_ANYWHERE = {
    "vs": "versus", "approx": "approximately", "dept": "department", "Dept": "Department",
    "est": "established", "Est": "established", "govt": "government", "Govt": "Government",
    "e.g": "for example", "E.g": "For example", "i.e": "that is", "I.e": "That is", "cf": "compare",
    "Cf": "Compare", "et al": "et al", "ibid": "ibid", "viz": "namely", "a.k.a": "also known as",
    "P.S": "P-S", "Ph.D": "PhD", "incl": "including", "excl": "excluding", "max": "maximum",
    "avg": "average", "etc": "et cetera", "Inc": "Incorporated", "Ltd": "Limited",
    "Corp": "Corporation", "Co": "Company", "Bros": "Brothers", "Jr": "Junior", "Sr": "Senior",
    "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane", "Pkwy": "Parkway", "Sq": "Square",
    "Assn": "Association", "Mon": "Monday", "Tue": "Tuesday",
    "Tues": "Tuesday", "Thu": "Thursday", "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday",
    "intl": "international", "Intl": "International", "misc": "miscellaneous", "temp": "temperature",
    "B.C": "BC", "A.D": "A-D", "A.M": "AM", "R.I.P": "R-I-P",
}  # fmt: skip
_DAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Fri": "Friday",
    "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_NO_PLACE = frozenset(
    [
        "In",
        "At",
        "To",
        "From",
        "By",
        "Near",
        "And",
        "The",
        "With",
        "For",
        "See",
        "Saw",
        "Ask",
        "Call",
        "Visit",
        "Today",
        "Dear",
        "Hi",
        "Hello",
    ]
)
STARTER = re.compile(
    r"\s*$|\s*\n\s*\n|\s+[\"'(]?(?:A|An|And|As|At|But|For|From|He|Her|Here|His|How|I|If|In|It|Its|My|No|"
    r"Not|Now|On|Or|Our|She|So|Some|That|The|Their|Then|There|These|They|This|Those|To|We|What|When|"
    r"Where|Which|Who|Why|With|Yes|You|Your)\b"
)


def _any(words: dict[str, str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_START = r"(?<![\w.'-])"
_NUMBERED_RE = re.compile(rf"{_START}({_any(_NUMBERED)})\.(?=\s?\(?\d)")
_ROMAN_NUMBERED_RE = re.compile(rf"{_START}({_any(_NUMBERED)})\.(?=\s[IVX]+\b)")
_NAMED_RE = re.compile(rf"{_START}({_any(_NAMED)})\.(?=\s+[A-Z])")
_ANYWHERE_RE = re.compile(rf"{_START}({_any(_ANYWHERE)})\.(?![\w@])")
_MONTH_RE = re.compile(rf"{_START}({_any(MONTHS)})\.(?![\w@])")
_STREET_RE = re.compile(rf"{_START}(St|Dr)\.?(?![\w.'-])")
_DAY_RE = re.compile(
    rf"{_START}({_any(_DAYS)})(?=\s?[-–]\s?(?:{_any(_DAYS)})\b|\.?,?\s(?:\d|{_any(MONTHS)}))\.?"
)
_DAY_END_RE = re.compile(rf"(?<=day)\s?[-–]\s?({_any(_DAYS)})\b(?:\.(?!\s+[A-Z]|\s*$))?")
_BARE = {
    "w/o": "without", "w/": "with ", "c/o": "care of", "b/c": "because", "and/or": "and or",
    "n/a": "not applicable", "N/A": "not applicable", "24/7": "twenty-four seven", "a/c": "A-C",
    "9/11": "nine eleven", "vs": "versus",
}  # fmt: skip
_BARE_RE = re.compile(
    r"(?<![\w/])(w/o|c/o|b/c|and/or|n/a|N/A|24/7|9/11)(?![\w/])|(?<![\w/])(vs)(?![\w/.])|(?<![\w/])(w/)\s?(?=\w)"
)
_OR_RE = re.compile(
    r"\b(he|she|his|him|her|yes|true|on|either|s|input|male|win|pass|Yes|True|He|His|Him)/"
    r"(he|she|hers?|him|his|no|false|off|or|output|female|lose|fail|No|False)\b"
)

_PARTS = (
    "Chapter|Part|Volume|Book|Act|Scene|Section|Article|Title|Appendix|Phase|Stage|Type|Class|Level|"
    "Grade|Figure|Table|Unit|Lesson|World War|Super Bowl|Episode|Season|Schedule|Annex|Canto|"
    "Rocky|Final Fantasy|Apollo|Mark|Round|Vatican|number|figure|volume|chapter|part|section|article"
)
_RULERS = (
    "Henry|Louis|Charles|James|George|William|Edward|Richard|Elizabeth|Mary|John|John Paul|Paul|Pius|"
    "Benedict|Francis|Philip|Frederick|Napoleon|Nicholas|Alexander|Peter|Catherine|Ivan|Leo|Gregory|"
    "Urban|Clement|Innocent|Ferdinand|Leopold|Gustav|Christian|Otto|Robert|Ramses|Ramesses|Ptolemy|"
    "Xerxes|Darius|Henri|Felipe|Carlos|Harald|Emmanuel|Albert|Margrethe|Wilhelm|Joseph|Franz|Umberto|"
    "Julius|Sixtus|Boniface|Celestine|Cleopatra|Amenhotep|Thutmose|Seti|Alfonso|Pedro|Stephen|Haakon"
)
_ROMAN = r"(?=[IVXLC])(?:X[LC]|L?X{0,3})(?:IX|IV|V?I{0,3})"
_PART_RE = re.compile(
    rf"\b({_PARTS})\s({_ROMAN})(?:([-–])({_ROMAN}))?(?![\w'])(?!-\w)", re.IGNORECASE
)
_RULER_RE = re.compile(rf"\b({_RULERS})\s({_ROMAN})(?![\w-])(?!'[^s])")
_CENTURY_RE = re.compile(rf"\b({_ROMAN})(?:th)?(?=[\s-][Cc]entur(?:y|ies)\b)")

# All capitals that espeak would say as a word though people say the letters.
_SPELLED = (
    "VIP|UAE|UAV|IMF|ICU|IPO|IOU|SOS|AKA|EEG|EKG|ER|EV|UX|QA|NYC|ASR|AWS|ATP|IDE|EPA|EPS|IVF|IQ|EQ|COO|SEO|"
    "PTO|PA|TA|BA|YMCA|USC|POV|POW|ROI|RAF|ERP|ESL|ETF|OED|OBE|APA|URI|ACL|AFC|EDM|ENT|EOD|UPS|UBS|ICBM|"
    "EMI|AA|AOC|ITV|IBS|IUD"
)
_SPELLED_RE = re.compile(rf"(?<![\w'-])({_SPELLED})(s|'s)?(?![\w-])")


def read(text: str, british: bool = False) -> str:
    """Write out the short forms in `text`, except those that are part of a date or an amount."""
    text = _BARE_RE.sub(lambda m: _BARE[m[1] or m[2] or m[3]], text)
    text = _OR_RE.sub(r"\1 or \2", text)
    if "." in text:
        text = _NUMBERED_RE.sub(
            lambda m: _NUMBERED[m[1]] + ("" if m.string[m.end()].isspace() else " "), text
        )
        text = _ROMAN_NUMBERED_RE.sub(lambda m: _NUMBERED[m[1]], text)
        text = _NAMED_RE.sub(lambda m: _NAMED[m[1]], text)
        text = _ANYWHERE_RE.sub(lambda m: _ANYWHERE[m[1]] + stop(m), text)
        text = _MONTH_RE.sub(_month, text)
    text = _STREET_RE.sub(_street, text)
    text = _DAY_RE.sub(lambda m: _DAYS[m[1]], text)
    text = _DAY_END_RE.sub(lambda m: f" to {_DAYS[m[1]]}", text)
    return _romans(text, british)


def stop(match: re.Match[str]) -> str:
    """ "." if the full stop of the short form `match` ends its sentence too, else ""."""
    after = match.string[match.end() : match.end() + 30]
    return "." if STARTER.match(after) else ""


def _month(match: re.Match[str]) -> str:
    """The month, unless it may be somebody's name or a word at the end of a sentence."""
    before = match.string[max(0, match.start() - 12) : match.start()]
    dated = re.search(
        r"\b(?:in|In|since|Since|until|by|of|last|next|this|early|late|mid|\d)[\s-]$", before
    )
    ends = stop(match)
    if not dated and (ends or match[1] in ("Mar", "Jun", "Jul", "Apr", "Sep")):
        return match[0]
    return MONTHS[match[1]] + ends


def _street(match: re.Match[str]) -> str:
    """Doctor or drive, saint or street, by the words around."""
    before = match.string[max(0, match.start() - 30) : match.start()].split()
    after = match.string[match.end() : match.end() + 30]
    last = before[-1] if before and match.string[match.start() - 1].isspace() else ""
    starts = bool(STARTER.match(after))
    place = bool(re.fullmatch(r"[A-Z][a-z]+|\d+(?:st|nd|rd|th)", last)) and last not in _NO_PLACE
    if place and len(before) > 1 and before[-2][:1].isdigit():
        name = False
    else:
        name = bool(re.match(r"\s+[A-Z]", after)) and not (place and starts)
    dotted = match[0].endswith(".")
    if not name and not place:
        return match[0]
    words = ("Saint", "Street") if match[1] == "St" else ("Doctor", "Drive")
    return words[0] if name else words[1] + ("." if dotted and starts else "")


def _romans(text: str, british: bool) -> str:
    text = _PART_RE.sub(lambda m: _part(m, british), text)
    text = _RULER_RE.sub(lambda m: _ruler(m, british), text)
    return _CENTURY_RE.sub(lambda m: ordinal(roman(m[1]), british), text)


def _part(match: re.Match[str], british: bool) -> str:
    word, first, dash, second = match.groups()
    if not (first.isupper() and (second or first).isupper()):
        return match[0]
    if (
        first == "I"
        and not dash
        and (word[0].islower() or match.string[match.end() :][:2].strip(" ") > "Z")
    ):
        return match[0]
    words = f"{word} {cardinal(roman(first), british)}"
    return f"{words} to {cardinal(roman(second), british)}" if dash else words


def _ruler(match: re.Match[str], british: bool) -> str:
    after = match.string[match.end() : match.end() + 4]
    if match[2] == "I" and not re.match(r"\s*$|[.,;:!?)]|'s|\sof\b", after):
        return match[0]
    return f"{match[1]} the {ordinal(roman(match[2]), british)}"


def spelled(text: str) -> str:
    """Say the letters of the names in capitals that espeak would say as a word."""
    return _SPELLED_RE.sub(lambda m: letters(m[1]) + ("'s" if m[2] else ""), text)
