"""How close two wordings of a question are: the weight of what they share against that of all they hold.

Tokens are weighed by their rarity among the pairs' wordings (inverse document frequency), so that 怎么办,
which many share, says little; pairs of characters full, single characters less. The measure is the Dice
coefficient of the weighted tokens: 1 for the same tokens, 0 for none in common, and the same both ways, so a
short wording within a long question is no match.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

from engine.library.cutting import tokens

_SINGLE = 0.4  # weight of a single character against a pair


class Closeness:
    """Compares wordings with one question."""

    def __init__(self, question: str, frequency: Callable[[str], int], documents: int) -> None:
        self._frequency = frequency
        self._documents = documents
        self._weights: dict[str, float] = {}
        self._question = set(tokens(question))
        self._whole = self._sum(self._question)

    @property
    def weights(self) -> dict[str, float]:
        """The question's tokens with their weights."""
        return {token: self._weight(token) for token in self._question}

    def _weight(self, token: str) -> float:
        if token not in self._weights:
            rarity = log(1 + (self._documents + 1) / (self._frequency(token) + 0.5))
            self._weights[token] = rarity * (_SINGLE if len(token) == 1 else 1.0)
        return self._weights[token]

    def _sum(self, wording: set[str]) -> float:
        return sum(self._weight(token) for token in wording)

    def to(self, wording: str) -> float:
        """Between 0 and 1."""
        other = set(tokens(wording))
        whole = self._whole + self._sum(other)
        return 2 * self._sum(other & self._question) / whole if whole else 0.0
