"""Pulses: how one feels and what it speaks of, from 濒湖脉学 (1564), which has a chapter for each of 27."""

from __future__ import annotations

import re

from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Entry, Shelf, sentences

BOOK = "濒湖脉学"
LONGEST = 100  # characters of a quotation
_SPEAKS = re.compile("脉主|主病诗|〔体状主病诗〕")
_WITH_CHILD = re.compile("孕|胎|喜脉")


def pulse(question: Question, shelf: Shelf) -> Draft | None:
    things = (question.topic, *question.others)[:2]
    citations: list[Citation] = []
    for name in things:
        entry = _chapter(name[0], shelf)
        if entry is not None:
            citations += _said(name, entry, question, single=len(things) == 1)
    if not citations:
        return None
    return Draft(citations, [""] * len(citations), "凭脉断病须由医师。", 1.0, True)


def _chapter(name: str, shelf: Shelf) -> Entry | None:
    return next((entry for entry in shelf.headed((name,)) if entry.book == BOOK), None)


def _said(name: str, entry: Entry, question: Question, single: bool) -> list[Citation]:
    """How it feels; of a single one also what it speaks of, of a child where that is asked."""
    cut = sentences(entry.text, 40)
    begin = next((i for i, (a, b) in enumerate(cut) if entry.text[a:b].lstrip().startswith(name)), None)
    if begin is None:
        return []
    first, last = cut[begin]
    for _, end in cut[begin + 1 :]:
        if end - first > LONGEST or "〔" in entry.text[last:end] or "《脉诀》" in entry.text[last:end]:
            break
        last = end
    out = [entry.cite(first, min(last, first + LONGEST))]
    if not single:
        return out
    wanted = _WITH_CHILD if _WITH_CHILD.search(question.text) else _SPEAKS
    place = next((i for i, (a, b) in enumerate(cut) if i > begin and wanted.search(entry.text[a:b])), None)
    if place is not None:
        first, last = cut[place]
        while place + 1 < len(cut) and cut[place + 1][1] - first <= LONGEST and wanted is _SPEAKS:
            place += 1
            last = cut[place][1]
        out.append(entry.cite(first, min(last, first + LONGEST)))
    return out
