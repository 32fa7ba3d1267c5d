"""The library as its readers see it: sources, search, passages.

A `Library` may be used by many threads and is cheap to keep. Before each answer it looks whether the library
on disk has changed, so what another process added, disabled or removed counts from its commit on.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from engine.library import generation, query, store
from engine.library.closeness import Closeness
from engine.library.cutting import heading_key
from engine.library.index import IndexReader, Terms
from engine.library.records import Hit, LibraryError, Pair, PairHit, Passage, Source
from engine.library.writer import Writer

_CACHED_BLOCKS = 1024  # of 16 KiB: 16 MiB a process
_PAIR_CANDIDATES = 30
_TRIES = 5  # of work that a change keeps interrupting

T = TypeVar("T")


class _View:
    """One generation, opened by one process."""

    def __init__(self, folder: Path) -> None:
        self.stamp = generation.stamp(folder)
        self.process = os.getpid()
        path = generation.current(folder)
        self.empty = path is None
        self.sources: dict[int, Source] = {}
        self.titles: dict[str, Source] = {}
        if path is None:
            return
        self.connection = store.connect(path / generation.DATABASE)
        self._check_format(path)
        self.index = IndexReader(path / generation.INDEX)
        self.blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self.version = -1
        self.refresh()

    def _check_format(self, path: Path) -> None:
        found = store.meta(self.connection, "format")
        if found != store.FORMAT:
            raise LibraryError(f"{path}: a library of format {found}; say `plm library build`")

    def refresh(self) -> None:
        if self.empty:
            return
        version = store.version(self.connection)
        if version != self.version:
            self.index.refresh()
            self.sources = {source.id: source for source in store.sources(self.connection)}
            self.titles = {source.title: source for source in self.sources.values()}
            self.blocks = OrderedDict(
                (key, data) for key, data in self.blocks.items() if key[0] in self.sources
            )
            self.version = version

    def disabled(self) -> list[int]:
        return [source.id for source in self.sources.values() if not source.enabled]

    def block(self, source: int, number: int) -> bytes:
        key = (source, number)
        data = self.blocks.get(key)
        if data is None:
            data = store.block(self.connection, source, number)
            self.blocks[key] = data
            if len(self.blocks) > _CACHED_BLOCKS:
                self.blocks.popitem(last=False)
        else:
            self.blocks.move_to_end(key)
        return data

    def bytes_of(self, source: int, start: int, end: int) -> bytes:
        first, last = start // store.BLOCK_BYTES, max(start, end - 1) // store.BLOCK_BYTES
        data = b"".join(self.block(source, number) for number in range(first, last + 1))
        shift = first * store.BLOCK_BYTES
        return data[start - shift : end - shift]

    def passages(self, first: int, last: int, *, disabled: bool = False) -> list[tuple[Passage, str | None]]:
        """Passages with their pairs, of enabled sources, or of disabled ones too."""
        out = []
        for row in store.passages(self.connection, first, last):
            source = self.sources.get(store.source_of(row[0]))
            if source is not None and (source.enabled or disabled):
                data = self.bytes_of(source.id, row[2], row[3])
                out.append((store.passage(row, source.title, data), row[4]))
        return out


class Library:
    """A read-only view of the library in a folder; `writer` changes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._held: _View | None = None

    @classmethod
    def open(cls, folder: Path | str) -> Library:
        """A folder without a library is an empty library, until somebody writes it."""
        return cls(Path(folder))

    def _view(self) -> _View:
        """The current view; call it under the lock."""
        view = self._held
        for attempt in range(3):
            if (
                view is not None
                and view.process == os.getpid()
                and view.stamp == generation.stamp(self.folder)
            ):
                break
            try:
                view = _View(self.folder)
            except (FileNotFoundError, ValueError) as error:
                if attempt == 2 or isinstance(error, LibraryError):
                    raise
                view = None  # replaced just now
        if view is None:
            raise LibraryError(f"{self.folder}: the library changes too fast to be read")
        self._held = view
        view.refresh()
        return view

    @property
    def state(self) -> tuple[object, int]:
        """Another one after every change."""
        with self._lock:
            view = self._view()
            return view.stamp, -1 if view.empty else view.version

    def undisturbed(self, work: Callable[[], T]) -> T:
        """What `work` returns when the library does not change meanwhile: it is called again if it does.

        Work that reads more than once could mix two states otherwise. LibraryError if it changes each time.
        """
        before = self.state
        for _ in range(_TRIES):
            result, began = work(), before
            before = self.state
            if before == began:
                return result
        raise LibraryError(f"{self.folder}: the library changes too fast to be read")

    @property
    def documents(self) -> int:
        """How many passages the index holds."""
        with self._lock:
            view = self._view()
            return 0 if view.empty else view.index.documents

    def frequency(self, token: str, field: str = "text") -> int:
        """How many passages hold a token (cutting.tokens) in a field: title, heading or text."""
        with self._lock:
            view = self._view()
            return 0 if view.empty else view.index.frequency(token, field)

    def together(self, sets: Sequence[Sequence[str]]) -> list[int]:
        """How many passages of enabled sources hold all tokens of each set (cutting.tokens) in their text."""
        with self._lock:
            view = self._view()
            if view.empty:
                return [0] * len(sets)
            never = view.disabled()
        return view.index.together(sets, never)

    def sources(self) -> list[Source]:
        with self._lock:
            return list(self._view().sources.values())

    def source(self, which: int | str) -> Source:
        """A source by its number or title; LibraryError where there is none."""
        with self._lock:
            view = self._view()
            found = view.sources.get(which) if isinstance(which, int) else view.titles.get(which)
        if found is None:
            raise LibraryError(f"the library has no source {which}; `plm library list` names them")
        return found

    def search(
        self, question: str | Terms, limit: int = 10, book: str | int | Sequence[int] | None = None,
        explain: bool = True,
    ) -> list[Hit]:  # fmt: skip
        """The best passages of enabled sources, best first: of all, of one book (title or number), or of the
        sources of these numbers.

        Without `explain` they do not say why, which takes longer than finding them where they are many.
        """
        terms = query.parse(question) if isinstance(question, str) else question
        with self._lock:
            view = self._view()
            if view.empty or not terms:
                return []
            if book is None or isinstance(book, str | int):
                only = None if book is None else [self.source(book).id]
            else:
                only = [number for number in book if number in view.sources]
            never = view.disabled()
        ranked = view.index.search(terms, limit, only, never)  # without the lock: threads search side by side
        with self._lock:
            view = self._view()
            if view.empty:
                return []
            return [
                Hit(**vars(passage), score=score, why=query.why(terms, passage) if explain else "")
                for number, score in ranked
                for passage, _ in view.passages(number, number)
            ]

    def passage(self, number: int) -> Passage:
        """LibraryError if it is removed or disabled."""
        found = self.neighbours(number, 0, 0)
        if not found:
            raise LibraryError(f"the library has no passage {number}")
        return found[0]

    def passage_at(self, source: int | str, byte: int) -> Passage:
        """The passage of a source, by title or number, that holds a byte or is the last before it.

        LibraryError if there is none, or it is removed or disabled. Numbers of passages are a host's own; a
        title and an offset say the same on every host.
        """
        found = self.source(source)
        with self._lock:
            view = self._view()
            number = store.passage_at(view.connection, found.id, byte)
            held = [] if number is None else view.passages(number, number)
        if not held:
            raise LibraryError(f"{found.title} has no passage at byte {byte}")
        return held[0][0]

    def neighbours(self, number: int, before: int = 1, after: int = 1) -> list[Passage]:
        """The passage with those before and after it in its source, in order; nothing if it is gone."""
        first, last = store.span(store.source_of(number))
        return self._passages(max(first, number - before), min(last, number + after))

    def passages(self, source: int) -> list[Passage]:
        """All passages of a source, also of a disabled one; LibraryError if there is none."""
        return [passage for passage, _ in self._all(source)]

    def pairs_of(self, source: int) -> list[Pair]:
        """All pairs of a source of that kind, also of a disabled one."""
        return [store.read_pair(record) for _, record in self._all(source) if record is not None]

    def _all(self, source: int) -> list[tuple[Passage, str | None]]:
        self.source(source)
        with self._lock:
            return self._view().passages(*store.span(source), disabled=True)

    def _passages(self, first: int, last: int) -> list[Passage]:
        with self._lock:
            view = self._view()
            return [] if view.empty else [passage for passage, _ in view.passages(first, last)]

    def headed(self, name: str) -> list[Passage]:
        """All passages under headings equal to a name (cutting.heading_key), by source and place."""
        key = heading_key(name)
        with self._lock:
            view = self._view()
            if view.empty or not key:
                return []
            return [
                passage
                for first, last in store.headed(view.connection, key)
                for passage, _ in view.passages(first, last)
            ]

    def text(self, source: int, start: int, end: int) -> str:
        """The source's text between two bytes; ValueError if they cut a character or lie outside."""
        found = self.source(source)
        if not 0 <= start <= end <= found.bytes:
            raise ValueError(f"bytes {start} to {end} are not within the {found.bytes} of {found.title}")
        with self._lock:
            return self._view().bytes_of(found.id, start, end).decode()

    def pairs(self, question: str, limit: int = 5) -> list[PairHit]:
        """Question-answer pairs with a wording like the question, closest first (see closeness.py)."""
        with self._lock:
            view = self._view()
            kinds = [
                source.id for source in view.sources.values() if source.kind == "pairs" and source.enabled
            ]
            if not kinds:
                return []
            count = sum(view.sources[number].passages for number in kinds)
            closeness = Closeness(question, lambda token: view.index.frequency(token, "questions"), count)
            if not closeness.weights:
                return []
            terms = Terms({"questions": closeness.weights}, {})
            hits = []
            for number, _ in view.index.search(terms, max(limit, _PAIR_CANDIDATES), kinds):
                for passage, record in view.passages(number, number):
                    if record is not None:
                        pair = store.read_pair(record)
                        score, wording = max((closeness.to(wording), wording) for wording in pair.questions)
                        hits.append(PairHit(pair, score, wording, passage))
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    def writer(self, wait_seconds: float = 30.0) -> Writer:
        """The one writer, as a context: what it did counts when the block ends well, else not at all."""
        return Writer(self.folder, wait_seconds)
