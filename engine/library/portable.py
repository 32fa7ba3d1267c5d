"""A source as bytes: what a file gave, to be kept elsewhere and put into the libraries of other hosts.

The bytes hold the text with its headings, or the pairs. Every host cuts them by the same rules, so passages
have the same offsets everywhere; their numbers are a host's own.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.library import exporting
from engine.library.documents import DocumentError, Parsed, Reader
from engine.library.documents.reading import sha256
from engine.library.records import Kind, Pair, Quote
from engine.library.splitting import Heading, Piece
from engine.library.writer import Writer


@dataclass(frozen=True)
class PortableSource:
    """`sha256` is that of the file, for a book of a file of many that of its text; `data` is packed."""

    title: str
    author: str
    dynasty: str
    kind: Kind
    sha256: str
    data: bytes
    enabled: bool = True


def read_portable(path: Path, reader: Reader) -> Iterator[PortableSource]:
    """The sources of a file as `plm library add` reads them, exports included.

    DocumentError with the reason if the file cannot be read.
    """
    try:
        if exporting.is_export(path):
            for _, digest, enabled, parsed in exporting.read_export(path):
                yield replace(_pack(parsed, digest), enabled=enabled)
            return
        digest = sha256(path)
        for parsed in reader.read(path):
            book = hashlib.sha256(parsed.text.encode()).hexdigest()
            yield _pack(parsed, book if parsed.kind == "book" else digest)
    except OSError as error:
        raise DocumentError(error.strerror or str(error)) from None
    except (KeyError, TypeError, EOFError, lzma.LZMAError) as error:
        raise DocumentError(f"a broken export: {error}") from None


def portable_pair(pair: Pair) -> PortableSource:
    """A question-answer pair written by hand, under its first wording."""
    digest = hashlib.sha256(json.dumps(asdict(pair), ensure_ascii=False).encode()).hexdigest()
    return _pack(Parsed(pair.questions[0], kind="pairs", pairs=(pair,)), digest)


def put_portable(writer: Writer, source: PortableSource, file: str) -> int:
    """Add it, under `file`, and return its number; LibraryError if it cannot be added."""
    parsed = _unpack(source.data)
    if source.kind == "pairs":
        number = writer.add_pairs(source.title, parsed.pairs, file=file, sha256=source.sha256)
    else:
        number = writer.add_text(
            source.title, source.author, source.dynasty, parsed.text, file=file, kind=source.kind,
            headings=parsed.headings, pieces=parsed.pieces, sha256=source.sha256,
        )  # fmt: skip
    writer.set_enabled(number, source.enabled)
    return number


def _pack(parsed: Parsed, digest: str) -> PortableSource:
    data = zlib.compress(json.dumps(asdict(parsed), ensure_ascii=False).encode())
    return PortableSource(parsed.title, parsed.author, parsed.dynasty, parsed.kind, digest, data)


def _unpack(data: bytes) -> Parsed:
    held = json.loads(zlib.decompress(data))
    if held["headings"] is not None:
        held["headings"] = tuple(Heading(**heading) for heading in held["headings"])
    held["pieces"] = tuple(Piece(**piece | {"path": tuple(piece["path"])}) for piece in held["pieces"])
    held["pairs"] = tuple(
        Pair(
            **pair
            | {
                "questions": tuple(pair["questions"]),
                "quotes": tuple(Quote(**quote) for quote in pair["quotes"]),
            }
        )
        for pair in held["pairs"]
    )
    return Parsed(**held)
