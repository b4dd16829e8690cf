"""Phonemes written inside a text: "Say [[həlˈoʊ]] to them."

They are taken out before the text is cut into sentences and put back as phonemes afterwards; until
then one private-use character stands for each, which no step in between changes.
"""

from __future__ import annotations

import re

from speechkit.errors import InputError

FIRST_STAND_IN = 0xE000  # Unicode's private-use area: no script has its letters there
MAX_INLINE = 6400  # characters in that area
MAX_LENGTH = 200  # of one, in characters: a sentence is spoken in one piece

# No bracket and no line end inside: a "[[" that is never closed costs no search to the text's end.
INLINE = re.compile(r"\[\[([^\[\]\n]+)\]\]")
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]")


def extract_phonemes(text: str) -> tuple[str, list[str]]:
    """Take the inline phonemes out of `text`.

    Private-use characters that were in the text are removed. A "[[" that is never closed stays.

    Returns:
        The text, in which chr(FIRST_STAND_IN + i) with a space on both sides stands for the i-th
        [[IPA]], and the IPA strings in order. Brackets with nothing inside leave a space.

    Raises:
        InputError: more than `MAX_INLINE` of them, or one longer than `MAX_LENGTH`.
    """
    found: list[str] = []

    def stand_in(match: re.Match[str]) -> str:
        ipa = match[1].strip()
        if not ipa:
            return " "
        if len(ipa) > MAX_LENGTH:
            raise InputError(
                f"{len(ipa)} characters of phonemes in one [[...]]; give at most {MAX_LENGTH} in each"
            )
        if len(found) == MAX_INLINE:
            raise InputError(f"more than {MAX_INLINE} [[phonemes]] in one text; give it in parts")
        found.append(ipa)
        return f" {chr(FIRST_STAND_IN + len(found) - 1)} "

    return INLINE.sub(stand_in, _PRIVATE.sub("", text)), found
