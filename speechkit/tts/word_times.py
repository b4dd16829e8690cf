"""Which phonemes belong to which word.

espeak joins short words ("of the" → əvðə) and splits others ("FBI" → three), so the words of a text and
the groups of its phonemes are matched like two spellings of one sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

MOST = 4  # words in one group, or groups in one word
BAND = 12  # how far the two rows may run apart


@dataclass(frozen=True)
class Span:
    """A word, and where its phonemes stand.

    Attributes:
        text: the word, with its punctuation.
        start, stop: indices into the phonemes of the sentence.
    """

    text: str
    start: int
    stop: int


def place_words(
    tokens: Sequence[str], phonemes: Sequence[str], lone: Callable[[str], list[str]]
) -> list[Span]:
    """The span of each token that is spoken.

    Args:
        tokens: the words of a sentence.
        phonemes: of the sentence, single characters, with a space between groups.
        lone: gives the phonemes of a word that stands alone; called only where counts differ.
    """
    tokens = [token for token in tokens if any(c.isalnum() for c in token)]
    groups = _groups(phonemes)
    if len(tokens) == len(groups):
        return [Span(token, *group) for token, group in zip(tokens, groups, strict=True)]
    lengths = [max(1, _sounds(lone(token))) for token in tokens]
    sizes = [_sounds(phonemes[start:stop]) for start, stop in groups]
    spans = []
    for of_tokens, of_groups in _match(lengths, sizes):
        start, stop = groups[of_groups[0]][0], groups[of_groups[-1]][1]
        total, passed = sum(lengths[i] for i in of_tokens), 0
        for i in of_tokens:
            first = start + (stop - start) * passed // total
            passed += lengths[i]
            spans.append(Span(tokens[i], first, start + (stop - start) * passed // total))
    return spans


def _groups(phonemes: Sequence[str]) -> list[tuple[int, int]]:
    """Start and stop of each stretch between spaces that has a sound in it."""
    bounds = [-1, *(i for i, p in enumerate(phonemes) if p == " "), len(phonemes)]
    stretches = [(a + 1, b) for a, b in pairwise(bounds)]
    return [(a, b) for a, b in stretches if any(p.isalpha() for p in phonemes[a:b])]


def _sounds(phonemes: Sequence[str]) -> int:
    return sum(p.isalpha() for p in phonemes)


def _match(lengths: list[int], sizes: list[int]) -> list[tuple[range, range]]:
    """Cut both rows into equally many stretches, one of each pair being of length 1.

    The sum of the differences of their lengths is the smallest.
    """
    n, m = len(lengths), len(sizes)
    tokens, groups = ([0, *accumulate(row)] for row in (lengths, sizes))
    best: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    steps = [(1, 1)] + [s for k in range(2, MOST + 1) for s in ((k, 1), (1, k))]
    for i in range(n + 1):
        middle = i * m // max(1, n)
        for j in range(max(0, middle - BAND), min(m, middle + BAND) + 1):
            if (i, j) not in best:
                continue
            cost = best[i, j][0]
            for a, b in steps:
                if i + a > n or j + b > m:
                    continue
                off = abs(tokens[i + a] - tokens[i] - groups[j + b] + groups[j]) + 0.1 * (a + b - 2)
                if cost + off < best.get((i + a, j + b), (float("inf"),))[0]:
                    best[i + a, j + b] = cost + off, (i, j)
    if (n, m) not in best:  # far too few of one: share the phonemes out
        return [(range(n), range(m))] if n and m else []
    path, at = [], (n, m)
    while at != (0, 0):
        before = best[at][1]
        path.append((range(before[0], at[0]), range(before[1], at[1])))
        at = before
    return path[::-1]
