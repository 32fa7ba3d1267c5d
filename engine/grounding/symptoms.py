"""Complaints: the clauses of well-known books in which most of them meet, with the formulas they name."""

from __future__ import annotations

from engine.grounding.clauses import Clause, clauses
from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Shelf


def symptom(question: Question, shelf: Shelf) -> Draft | None:
    cause = question.asks("cause") and not question.asks("treat")
    ranked = clauses(question, shelf, "cause" if cause else "symptom")
    if not ranked:
        return None
    best = ranked[0]
    chosen: list[Clause] = []
    for clause in ranked[:40]:
        if clause.value < 0.72 * best.value or len(chosen) == 3:
            break
        if not cause and chosen and (not clause.formula or clause.formula in {c.formula for c in chosen}):
            continue
        if cause and any(c.entry.book == clause.entry.book for c in chosen):
            continue
        size = sum(_size(c) for c in chosen)
        if chosen and size + _size(clause) > 185:
            continue
        chosen.append(clause)
        if cause and len(chosen) == 2:
            break
    citations: list[Citation] = []
    leads: list[str] = []
    for clause in chosen:
        last = min(clause.last, clause.first + 150)
        citations.append(clause.entry.cite(clause.first, last))
        in_heading = (
            clause.formula
            and clause.formula == clause.entry.key
            and clause.formula not in citations[-1].quote
        )
        leads.append(clause.formula if in_heading else "")
        if clause.extra and not cause:
            citations.append(clause.entry.cite(*clause.extra))
            leads.append("")
    return Draft(citations, leads, "", best.coverage, best.coverage > 0.9)


def _size(clause: Clause) -> int:
    extra = clause.extra[1] - clause.extra[0] if clause.extra else 0
    return min(clause.last - clause.first, 150) + extra
