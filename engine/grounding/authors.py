"""Who wrote a book and when: its title line."""

from __future__ import annotations

from engine.grounding.question import Question
from engine.grounding.records import Draft
from engine.grounding.shelf import Shelf
from engine.library.cutting import normalise


def author(question: Question, shelf: Shelf) -> Draft | None:
    titles = question.books[:1] or _titles_in(question.text, shelf)
    entries = [entry for entry in map(shelf.title_of, titles[:1]) if entry]
    if not entries:
        return None
    return Draft([e.cite(0, len(e.text)) for e in entries], [""] * len(entries), "", 1.0, True)


def _titles_in(text: str, shelf: Shelf) -> tuple[str, ...]:
    asked = normalise(text)
    found = [s.title for s in shelf.library.sources() if s.enabled and normalise(s.title) in asked]
    return tuple(sorted(found, key=len, reverse=True))


def author_line(book: str, shelf: Shelf) -> Draft | None:
    entry = shelf.title_of(book)
    return Draft([entry.cite(0, len(entry.text))], [""], "", 1.0, True) if entry else None
