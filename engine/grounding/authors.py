"""Who wrote a book and when: its title line."""

from __future__ import annotations

import re

from engine.grounding.names import find_person
from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Shelf
from engine.library.cutting import normalise

LIVES = ("医学入门", "古今医统大全", "医学三字经")  # books that tell of physicians' lives, a line each
_WORKS = re.compile("哪些书|什么书|几本书|写[过了]|著作|代表作|有哪些")
_LIFE = re.compile("岁|活了|出生|生于|去世|死|老婆|妻|儿子|徒弟|师父|老师")
LONGEST = 150  # characters of a life


def author(question: Question, shelf: Shelf) -> Draft | None:
    if question.topic and question.topic == find_person(question.text, shelf):
        return _person(question, shelf)
    titles = question.books[:1] or _titles_in(question.text, shelf)
    if _WORKS.search(question.text):
        titles = _books_of_author(question.text, shelf)[:3] or question.books[:3] or titles
    else:
        titles = titles[:1]
    entries = [entry for entry in map(shelf.title_of, titles) if entry]
    if not entries:
        return None
    return Draft([e.cite(0, len(e.text)) for e in entries], [""] * len(entries), "", 1.0, True)


def _person(question: Question, shelf: Shelf) -> Draft | None:
    """Of a physician: the line that a book gives their life, and the title lines of what they wrote."""
    titles = _books_of_author(question.text, shelf) or _books_called(question, shelf)
    written = [entry.cite(0, len(entry.text)) for entry in map(shelf.title_of, titles) if entry]
    names = {question.topic, *(s.author for s in shelf.library.sources() if s.title in titles)}
    told = _life(names, shelf)
    asked = _LIFE.search(question.text)
    if asked:
        told = [c for c in told if any(mark in c.quote for mark in asked.group() + "寿卒")]
        written = []
    elif _WORKS.search(question.text):
        told = [] if written else told
    citations = [*told[:1], *written[: 2 if told else 4]]
    return Draft(citations, [""] * len(citations), "", 1.0, True) if citations else None


def _life(names: set[str], shelf: Shelf) -> list[Citation]:
    out = []
    for book in LIVES:
        for name in sorted(names - {""}):
            try:
                hits = shelf.search({name: 1.0}, 8, None, book, 0.5)
            except ValueError:
                continue
            for hit in hits:
                line = re.search(rf"(?:^|\n)({re.escape(name)}[ 　，][^\n]{{8,}})", hit.text)
                if line and "姓氏" in hit.heading:
                    last = line.end(1)
                    if last - line.start(1) > LONGEST:
                        last = hit.text.rfind("。", 0, line.start(1) + LONGEST) + 1 or last
                    out.append(shelf.alone(hit).cite(line.start(1), last))
    return out


def _books_called(question: Question, shelf: Shelf) -> tuple[str, ...]:
    """The books of the author whom people call by the name asked for: those of the first title's author."""
    authors = {s.title: s.author for s in shelf.library.sources() if s.enabled}
    first = next((authors[title] for title in question.books if authors.get(title)), "")
    return tuple(title for title, name in authors.items() if first and name == first)


def _titles_in(text: str, shelf: Shelf) -> tuple[str, ...]:
    asked = normalise(text)
    found = [s.title for s in shelf.library.sources() if s.enabled and normalise(s.title) in asked]
    return tuple(sorted(found, key=len, reverse=True))


def _books_of_author(text: str, shelf: Shelf) -> tuple[str, ...]:
    asked = normalise(text)
    return tuple(
        s.title for s in shelf.library.sources() if s.enabled and len(s.author) > 1 and s.author in asked
    )


def author_line(book: str, shelf: Shelf) -> Draft | None:
    entry = shelf.title_of(book)
    return Draft([entry.cite(0, len(entry.text))], [""], "", 1.0, True) if entry else None
