"""What stands in a gap, where a book has the words around it: 上工治____，不治已病."""

from __future__ import annotations

from dataclasses import dataclass

from engine.grounding.records import Citation
from engine.grounding.shelf import Shelf, sentences
from engine.library import Terms
from engine.library.cutting import normalise, tokens
from engine.library.words import simplify

GAP = "____"
AROUND = 12  # characters on each side that are looked for
# Of them must stand there: of 500 blanks in tcm-books.valid 4 fill 135, 20 % of them rightly (as the
# model does alone), 6 fill 59 (36 %), 8 fill 34 (50 %). Where too few stand there the model fills the gap.
LEAST = 6
LONGEST = 10  # characters of a filling
PASSAGES = 30


@dataclass(frozen=True)
class GapFilled:
    """`text` with the gap filled, and the sentence of the book that has it so."""

    text: str
    filling: str
    citation: Citation


def fill_gap(shelf: Shelf, text: str) -> GapFilled | None:
    """The filling that a book has between the same words; None for several gaps, or where no book has any."""
    if text.count(GAP) != 1:
        return None
    before, after = text.split(GAP)
    left, right = _bare(before)[-AROUND:], _bare(after)[:AROUND]
    names = dict.fromkeys((t for side in (left, right) for t in tokens(side) if len(t) > 1), 1.0)
    if not names:
        return None
    best: tuple[int, str, Citation] | None = None
    found = shelf.library.search(Terms({"text": names}, {}), PASSAGES, explain=False)
    for hit in shelf.books_only(found):
        span = _between(hit.text, left, right)
        if span and (best is None or span[0] > best[0]):
            held, first, last = span
            around = [(a, b) for a, b in sentences(hit.text) if a < last and b > first]
            citation = shelf.alone(hit).cite(around[0][0], around[-1][1])
            best = (held, simplify(hit.text[first:last]), citation)
    return GapFilled(before + best[1] + after, best[1], best[2]) if best else None


def _bare(text: str) -> str:
    return "".join(c for c in normalise(text) if c.isalnum())


def _between(text: str, left: str, right: str) -> tuple[int, int, int] | None:
    """(characters held around it, first, last) of the filling in a text; None if the words are not there."""
    places = [place for place, character in enumerate(text) if character.isalnum()]
    spelled = _bare(text)
    best: tuple[int, int, int] | None = None
    for size in range(len(left), 0 if left else -1, -1):
        start = spelled.find(left[-size:]) if size else 0
        while start >= 0:
            begin = start + size
            for held in range(len(right), 0, -1):
                end = spelled.find(right[:held], begin + 1, begin + LONGEST + held)
                if end >= 0 and size + held >= LEAST and (best is None or size + held > best[0]):
                    best = (size + held, places[begin], places[end - 1] + 1)
                    break
            if not right and size >= LEAST and begin < len(places) and (best is None or size > best[0]):
                last = begin  # the filling ends where its clause ends
                while last + 1 < len(places) and places[last + 1] == places[last] + 1:
                    last += 1
                if last - begin < LONGEST:
                    best = (size, places[begin], places[last] + 1)
            start = spelled.find(left[-size:], start + 1) if size else -1
        if best:
            return best
    return None
