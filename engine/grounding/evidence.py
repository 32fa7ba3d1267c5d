"""What the library says to choices and statements: features, and a logistic curve over them.

The features: how far passages hold a question and a choice together (coverage.py), how often their words meet
in the whole library (company.py), what the choices' wording says by itself (wording.py), how like choices
fared in known examinations (precedents.py), and the model's bits. The weights stand in `evidence.json`
(`python -m tests.bench.benchmarks.fit_evidence`); a question for what is *not* so has weights of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp
from pathlib import Path

from engine.grounding import company, coverage, precedents, wording
from engine.grounding.company import Company
from engine.grounding.coverage import Coverage
from engine.grounding.records import Citation
from engine.grounding.shelf import Shelf
from engine.grounding.wording import asks_for_exception
from engine.library import Library, words

LONGEST, MOST_PAIRS = 400, 120  # characters of a question; pairs of characters of it, the last ones
BITS = 30  # of the model's, that count as one
FEATURES = (*coverage.FEATURES, *company.FEATURES, *precedents.FEATURES, *wording.FEATURES, "bits")


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
    table, citations = _table(shelf, question, choices)
    mean = sum(bits) / len(bits) if bits else 0.0
    for number, features in enumerate(table):
        features |= {"bits": (bits[number] - mean) / BITS if bits else 0.0}
    scores = scores_of(table, asks_for_exception(question))
    return [Evidence(*one) for one in zip(table, scores, citations, strict=True)]


def _table(
    shelf: Shelf, question: str, choices: Sequence[str]
) -> tuple[list[dict[str, float]], list[Citation | None]]:
    """The features of each choice but the model's, and the passages that decide."""
    if not choices or not all(choice.strip() for choice in choices):
        raise ValueError("there is no choice, or an empty one")
    asked = words.strip(question[:LONGEST]) or question
    names = wording.pairs(asked)[-MOST_PAIRS:]
    found = Coverage(shelf, names, choices)
    counts = Company(shelf, names, found.pairs)
    said = wording.wording(question, choices)
    known = precedents.bundled().features(question, choices)
    table = [
        found.features(number) | counts.features(number, dict(weights)) | known[number] | said[number]
        for number, weights in enumerate(found.weights)
    ]
    return table, found.citations


@cache
def _weights() -> dict[str, dict[str, float]]:
    return dict(json.loads(Path(__file__).with_name("evidence.json").read_text("utf-8")))


def scores_of(table: Sequence[Mapping[str, float]], exception: bool) -> list[float]:
    """Log odds of each choice against the mean of all, by its features."""
    weights = _weights()["exception" if exception else "choose"]
    sums = [sum(weight * row[name] for name, weight in weights.items()) for row in table]
    mean = sum(sums) / len(sums)
    return [value - mean for value in sums]


# Where a statement says what it claims of its beginning, surest first: 桂枝汤出自 | 伤寒论
_CLAIMS = [
    re.compile(words_)
    for words_ in ("是|为|属于|称", "选用|选|宜用|宜|应|用|治", "于|出自|归|主|指|有|[，,：:]")
]
_DENIES = re.compile("不属于|除外|错误|不正确|不包括|不是|不宜|不应|禁忌|禁用|慎用|不符|不会|不能|无关")
JUDGED = (*coverage.FEATURES, *company.FEATURES, *precedents.FEATURES, "shared", "shared_pairs", "parts")


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
    table, citations = _table(shelf, about, [claim])
    weights = _weights()["judge"]
    odds = weights["bias"] + sum(weights.get(name, 0.0) * table[0][name] for name in JUDGED)
    if denies(statement):
        odds = -odds
    return Judged(1 / (1 + exp(-max(-30.0, min(30.0, odds)))), table[0], citations[0])


def denies(statement: str) -> bool:
    """Whether a statement says what is not so: then what the library holds counts against it."""
    return bool(_DENIES.search(statement))
