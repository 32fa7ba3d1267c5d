"""Measures of written text that need no judge: variety, repetition, loops, what is known from elsewhere.

All count characters, without white space.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GRAM = 4  # characters of an n-gram, where one length stands for all
# A piece of up to 40 characters that stands three times in a row; doublets (渐渐) are language.
_LOOP = re.compile(r"(.{2,40}?)\1\1|(.)\2{5}")


def bare(text: str) -> str:
    return "".join(text.split())


def ngrams(text: str, n: int) -> list[str]:
    return [text[i : i + n] for i in range(len(text) - n + 1)]


def loops(text: str) -> bool:
    """Whether a piece of 2 to 40 characters stands three times in a row, or one character six times."""
    return _LOOP.search(text) is not None


def repeated(text: str) -> tuple[int, int]:
    """How many 4-grams stand in the same text before, and how many there are."""
    all_of = ngrams(text, GRAM)
    return len(all_of) - len(set(all_of)), len(all_of)


class Places:
    """In which documents each 4-gram stands, to ask whether one is known from another document."""

    def __init__(self, documents: dict[str, str]) -> None:
        self._of = {name: set(ngrams(bare(text), GRAM)) for name, text in documents.items()}
        self._documents_with = Counter(gram for grams in self._of.values() for gram in grams)

    def known(self, text: str, own: str) -> int:
        """How many 4-grams of the text stand in any document but `own`."""
        grams = self._of[own]
        return sum(self._documents_with[gram] > (gram in grams) for gram in ngrams(text, GRAM))


class Distinct:
    """Distinct-n (Li et al., 2016) of as many n-grams for one author as for another.

    The plain share of different n-grams falls with the amount of text, so that who writes less looks more
    varied. Expected is the share of different ones among `size` n-grams drawn from all (Hurlbert, 1971, with
    each kept by chance of its own).
    """

    def __init__(self, texts: Sequence[str], n: int, group: NDArray[np.int64]) -> None:
        grams = [ngrams(text, n) for text in texts]
        flat = [gram for one in grams for gram in one]
        number = {gram: i for i, gram in enumerate(dict.fromkeys(flat))}
        ids = np.array([number[gram] for gram in flat], np.int64)
        groups = np.repeat(group, [len(one) for one in grams])
        self.counts = np.zeros((int(group.max()) + 1, max(1, len(number))))
        np.add.at(self.counts, (groups, ids), 1)

    @property
    def smallest(self) -> float:
        """How many n-grams are left without any one group."""
        return float(self.counts.sum() - self.counts.sum(axis=1).max())

    def share(self, size: float, without: int | None = None) -> float:
        counts = self.counts.sum(axis=0)
        if without is not None:
            counts = counts - self.counts[without]
        kept = size / counts.sum()
        return float((1 - (1 - kept) ** counts).sum() / size)


def jackknife(estimates: Floats) -> Floats:
    """The standard errors, [...], of estimates without each group in turn, [groups, ...] (Tukey, 1958)."""
    groups = len(estimates)
    spread = ((estimates - estimates.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(np.sqrt(spread * (groups - 1) / groups))
