"""The lines of an owner's document: sentences, with the headings over them, and the rows of tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.grounding.everyday import size
from engine.grounding.shelf import Entry, plain, sentences

SHORT = 60  # characters of a sentence; longer ones are no notes
NOTE, PROSE = (
    28,
    32,
)  # characters of a sentence, on average: up to there it is a note, from there on an article
PARAGRAPHS = 60  # characters of a line, on average, from which on it is an article too
TITLE = 10  # characters of a line without a mark at its end that is a heading of what follows
_ENGLISH_END = re.compile(r"(?<=[a-z0-9)][.!?;])\s+(?=[A-Z])")
_RULE = re.compile(r"[|:\-\s]+")  # |---|:-:| of Markdown
_QUESTION = re.compile(r"[*#\s]*(?:[Qq问]\d*|问题\d*)[：:．.、]")
_NAMED_CELLS = re.compile("[^：；\n]{1,20}：[^；\n]*；[^：；\n]{1,20}：")  # 目的地：省内；首重：8元


@dataclass(frozen=True)
class Unit:
    """Characters `first` to `last` of an entry; `over` stands above it, `question` is the note's own.

    `columns` names the cells of a table's row, `head` is the place of the row that does."""

    first: int
    last: int
    over: str = ""
    question: str = ""
    cells: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    head: tuple[int, int] | None = None


def mean(text: str) -> float:
    """Characters of a sentence, on average."""
    spans = sentences(text, SHORT)
    return sum(size(text[first:last]) for first, last in spans) / max(1, len(spans))


def is_note(text: str, most: int = PROSE) -> bool:
    """Whether a text is made of short sentences, of `most` characters on average, or of short lines."""
    lines = [size(line) for line in text.splitlines() if line.strip()]
    return mean(text) <= most or (len(lines) > 2 and sum(lines) / len(lines) <= PARAGRAPHS)


def units(entry: Entry) -> Iterator[Unit]:
    """What of an entry may answer, in order."""
    text, above = entry.text, plain(f"{entry.book}{entry.heading}")
    heading = question = ""
    columns: tuple[str, ...] = ()
    head: tuple[int, int] | None = None
    answered, before = False, 0
    for first, last in _cut(text):
        said = text[first:last].strip()
        if not plain(said):  # ** behind **收费吗？
            continue
        if cells := _cells(said):
            if _RULE.fullmatch(said):
                continue
            if not columns or len(cells) != len(columns):
                columns, head = cells, (first, last)
                continue
            yield Unit(first, last, above + heading, "", cells, columns, head)
            continue
        columns, head = (), None
        if is_question(said):  # of the note's own: what follows answers it
            question, answered = said, False
            continue
        if len(said) <= TITLE and text[last - 1 : last] == "\n" and said[0].isalpha() and said[-1].isalpha():
            heading, question = plain(said), ""
            continue
        if answered and "\n" in text[before:first]:
            question = ""
        yield Unit(first, last, above + heading, question)
        answered, before = True, last - 1


def is_question(said: str) -> bool:
    """Whether a line is a question of the note's own: 收费吗？, **怎么注册？**, Q1: …"""
    return said.strip("*_# \n").endswith(("？", "?")) or bool(_QUESTION.match(said))


def _cells(said: str) -> tuple[str, ...]:
    """The cells of a row of a Markdown table; empty for what is none."""
    if said.startswith("|") and said.count("|") > 2:
        return tuple(cell.strip() for cell in said.strip("|").split("|"))
    return ()


def _cut(text: str) -> Iterator[tuple[int, int]]:
    """Sentences; the rows of tables whole."""
    at = 0
    for line in text.splitlines(keepends=True):
        if _cells(line.strip()) or _NAMED_CELLS.match(line):
            yield at, at + len(line)
        else:
            for first, last in sentences(line, SHORT):
                begin = first
                for end in _ENGLISH_END.finditer(line, first, last):
                    yield at + begin, at + end.end()
                    begin = end.end()
                yield at + begin, at + last
        at += len(line)
