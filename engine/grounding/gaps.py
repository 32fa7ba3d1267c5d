"""What stands in a gap, where books have the words around it: 上工治____，不治已病.

Each place in the books that has words of the left and of the right around a few characters is a vote for
them, the heavier the more of the words are there. The model's likelihood and the votes decide together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2

from engine.grounding.records import Citation
from engine.grounding.shelf import Shelf, sentences
from engine.library import Hit, Terms
from engine.library.cutting import normalise
from engine.library.words import simplify

GAP = "____"
AROUND = 16  # characters on each side that are looked for
LONGEST = 8  # characters of a filling
PASSAGES = 200
LEAST = 3  # characters around a place that votes
# Where no model weighs the fillings, and where the gap begins or ends the text, so many must be there.
SURE = 6
MOST = 30  # fillings that the model is asked to weigh
# A place with n characters around it has BASE ** n votes; V votes are worth WORTH * log2(1 + V / DOUBT) bits.
BASE, WORTH, DOUBT = 3.0, 2.0, 16.0


@dataclass(frozen=True)
class Found:
    """A filling: its votes, the most characters that stand around it, and where: characters of a passage."""

    text: str
    votes: float
    around: int
    hit: Hit
    first: int
    last: int

    @property
    def bits(self) -> float:
        """What the votes are worth."""
        return WORTH * log2(1 + self.votes / DOUBT)


def candidates(shelf: Shelf, text: str) -> list[Found]:
    """What books have between the words around the only gap, most votes first; nothing for several gaps."""
    if text.count(GAP) != 1:
        return []
    left, right = (_bare(side) for side in text.split(GAP))
    left, right = left[-AROUND:], right[:AROUND]
    weights = _weights(left, right)
    if not weights:
        return []
    best: dict[str, Found] = {}
    found = shelf.library.search(Terms({"text": weights}, {}), PASSAGES, explain=False)
    for hit in shelf.books_only(found):
        places = [place for place, character in enumerate(hit.text) if character.isalnum()]
        for begin, end, around in _places(_bare(hit.text), places, left, right):
            first, last = places[begin], places[end - 1] + 1
            filling = simplify(hit.text[first:last])
            if "\n" in filling:
                continue
            old = best.get(filling)
            votes = BASE**around
            if old and old.around >= around:
                best[filling] = replace(old, votes=old.votes + votes)
            else:
                votes += old.votes if old else 0.0
                best[filling] = Found(filling, votes, around, hit, first, last)
    return sorted(best.values(), key=lambda one: -one.votes)


def ranked(found: Sequence[Found], bits: Mapping[str, float]) -> list[tuple[str, float]]:
    """Fillings with what the model charges for them less what their votes are worth, best first.

    `bits` is what the model charges, for fillings of its own and for those found.
    """
    worth = {one.text: one.bits for one in found}
    weighed = [(text, charged - worth.get(text, 0.0)) for text, charged in bits.items()]
    return sorted(weighed, key=lambda one: one[1])


def surest(found: Sequence[Found]) -> Found | None:
    """Where there is no model: the filling with most of the words around it, if they are enough."""
    best = max(found, key=lambda one: (one.around, one.votes), default=None)
    return best if best and best.around >= SURE else None


def cite(shelf: Shelf, found: Found) -> Citation:
    """The sentences in which a filling stands."""
    around = [(a, b) for a, b in sentences(found.hit.text) if a < found.last and b > found.first]
    return shelf.alone(found.hit).cite(around[0][0], around[-1][1])


def _bare(text: str) -> str:
    return "".join(c for c in normalise(text) if c.isalnum())


def _weights(left: str, right: str) -> dict[str, float]:
    """The pairs of characters on both sides, the nearer to the gap the heavier."""
    before = [left[i : i + 2] for i in range(len(left) - 2, -1, -1)]
    after = [right[i : i + 2] for i in range(len(right) - 1)]
    weights: dict[str, float] = {}
    for pairs in (before, after):
        for distance, pair in enumerate(pairs):
            weights[pair] = max(weights.get(pair, 0.0), 0.5 + 3 / (1 + distance))
    return weights


def _places(text: str, places: Sequence[int], left: str, right: str) -> Iterator[tuple[int, int, int]]:
    """(first, last, characters around it) of each filling that a bare text has; `places` are its characters'
    in the text as it stands. Where the gap is at an end of what was asked, a filling ends with its clause."""
    if left and right:
        yield from _between(text, left, right)
        return
    side = right or left[::-1]
    way = 1 if right else -1
    place = text.find(side[0])
    while place >= 0:
        held = _held(text, place, way, side)
        if held >= SURE:
            end = place - way
            while 0 <= end < len(text) and abs(places[end] - places[end + way]) == 1:
                end -= way
            first, last = sorted((end + way, place))
            first, last = (first, last) if right else (first + 1, last + 1)
            if 0 < last - first <= LONGEST:
                yield first, last, held
        place = text.find(side[0], place + 1)


def _held(text: str, place: int, way: int, side: str) -> int:
    """How many characters of a side stand in a text from a place on, forwards or backwards."""
    held = 0
    while held < len(side) and 0 <= place < len(text) and text[place] == side[held]:
        held, place = held + 1, place + way
    return held


def _between(text: str, left: str, right: str) -> Iterator[tuple[int, int, int]]:
    back = left[::-1]
    place = text.find(back[0])
    while place >= 0:
        before = _held(text, place, -1, back)
        for end in range(place + 2, min(len(text), place + 2 + LONGEST)):
            after = _held(text, end, 1, right)
            if after and before + after >= LEAST:
                yield place + 1, end, before + after
        place = text.find(back[0], place + 1)
