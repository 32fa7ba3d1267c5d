"""Changing a library: one writer at a time, all of a block or nothing of it.

Two stores must agree. The index is committed first with what was added, then SQLite in one transaction, then
the index forgets what was removed. SQLite decides: what the index knows and SQLite does not is never shown,
and a writer that finds the last step undone does it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.library import books, generation, store
from engine.library.cutting import heading_keys, token_text
from engine.library.index import IndexWriter
from engine.library.records import KINDS, Kind, LibraryError, Pair, Source
from engine.library.splitting import Heading, Piece, split

PATH_MARK = "/"
MAX_TITLE = 200  # characters


class Writer:
    """Use as a context manager; the methods work inside it alone."""

    def __init__(self, folder: Path, wait_seconds: float = 30.0, *, fresh: bool = False) -> None:
        """With `fresh` it writes a new library, which replaces the current one when the block ends."""
        self.folder = folder
        self._wait = wait_seconds
        self._fresh = fresh
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(generation.lock(self.folder, self._wait))
            generation.sweep(self.folder)
            path = None if self._fresh else generation.current(self.folder)
            self._path = path or generation.new(self.folder)
            if path is None:
                create(self._path)
                stack.callback(generation.sweep, self.folder)
            self._begin(self._path, stack)
            self._stack = stack.pop_all()
        return self

    def _begin(self, path: Path, stack: ExitStack) -> None:
        self._connection = store.connect(path / generation.DATABASE)
        stack.callback(self._connection.close)
        self._index = IndexWriter(path / generation.INDEX)
        stack.callback(self._index.close)
        self._forget(store.purges(self._connection))
        self._connection.execute("BEGIN IMMEDIATE")
        self._known = {source.id: source for source in store.sources(self._connection)}
        self._removed: list[int] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is not None:
                self._index.rollback()
                self._connection.execute("ROLLBACK")
                return
            self._index.commit()
            self._connection.execute("COMMIT")
            self._forget(self._removed)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if self._path != generation.current(self.folder):
                self._index.close()
                generation.switch(self.folder, self._path)

    def _forget(self, removed: Sequence[int]) -> None:
        if removed:
            for source in removed:
                self._index.delete(source)
            self._index.commit()
            store.wipe(self._connection)

    # -- what a caller does

    def add_text(
        self,
        title: str,
        author: str,
        dynasty: str,
        text: str,
        *,
        file: str = "",
        kind: Kind = "document",
        headings: Iterable[Heading] | None = None,
        pieces: Sequence[Piece] = (),
        sha256: str | None = None,
        bundled: bool = False,
    ) -> int:
        """Add a text and return its number.

        A text of the same title replaces an older one from the same file; from another file it gets a title
        of its own, `title (2)`. `sha256` is that of what was read, else of the text. Its passages are given,
        or cut by the headings, which are given or found by the rules of books. ValueError for an empty text
        or a wrong kind.
        """
        if kind not in KINDS:
            raise ValueError(f"a source is one of {', '.join(KINDS)}, not {kind}")
        if not text.strip():
            raise LibraryError(f"{title}: no text in it")
        data = text.encode()
        source = Source(
            0, self._free_title(title, file), author.strip(), dynasty.strip(), file,
            sha256 or hashlib.sha256(data).hexdigest(), True, kind, 0, len(data), bundled,
        )  # fmt: skip
        found = books.headings(text) if headings is None else headings
        cut = pieces or list(split(text, found, keep_bare=kind != "book"))
        return self._add(source, text, data, cut, [None] * len(cut))

    def add_pairs(
        self,
        title: str,
        pairs: Sequence[Pair],
        *,
        file: str = "",
        sha256: str | None = None,
        bundled: bool = False,
    ) -> int:
        """Add pairs as one source and return its number; each pair is a passage, its answer the text."""
        parts: list[str] = []
        pieces: list[Piece] = []
        at = 0
        for pair in pairs:
            path = (pair.topic, pair.questions[0]) if pair.topic else (pair.questions[0],)
            pieces.append(Piece(path, at, at + len(pair.answer)))
            parts.append(pair.answer + "\n")
            at += len(pair.answer) + 1
        text = "".join(parts)
        if not text.strip():
            raise LibraryError(f"{title}: no pairs in it")
        data = text.encode()
        source = Source(
            0, self._free_title(title, file), "", "", file,
            sha256 or hashlib.sha256(data).hexdigest(), True, "pairs", 0, len(data), bundled,
        )  # fmt: skip
        return self._add(source, text, data, pieces, list(pairs))

    def remove(self, source: int) -> None:
        """Take a source out; LibraryError if there is none."""
        found = self._need(source)
        if found.bundled:  # a later build leaves it out
            removed = store.meta(self._connection, "removed") or ""
            self.set_meta("removed", f"{removed}\n{found.title}".strip("\n"))
        store.remove_source(self._connection, source)
        self._removed.append(source)
        del self._known[source]

    def set_enabled(self, source: int, enabled: bool) -> None:
        """Let a source answer, or not; LibraryError if there is none."""
        self._known[source] = replace(self._need(source), enabled=enabled)
        store.set_enabled(self._connection, source, enabled)

    def copy(self, other: sqlite3.Connection, source: Source) -> int:
        """Take a source over from an older generation's database, with its number."""
        data = store.all_bytes(other, source.id)
        text = data.decode()
        pieces: list[Piece] = []
        pairs: list[Pair | None] = []
        at = byte = 0
        for _, path, start, end, pair in store.passages(other, *store.span(source.id)):
            first = at + len(data[byte:start].decode())
            at, byte = first + len(data[start:end].decode()), end
            pieces.append(Piece(tuple(filter(None, path.split(PATH_MARK))), first, at))
            pairs.append(None if pair is None else store.read_pair(pair))
        number = self._add(
            replace(source, title=self._free_title(source.title, source.file)), text, data, pieces, pairs
        )
        self.set_enabled(number, source.enabled)
        return number

    def count_from(self, number: int) -> None:
        """Give the next source a number above this one."""
        store.count_from(self._connection, number)

    def set_meta(self, key: str, value: str) -> None:
        store.set_meta(self._connection, key, value)

    def sources(self) -> list[Source]:
        """As this writer has changed them."""
        return list(self._known.values())

    # -- how

    def _need(self, source: int) -> Source:
        if source not in self._known:
            raise LibraryError(f"the library has no source {source}")
        return self._known[source]

    def _free_title(self, title: str, file: str) -> str:
        title = " ".join(title.split())[:MAX_TITLE] or Path(file).stem or "text"
        taken = {source.title: source for source in self._known.values()}
        name, number = title, 2
        while name in taken:
            if file and taken[name].file == file:
                self.remove(taken[name].id)
                break
            name, number = f"{title} ({number})", number + 1
        return name

    def _add(
        self, source: Source, text: str, data: bytes, pieces: Sequence[Piece], pairs: Sequence[Pair | None]
    ) -> int:
        if len(pieces) > store.MAX_PASSAGES:
            raise LibraryError(f"{source.title}: more than {store.MAX_PASSAGES:,} passages; split it")
        source = replace(source, passages=len(pieces))
        number = store.add_source(self._connection, source)
        self._known[number] = replace(source, id=number)
        self._index.delete(number)  # what a writer left that was stopped between the two commits
        store.add_text(self._connection, number, data)
        add_pieces(self._connection, self._index, self._known[number], text, pieces, pairs)
        return number


def create(path: Path) -> None:
    """An empty library in the folder of a generation."""
    store.connect(path / generation.DATABASE, create=True).close()
    index = IndexWriter(path / generation.INDEX)
    index.commit()
    index.close()


def add_pieces(
    connection: sqlite3.Connection,
    index: IndexWriter,
    source: Source,
    text: str,
    pieces: Sequence[Piece],
    pairs: Sequence[Pair | None],
) -> None:
    """Put the passages of a source whose text is stored already into both stores."""
    first = store.span(source.id)[0]
    headings: list[tuple[int, str, int, int]] = []
    keys: list[tuple[str, int]] = []
    rows: list[tuple[int, int, int, int, str | None]] = []
    title = token_text(source.title)
    heading_tokens = ""
    path: tuple[str, ...] | None = None
    own: list[str] = []
    named: list[tuple[str, int, str]] = []
    at = byte = 0
    for number, (piece, pair) in enumerate(zip(pieces, pairs, strict=True), first):
        start = byte + len(text[at : piece.start].encode())
        end = start + len(text[piece.start : piece.end].encode())
        at, byte = piece.end, end
        if piece.path != path or pair is not None:
            path = piece.path
            name = PATH_MARK.join(part.replace(PATH_MARK, "／") for part in path)
            own = heading_keys(path[-1], text[piece.start : piece.start + 6]) if path else []
            headings.append((first + len(headings), name, number, number))
            keys += [(key, headings[-1][0]) for key in own]
            heading_tokens = token_text(" ".join(path if pair is None else pair.questions))
        else:
            headings[-1] = (*headings[-1][:3], number)
        rows.append((number, headings[-1][0], start, end, None if pair is None else store.pair_text(pair)))
        words = text[piece.start : piece.end]
        within = [key for name in books.formulas_within(words) for key in heading_keys(name)]
        if source.kind == "book" and within:
            named += [(key, number, name) for key in within]
            index.add(number, source.id, title, heading_tokens, words, [*own, *within])
        else:
            index.add(
                number, source.id, title, heading_tokens, words, own, () if pair is None else pair.questions
            )
    for key, number, name in named:  # stands under a heading of its own for `headed`, not for the passage
        headings.append((first + len(headings), name, number, number))
        keys.append((key, headings[-1][0]))
    store.add_passages(connection, headings, keys, rows)
