"""Where a formula comes from: the oldest book of the library that has it, by the dynasties of the books."""

from __future__ import annotations

import re

from engine.grounding.compositions import entries_of, likeness, lists_of, medoid
from engine.grounding.dynasties import LAST, years
from engine.grounding.question import Question
from engine.grounding.records import Draft
from engine.grounding.shelf import Entry, Shelf, sentences
from engine.library import words

_NOT_FIRST = re.compile(
    "浅注|心典|集注|方歌|歌括|注解|类方|附翼|贯珠|正义|辑义|百种录|经读|崇原|太素|古本"
    "|银海精微|中藏经|颅囟经|补遗药性赋"  # under the names of older authors
)
WIDE, REACH = 150, 250  # passages that are looked at, characters behind a name that may hold its herbs
SAME = 0.6  # likeness of herb lists from which on a name means the same formula


def origin(question: Question, shelf: Shelf) -> Draft | None:
    """The title line of the oldest book with the formula, and what it is made of there."""
    entries = entries_of(question.names, question, shelf)
    lists = lists_of(question.names, entries)
    dated = years(shelf)
    lists = [one for one in lists if dated.get(one.entry.book, LAST) < LAST]
    lists = [one for one in lists if not _NOT_FIRST.search(one.entry.book)] or lists
    if not lists:
        return None
    best, _ = medoid(lists)
    same = [one for one in lists if likeness(one.herbs, best.herbs) >= SAME]
    oldest = min(same, key=lambda one: dated[one.entry.book])
    said = oldest.entry.cite(oldest.first, oldest.last)
    for entry, place in _older(
        question, entries, shelf
    ):  # it may stand there in a list that is not read as one
        if dated.get(entry.book, LAST) < dated[said.book] and _holds(entry.text[place:][:REACH], best.herbs):
            last = next((b for a, b in sentences(entry.text) if b > place + 4), len(entry.text))
            said = entry.cite(place, min(last, place + 150))
    title = shelf.title_of(said.book)
    if title is None:
        return None
    leads = [f"本书库所收的书里，{question.topic}最早见于《{said.book}》", "书中"]
    return Draft([title.cite(0, len(title.text)), said], leads, "", 1.0, True)


def _older(question: Question, entries: list[tuple[Entry, int]], shelf: Shelf) -> list[tuple[Entry, int]]:
    """Entries under the formula's name, and places where a line or sentence begins with it."""
    out = [(entry, 0) for entry, place in entries if place == 0 and entry.key in question.names]
    hits = shelf.search(dict.fromkeys(question.names, 3.0), WIDE, heading_factor=0.5)
    for hit in hits:
        for name in question.names:
            begins = re.search(
                rf"(?:^|[\s。）)])(?:自制|新制|自拟)?({re.escape(name)})[\s（(，。：]", hit.text
            )
            if begins:
                out.append((shelf.entry(hit, 0, 1), begins.start(1)))
                break
    return [(entry, place) for entry, place in out if not _NOT_FIRST.search(entry.book)]


def _holds(text: str, herbs: tuple[str, ...]) -> bool:
    there = sum(any(name in text for name in words.herb_names(herb)) for herb in herbs)
    return there >= 0.75 * len(herbs)
