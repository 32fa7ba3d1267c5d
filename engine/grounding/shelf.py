"""What answers ask of the library: whole entries, sentences, weights of words, the standing of books."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Any, TypeVar

from engine.grounding.records import Citation
from engine.library import Library, Passage, Terms, words
from engine.library.cutting import heading_key, normalise, tokens

P = TypeVar("P", bound=Passage)
LONGEST = 110  # characters of a sentence before it is cut within brackets too
_OPEN, _CLOSE = "（(〔[【「『“", "）)〕]】」』”"
_NOT_WORD = re.compile(r"[\W_]+")
_END = "。！？；!?\n"
_QUOTED = "”」』’"  # what may close behind the mark that ends a sentence
_MARK = re.compile("[" + re.escape(_OPEN + _CLOSE + _END + _QUOTED) + "]")


@cache
def _canon() -> dict[str, dict[str, float]]:
    return {
        kind: {book: 1 - place / (len(books) + 1) for place, book in enumerate(books)}
        for kind, books in words.table("canon.tsv").items()
    }


def standing(kind: str, book: str) -> float:
    """1 for the first book of a kind of question, less for later ones, 0 for a book that has no place."""
    return _canon().get(kind, {}).get(book, 0.0)


def canon(kind: str) -> list[str]:
    return list(_canon().get(kind, {}))


@dataclass(frozen=True)
class Entry:
    """A stretch of a source under one heading. `start` is its first byte in the source."""

    book: str
    heading: str  # its own, without those above
    text: str
    start: int
    source_id: int
    passages: tuple[Passage, ...]

    def cite(self, first: int, last: int) -> Citation:
        """Characters `first` to `last` of the text as a quotation, without white space around."""
        while first < last and self.text[first].isspace():
            first += 1
        while last > first and self.text[last - 1].isspace():
            last -= 1
        start = self.start + len(self.text[:first].encode())
        end = start + len(self.text[first:last].encode())
        holder = next((p for p in self.passages if p.start <= start < p.end), self.passages[0])
        return Citation(self.book, self.heading, self.text[first:last], start, end, holder.id)

    @property
    def key(self) -> str:
        return heading_key(self.heading)


def own_heading(passage: Passage) -> str:
    """The heading without those above, and with the character that the source has lost."""
    heading = passage.heading.rpartition("/")[2].strip()
    return words.lost_headings().get((passage.book, heading), heading)


def sentences(text: str, longest: int = LONGEST) -> list[tuple[int, int]]:
    """First and last character of each sentence; a mark within brackets ends none, unless it grows long."""
    out: list[tuple[int, int]] = []
    first = depth = 0
    for mark in _MARK.finditer(text):
        place, character = mark.start(), mark.group()
        if character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth = max(0, depth - 1)
        if character == "\n" or (character in _END and (depth == 0 or place - first > longest)):
            last = place + 1
            if last < len(text) and text[last] in _QUOTED:
                continue
            if text[first:last].strip():
                out.append((first, last))
            first = last
            depth = 0 if character == "\n" else depth
        elif character in _QUOTED and place and text[place - 1] in _END and depth == 0:
            out.append((first, place + 1))
            first = place + 1
    if text[first:].strip():
        out.append((first, len(text)))
    return out


class Shelf:
    """The library with what answers need beside search. It keeps no text."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._weights: dict[str, float] = {}
        self._pairs: frozenset[int] = frozenset()
        self._documents: dict[str, int] = {}
        self._left_out: frozenset[str] = frozenset()
        self._state: object = None  # of the library, when the weights and lists were taken

    def refresh(self) -> None:
        """Weigh words anew and list the sources anew if the library has changed."""
        state = self.library.state
        if state != self._state:
            sources = self.library.sources()
            self._weights.clear()
            self._pairs = frozenset(source.id for source in sources if source.kind == "pairs")
            self._documents = {
                s.title: s.id for s in sources if s.enabled and not s.bundled and s.kind == "document"
            }
            self._state = state

    def documents(self) -> dict[str, int]:
        """The owner's documents: number by title."""
        self.refresh()
        return self._documents

    def own_pairs(self) -> bool:
        """Whether the owner has question-answer pairs of their own, which go before all else."""
        return any(s.kind == "pairs" and s.enabled and not s.bundled for s in self.library.sources())

    def frequency(self, token: str) -> int:
        """How many passages hold a token (cutting.tokens)."""
        return int(self.library.frequency(token))

    def weight(self, word: str) -> float:
        """How rare a word is: the inverse document frequency of its rarest pair of characters."""
        if word not in self._weights:
            cut = [t for t in tokens(word) if len(t) > 1] or tokens(word)
            rarest = min((self.frequency(t) for t in cut), default=0)
            self._weights[word] = log(1 + (self.library.documents + 1) / (rarest + 0.5))
            if len(self._weights) > 50_000:
                self._weights.clear()
                return self.weight(word)
        return self._weights[word]

    def books_only(self, passages: list[P]) -> list[P]:
        """Those that are no question-answer pair: a pair answers as a whole or not at all."""
        self.refresh()
        pairs, out = self._pairs, self._left_out
        if out:
            passages = [p for p in passages if f"{p.book}·{own_heading(p)}" not in out]
        return [passage for passage in passages if passage.source_id not in pairs] if pairs else passages

    def without(self, places: Iterable[str]) -> Shelf:
        """The same without some places, each a book and a heading parted by ·."""
        other = copy(self)
        other._left_out = frozenset(places)
        return other

    def entry(self, passage: Passage, before: int = 3, after: int = 4) -> Entry:
        """The passage with its neighbours under the same heading, as one text."""
        near = [p for p in self.library.neighbours(passage.id, before, after) if p.heading == passage.heading]
        run = [p for p in near if p.id == passage.id] or [passage]
        for other in reversed([p for p in near if p.id < passage.id]):
            if other.id == run[0].id - 1:
                run.insert(0, other)
        for other in (p for p in near if p.id > passage.id):
            if other.id == run[-1].id + 1:
                run.append(other)
        return self._join(run)

    def _join(self, run: list[Passage]) -> Entry:
        first, last = run[0], run[-1]
        text = first.text
        if len(run) > 1:
            text = self.library.text(first.source_id, first.start, last.end)
        return Entry(first.book, own_heading(first), text, first.start, first.source_id, tuple(run))

    def alone(self, passage: Passage) -> Entry:
        return self._join([passage])

    def headed(self, names: tuple[str, ...]) -> list[Entry]:
        """The entries under headings equal to one of the names."""
        runs: list[list[Passage]] = []
        seen: set[int] = set()
        for name in names:
            for passage in self._headed(name):
                if passage.id in seen:
                    continue
                seen.add(passage.id)
                if runs and runs[-1][-1].id == passage.id - 1 and runs[-1][-1].heading == passage.heading:
                    runs[-1].append(passage)
                else:
                    runs.append([passage])
        return [self._join(run[:12]) for run in runs]

    def _headed(self, name: str) -> list[Passage]:
        """The passages under a heading, those of which the source has lost a character too."""
        found = list(self.library.headed(name))
        lost = words.lost_headings()
        for head in {head for (_, head), meant in lost.items() if meant == name}:
            found += [p for p in self.library.headed(head) if lost.get((p.book, head)) == name]
        return self.books_only(found)

    def is_heading(self, name: str) -> bool:
        return bool(self.books_only(self.library.headed(name)))

    def holds(self, words_: str) -> bool:
        """Whether some passage holds the words as they stand."""
        spelled = plain(words_)
        return any(spelled in plain(hit.text) for hit in self.search({words_: 1.0}, 12, heading_factor=0.3))

    def title_of(self, title: str) -> Entry | None:
        """The title line of a book, `《title》 dynasty author`."""
        source = next((s for s in self.library.sources() if s.title == title and s.enabled), None)
        if source is None:
            return None
        text = self.library.text(source.id, 0, min(source.bytes, _whole(self.library, source.id, 400)))
        line = text.split("\n", 1)[0]
        return Entry(
            title, "", line, 0, source.id, (Passage(-1, source.id, title, "", line, 0, len(line.encode())),)
        )

    def search(
        self, words: dict[str, float], limit: int, headings: dict[str, float] | None = None,
        book: str | None = None, heading_factor: float = 2.0,
    ) -> list[Any]:  # fmt: skip
        """Passages by weighted words; a word's weight is shared by its tokens."""
        weights: dict[str, float] = {}
        for word, weight in words.items():
            cut = [t for t in tokens(word) if len(t) > 1] or tokens(word)
            for token in cut:
                weights[token] = max(weights.get(token, 0.0), weight / len(cut) ** 0.5)
        if not weights and not headings:
            return []
        fields = {
            "text": weights,
            "heading": {token: weight * heading_factor for token, weight in weights.items()},
        }
        keys = {heading_key(name): weight for name, weight in (headings or {}).items() if heading_key(name)}
        return self.books_only(self.library.search(Terms(fields, keys), limit, book, explain=False))


def _whole(library: Library, source: int, end: int) -> int:
    """The first place from `end` on where no character is cut."""
    size = library.source(source).bytes
    for place in range(min(end, size), min(end + 4, size) + 1):
        try:
            library.text(source, 0, place)
        except ValueError:
            continue
        return place
    return size


def plain(text: str) -> str:
    """The text for comparing: as the index spells it, brackets' contents kept, punctuation gone."""
    return _NOT_WORD.sub("", normalise(text))
