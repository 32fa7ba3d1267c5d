"""Herb lists of formulas: what is quoted against the lists of the other books that have the formula.

Formulas are drawn by a seed from the headings under which two books or more have a herb list. The bot is
asked for the composition; the herbs of its quotation are compared with those that at least half of the other
books name (the book quoted does not vote). Where books mean other things by a name that is too strict: so
each formula is asked for once more with one of its books named, against the list in that book.
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


def quoted(answerer: Answerer, question: str) -> tuple[frozenset[str], str]:
    """The herbs of the first list that an answer quotes, and its book."""
    for one in answerer.answer(question).citations:
        for _, _, herbs in herb_lists(one.quote):
            return frozenset(herbs), one.book
    return frozenset(), ""


def bench_formulas(answerer: Answerer, count: int) -> None:
    drawn = sample(answerer, count)
    named, of_four = "a book named, against its own list", "others' votes, four books or more"
    values: dict[str, list[float]] = {"others' votes": [], of_four: [], named: []}
    generator = random.Random(1)
    unanswered = 0
    for name, lists in drawn.items():
        mine, book = quoted(answerer, f"{name}由哪些药组成？")
        unanswered += not mine
        own_book, own = generator.choice(lists)
        values[named].append(f1(quoted(answerer, f"《{own_book}》的{name}由哪些药组成？")[0], own))
        others = [herbs for other, herbs in lists if other != book]
        votes = Counter(herb for herbs in others for herb in herbs)
        gold = frozenset(herb for herb, number in votes.items() if 2 * number >= len(others))
        values["others' votes"].append(f1(mine, gold))
        if len(lists) >= 4:
            values[of_four].append(f1(mine, gold))
    print(
        f"{len(drawn)} formulas drawn from headings that two books or more have; {unanswered} without a list"
    )
    for what, found in values.items():
        if found:
            error = 1.96 * statistics.pstdev(found) / len(found) ** 0.5
            print(f"herb F1, {what}: {statistics.mean(found):.3f} ± {error:.3f} of {len(found)}")
