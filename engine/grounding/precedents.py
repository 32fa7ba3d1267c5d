"""Examination questions whose answers are known: how choices like these fared after questions like this.

The questions stand in `data/exam.txt.xz`, one a line: the number of the right choice, the question, the
choices, parted by tabs. Likeness is the cosine over pairs of characters, weighed by their rarity.
"""

from __future__ import annotations

import lzma
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from engine.grounding.wording import asks_for_exception, pairs
from engine.library import words

FEATURES = ("alike_right", "alike_wrong", "all_right", "all_wrong")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Precedent:
    question: str
    choices: list[str]
    answer: int  # from 0


def read(text: str) -> list[Precedent]:
    """The questions of a file's lines."""
    cut = [line.split("\t") for line in text.splitlines()]
    return [Precedent(question, choices, int(answer)) for answer, question, *choices in cut]


class _Texts:
    """Texts by their pairs of characters; `like` compares another text with all of them."""

    def __init__(self, cut: Sequence[Sequence[str]], weights: dict[str, float]) -> None:
        holders: dict[str, list[int]] = defaultdict(list)
        for number, names in enumerate(cut):
            for name in names:
                holders[name].append(number)
        self.holders = {name: np.array(numbers, np.int32) for name, numbers in holders.items()}
        self.weights = weights
        self.sizes = np.array([self._size(names) for names in cut])

    def _size(self, names: Sequence[str]) -> float:
        return sqrt(sum(self._weight(name) ** 2 for name in names)) + 1e-9

    def _weight(self, name: str) -> float:
        return self.weights.get(name, self.weights[""])

    def like(self, names: Sequence[str]) -> Floats:
        """The cosine with each text, 0 to 1."""
        shared = np.zeros(len(self.sizes))
        for name in names:
            if name in self.holders:
                shared[self.holders[name]] += self._weight(name) ** 2
        return shared / (self.sizes * self._size(names))


class Precedents:
    """Known questions, to compare others with."""

    def __init__(self, known: Sequence[Precedent]) -> None:
        asked = [_asked(one.question) for one in known]
        offered = [[pairs(choice) for choice in one.choices] for one in known]
        count = Counter(
            name
            for names, choices in zip(asked, offered, strict=True)
            for name in {*names, *(name for choice in choices for name in choice)}
        )
        # Under "" the weight of what no question holds.
        weights = {name: log(1 + (len(known) + 1) / (seen + 0.5)) for name, seen in [*count.items(), ("", 0)]}
        self.questions = _Texts(asked, weights)
        self.choices = _Texts([choice for choices in offered for choice in choices], weights)
        self.owner = np.repeat(np.arange(len(known)), [len(one.choices) for one in known])
        self.right = np.array(
            [place == one.answer for one in known for place in range(len(one.choices))], bool
        )
        plain = np.array([not asks_for_exception(one.question) for one in known], bool)
        self.plain = plain[self.owner]

    def features(
        self, question: str, choices: Sequence[str], but: Sequence[int] = ()
    ) -> list[dict[str, float]]:
        """The features of each choice; the known questions `but` do not count."""
        if not len(self.owner):
            return [dict.fromkeys(FEATURES, 0.0) for _ in choices]
        near = self.questions.like(_asked(question))
        near[list(but)] = 0
        other = ~np.isin(self.owner, list(but)) if len(but) else np.ones(len(self.owner), bool)
        out = []
        for choice in choices:
            like = self.choices.like(pairs(choice)) * other
            both = near[self.owner] * like
            right, wrong = both * (self.right & self.plain), both * (~self.right & self.plain)
            out.append(
                {
                    "alike_right": float(right.max()),
                    "alike_wrong": float(wrong.max()),
                    "all_right": sqrt(float((right**2).sum())),
                    "all_wrong": sqrt(float((wrong**2).sum())),
                }
            )
        return out


def _asked(question: str) -> list[str]:
    return pairs(words.strip(question) or question)


@cache
def bundled() -> Precedents:
    """The questions that come along. It takes a moment at the first call."""
    packed = files("engine.grounding").joinpath("data", "exam.txt.xz").read_bytes()
    return Precedents(read(lzma.decompress(packed).decode()))
