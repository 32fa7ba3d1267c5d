"""What a formula is made of: the list that most books agree on.

Every list under the name casts its book's vote for each of its herbs; the real list that agrees best with the
votes (the medoid) is quoted, the better known book first among equals.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from math import fsum

from engine.grounding.herb_lists import Herbs, herb_lists
from engine.grounding.question import Question
from engine.grounding.shelf import Entry, Shelf, standing
from engine.library import Hit


@dataclass(frozen=True)
class HerbList:
    entry: Entry
    first: int
    last: int
    herbs: tuple[str, ...]  # under the names that most headings have


def entries_of(names: tuple[str, ...], question: Question, shelf: Shelf) -> list[tuple[Entry, int]]:
    """Entries on a formula, and where each begins: under its heading, or after a clause that names it."""
    found = [(entry, 0) for entry in shelf.headed(names)]
    seen = {p.id for entry, _ in found for p in entry.passages}
    query = dict.fromkeys(names, 3.0)
    hits = shelf.search(query, 40, heading_factor=0.5)
    for book in (*question.books[:3], "伤寒论", "金匮要略方论", "温病条辨", "傅青主女科歌括"):
        hits += _in_book(shelf, query, book)
    for hit in hits:
        if hit.id in seen:
            continue
        place = hit.text.find(question.topic)
        if place >= 0:
            seen.add(hit.id)
            entry = shelf.entry(hit, 0, 1)
            found.append((entry, place))
    return found


def _in_book(shelf: Shelf, query: dict[str, float], book: str) -> list[Hit]:
    try:
        return shelf.search(query, 12, book=book, heading_factor=0.5)
    except ValueError:
        return []


def lists_of(names: tuple[str, ...], entries: list[tuple[Entry, int]]) -> list[HerbList]:
    """The first herb list of each entry that belongs to the formula."""
    out = []
    for entry, place in entries:
        headed = place == 0 and entry.key in names
        lists = herb_lists(entry.text)
        chosen = next(iter(lists), None) if headed else _after_name(entry.text, names[:1], lists)
        if chosen:
            out.append(HerbList(entry, *chosen))
    return out


def _after_name(text: str, names: tuple[str, ...], lists: list[Herbs]) -> Herbs | None:
    """the list that follows the name with nothing else between than the end of its clause"""
    for name in names:
        for match in re.finditer(re.escape(name), text):
            follows = next((x for x in lists if x[0] >= match.end()), None)
            if follows is None:
                continue
            between = text[match.end() : follows[0]]
            if (
                len(between) <= 28
                and not re.search("[汤散丸饮]", between.replace("煮散", ""))
                and (
                    re.match("方|主之|（|。|\n|：|组成|[一二三四五六七八九十]", between)
                    or not between.strip()
                )
            ):
                before = text[max(0, match.start() - 1) : match.start()]
                if before in ("加", "合", "与", "用") and "主之" not in between:
                    continue
                return follows
    return None


def medoid(lists: list[HerbList]) -> tuple[HerbList, list[HerbList]]:
    """The list that agrees best with all votes, and the lists of other books that differ from it much.

    Of equal ones the earliest in its book: in which order a search finds them depends on how the index is
    merged, and in which order a sum adds a set on the process. Sums are exact (fsum), so equal stays equal.
    """
    votes: dict[str, float] = {}
    voters: dict[str, set[str]] = defaultdict(set)
    books = set()
    for item in lists:
        books.add(item.entry.book)
        for herb in item.herbs:
            voters[herb].add(item.entry.book)
    for herb, names in voters.items():
        votes[herb] = fsum(1 + 2 * standing("formula", book) for book in names)
    total = fsum(1 + 2 * standing("formula", book) for book in books)

    def agreement(item: HerbList) -> float:
        mine = set(item.herbs)
        inside = fsum(votes[h] for h in mine)
        return 2 * inside / (total * len(mine) + fsum(votes.values()))

    def rank(item: HerbList) -> float:
        headed = item.entry.key and item.first < 400
        text = item.entry.text[item.first : item.last]
        broken = text.count("（") != text.count("）") or text[-1] in "，、"  # the corpus has lost its end
        return (
            agreement(item)
            - 0.12 * broken
            + 0.16 * standing("formula", item.entry.book)
            + 0.06 * bool(headed)
        )

    best = min(lists, key=lambda one: (-rank(one), one.entry.book, one.entry.start, one.first))
    differ = [x for x in lists if x.entry.book != best.entry.book and likeness(x.herbs, best.herbs) < 0.6]
    return best, differ


def likeness(mine: tuple[str, ...], other: tuple[str, ...]) -> float:
    both = len(set(mine) & set(other))
    return 2 * both / (len(set(mine)) + len(set(other)))
