"""How far the best passages hold a question and its choices together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

from engine.grounding.records import Citation
from engine.grounding.shelf import Shelf, sentences
from engine.grounding.wording import pairs
from engine.library import Hit, Terms
from engine.library.cutting import heading_key, normalise

OF_QUESTION, OF_CHOICE = 200, 40  # passages that are searched for the question, and with each choice
LONGEST = 400  # characters of a choice
CLOSE = 12  # passages in which the best sentence is looked for
CUT = 80  # passages of the question that are cut into sentences
FEATURES = (
    "product_all", "product_best", "product_five", "sentence", "whole", "whole_often", "headed", "lift",
    "sentence_lift",
)  # fmt: skip
LEAST = 1e-3  # coverage that a logarithm adds
Weighted = list[tuple[str, float]]


class Coverage:
    """The passages that speak of a question or its choices, with what each holds of the question.

    `names` are the question's pairs of characters. `citations` of the choices are known after `features`.
    """

    def __init__(self, shelf: Shelf, names: Sequence[str], choices: Sequence[str]) -> None:
        self.shelf = shelf
        self.choices = [normalise(choice) for choice in choices]
        self.pairs = [pairs(choice[:LONGEST]) for choice in choices]
        self.asked = [(name, shelf.weight(name)) for name in names]
        self.total = sum(weight for _, weight in self.asked) or 1.0
        holders = [name for own in self.pairs for name in own]
        count = len(choices)
        # What several choices share says little of any of them.
        self.weights: list[Weighted] = [
            [(name, shelf.weight(name) * (1 - (holders.count(name) - 1) / count)) for name in own]
            for own in self.pairs
        ]
        self.hits = self._search(names, choices)
        self.spelled = {
            number: (normalise(f"{hit.book} {hit.heading} "), normalise(hit.text))
            for number, hit in self.hits.items()
        }
        self.texts = {number: before + text for number, (before, text) in self.spelled.items()}
        self.held = {number: _held(self.asked, text) / self.total for number, text in self.texts.items()}
        self.best = sorted(self.held, key=lambda number: -self.held[number])[:OF_QUESTION]
        self.sentences = self._cut()
        self.citations: list[Citation | None] = [None] * count

    def _search(self, names: Sequence[str], choices: Sequence[str]) -> dict[int, Hit]:
        plain = dict.fromkeys(names, 1.0)
        hits = {hit.id: hit for hit in self._ask(plain, {}, OF_QUESTION)}
        for choice, own in zip(choices, self.pairs, strict=True):
            share = 1.5 * max(1.0, 0.7 * len(names) / max(1, len(own))) ** 0.5
            both = plain | {name: plain.get(name, 0.0) + share for name in own}
            key = heading_key(choice)
            hits |= {hit.id: hit for hit in self._ask(both, {key: 6.0} if key else {}, OF_CHOICE)}
        return hits

    def _ask(self, weights: Mapping[str, float], keys: Mapping[str, float], limit: int) -> list[Hit]:
        fields = {"text": weights, "heading": {name: 2 * weight for name, weight in weights.items()}}
        found = self.shelf.library.search(Terms(fields, keys), limit, explain=False)
        return self.shelf.books_only(found)

    def _cut(self) -> list[tuple[float, str]]:
        """The sentences of the best passages, each weighed by the fourth power of what it holds of the
        question."""
        out = []
        for number in self.best[:CUT]:
            text = self.spelled[number][1]
            for first, last in sentences(text):
                held = _held(self.asked, text[first:last]) / self.total
                if held:
                    out.append((held**4, text[first:last]))
        return out

    def features(self, number: int) -> dict[str, float]:
        """The features of a choice."""
        weights, choice = self.weights[number], self.choices[number]
        total = sum(weight for _, weight in weights) or 1.0
        here = {which: _held(weights, text) / total for which, text in self.texts.items()}
        product = {which: self.held[which] * held for which, held in here.items()}
        ranked = sorted(product, key=lambda which: -product[which])[:CLOSE]
        squares = sum(self.held[which] ** 2 for which in self.best) or 1.0
        wholly = {which for which, text in self.texts.items() if choice in text}
        key = heading_key(choice)
        headed = [
            self.held[which]
            for which in wholly
            if key and heading_key(self.hits[which].heading.rpartition("/")[2]) == key
        ]
        chance = sum(w * self.shelf.frequency(name) for name, w in weights) / total
        chance = LEAST + chance / max(1, self.shelf.library.documents)
        powers = sum(power for power, _ in self.sentences) or 1.0
        said = sum(power * _held(weights, text) for power, text in self.sentences) / powers / total
        return {
            "product_all": sum(self.held[which] * product[which] for which in self.best) / squares,
            "product_best": product[ranked[0]] if ranked else 0.0,
            "product_five": sum(product[which] for which in ranked[:5]) / 5,
            "sentence": self._sentence(number, ranked, weights, total),
            "whole": max((self.held[which] for which in wholly), default=0.0),
            "whole_often": log(1 + len(wholly.intersection(self.best))),
            "headed": max(headed, default=0.0),
            "lift": log((LEAST + sum(here[which] for which in self.best) / max(1, len(self.best))) / chance),
            "sentence_lift": log((LEAST + said) / chance),
        }

    def _sentence(self, number: int, ranked: Sequence[int], weights: Weighted, total: float) -> float:
        """How far one sentence and its heading hold both; the best one is kept as the quotation."""
        best, place = 0.0, None
        for which in ranked:
            before, text = self.spelled[which]
            for first, last in sentences(self.hits[which].text):
                part = before + text[first:last]
                choice = _held(weights, part) / total
                value = choice and choice * _held(self.asked, part) / self.total
                if value > best:
                    best, place = value, (which, first, last)
        if place:
            which, first, last = place
            self.citations[number] = self.shelf.alone(self.hits[which]).cite(first, last)
        return best


def _held(weights: Weighted, text: str) -> float:
    return sum([weight for name, weight in weights if name in text])
