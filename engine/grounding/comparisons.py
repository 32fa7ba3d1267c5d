"""Two things side by side: one sentence that holds both, else the entry of each."""

from __future__ import annotations

from dataclasses import replace

from engine.grounding.formulas import composition, indications
from engine.grounding.herbs import herb
from engine.grounding.question import FORMULA, Question
from engine.grounding.records import Draft
from engine.grounding.shelf import Shelf
from engine.grounding.theory import theory
from engine.library import words


def comparison(question: Question, shelf: Shelf) -> Draft | None:
    things = (question.topic, *question.others)[:2]
    if not question.topic or len(things) < 2:
        return theory(question, shelf)
    drafts = [one for one in (_one(name, question, shelf) for name in things) if one]
    if not drafts:
        return None
    citations, leads = [], []
    for draft in drafts:
        citations.append(draft.citations[0])
        leads.append("")
    whole = len(drafts) == len(things)
    return Draft(citations, leads, "", 1.0 if whole else 0.5, whole)


def _one(name: str, question: Question, shelf: Shelf) -> Draft | None:
    if name[-1] in FORMULA:
        asked = replace(question, kind="formula", topic=name, names=words.formula_names(name), groups=())
        if question.asks("composition") or "味" in question.text or "药" in question.text:
            return composition(asked, shelf)
        return indications(asked, shelf)
    asked = replace(question, kind="herb", topic=name, names=words.herb_names(name), groups=(), aspects=("effect",), text=name + "功效")
    return herb(asked, shelf)
