"""Complaints: the formulas whose pictures they show, and clauses in which most of them meet."""

from __future__ import annotations

from dataclasses import replace

from engine.grounding.clauses import Clause, clauses
from engine.grounding.pictures import LONGEST, quoted, shown
from engine.grounding.question import Question
from engine.grounding.records import Draft
from engine.grounding.shelf import Shelf
from engine.library import words

SIZE = 185  # characters that several clauses may have together
NEAR = 0.72  # of the best clause's value, for another one
MOST = 3


def symptom(question: Question, shelf: Shelf) -> Draft | None:
    if question.asks("cause") and not question.asks("treat"):
        return _causes(question, shelf)
    ranked = clauses(question, shelf, "symptom")
    pictured = shown(question, ranked, shelf)
    drafts = list(pictured.values())
    formulas = {name for formula in pictured for name in words.formula_names(formula)}
    size = sum(len(c.quote) for draft in drafts for c in draft.citations)
    number = len(drafts)
    for clause in ranked[:40]:
        if number == MOST or clause.value < NEAR * ranked[0].value:
            break
        if number and (not clause.formula or clause.formula in formulas):
            continue
        if number and size + _size(clause) > SIZE:
            continue
        draft = quoted(clause)
        if any(c.overlaps(other) for c in draft.citations for d in drafts for other in d.citations):
            continue
        drafts.append(draft)
        formulas.add(clause.formula)
        number, size = number + 1, size + _size(clause)
    if not drafts:
        return None
    return _joined(drafts, 1.0 if pictured else ranked[0].coverage)


def _causes(question: Question, shelf: Shelf) -> Draft | None:
    """Two clauses of different books."""
    ranked = clauses(question, shelf, "cause")
    if not ranked:
        return None
    chosen: list[Clause] = []
    for clause in ranked[:40]:
        if clause.value < NEAR * ranked[0].value or len(chosen) == 2:
            break
        size = sum(_size(c) for c in chosen)
        if chosen and (size + _size(clause) > SIZE or clause.entry.book in {c.entry.book for c in chosen}):
            continue
        chosen.append(clause)
    return _joined([quoted(replace(clause, extra=None)) for clause in chosen], ranked[0].coverage)


def _joined(drafts: list[Draft], match: float) -> Draft:
    citations = [citation for draft in drafts for citation in draft.citations]
    leads = [lead for draft in drafts for lead in draft.leads]
    return Draft(citations, leads, "", match, match > 0.9)


def _size(clause: Clause) -> int:
    extra = clause.extra[1] - clause.extra[0] if clause.extra else 0
    return min(clause.last - clause.first, LONGEST) + extra
