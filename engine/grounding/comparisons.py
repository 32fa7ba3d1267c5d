"""Two things side by side: one sentence that holds both, else the entry of each."""

from __future__ import annotations

from dataclasses import replace

from engine.grounding.formulas import composition, indications
from engine.grounding.herbs import herb
from engine.grounding.names import FORMULA
from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Shelf, sentences, standing
from engine.grounding.theory import theory
from engine.library import words


def comparison(question: Question, shelf: Shelf) -> Draft | None:
    things = (question.topic, *question.others)[:2]
    if not question.topic or len(things) < 2:
        return theory(question, shelf)
    together = _together(things, shelf)
    if together and "关系" in question.text:
        return together
    drafts = [one for one in (_one(name, question, shelf) for name in things) if one]
    if not drafts:
        return None
    citations, leads = [], []
    for draft in drafts:
        own = [c for c in draft.citations if c.book == draft.citations[0].book][:2]
        new = [c for c in own if c not in citations]  # 白芍 and 赤芍 may share an entry
        citations += new
        leads += [""] * len(new)
    whole = len(drafts) == len(things)
    return Draft(citations, leads, "", 1.0 if whole else 0.5, whole)


def _one(name: str, question: Question, shelf: Shelf) -> Draft | None:
    if name[-1] in FORMULA:
        asked = replace(question, kind="formula", topic=name, names=words.formula_names(name), groups=())
        if question.asks("composition") or "味" in question.text or "药" in question.text:
            return composition(asked, shelf)
        return indications(asked, shelf)
    asked = replace(
        question,
        kind="herb",
        topic=name,
        names=words.herb_names(name),
        groups=(),
        aspects=("effect",),
        text=name,
    )
    return herb(asked, shelf)


def _together(things: tuple[str, ...], shelf: Shelf) -> Draft | None:
    """A sentence that names both, in the entry of one of them."""
    ranked: list[tuple[float, int, Citation]] = []
    kinds = ("formula" if things[0][-1] in FORMULA else "herb", "herb")
    for number, name in enumerate(things):
        other = things[1 - number]
        names = words.herb_names(name) if name[-1] not in FORMULA else words.formula_names(name)
        others = {o for o in (*words.herb_names(other), *words.formula_names(other)) if len(o) > 1}
        for entry in shelf.headed(names)[:40]:
            for first, last in sentences(entry.text, 60):
                sentence = entry.text[first:last]
                if any(o in sentence for o in others) and last - first < 160:
                    rank = max(standing(kind, entry.book) for kind in kinds)
                    ranked.append((rank, -len(ranked), entry.cite(first, last)))
    return Draft([max(ranked)[2]], [""], "", 0.9, True) if ranked else None
