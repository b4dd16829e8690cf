"""Text → sentences that a voice can speak one at a time."""

from __future__ import annotations

import re

MAX_SENTENCE = 400  # characters: keeps the memory that one sentence takes small

_ABBREVIATIONS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "sr",
        "jr",
        "st",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "no",
        "vol",
        "fig",
        "approx",
        "dept",
        "est",
        "inc",
        "ltd",
        "co",
    ]
)
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]|\n\s*\n")
# espeak ends a clause at a title's full stop, and the voice would pause there.
_TITLE_STOP = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St)\.(?=\s+\w)")
# Brackets and quotes are never spoken, and the voices were not trained on them.
_UNSPOKEN = str.maketrans(dict.fromkeys('"“”„«»*_`~|<>^\\', " ") | dict.fromkeys("()[]{}", ", "))


def sentences(text: str) -> list[str]:
    """Cut `text` into sentences of at most `MAX_SENTENCE` characters, without unspoken marks.

    A full stop after a known abbreviation or a single capital ends nothing. Sentences that are too
    long are cut at clause marks, else at spaces, else anywhere.
    """
    found, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if match.group().startswith(".") and _is_abbreviation(text[start : match.start()]):
            continue
        found.append(text[start : match.end()])
        start = match.end()
    found.append(text[start:])
    cleaned = (_clean(piece) for piece in found)
    return [part for piece in cleaned if piece for part in _cut(piece)]


def _is_abbreviation(before: str) -> bool:
    words = before.split()
    last = words[-1].lstrip("(\"'“‘") if words else ""
    return last.lower() in _ABBREVIATIONS or (len(last) == 1 and last.isupper() and last != "I")


def _clean(piece: str) -> str:
    piece = " ".join(_TITLE_STOP.sub(r"\1", piece.translate(_UNSPOKEN)).split())
    piece = re.sub(r"\s+([,.;:!?])", r"\1", piece)
    return re.sub(r"[,;:]+([,.;:!?])", r"\1", piece).strip(" ,;:")


def _cut(sentence: str) -> list[str]:
    parts = []
    while len(sentence) > MAX_SENTENCE:
        head = sentence[:MAX_SENTENCE]
        at = max(head.rfind(mark) for mark in (", ", "; ", ": "))
        at = at + 1 if at > 0 else head.rfind(" ")
        at = at if at > 0 else MAX_SENTENCE
        parts.append(sentence[:at].strip())
        sentence = sentence[at:].strip()
    return [*parts, sentence] if sentence else parts
