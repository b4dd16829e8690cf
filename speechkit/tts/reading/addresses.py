"""What names a place in a machine: web and mail addresses, files, versions, hashtags, mentions."""

from __future__ import annotations

import re

from speechkit.tts.reading import marks
from speechkit.tts.reading.numerals import cardinal, digits

_MAX_ADDRESS = 500  # characters; what is longer is data that nobody reads out
_DOMAINS = (
    "com|org|net|edu|gov|mil|int|info|io|ai|app|dev|co|uk|de|fr|es|it|nl|eu|us|ca|au|nz|jp|ch|at|be|"
    "se|pl|cz|pt|br|in|cn|ru|tv|me|fm|gg|ly|xyz|tech|online|site|blog|shop|cloud|museum"
)
_FILES = (
    "py|js|ts|css|html|htm|xml|json|yaml|yml|toml|md|txt|csv|tsv|pdf|docx?|xlsx?|pptx?|zip|tar|gz|tgz|"
    "png|jpe?g|gif|svg|webp|wav|mp[34]|ogg|flac|opus|mkv|avi|mov|exe|dll|bat|sh|c|cpp|h|hpp|rs|go|java|"
    "rb|php|sql|log|ini|cfg|conf|bak|iso|dmg|apk|ipynb|onnx|pt|bin|dat|db|lock"
)
_SAID = {  # endings that are words though they look like letters
    "com", "net", "info", "app", "dev", "tech", "online", "site", "blog", "shop", "cloud", "museum",
    "json", "yaml", "zip", "tar", "gif", "flac", "opus", "log", "bat", "java", "go", "lock", "bin",
    "edu", "org", "gov", "mil", "int", "co", "me", "in", "at", "be", "it",
}  # fmt: skip
_TOKEN = re.compile(r"(?<!\S)\S*[.@/\\:#_~][^\s]*")
_INNER = re.compile(r"^([(\[{<\"']*)(.*?)([)\]}>\"'.,;:!?…]*)$", re.DOTALL)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*)"
_HOST = rf"(?:{_LABEL}\.)+(?:{_DOMAINS})"
_MAIL = re.compile(rf"(?:mailto:)?[\w.+%-]+@(?:{_LABEL}\.)+[A-Za-z]{{2,}}")
_URL = re.compile(
    rf"(?:[a-z][a-z0-9+]{{1,9}}://\S+|www\.\S+|{_HOST}(?::\d+)?(?:[/?#]\S*)?)", re.IGNORECASE
)
_ADDRESS_OF_HOST = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?:/\d{1,2})?")
_VERSION = re.compile(
    r"[vV](\d+(?:\.\d+){0,4})((?:-?(?:alpha|beta|rc)\.?\d*)?)|(?!\d\d?\.\d\d?\.\d{4}$|\d{3}\.\d{3}\.\d{4}$)\d+(?:\.\d+){2,4}"
)
_FILE = re.compile(rf"[\w-]+(?:\.[\w-]+)*\.(?:{_FILES})", re.IGNORECASE)
_PATH = re.compile(r"(?:~|\.{1,2})?/(?:[\w.@+-]+/?)+|[A-Za-z]:\\\S*|[\w.-]+(?:/[\w.-]+){2,}/?")
_TAG = re.compile(r"#(?=\w*[^\W\d])(\w+)((?:'s)?)")
_MENTION = re.compile(r"@(\w[\w.]*)((?:'s)?)")
_SNAKE = re.compile(r"[^\W_]+(?:_+[^\W_]+)+(?:\(\))?")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|[A-Z]|\d+|\W|_")


def read(text: str) -> str:
    """Write out the addresses, file names, versions, hashtags and mentions in `text`."""
    return _TOKEN.sub(lambda token: _token(token[0]), text)


def _token(token: str) -> str:
    if len(token) > _MAX_ADDRESS:
        return token
    parts = _INNER.match(token)
    assert parts
    before, inner, after = parts.groups()
    if inner.endswith("/") and not re.search(r"\w/.*\w|^[/~.]", inner):
        return token
    spoken = _spoken(inner)
    return token if spoken is None else f"{before}{spoken}{after}"


def _spoken(inner: str) -> str | None:
    if _MAIL.fullmatch(inner):
        return spell_address(inner.removeprefix("mailto:"))
    if _ADDRESS_OF_HOST.fullmatch(inner):
        return _host_number(inner)
    if version := _VERSION.fullmatch(inner):
        return _version(inner, version)
    if _URL.fullmatch(inner):
        return spell_address(re.sub(r"^[A-Za-z][A-Za-z0-9+]*://", "", inner).removesuffix("/"))
    if tag := _TAG.fullmatch(inner):
        return f"hashtag {camel(tag[1]).replace('_', ' ')}{tag[2]}"
    if mention := _MENTION.fullmatch(inner):
        return f"at {spell_address(mention[1]).replace('underscore ', '')}{mention[2]}"
    if _SNAKE.fullmatch(inner):
        return inner.replace("_", " ").removesuffix("()")
    if _FILE.fullmatch(inner) or (_PATH.fullmatch(inner) and re.search(r"[^\W\d]", inner)):
        return spell_address(inner)
    return None


def _host_number(text: str) -> str:
    named = {".": "dot", ":": "colon", "/": "slash"}
    return " ".join(named.get(part) or digits(part) for part in re.findall(r"\d+|\D", text))


def _version(inner: str, found: re.Match[str]) -> str:
    numbers = " point ".join(cardinal(n) for n in re.findall(r"\d+", found[1] or inner))
    if not found[1]:
        return numbers
    stage = " ".join(_part(part) for part in re.findall(r"[a-z]+|\d+", found[2]))
    return f"version {numbers} {stage.replace('rc', 'R-C')}".rstrip()


def camel(text: str) -> str:
    """A name in CamelCase as words: "OpenAI" → "open AI"."""
    words = [w.lower() if w.istitle() and len(w) > 1 else w for w in _WORDS.findall(text)]
    return " ".join(" ".join(words).split())


def spell_address(text: str) -> str:
    """Each word of an address, with the names of the signs between them."""
    parts = _WORDS.findall(text)
    last_dot = len(parts) - 1 - parts[::-1].index(".") if "." in parts else len(parts)
    words = []
    for i, part in enumerate(parts):
        ending = i and parts[i - 1] == "." and (i == last_dot + 1 or part in ("co", "py", "tar"))
        words.append(_ending(part) if ending else _part(part))
    return re.sub(r"\bA (?=[a-z])", "A, ", " ".join(" ".join(words).split()))


def _ending(part: str) -> str:
    short = part.isascii() and part.isalpha() and len(part) <= 4 and part.lower() not in _SAID
    return letters(part.upper()) if short else _part(part)


def _part(part: str) -> str:
    if part.isdecimal():
        return cardinal(part) if len(part) < 5 else digits(part)
    if len(part) == 1 and part.isalpha():
        return part.upper()
    if part.isalnum() or "\ue000" <= part <= "\uf8ff":
        return part
    return marks.LETTER_NAMES.get(part) or marks.name(part)


def letters(text: str) -> str:
    """Letters said one by one: hyphens make espeak say "A" as a letter, not as the article."""
    return "-".join(text)
