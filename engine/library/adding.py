"""Adding the owner's files: what is new is read, what is unchanged is not, what cannot be read is named.

Files are read before the lock is taken, and go in by the batch, so that an interrupted run keeps what it had
done and other writers wait for a moment only.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from engine.library import exporting
from engine.library.documents import DocumentError, Parsed, Reader
from engine.library.documents.reading import ending, sha256
from engine.library.library import Library
from engine.library.records import LibraryError, Source
from engine.library.writer import Writer

BATCH_CHARACTERS = 8_000_000

State = Literal["added", "replaced", "unchanged", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a file, or of one book of it; `reason` for one that failed, else the title."""

    file: str
    state: State
    title: str = ""
    reason: str = ""
    source_id: int = 0


@dataclass
class _Batch:
    parsed: list[tuple[str, str, Parsed]] = field(default_factory=list)
    characters: int = 0


def find(paths: Iterable[Path]) -> Iterator[Path]:
    """The files themselves, and in folders every file of a format that can be read, hidden ones left out."""
    for path in paths:
        if path.is_dir():
            for inner in sorted(path.rglob("*")):
                hidden = any(part.startswith((".", "~$")) for part in inner.relative_to(path).parts)
                if inner.is_file() and ending(inner) and not hidden:
                    yield inner
        else:
            yield path


def add(
    library: Library, paths: Iterable[Path], *, title: str = "", author: str = "", dynasty: str = "",
    name: str = "",
) -> Iterator[Outcome]:  # fmt: skip
    """Add files and the files of folders, and say what became of each.

    `title`, `author`, `dynasty` stand for what the file says; `name` for its path where it was uploaded.
    LibraryBusyError if another process keeps writing.
    """
    known = {(source.file, source.sha256) for source in library.sources()}
    contents = {source.sha256: source.title for source in library.sources()}
    batch = _Batch()
    with Reader() as reader:
        for path in find(paths):
            file = name or str(path.absolute())
            try:
                if exporting.is_export(path):
                    yield from _import(library, path)
                    continue
                digest = sha256(path)
                if (file, digest) in known or digest in contents:
                    yield Outcome(file, "unchanged", contents.get(digest, path.stem))
                    continue
                for parsed in reader.read(path):
                    if parsed.kind == "book":
                        digest = hashlib.sha256(parsed.text.encode()).hexdigest()
                        if digest in contents:
                            yield Outcome(file, "unchanged", contents[digest])
                            continue
                    own = title or (Path(name).stem if name and parsed.kind != "book" else "")
                    batch.parsed.append((file, digest, _named(parsed, own, author, dynasty)))
                    batch.characters += len(parsed.text)
                    if batch.characters >= BATCH_CHARACTERS:
                        yield from _write(library, batch)
            except DocumentError as error:
                yield Outcome(file, "failed", reason=str(error))
            except OSError as error:
                yield Outcome(file, "failed", reason=error.strerror or str(error))
    yield from _write(library, batch)


def _named(parsed: Parsed, title: str, author: str, dynasty: str) -> Parsed:
    return replace(
        parsed, title=title or parsed.title, author=author or parsed.author, dynasty=dynasty or parsed.dynasty
    )  # fmt: skip


def _import(library: Library, path: Path) -> Iterator[Outcome]:
    """The sources of an export; one that is here already keeps its place."""
    known = {(source.title, source.sha256) for source in library.sources()}
    try:
        for file, digest, enabled, parsed in exporting.read_export(path):
            if (parsed.title, digest) in known:
                yield Outcome(file, "unchanged", parsed.title)
                continue
            for outcome in _write(library, _Batch([(file, digest, parsed)])):
                if not enabled:
                    with library.writer() as writer:
                        writer.set_enabled(outcome.source_id, False)
                yield outcome
    except (KeyError, TypeError, ValueError, EOFError, lzma.LZMAError) as error:
        yield Outcome(str(path), "failed", reason=f"a broken export: {error}")


def _write(library: Library, batch: _Batch) -> Iterator[Outcome]:
    if not batch.parsed:
        return
    outcomes = []
    with library.writer() as writer:
        for file, digest, parsed in batch.parsed:
            before = writer.sources()
            try:
                number = _put(writer, file, digest, parsed)
            except LibraryError as error:
                outcomes.append(Outcome(file, "failed", parsed.title, str(error)))
                continue
            now = next(source for source in writer.sources() if source.id == number)
            state: State = "replaced" if _replaced(before, now) else "added"
            outcomes.append(Outcome(file, state, now.title, source_id=number))
    batch.parsed.clear()
    batch.characters = 0
    yield from outcomes


def _replaced(before: Iterable[Source], now: Source) -> bool:
    return any(source.title == now.title and source.file == now.file for source in before)


def _put(writer: Writer, file: str, digest: str, parsed: Parsed) -> int:
    if parsed.kind == "pairs":
        return writer.add_pairs(parsed.title, parsed.pairs, file=file, sha256=digest)
    return writer.add_text(
        parsed.title, parsed.author, parsed.dynasty, parsed.text, file=file, kind=parsed.kind,
        headings=parsed.headings, pieces=parsed.pieces, sha256=digest,
    )  # fmt: skip
