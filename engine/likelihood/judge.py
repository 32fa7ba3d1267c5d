"""How likely a statement is against its best contrast.

The contrasts are given, or sought: see contrasts.py. What the statements share is put as the question, what
they differ in as the choices, and the rule of choose.py says by how many bits the statement is ahead of the
likeliest contrast. A logistic curve turns the bits into a probability. `make bench-likelihood` fits it on
statements made of examination questions with right and with wrong answers; for `tcm` the fitted slope is
not significant, so the one here is small, and only says which side is ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.likelihood.choose import MOST_CHOICES, costs_of_choices, pmi_scores
from engine.likelihood.contrasts import antonym_contrasts, model_contrasts
from engine.likelihood.protocol import LanguageModel

OFFSET, LOG_ODDS_A_BIT = 0.0, 0.014  # base 2: OFFSET + LOG_ODDS_A_BIT x bits ahead
MOST_ANTONYMS, MOST_REWRITTEN = 4, 3  # contrasts of each kind
NOTHING_SHARED = "下列说法正确的是"


@dataclass(frozen=True)
class Judgement:
    """`bits` and `contrast_bits`: in favour of the statement and of its best contrast, more is likelier."""

    probability: float
    statement: str
    bits: float
    contrast: str
    contrast_bits: float

    @property
    def reason(self) -> str:
        ahead = self.bits - self.contrast_bits
        how = f"{ahead:.1f} bits ahead of" if ahead >= 0 else f"{-ahead:.1f} bits behind"
        return f"“{self.statement}” is {how} its best contrast, “{self.contrast}”"

    def to_dict(self) -> dict[str, Any]:
        return {
            "probability": self.probability,
            "statement": self.statement,
            "bits": self.bits,
            "contrast": self.contrast,
            "contrast_bits": self.contrast_bits,
            "reason": self.reason,
        }


def judge_statement(model: LanguageModel, statement: str, against: Sequence[str] = ()) -> Judgement:
    """Judge a statement against given contrasts, or such as are found.

    ValueError for an empty statement, or contrasts that are empty or say the same.
    """
    text = _bare(statement)
    if not text:
        raise ValueError("the statement is empty")
    if against:
        contrasts = [_bare(contrast) for contrast in against]
        if not all(contrasts) or text in contrasts:
            raise ValueError("a contrast is empty or the statement itself")
    else:
        contrasts = [*antonym_contrasts(text)[:MOST_ANTONYMS], *model_contrasts(model, text, MOST_REWRITTEN)]
        if not contrasts:
            raise ValueError("no contrast to the statement was found: give one")
    contrasts = list(dict.fromkeys(contrasts))
    if len(contrasts) >= MOST_CHOICES:
        raise ValueError(f"at most {MOST_CHOICES - 1} contrasts can be compared")
    ahead, best, scores = _compare(model, text, contrasts)
    return Judgement(probability(ahead), text, scores[0], contrasts[best], scores[1 + best])


def probability(ahead: float) -> float:
    """Of a statement that is so many bits ahead of its best contrast."""
    odds: float = 2.0 ** min(1000.0, max(-1000.0, OFFSET + LOG_ODDS_A_BIT * ahead))
    return odds / (1 + odds)


def _compare(model: LanguageModel, text: str, contrasts: Sequence[str]) -> tuple[float, int, list[float]]:
    shared = 0
    # Every choice says something: one character at least is left of the shortest.
    while all(
        len(one) > shared + 1 and one[: shared + 1] == text[: shared + 1] for one in (text, *contrasts)
    ):
        shared += 1
    scores = pmi_scores(
        costs_of_choices(model, text[:shared] or NOTHING_SHARED, [one[shared:] for one in (text, *contrasts)])
    )
    best = max(range(len(contrasts)), key=lambda i: scores[1 + i])
    return scores[0] - scores[1 + best], best, scores


def _bare(statement: str) -> str:
    return statement.strip().rstrip("。.！!")
