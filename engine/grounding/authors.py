"""Who wrote a book and when: its title line."""

from __future__ import annotations

import re

from engine.grounding.question import Question
from engine.grounding.records import Draft
from engine.grounding.shelf import Shelf
from engine.library.cutting import normalise


def author(question: Question, shelf: Shelf) -> Draft | None:
    titles = question.books[:1] or _titles_in(question.text, shelf)
    if re.search("哪些书|什么书|几本书|写过|著作有", question.text):
        titles = _books_of_author(question.text, shelf)[:3] or question.books[:3] or titles
    else:
        titles = titles[:1]
    entries = [entry for entry in map(shelf.title_of, titles) if entry]
    if not entries:
        return None
    return Draft([e.cite(0, len(e.text)) for e in entries], [""] * len(entries), "", 1.0, True)


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
