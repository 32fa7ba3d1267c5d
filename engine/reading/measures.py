"""How well spans are found: exact match, F1 over characters, and the area under the curve of refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def letters(text: str) -> list[str]:
    """What counts of a text: letters, digits and Chinese characters, without case."""
    return [c for c in text.lower() if c.isalnum()]


def pairs_of(text: str) -> set[str]:
    """The pairs of neighbouring characters in a text."""
    return {text[i : i + 2] for i in range(len(text) - 1)}


def holds(text: str, wanted: str) -> bool:
    """Whether a text says something, letter for letter."""
    return "".join(letters(wanted)) in "".join(letters(text))


def f1(found: str, wanted: str) -> float:
    """The harmonic mean of precision and recall over characters, as SQuAD has it over words."""
    a, b = letters(found), letters(wanted)
    shared = sum((Counter(a) & Counter(b)).values())
    return 2 * shared / (len(a) + len(b)) if shared else float(not a and not b)


def exact(found: str, wanted: str) -> bool:
    return letters(found) == letters(wanted)


def area_under_curve(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """How likely a positive scores above a negative, ties counting half; 0.5 where there is only one kind."""
    ranked = sorted(range(len(scores)), key=lambda i: scores[i])
    ranks = [0.0] * len(scores)
    at = 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and scores[ranked[end]] == scores[ranked[at]]:
            end += 1
        for i in ranked[at:end]:
            ranks[i] = (at + end - 1) / 2
        at = end
    n = sum(positive)
    if not 0 < n < len(scores):
        return 0.5
    total = sum(rank for rank, good in zip(ranks, positive, strict=True) if good)
    return (total - n * (n - 1) / 2) / (n * (len(scores) - n))
