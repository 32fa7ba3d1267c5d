"""What a question asks, with what it leaves out taken from the turns before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.grounding.follow_ups import (
    asks_more,
    asks_within,
    carries_on,
    may_add,
    means_formula,
    subject_of,
    swap,
    tells_more,
)
from engine.grounding.kinds import AUTHOR, COMPARE, ORIGIN, Question
from engine.grounding.kinds import read as read_alone
from engine.grounding.names import find_formulas, find_herbs
from engine.grounding.point_names import name_of_point
from engine.grounding.shelf import Shelf
from engine.library import words

_FOLLOW = re.compile("^(那|它|这个|这方|此方|该方|其|他|还|再|那么|这药|这种|这味|上面|前面|刚才)|呢[？?]?$")
_WITH = re.compile("^(?:那|它)?[和跟与同比]")
_SIDE_BY_SIDE = re.compile(f"{COMPARE.pattern}|比[呢吗]?$")
_THINGS = ("formula", "herb", "pulse")


def understand(question: str, history: Sequence[Mapping[str, str]], shelf: Shelf) -> Question:
    """Read a question, with what it leaves out taken from the turns before."""
    asked = [words.tidy(turn["content"]) for turn in history if turn.get("role") == "user"]
    text = words.tidy(question)
    read = read_alone(text, shelf)
    if not asked:
        return read
    plainly = carries_on(text, bool(read.groups or read.names or read.books))
    if not plainly and not may_add(text, read.kind, read.aspects):
        return read
    before = understand(asked[-1], history[: _last_user(history)], shelf)
    said = tuple(words.tidy(t["content"]) for t in history if t.get("role") == "assistant")
    if read.kind == "herb" and before.kind == "formula" and (asks_within(text) or read.asks("dose")):
        others, aspects = (read.topic, *read.others), read.aspects or ("dose",)
        return replace(before, text=text, aspects=aspects, others=others, before=before, history=said)
    if before.kind == "symptom" and not read.aspects and tells_more(text):
        more = replace(read_alone(f"{before.text}，{text}", shelf), kind="symptom", topic=before.topic)
        return replace(more, whole=True, before=before, history=said)
    return _carry(read, before, said, shelf) if plainly else read


def _last_user(history: Sequence[Mapping[str, str]]) -> int:
    return max(i for i, turn in enumerate(history) if turn.get("role") == "user")


def _carry(read: Question, before: Question, said: tuple[str, ...], shelf: Shelf) -> Question:
    text = read.text
    if before.kind in ("formula", "herb") and _WITH.search(text) and _SIDE_BY_SIDE.search(text):
        other = next(iter((*find_formulas(text, shelf)[0], *find_herbs(text, shelf))), "")
        if other:
            again = read_alone(f"{before.topic}和{other}有什么区别", shelf)
            return replace(again, whole=True, before=before, history=said)
    if read.kind in ("formula", "herb", "point", "pulse") and read.topic and not _FOLLOW.search(text):
        return replace(read, before=before, history=said)
    thing = name_of_point(text) if before.kind == "point" else read.topic if read.kind in _THINGS else ""
    if thing and not read.aspects and before.topic in before.text and read.kind in (before.kind, "theory"):
        again = read_alone(before.text.replace(before.topic, thing), shelf)  # 那麻黄汤呢, 合谷呢
        if again.kind == before.kind and again.topic == thing:
            return replace(again, aspects=before.aspects, before=before, history=said)
    swapped = swap(text, before.text) if len(words.bare(text)) <= 8 else ""
    if swapped:
        return replace(read_alone(swapped, shelf), before=before, history=said)
    if AUTHOR.search(text) or ORIGIN.search(text):
        if not read.quoted and not read.books:
            return replace(before, kind="source", before=before, history=said)
        return replace(read, before=before, history=said)
    own = read.kind in ("formula", "comparison", "author", "point", "pulse") and read.topic
    if own:
        return replace(read, before=before, history=said)
    if before.kind in ("formula", "herb") and (read.kind != "herb" or before.kind == "formula"):
        aspects = read.aspects or before.aspects
        others = tuple(h for h in find_herbs(text, shelf) if len(h) > 1) if before.kind == "formula" else ()
        if before.kind == "formula" and "dose" in aspects and not others:
            others = before.others
        return replace(
            before, text=text, aspects=aspects, groups=read.groups, others=others, before=before, history=said
        )
    quoted = find_formulas(said[-1], shelf)[0][:1] if said and means_formula(text, read.aspects) else []
    if quoted and not read.topic:  # 这个方由哪些药组成
        formula = replace(read_alone(quoted[0], shelf), text=text, aspects=read.aspects)
        return replace(formula, before=before, history=said)
    return _merged(read, before, said, shelf)


def _merged(read: Question, before: Question, said: tuple[str, ...], shelf: Shelf) -> Question:
    """What is asked of the subject of the question before."""
    text = read.text
    subject = subject_of(before.text)
    if subject and asks_more(text) and before.kind in ("theory", "symptom"):  # 有什么症状
        return replace(read_alone(f"{subject}{text}", shelf), whole=True, before=before, history=said)
    if len(words.bare(read.bare)) > 12:
        return replace(read, before=before, history=said)
    again = read_alone(f"{before.text}，{text}", shelf)
    kind = "symptom" if read.asks("treat", "cause") and before.groups else again.kind
    if kind == "theory" and before.kind in ("symptom", "quote"):
        kind = before.kind if before.kind == "symptom" else "theory"
    whole = kind == before.kind == "symptom" and read.asks("treat") and not read.groups
    return replace(
        again, kind=kind, aspects=read.aspects or again.aspects, whole=whole, before=before, history=said
    )


__all__ = ["Question", "understand"]
