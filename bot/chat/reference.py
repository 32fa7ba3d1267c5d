"""What a user may see of the library: the passages behind an answer, a search, the list of books.

Passages are looked up when they are asked for, so what was removed or disabled meanwhile is not shown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bot.inference.library import ServedLibrary
from bot.text import dialogue
from bot.text.censor import Censor
from bot.text.records import Citation
from engine.library import Library, LibraryError, Passage, Source

log = logging.getLogger(__name__)
FOUND = 5  # passages that a search shows


class Reference:
    def __init__(self, library: ServedLibrary | None, forbidden: Iterable[str] = ()) -> None:
        self.served = library
        self.forbidden = tuple(forbidden)

    def source(self, turns: Sequence[Mapping[str, Any]]) -> str:
        """The passages that the last answer of a talk quotes, with their neighbours."""
        answers = [turn for turn in turns if turn["role"] == "assistant"]
        citations = [Citation(**row) for row in answers[-1].get("citations", ())] if answers else []
        if not citations:
            return dialogue.NO_SOURCE
        return self._ask(lambda library: "\n\n".join(self._contexts(library, citations)))

    def search(self, words: str) -> str:
        """The best passages for some words."""

        def found(library: Library) -> str:
            hits = library.search(words, FOUND)
            return "\n\n".join(f"{place(hit)}\n{hit.text.strip()}" for hit in hits)

        return self._ask(found) or dialogue.NOTHING_FOUND.format(Censor(self.forbidden).whole(words))

    def books(self) -> str:
        """The sources that answers are quoted from."""
        return self._ask(lambda library: "\n".join(map(_line, sources(library)))) or dialogue.NO_BOOKS

    def _ask(self, read: Callable[[Library], str]) -> str:
        if self.served is None:
            return dialogue.NO_LIBRARY
        if self.served.fault():
            return dialogue.PREPARING
        try:
            return Censor(self.forbidden).whole(read(self.served.library))
        except LibraryError as error:
            log.error("the library: %s", error)
            return dialogue.BUSY

    def _contexts(self, library: Library, citations: Iterable[Citation]) -> list[str]:
        """For each passage that is quoted: its place, itself with its neighbours there. Each one once."""
        texts: dict[object, str] = {}
        for citation in citations:
            passages = self.context(library, citation)
            if not passages:
                texts[citation] = f"——《{citation.book}》{dialogue.SOURCE_GONE}"
            else:
                text = "\n".join(passage.text.strip("\n") for passage in passages)
                texts.setdefault(passages[0].id, f"{place(_quoted(passages, citation))}\n{text}")
        return list(texts.values())

    def context(self, library: Library, citation: Citation) -> list[Passage]:
        """The passage that is quoted, between its neighbours of the same chapter; nothing if the words do not
        stand there now. What stands in other chapters, often another formula, would pass for part of it.
        """
        try:
            passage = library.passage_at(citation.book, citation.start)
            text = library.text(passage.source_id, citation.start, citation.end)
        except (LibraryError, ValueError):
            return []
        if Censor(self.forbidden).whole(text) != citation.quote:
            return []
        return [near for near in library.neighbours(passage.id) if near.heading == passage.heading]


def sources(library: Library) -> list[Source]:
    return [source for source in library.sources() if source.enabled]


def place(passage: Passage) -> str:
    heading = f"·{passage.heading}" if passage.heading else ""
    return f"【《{passage.book}{heading}》】"


def _quoted(passages: Sequence[Passage], citation: Citation) -> Passage:
    return next(passage for passage in passages if passage.end > citation.start)


def _line(source: Source) -> str:
    return f"《{source.title}》" + " ".join(filter(None, (source.dynasty, source.author)))
