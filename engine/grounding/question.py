"""What a question asks, with what it leaves out taken from the turns before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.grounding.completions import PRICE, asks_more, asks_why, completed, corrected, may_complete
from engine.grounding.follow_ups import (
    asks_for_signs,
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
from engine.grounding.smalltalk import smalltalk
from engine.library import words

_FOLLOW = re.compile("^(那|它|这个|这方|此方|该方|其|他|还|再|那么|这药|这种|这味|上面|前面|刚才)|呢[？?]?$")
_WITH = re.compile("^(?:那|它)?[和跟与同比]")
_SIDE_BY_SIDE = re.compile(f"{COMPARE.pattern}|比[呢吗]?$")
_THINGS = ("formula", "herb", "pulse")
NOT_FOUND = "书里没有找到"
RECALLED = 4  # questions before, in which two things are looked for
Turn = tuple[str, str]  # a question and its answer


def understand(question: str, history: Sequence[Mapping[str, str]], shelf: Shelf) -> Question:
    """Read a question, with what it leaves out taken from the turns before."""
    return _understand(words.tidy(question), turns_of(history, shelf), shelf)


def last_question(history: Sequence[Mapping[str, str]], shelf: Shelf) -> Question | None:
    """The last of the turns before that asked something, as it was meant; None if none did."""
    turns = turns_of(history, shelf)
    return _understand(turns[-1][0], turns[:-1], shelf) if turns else None


def turns_of(history: Sequence[Mapping[str, str]], shelf: Shelf) -> list[Turn]:
    """What was asked and answered before, without small talk, requests for more, and follow-ups that got no
    answer: 夏天呢 goes on from 春天怎么养生 over 翻译一下."""
    turns: list[Turn] = []
    for turn in history:
        if turn.get("role") == "user":
            turns.append((words.tidy(turn["content"]), ""))
        elif turn.get("role") == "assistant" and turns:
            turns[-1] = (turns[-1][0], words.tidy(turn["content"]))
    return [turn for number, turn in enumerate(turns) if not _says_nothing(turn, number == 0, shelf)]


def _says_nothing(turn: Turn, first: bool, shelf: Shelf) -> bool:
    text, answer = turn
    if smalltalk(text) or asks_more(text) or asks_why(text):
        return True
    if first or not answer.startswith(NOT_FOUND) or not carries_on(text, False):
        return False
    read = read_alone(text, shelf)
    return not (read.topic or read.groups or read.books)


def _understand(text: str, turns: list[Turn], shelf: Shelf) -> Question:
    if not turns:
        return read_alone(corrected(text), shelf)
    said = tuple(answer for _, answer in turns if answer)
    if may_complete(text):
        earlier = [
            _understand(turns[n][0], turns[:n], shelf) for n in range(len(turns) - 1, -1, -1)[:RECALLED]
        ]
        whole = completed(text, earlier)
        if whole:
            return replace(read_alone(whole, shelf), whole=True, before=earlier[0], history=said)
    text = corrected(text)
    read = read_alone(text, shelf)
    plainly = carries_on(text, bool(read.groups or read.names or read.books))
    if not plainly and not may_add(text, read.kind, read.aspects):
        return read
    before = _understand(turns[-1][0], turns[:-1], shelf)
    if before.kind in ("formula", "herb", "symptom", "point", "pulse") and PRICE.search(text):
        return read
    if read.kind == "herb" and before.kind == "formula" and (asks_within(text) or read.asks("dose")):
        others, aspects = (read.topic, *read.others), read.aspects or ("dose",)
        return replace(before, text=text, aspects=aspects, others=others, before=before, history=said)
    if before.kind == "symptom" and not read.aspects and tells_more(text):
        more = replace(read_alone(f"{before.text}，{text}", shelf), kind="symptom", topic=before.topic)
        return replace(more, whole=True, before=before, history=said)
    return _carry(read, before, said, shelf) if plainly else read


def _carry(read: Question, before: Question, said: tuple[str, ...], shelf: Shelf) -> Question:
    text = read.text
    if before.kind == "comparison" and read.kind in ("herb", "formula") and read.topic:
        return replace(read, before=before, history=said)
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
            return replace(before, kind="source", whole=False, before=before, history=said)
        return replace(read, before=before, history=said)
    own = read.kind in ("formula", "comparison", "author", "point", "pulse") and read.topic
    if own:
        return replace(read, before=before, history=said)
    if before.kind in ("formula", "herb") and (read.kind != "herb" or before.kind == "formula"):
        aspects = read.aspects or _of_taking(text) or before.aspects
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


_TAKEN = re.compile("[吃喝服用]多久|几个?疗程|一天|每天|几次|饭前|饭后|空腹|早上|晚上|睡前")
_FOR_WHOM = re.compile("男|女|什么人|哪些人|谁")


def _of_taking(text: str) -> tuple[str, ...]:
    """What is asked of a formula by how it is taken, 一天几次, or for whom it is, 男的吃还是女的吃."""
    if _TAKEN.search(text):
        return ("preparation",)
    return ("indication",) if _FOR_WHOM.search(text) else ()


def _merged(read: Question, before: Question, said: tuple[str, ...], shelf: Shelf) -> Question:
    """What is asked of the subject of the question before."""
    text = read.text
    subject = subject_of(before.text)
    if subject and asks_for_signs(text) and before.kind in ("theory", "symptom"):  # 有什么症状
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


__all__ = ["Question", "last_question", "understand"]
