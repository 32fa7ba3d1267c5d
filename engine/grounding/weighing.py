"""Choices, statements and gaps by what the library says; the model's likelihoods help where they can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from engine.grounding.answerer import place
from engine.grounding.evidence import NEGATED, judge, weigh
from engine.grounding.gaps import fill_gap
from engine.grounding.records import Citation
from engine.grounding.shelf import Shelf


@dataclass(frozen=True)
class Weighed:
    """`answer` has the fields of the model's (engine.likelihood), and `shares` for choices; with the passage
    that decides."""

    answer: dict[str, Any]
    citation: Citation

    @property
    def quotation(self) -> str:
        """The passage with its source, as answers show it."""
        return f"「{self.citation.quote}」{place(self.citation)}"


def weigh_choices(
    shelf: Shelf, question: str, choices: Sequence[str], bits: Sequence[float] | None = None
) -> Weighed | None:
    """The best choice, or None where no passage speaks of the question and a choice."""
    found = weigh(shelf, question, choices, bits)
    scores = [one.score for one in found]
    best = max(range(len(scores)), key=scores.__getitem__)
    # Of what is not so, no passage speaks: the one that speaks most for another choice decides.
    decides = min(range(len(scores)), key=scores.__getitem__) if NEGATED.search(question) else best
    citation = found[decides].citation
    if citation is None:
        return None
    total = sum(exp(score - scores[best]) for score in scores)
    shares = [exp(score - scores[best]) / total for score in scores]
    return Weighed({"answer": best, "scores": scores, "shares": shares}, citation)


def weigh_statement(shelf: Shelf, statement: str) -> Weighed | None:
    """How likely a statement is, or None where no passage speaks of it."""
    found = judge(shelf, statement)
    return Weighed({"probability": found.probability}, found.citation) if found.citation else None


def weigh_gap(shelf: Shelf, text: str) -> Weighed | None:
    """The text as a book has it, or None where no book does."""
    found = fill_gap(shelf, text)
    if found is None:
        return None
    return Weighed({"text": found.text, "gaps": [[{"text": found.filling}]]}, found.citation)


def weigh_question(
    shelf: Shelf, kind: str, fields: Mapping[str, Any], answer: Mapping[str, Any] | None
) -> Weighed | None:
    """For a question of the kind choose, judge or fill, with the model's answer if there is one."""

    def weigh() -> Weighed | None:
        if kind == "choose":
            bits = answer["scores"] if answer else None
            return weigh_choices(shelf, fields["question"], fields["choices"], bits)
        if kind == "judge":
            return weigh_statement(shelf, fields["statement"])
        return weigh_gap(shelf, fields["text"])

    return shelf.library.undisturbed(weigh)
