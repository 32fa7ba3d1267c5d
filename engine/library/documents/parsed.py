"""What reading a file gives, and the limits that keep it within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from engine.library.records import Kind, LibraryError, Pair
from engine.library.splitting import Heading, Piece

MAX_FILE_BYTES = 200_000_000
MAX_TEXT_CHARACTERS = 32_000_000  # of one source
MAX_ARCHIVE_BYTES = 200_000_000  # a .docx or .epub unpacked
MAX_ARCHIVE_RATIO = 200  # of a member's size to its packed size
MAX_ARCHIVE_MEMBERS = 10_000
MAX_PAGES = 20_000
MAX_MEMORY = 1_500_000_000  # address space of the process that reads the formats with parsers
MAX_SECONDS = 300  # for one such file


class DocumentError(LibraryError):
    """Why a file cannot be read."""


@dataclass(frozen=True)
class Parsed:
    """One source to be: a text with its headings (None: to be found by the rules of books), or pairs."""

    title: str
    text: str = ""
    author: str = ""
    dynasty: str = ""
    kind: Kind = "document"
    headings: tuple[Heading, ...] | None = None
    pairs: tuple[Pair, ...] = ()
    pieces: tuple[Piece, ...] = ()  # its passages, where they are known


_BLANKS = re.compile(r"[^\S\n]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufeff\ufffe\uffff\ud800-\udfff]")


def clean(text: str) -> str:
    """A line or paragraph without control characters or halves of characters, and with single blanks."""
    return _BLANKS.sub(" ", _CONTROLS.sub(" ", text.replace("\r", "\n"))).strip()


def assemble(title: str, blocks: Iterable[tuple[int, str]], author: str = "") -> Parsed:
    """A source of blocks in order: level of a heading (1 the highest) or 0, and text.

    DocumentError if there is no text, or too much of it.
    """
    parts: list[str] = []
    headings: list[Heading] = []
    at = 0
    for level, raw in blocks:
        block = clean(raw)
        if not block:
            continue
        if level:
            block = " ".join(block.split())
            headings.append(Heading(at, at + len(block), level, block))
        parts.append(block + "\n")
        at += len(block) + 1
        if at > MAX_TEXT_CHARACTERS:
            raise DocumentError(f"more than {MAX_TEXT_CHARACTERS:,} characters; split the file")
    if not at:
        raise DocumentError("no text in it")
    return Parsed(title, "".join(parts), author, headings=tuple(headings))
