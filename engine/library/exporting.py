"""The library's texts as one file of JSON lines (packed if its name ends in .xz); `add` reads it back.

The first line says what the file is. Then a line a source: what is known of it, its text with the passages as
`[heading path, first byte, last byte + 1]`, or its pairs. So another host has the same passages under the
same titles, with the same offsets.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import IO, Any

from engine.library.documents.parsed import Parsed
from engine.library.library import Library
from engine.library.records import Pair, Quote, Source
from engine.library.splitting import Piece
from engine.model.outputs import check_output

HEADER = {"format": "personal-lm library", "version": 1}


def is_export(path: Path) -> bool:
    try:
        with _open(path, "r") as lines:
            return bool(json.loads(lines.readline(200)) == HEADER)
    except (OSError, ValueError, lzma.LZMAError, EOFError):
        return False


def _open(path: Path, mode: str) -> IO[str]:
    if path.suffix == ".xz":
        return lzma.open(path, mode + "t", encoding="utf-8")  # type: ignore[return-value]
    return path.open(mode, encoding="utf-8")


def export(library: Library, path: Path, *, bundled: bool = False) -> int:
    """Write the owner's sources, and the bundled ones if wanted, and return how many.

    OutputError rather than write over a file that is no export, or that the library was read from.
    """
    sources = [source for source in library.sources() if bundled or not source.bundled]
    read = [Path(source.file) for source in library.sources() if source.file]
    check_output(path, read, what="export of a library", is_one=is_export)
    temporary = path.with_name(f".{path.name}.new{path.suffix}")
    try:
        with _open(temporary, "w") as out:
            for record in chain([HEADER], (_record(library, source) for source in sources)):
                out.write(json.dumps(record, ensure_ascii=False) + "\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(sources)


def _record(library: Library, source: Source) -> dict[str, Any]:
    keys = ("title", "author", "dynasty", "file", "kind", "enabled", "sha256")
    record: dict[str, Any] = {key: getattr(source, key) for key in keys}
    if source.kind == "pairs":
        return record | {"pairs": [asdict(pair) for pair in library.pairs_of(source.id)]}
    spans = [[passage.heading, passage.start, passage.end] for passage in library.passages(source.id)]
    return record | {"text": library.text(source.id, 0, source.bytes), "passages": spans}


def read_export(path: Path) -> Iterator[tuple[str, str, bool, Parsed]]:
    """File, sha256, whether enabled, and what is to be added, of each source."""
    with _open(path, "r") as lines:
        next(lines)
        for line in lines:
            record = json.loads(line)
            parsed = Parsed(
                record["title"], record.get("text", ""), record["author"], record["dynasty"], record["kind"],
                pairs=tuple(map(_pair, record.get("pairs", ()))),
                pieces=tuple(_pieces(record.get("text", ""), record.get("passages", ()))),
            )  # fmt: skip
            yield record["file"], record["sha256"], record["enabled"], parsed


def _pair(record: dict[str, Any]) -> Pair:
    quotes = tuple(Quote(**quote) for quote in record["quotes"])
    return Pair(**record | {"questions": tuple(record["questions"]), "quotes": quotes})


def _pieces(text: str, spans: list[tuple[str, int, int]]) -> Iterator[Piece]:
    data = text.encode()
    at = byte = 0
    for path, start, end in spans:
        first = at + len(data[byte:start].decode())
        at, byte = first + len(data[start:end].decode()), end
        yield Piece(tuple(filter(None, path.split("/"))), first, at)
