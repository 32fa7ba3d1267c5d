"""How often the words of a question and of a choice stand in one passage, against what chance would do.

Counts over the whole library, where coverage.py looks at the best passages: PMI (Church and Hanks 1990) over
pairs of characters, and naive Bayes with the passages that hold a whole choice as its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from engine.grounding.shelf import Shelf

FEATURES = ("company", "mean_pmi", "best_pmi", "best_pmi_asked", "holders", "bayes", "weighted_bayes")
MOST_ASKED, MOST_OF_CHOICE = 40, 12  # pairs of characters, the rarest ones
PRIOR = 5.0  # passages that naive Bayes adds, of the words that all passages have


class Company:
    """The counts for one question: `asked` and each choice as pairs of characters."""

    def __init__(self, shelf: Shelf, asked: Sequence[str], choices: Sequence[Sequence[str]]) -> None:
        self.shelf = shelf
        self.total = shelf.library.documents
        self.alone: dict[str, int] = {}
        self.asked = self._rarest(asked, MOST_ASKED)
        self.choices = [self._rarest(choice, MOST_OF_CHOICE) for choice in choices]
        both = {frozenset((a, b)) for a in self.asked for choice in self.choices for b in choice}
        whole = {frozenset(choice) for choice in self.choices}
        more = {choice | {a} for choice in whole if choice for a in self.asked}
        sets = [one for one in both | whole | more if len(one) > 1]
        counts = shelf.library.together([tuple(one) for one in sets])
        self.counts = dict(zip(sets, counts, strict=True))

    def _rarest(self, names: Sequence[str], most: int) -> list[str]:
        for name in names:
            if name not in self.alone:
                self.alone[name] = self.shelf.frequency(name)
        known = [name for name in dict.fromkeys(names) if self.alone[name]]
        return sorted(known, key=self.alone.__getitem__)[:most]

    def _count(self, names: frozenset[str]) -> int:
        if len(names) == 1:
            return self.alone[next(iter(names))]
        return self.counts[names]

    def features(self, number: int, weights: dict[str, float]) -> dict[str, float]:
        """Of a choice, whose pairs of characters have these weights."""
        choice = self.choices[number]
        own = [weights[name] for name in choice]
        if not sum(own):
            own = [self.shelf.weight(name) for name in choice]
        if not choice or not self.asked:
            return dict.fromkeys(FEATURES, 0.0)
        asked = [self.shelf.weight(name) for name in self.asked]
        found, expected, total, seen = 0.0, 0.0, 0.0, 0.0
        best_own, best_asked = [-5.0] * len(choice), [-5.0] * len(self.asked)
        for i, a in enumerate(self.asked):
            for j, b in enumerate(choice):
                chance = self.alone[a] * self.alone[b] / self.total
                count, weight = self._count(frozenset((a, b))), asked[i] * own[j]
                found, expected = found + weight * count, expected + weight * chance
                if a != b:
                    pmi = log((count + 0.5) / (chance + 0.5))
                    seen, total = seen + weight * pmi, total + weight
                    best_own[j], best_asked[i] = max(best_own[j], pmi), max(best_asked[i], pmi)
        holders, plain, weighted = self._bayes(frozenset(choice), asked)
        return {
            "company": log((found + 1) / (expected + 1)),
            "mean_pmi": seen / total if total else 0.0,
            "best_pmi": _mean(best_own, own),
            "best_pmi_asked": _mean(best_asked, asked),
            "holders": log(1 + holders),
            "bayes": plain,
            "weighted_bayes": weighted,
        }

    def _bayes(self, choice: frozenset[str], weights: Sequence[float]) -> tuple[int, float, float]:
        """How many passages hold the whole choice, and the mean log ratio of the question's words there."""
        holders = self._count(choice)
        if not holders:
            return 0, 0.0, 0.0
        ratios = []
        for name in self.asked:
            share = self.alone[name] / self.total
            seen = holders * share if name in choice else self._count(choice | {name})
            ratios.append(log((seen + PRIOR * share) / (holders + PRIOR) / share))
        return holders, sum(ratios) / len(ratios), _mean(ratios, weights)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / (sum(weights) or 1.0)
