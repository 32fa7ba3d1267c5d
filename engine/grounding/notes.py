"""Short everyday notes of an owner: hours, prices, parking. Their lines are weighed by words.

The reader was taught on articles, and sees little in lines such as 代煎每剂三元. So a sentence of a note is
scored by the share of the question's own words that it or its heading holds, where an answer of the kind that
is asked for (a price, a time, a place) must stand in it (`everyday.py`). A row of a table is a line
too, under the names of its columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.grounding.everyday import (
    SINGLE,
    Asked,
    Kind,
    Said,
    Thing,
    is_latin,
    size,
    spell,
    typed,
    understood,
)
from engine.grounding.note_lines import NOTE, SHORT, Unit, is_note, units
from engine.grounding.shelf import Entry, Shelf
from engine.library import Passage, words
from engine.library.cutting import tokens

PASSAGES = 8  # of a search
ALL = 20_000  # bytes of documents of which every line is weighed: a question and its line may share no word
LONG = 18  # characters of a question from which on it is none that visitors ask of notes
LONG_LATIN = 30  # the same of an English one
BRIEF = 12  # characters of a question as visitors ask it
ENOUGH = 0.6  # of the question's words, from which on a sentence answers;
OTHERWISE = 0.8  # so many where none of them is an everyday one
CONTEXT = 0.2  # what the words of the question before add
HEADED = 0.8  # weight of a word that stands in the heading alone
SUBJECT, ASKING = 0.6, 0.3  # weight of a kind that is named by its thing (停车) or only asked for (几点)
TOUCHED = 0.4  # of a short question's words that a short sentence must hold for the reader to be believed
SPOKEN = 0.52  # the same of an article's sentence
PARAGRAPH = 90  # characters of a line that is quoted whole

# How long something is guaranteed or kept is no answer to how long it takes.
_KEPT = re.compile(
    "(?:质保|保修|有效期|保质期|保留|保存|备份)[^，。；\\n]{0,3}?[0-9一二两三四五六七八九十半]+\\s*个?[年月天日]|"
    "质保|保修|有效期|保质期|保[几多]|保留|保存"
)
_WHO = ("谁", "哪位", "叫什么", "姓什么", "什么名字", "who")


@dataclass(frozen=True)
class Line:
    entry: Entry
    unit: Unit
    score: float


def lines_of(asked: Asked, shelf: Shelf, sources: list[int]) -> list[Line]:
    """The lines of the owner's documents, scored, best first; empty for a question that is no visitor's."""
    if not sources or not (asked.wanted or asked.kinds):
        return []
    more = [word for kind, _ in asked.kinds for word in kind.noted]
    more += [word for thing in asked.wanted for word in thing.words]
    found = few(f"{asked.text} {' '.join(more)}", shelf, sources, ALL, PASSAGES)
    lines = [
        Line(entry, unit, _score(entry, unit, asked))
        for entry in map(shelf.alone, found)
        if is_note(entry.text)
        for unit in units(entry)
    ]
    return sorted(lines, key=lambda line: -line.score)


def answers(asked: Asked, line: Line) -> bool:
    """Whether a line holds enough of what is asked."""
    return line.score >= (ENOUGH if asked.everyday else OTHERWISE)


def visitors(text: str) -> bool:
    """Whether a question is as short as visitors' are."""
    return typed(text) <= (LONG_LATIN if is_latin(text) else LONG)


def few(query: str, shelf: Shelf, sources: list[int], most: int, limit: int) -> Sequence[Passage]:
    """All passages of the sources if they have at most so many bytes, else the first of a search."""
    library = shelf.library
    if sum(library.source(number).bytes for number in sources) <= most:
        return [passage for number in sources for passage in library.passages(number)]
    return library.search(query, limit, sources, explain=False)


def unlike(text: str, said: str, entry: Entry, shelf: Shelf) -> bool:
    """Whether a short sentence does not answer a short question, which asks for things of which it has no
    word, or, of a note, for a kind of thing that it lacks, such as a price."""
    text = words.tidy(text)
    if typed(text) > BRIEF or size(said) > SHORT:
        return False
    asked = understood(text, shelf)
    note = is_note(entry.text, NOTE)
    if note and any(not _fits(kind, word, said, "", asked) for kind, word in asked.kinds):
        return True
    spelled = Said.of(said + entry.book + entry.heading)
    total = sum(thing.weight for thing in asked.wanted)
    held = sum(thing.weight * _share(thing, spelled, shelf) for thing in asked.wanted)
    return total > SINGLE and held < (TOUCHED if note else SPOKEN) * total


def _share(thing: Thing, said: Said, shelf: Shelf) -> float:
    """How much of a thing a text has, by weight: 名字由来 is little of 王不留行名字由来."""
    if len(thing.run) < 2 or thing.run.isascii():
        return thing.held(said)
    weights = {piece: shelf.weight(piece) for piece in thing.words}
    return sum(weight for piece, weight in weights.items() if piece in said.spelled) / sum(weights.values())


def whole(text: str, unit: Unit) -> tuple[int, int]:
    """The line that holds a sentence, if it is not long: a price or rule often goes on behind a mark."""
    first, last = unit.first, unit.last
    begin = text.rfind("\n", 0, first) + 1
    end = text.find("\n", max(first, last - 1))
    end = len(text) if end < 0 else end
    if size(text[begin:end]) <= PARAGRAPH:
        return begin, max(end, last)
    while first > begin and text[first - 1] in "；;" and last - first < PARAGRAPH:
        first = max(begin, *(text.rfind(mark, begin, first - 1) + 1 for mark in "。；;！？"))
    while last < end and text[last - 1] in "；;" and last - first < PARAGRAPH:
        ends = [place for mark in "。；;！？" if (place := text.find(mark, last, end)) >= 0]
        last = min(ends, default=end - 1) + 1
    return first, last


def _score(entry: Entry, unit: Unit, asked: Asked) -> float:
    """How well a sentence under a heading, or behind a question of the note's own, answers: from 0 to 1."""
    text = entry.text[unit.first : unit.last].strip()
    own = Said.of(f"{text} {unit.question}")
    over = Said.of(" ".join((unit.over, *unit.columns)))
    if not _fit(asked, text, unit, over) or (asked.must and not asked.must.search(own.spelled)):
        return 0.0
    alike = [token for token in tokens(asked.text) if len(token) > 1]
    more = 0.1 * sum(token in own.spelled for token in alike) / max(1, len(alike))  # decides between equals
    held = total = 0.0
    for thing in asked.wanted:
        total += thing.weight
        held += thing.weight * max(thing.held(own), HEADED * thing.held(over))
        more += 0.05 * any(word == spell(cell) for cell in unit.cells for word in (thing.run, *thing.words))
    more += CONTEXT * sum(thing.held(own) for thing in asked.context) / max(1, len(asked.context))
    for kind, word in asked.kinds:
        more += _near(kind, asked, text)
        weight = SUBJECT if word in kind.noted and len(word) > 1 else ASKING
        total += weight
        held += weight * _named(kind, word, own, over)
    if not total:
        return 0.0
    return (1.0 if asked.must and not asked.wanted and held else held / total) + more


def _fit(asked: Asked, text: str, unit: Unit, over: Said) -> bool:
    """Whether a sentence has what is asked: every price or time, or else one of the things named (停车),
    which a heading may name too."""
    fits = [(word in kind.noted, _fits(kind, word, text, unit.question, asked)) for kind, word in asked.kinds]
    asking = [fit for named, fit in fits if not named]
    if asking or not fits:
        return all(asking)
    return any(fit for _, fit in fits) or any(over.has(word) for _, word in asked.kinds)


def _fits(kind: Kind, word: str, text: str, question: str, asked: Asked) -> bool:
    """Whether an answer of the kind stands in a sentence: of 班主任是谁 not in the word 班主任 itself, of
    多久做好 not in 质保五年. Or the note's own question asks for it."""
    if question and any(map(Said.of(question).has, kind.asked)):
        return True
    if not _KEPT.search(asked.text):
        text = _KEPT.sub("", text)
    if word in _WHO:
        for thing in asked.wanted:
            text = text.replace(thing.run or thing.words[0], " ")
    return bool(kind.looks.search(text))


def _near(kind: Kind, asked: Asked, said: str) -> float:
    """A little more where an answer of the kind stands close to a thing asked for, such as its price."""
    places = [place for thing in asked.wanted for word in thing.words if (place := said.find(word)) >= 0]
    looks = [match.start() for match in kind.looks.finditer(said)]
    apart = min((abs(a - b) for a in places for b in looks), default=20)
    return 0.004 * max(0, 20 - apart)


def _named(kind: Kind, asked: str, own: Said, over: Said) -> float:
    """Whether a sentence speaks of the kind of thing that is asked: in the asker's words or in the notes'."""
    if own.has(asked):
        return 1.0
    places = [place for place, word in enumerate(kind.noted) if own.has(word)]
    if places:  # the first words say it most plainly
        return 0.9 - 0.003 * places[0] + 0.015 * min(4, len(places) - 1)
    return HEADED if any(over.has(word) for word in (*kind.noted, asked)) else 0.0


def column(unit: Unit, asked: Asked) -> int | None:
    """Which cell of a table's row is asked for: the one whose column is named, or holds such a thing."""
    points = []
    for number, (name, cell) in enumerate(zip(unit.columns, unit.cells, strict=True)):
        said = Said.of(name)
        named = sum(thing.weight * thing.held(said) for thing in (*asked.wanted, *asked.context))
        named += sum(_named(kind, word, said, Said("", "")) for kind, word in asked.kinds)
        looks = 0.3 * sum(bool(kind.looks.search(cell)) for kind, _ in asked.kinds)
        points.append((named + looks if number else 0.0, -number))
    best = max(points, default=(0.0, 0))
    return -best[1] if best[0] > 0.25 else None


_FLOOR = re.compile("几楼|哪层|几层|哪一层|哪个楼层|第几层")
_FLOORS = re.compile("(?:[0-9]+|[一二三四五六七八九十]+|负[一二三])\\s*(?:楼|层|F)")


def lead(line: Line, asked: Asked) -> str:
    """What is said before the quotation: the cell of a row, the floor of an address."""
    unit = line.unit
    place = column(unit, asked) if len(unit.columns) > 2 else None
    if place is not None:
        return f"{unit.cells[0]}，{unit.columns[place]}{unit.cells[place]}"
    floor = _FLOORS.search(line.entry.text, unit.first, unit.last) if _FLOOR.search(asked.text) else None
    return floor.group() if floor else ""
