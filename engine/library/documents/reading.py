"""From a file to sources: which reader, which limits, and the corpus's files of many books."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from engine.library import books
from engine.library.documents import formats, tables
from engine.library.documents.encodings import decode, detect
from engine.library.documents.parsed import (
    MAX_FILE_BYTES,
    MAX_TEXT_CHARACTERS,
    DocumentError,
    Parsed,
    clean,
)
from engine.library.documents.parser_process import ParserProcess
from engine.library.splitting import Heading

_TEXTS = {".txt", ".md", ".markdown", ".csv", ".tsv", ".jsonl"}
_PACKED = {".xz", ".gz"}
ENDINGS = tuple(sorted(_TEXTS | set(formats.PARSERS)))
_MARKDOWN_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)


def ending(path: Path) -> str:
    """The ending that tells the format; `.txt` for `book.txt.xz`. Empty for what cannot be read."""
    suffix = path.suffix.lower()
    if suffix in _PACKED:
        inner = Path(path.stem).suffix.lower()
        return inner if inner in (".txt", ".jsonl") else ""
    return suffix if suffix in ENDINGS else ""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Reader:
    """Reads files; the parsers' process lives as long as the context."""

    def __init__(self) -> None:
        self._parsers = ParserProcess()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parsers.close()

    def read(self, path: Path) -> Iterator[Parsed]:
        """The sources of a file, mostly one; DocumentError with the reason if it cannot be read."""
        suffix = ending(path)
        if not suffix:
            raise DocumentError(f"no format that can be read ({' '.join(ENDINGS)})")
        if not path.is_file():
            raise DocumentError("no file")
        if path.stat().st_size == 0:
            raise DocumentError("empty")
        if suffix in formats.PARSERS:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise DocumentError(f"more than {MAX_FILE_BYTES // 10**6} MB; split the file")
            yield self._parsers.parse(path)
        else:
            yield from _read_text(path, suffix)


def _open(path: Path) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".xz":
        return lzma.open(path)
    return cast("IO[bytes]", gzip.open(path)) if suffix == ".gz" else path.open("rb")


def _read_text(path: Path, suffix: str) -> Iterator[Parsed]:
    name = Path(path.stem).stem if path.suffix.lower() in _PACKED else path.stem
    try:
        with _open(path) as file:
            head = file.read(200_000)
            file.seek(0)
            if suffix == ".txt" and _is_corpus(head):
                yield from _read_books(file, detect(head))
                return
            limit = 4 * MAX_TEXT_CHARACTERS
            data = file.read(limit + 1)
    except (lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
        raise DocumentError(f"a broken {path.suffix} file: {error}") from None
    text = decode(data) if len(data) <= limit else ""
    if not text or len(text) > MAX_TEXT_CHARACTERS:
        raise DocumentError(f"more than {MAX_TEXT_CHARACTERS:,} characters; split the file")
    yield _parse_text(name, text, suffix)


def _is_corpus(head: bytes) -> bool:
    try:
        encoding = detect(head)
    except DocumentError:
        return False
    return books.is_corpus(head.decode(encoding, "ignore").removeprefix("\ufeff"))


def _read_books(file: IO[bytes], encoding: str) -> Iterator[Parsed]:
    try:
        for book in books.read_books(_lines(io.TextIOWrapper(file, encoding))):
            yield Parsed(book.title, book.text, book.author, book.dynasty, "book")
    except UnicodeDecodeError as error:
        raise DocumentError(f"not {encoding} throughout: {error.reason}; save it as UTF-8") from None


def _lines(file: IO[str]) -> Iterator[str]:
    """The lines of a file of books; DocumentError where one book grows beyond a source's limit."""
    characters = 0
    while line := file.readline(1_000_000):
        characters = len(line) if books.title_line(line) else characters + len(line)
        if characters > MAX_TEXT_CHARACTERS:
            raise DocumentError(f"a book of more than {MAX_TEXT_CHARACTERS:,} characters; split it")
        yield line


def _parse_text(name: str, text: str, suffix: str) -> Parsed:
    if not text.strip():
        raise DocumentError("no text in it")
    if suffix in (".csv", ".tsv"):
        return tables.read_csv(name, text)
    if suffix == ".jsonl":
        return tables.read_jsonl(name, text)
    if suffix == ".txt":
        return Parsed(name, text, headings=tuple(books.plain_headings(text)))
    return Parsed(name, text, headings=tuple(_markdown_headings(text)))


def _markdown_headings(text: str) -> Iterator[Heading]:
    fences = [match.span() for match in _FENCE.finditer(text)]
    for match in _MARKDOWN_HEADING.finditer(text):
        if match[2] and not any(start <= match.start() < end for start, end in fences):
            yield Heading(match.start(), match.end(), len(match[1]), clean(match[2]))
