"""Herb lists of formulas: what is quoted against the lists of the other books that have the formula.

Formulas are drawn by a seed from the headings under which two books or more have a herb list. The bot is asked
for the composition; the herbs of its quotation are compared with those that at least half of the other
books name (the book quoted does not vote).
"""

from __future__ import annotations

import random
import re
import statistics
from collections import Counter

from engine.grounding import Answerer
from engine.grounding.herb_lists import herb_lists
from engine.library.cutting import heading_key

_FORMULA = re.compile("[一-龥]{1,7}[汤散丸丹饮煎膏]")


def sample(answerer: Answerer, count: int, seed: int = 7) -> dict[str, list[tuple[str, frozenset[str]]]]:
    """Formulas with (book, herbs) of every book that has a list under that heading."""
    library = answerer.library
    names = set()
    for source in library.sources():
        if source.kind == "book" and source.enabled:
            for passage in library.passages(source.id):
                name = heading_key(passage.heading.rpartition("/")[2])
                if _FORMULA.fullmatch(name):
                    names.add(name)
    order = sorted(names)
    random.Random(seed).shuffle(order)
    out: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for name in order:
        lists = []
        for entry in answerer.shelf.headed((name,)):
            found = herb_lists(entry.text)
            if found and entry.book not in {book for book, _ in lists}:
                lists.append((entry.book, frozenset(found[0][2])))
        if len(lists) >= 2:
            out[name] = lists
        if len(out) == count:
            break
    return out


def f1(mine: frozenset[str], gold: frozenset[str]) -> float:
    both = len(mine & gold)
    return 2 * both / (len(mine) + len(gold)) if mine or gold else 0.0


def bench_formulas(answerer: Answerer, count: int) -> None:
    drawn = sample(answerer, count)
    values: dict[str, list[float]] = {"all": [], "well attested (4 books or more)": []}
    unanswered = 0
    for name, lists in drawn.items():
        answer = answerer.answer(f"{name}由哪些药组成？")
        quoted = [herbs for one in answer.citations for _, _, herbs in herb_lists(one.quote)]
        unanswered += not quoted
        book = answer.citations[0].book if answer.citations else ""
        others = [herbs for other, herbs in lists if other != book]
        votes = Counter(herb for herbs in others for herb in herbs)
        gold = frozenset(herb for herb, number in votes.items() if 2 * number >= len(others))
        value = f1(frozenset(quoted[0]), gold) if quoted else 0.0
        values["all"].append(value)
        if len(lists) >= 4:
            values["well attested (4 books or more)"].append(value)
    print(
        f"{len(drawn)} formulas drawn from the headings that two books or more have; {unanswered} without a list"
    )
    for what, found in values.items():
        if found:
            error = 1.96 * statistics.pstdev(found) / len(found) ** 0.5
            print(f"herb F1, {what}: {statistics.mean(found):.3f} ± {error:.3f} of {len(found)}")
