"""Split a text into passages of at most some 400 characters under their headings.

A passage is a piece of one section. Lines of a section are joined while they fit; a line is broken only where
it is longer than a passage, at the end of a sentence. Which lines stand together is chosen over the whole
section: a list of herbs and its preparation belong to the lines before them, a numbered clause begins anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

PASSAGE_CHARACTERS = 400
_SHORT = 120  # characters below which a passage would rather be joined

_SENTENCE_END = re.compile(r"[。！？!?][”’」』）)]*|[；;](?=[^”’」』）)])|\.(?=\s)")
_CLAUSE = re.compile(r"[，、,：:\s]")
_NUMBERED = re.compile(r"(?<=[。）」！？])(?=\d{1,3}[．.、])")
_STARTS_CLAUSE = re.compile(r"\d{1,3}[．.、]|[【◎○●]|又方|问曰|黄帝问曰|帝曰|[一二三四五六七八九十]+、")
_CONTINUES = re.compile(
    r"[上右以]?[^。，]{0,4}[上右][^。，]{0,12}[味为]|[上右](?:为|件|各|将|用|作|锉|锉|咀|以|研|药|除|先|并|同)"
    r"|每服|每用|水煎|水[一二三四五六]|研末|共为|为末|（|加减"
)
_DOSES = re.compile(
    r"（[^（）]{0,14}[两钱铢升枚斤分合个片寸匕字粒茎握炙炒泡炮洗切等][^（）]{0,8}）|[一二三四五六七八九十半]+[两钱铢枚]"
)


@dataclass(frozen=True)
class Heading:
    """A heading of a text: characters `start` to `end` of it; level 1 is the highest.

    One without a name ends the sections of its level and below, and stands over nothing.
    """

    start: int
    end: int
    level: int
    name: str


@dataclass(frozen=True)
class Piece:
    """A passage to be: characters `start` to `end` of the text, under `path` of headings, highest first."""

    path: tuple[str, ...]
    start: int
    end: int


def split(text: str, headings: Iterable[Heading], *, keep_bare: bool = False) -> Iterator[Piece]:
    """The passages of a text in order. Headings are in order and do not overlap; they stand in no passage.

    With `keep_bare` a heading with nothing below it is a passage itself, so that no word of the text is lost.
    """
    path: list[Heading] = []
    start = 0
    for heading in [*headings, Heading(len(text), len(text), 0, "")]:
        names = tuple(above.name for above in path)
        pieces = list(_section(text, start, heading.start, names))
        if not pieces and keep_bare and path and path[-1].level >= heading.level:
            pieces = [Piece(names, *place) for place in _bare(text, path[-1].start, path[-1].end)]
        yield from pieces
        while path and path[-1].level >= heading.level:
            path.pop()
        if heading.name:
            path.append(heading)
        start = heading.end


def _section(text: str, start: int, end: int, path: tuple[str, ...]) -> Iterator[Piece]:
    units = list(_units(text, start, end))
    for first, last in _groups(text, units):
        yield Piece(path, units[first][0], units[last][1])


def _units(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Lines, and parts of lines that are too long, without blanks at their ends."""
    at = start
    while at < end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        yield from _parts(text, at, stop)
        at = stop + 1


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    line = text[start:end]
    cuts = [0, *(match.start() for match in _NUMBERED.finditer(line)), len(line)]
    for left, right in pairwise(cuts):
        while right - left > PASSAGE_CHARACTERS:
            cut = _cut(line, left, right)
            yield from _bare(text, start + left, start + cut)
            left = cut
        yield from _bare(text, start + left, start + right)


def _cut(line: str, left: int, right: int) -> int:
    """Where to break line[left:right]: at the sentence end that gives parts of like length, else a comma."""
    parts = -(-(right - left) // PASSAGE_CHARACTERS)
    target = left + (right - left) // parts
    limit = min(left + PASSAGE_CHARACTERS, right - 1)
    for pattern in (_SENTENCE_END, _CLAUSE):
        ends = [match.end() for match in pattern.finditer(line, left + 40, limit) if match.end() <= limit]
        if ends:
            return min(ends, key=lambda end: abs(end - target))
    return limit


def _bare(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def _groups(text: str, units: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """First and last unit of each passage: the cheapest way to part the units (dynamic programming)."""
    if not units:
        return []
    starts = [0.0] + [
        _break_cost(text, *unit) + _cut_cost(text, before[1]) for before, unit in pairwise(units)
    ]
    if units[-1][1] - units[0][0] <= PASSAGE_CHARACTERS and min(starts) >= 0:
        return [(0, len(units) - 1)]
    costs = [0.0]
    firsts = [0]
    for last, (_, end) in enumerate(units):
        best, best_first = float("inf"), last
        for first in range(last, -1, -1):
            length = end - units[first][0]
            if length > PASSAGE_CHARACTERS and first < last:
                break
            cost = costs[first] + 1.0 + starts[first] + max(0.0, 1 - length / _SHORT)
            if cost < best:
                best, best_first = cost, first
        costs.append(best)
        firsts.append(best_first)
    out: list[tuple[int, int]] = []
    last = len(units) - 1
    while last >= 0:
        first = firsts[last + 1]
        out.append((first, last))
        last = first - 1
    return out[::-1]


def _cut_cost(text: str, end: int) -> float:
    """What it costs to end a passage here: a sentence of which the next line may hold the rest."""
    return 0.0 if text[end - 1] in "。！？；!?;.）)」”】" else 0.5


def _break_cost(text: str, start: int, end: int) -> float:
    """What it costs to begin a passage with this unit."""
    if _STARTS_CLAUSE.match(text, start, end):
        return -0.6
    if _CONTINUES.match(text, start, end):
        return 4.0
    line = text[start:end]
    if len(_DOSES.findall(line[:160])) >= 2:
        return 4.0
    return 0.0
