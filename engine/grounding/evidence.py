"""What the library says to choices: how far passages hold a question and one of its choices together.

Features of each choice over the best passages; a logistic curve over them, whose weights stand in
`evidence.json` (`python -m tests.bench.benchmarks.fit_evidence`). A question that asks for what is *not* so
has weights of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log
from pathlib import Path

from engine.grounding.records import Citation
from engine.grounding.shelf import Shelf, sentences
from engine.library import Hit, Library, Terms, words
from engine.library.cutting import heading_key, normalise, tokens

NEGATED = re.compile(
    "不属于|除外|除了|错误|有误|不正确|不包括|不是|不宜|不应|禁忌|禁用|慎用|不符|不会|不能|无关|不对|不当"
)
OF_QUESTION, OF_CHOICE = 200, 40  # passages that are searched for the question, and with each choice
LONGEST, MOST_PAIRS = 400, 120  # characters of a question; pairs of characters of it, the last ones
CLOSE = 12  # passages in which sentences are looked at
FEATURES = (
    "product_all", "product_best", "product_five", "sentence", "whole", "whole_often", "headed", "length",
    "bits",
)  # fmt: skip
Weighted = list[tuple[str, float]]


@dataclass(frozen=True)
class Evidence:
    """What was found for one choice: its features, its score (more is better), the passage that decides."""

    features: dict[str, float]
    score: float
    citation: Citation | None


def evidence(library: Library, question: str, choices: Sequence[str]) -> list[float]:
    """How well the library bears each choice out, as log odds: more is better. ValueError for no choices."""
    return [one.score for one in weigh(Shelf(library), question, choices)]


def weigh(
    shelf: Shelf, question: str, choices: Sequence[str], bits: Sequence[float] | None = None
) -> list[Evidence]:
    """The evidence for each choice; `bits` are the model's in favour of each (engine.likelihood.choose)."""
    if not choices or not all(choice.strip() for choice in choices):
        raise ValueError("there is no choice, or an empty one")
    asked = words.strip(question[:LONGEST]) or question
    names = list(dict.fromkeys(_pairs(asked)[-MOST_PAIRS:]))
    found = _Found(shelf, names, choices)
    table = [found.features(number) for number in range(len(choices))]
    for number, features in enumerate(table):
        features["bits"] = bits[number] / 30 if bits else 0.0
    scores = _scores(table, bool(NEGATED.search(question)))
    return [
        Evidence(features, score, found.citations[number])
        for number, (features, score) in enumerate(zip(table, scores, strict=True))
    ]


class _Found:
    """The passages that speak of a question or its choices, with what each holds of the question."""

    def __init__(self, shelf: Shelf, names: Sequence[str], choices: Sequence[str]) -> None:
        self.shelf = shelf
        self.choices = [normalise(choice) for choice in choices]
        self.pairs = [list(dict.fromkeys(_pairs(choice[:LONGEST]))) for choice in choices]
        self.asked = [(name, shelf.weight(name)) for name in names]
        self.total = sum(weight for _, weight in self.asked) or 1.0
        holders = [name for pairs in self.pairs for name in pairs]
        count = len(choices)
        # What several choices share says little of any of them.
        self.weights: list[Weighted] = [
            [(name, shelf.weight(name) * (1 - (holders.count(name) - 1) / count)) for name in pairs]
            for pairs in self.pairs
        ]
        self.hits = self._search(names, choices)
        self.texts = {
            number: normalise(f"{hit.book} {hit.heading} {hit.text}") for number, hit in self.hits.items()
        }
        self.held = {number: _held(self.asked, text) / self.total for number, text in self.texts.items()}
        self.best = sorted(self.held, key=lambda number: -self.held[number])[:OF_QUESTION]
        self.citations: list[Citation | None] = [None] * count

    def _search(self, names: Sequence[str], choices: Sequence[str]) -> dict[int, Hit]:
        plain = dict.fromkeys(names, 1.0)
        hits = {hit.id: hit for hit in self._ask(plain, {}, OF_QUESTION)}
        for choice, pairs in zip(choices, self.pairs, strict=True):
            share = 1.5 * max(1.0, 0.7 * len(names) / max(1, len(pairs))) ** 0.5
            both = plain | {name: plain.get(name, 0.0) + share for name in pairs}
            key = heading_key(choice)
            hits |= {hit.id: hit for hit in self._ask(both, {key: 6.0} if key else {}, OF_CHOICE)}
        return hits

    def _ask(self, weights: Mapping[str, float], keys: Mapping[str, float], limit: int) -> list[Hit]:
        fields = {"text": weights, "heading": {name: 2 * weight for name, weight in weights.items()}}
        found = self.shelf.library.search(Terms(fields, keys), limit, explain=False)
        return self.shelf.books_only(found)

    def features(self, number: int) -> dict[str, float]:
        """The features of a choice, but the model's."""
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
        return {
            "product_all": sum(self.held[which] * product[which] for which in self.best) / squares,
            "product_best": product[ranked[0]] if ranked else 0.0,
            "product_five": sum(product[which] for which in ranked[:5]) / 5,
            "sentence": self._sentence(number, ranked, weights, total),
            "whole": max((self.held[which] for which in wholly), default=0.0),
            "whole_often": log(1 + len(wholly.intersection(self.best))),
            "headed": max(headed, default=0.0),
            "length": log(len(choice)),
            "everywhere": sum(here[which] for which in self.best) / max(1, len(self.best)),
        }

    def _sentence(self, number: int, ranked: Sequence[int], weights: Weighted, total: float) -> float:
        """How far one sentence and its heading hold both; the best one is kept as the quotation."""
        best, place = 0.0, None
        for which in ranked:
            hit = self.hits[which]
            spelled = self.texts[which]
            size = len(spelled) - len(hit.text)  # of what stands before the text
            for first, last in sentences(hit.text):
                part = spelled[:size] + spelled[size + first : size + last]
                choice = _held(weights, part) / total
                value = choice and choice * _held(self.asked, part) / self.total
                if value > best:
                    best, place = value, (which, first, last)
        if place:
            which, first, last = place
            self.citations[number] = self.shelf.alone(self.hits[which]).cite(first, last)
        return best


def _pairs(text: str) -> list[str]:
    cut = tokens(text)
    return [name for name in cut if len(name) > 1] or cut


def _held(weights: Weighted, text: str) -> float:
    return sum(weight for name, weight in weights if name in text)


@cache
def _weights() -> dict[str, dict[str, float]]:
    return dict(json.loads(Path(__file__).with_name("evidence.json").read_text("utf-8")))


def _scores(table: Sequence[Mapping[str, float]], negated: bool) -> list[float]:
    """Log odds of each choice against the mean of all."""
    weights = _weights()["negated" if negated else "choose"]
    sums = [sum(weights.get(name, 0.0) * row[name] for name in FEATURES) for row in table]
    mean = sum(sums) / len(sums)
    return [value - mean for value in sums]


# Where a statement says what it claims of its beginning, surest first: 桂枝汤出自 | 伤寒论
_CLAIMS = [
    re.compile(words_)
    for words_ in ("是|为|属于|称", "选用|选|宜用|宜|应|用|治", "于|出自|归|主|指|有|[，,：:]")
]
JUDGED = (
    "product_all", "product_best", "product_five", "sentence", "whole", "whole_often", "headed", "everywhere",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """`probability` that a statement is true, and the passage that bears it out most."""

    probability: float
    features: dict[str, float]
    citation: Citation | None


def parts(statement: str) -> tuple[str, str]:
    """What a statement is about and what it claims of it: cut behind the last word that joins the two."""
    bare = statement.strip().rstrip("。.！!")
    for claim in _CLAIMS:
        places = [m.end() for m in claim.finditer(bare) if m.start() >= 2 and len(bare) - m.end() >= 1]
        if places:
            return bare[: places[-1]], bare[places[-1] :]
    place = max(1, len(bare) * 2 // 3)
    return bare[:place], bare[place:]


def judge(shelf: Shelf, statement: str) -> Judged:
    """How likely a statement is by what the library says. ValueError for an empty one."""
    about, claim = parts(statement)
    if not claim:
        raise ValueError("the statement is empty")
    found = weigh(shelf, about, [claim])[0]
    weights = _weights()["judge"]
    odds = weights["bias"] + sum(weights.get(name, 0.0) * found.features[name] for name in JUDGED)
    if NEGATED.search(statement):
        odds = -odds
    return Judged(1 / (1 + exp(-max(-30.0, min(30.0, odds)))), found.features, found.citation)
