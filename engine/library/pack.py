"""The bundled books, packed: one xz file of the corpus's format in UTF-16.

UTF-16 because a Chinese character is two bytes in it and three in UTF-8: told so (lp=1, pb=1), xz makes the
file a tenth smaller. `xz -dc books.txt.xz | iconv -f utf-16le` shows it.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from engine.library.books import Book, read_books
from engine.library.records import LibraryError
from engine.model.outputs import check_output

ENCODING = "utf-16-le"
FOLDER = Path(__file__).resolve().parent / "books"
PACK = FOLDER / "books.txt.xz"
TITLES = FOLDER / "titles.txt"
_FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 1 << 26,
        "lc": 3,
        "lp": 1,
        "pb": 1,
    }
]


def read_pack(path: Path = PACK) -> Iterator[tuple[float, Book]]:
    """The books of a pack, one at a time, each with the share of the pack that has been read."""
    size = path.stat().st_size
    with path.open("rb") as raw, TextIOWrapper(lzma.open(raw), ENCODING, newline="\n") as lines:
        for book in read_books(lines):
            yield raw.tell() / size, book


def write_pack(path: Path, corpus: Path, titles: Iterable[str]) -> int:
    """Pack the books of these titles, in this order, out of a corpus, and return how many bytes it takes.

    LibraryError if the corpus lacks one. Takes a minute or two, and 1 GB of memory.
    """
    check_output(path, [corpus], what="pack", is_one=is_pack)
    wanted = dict.fromkeys(titles, "")
    with _lines(corpus) as lines:
        for book in read_books(lines):
            if book.title in wanted:
                wanted[book.title] = book.text
    missing = [title for title, text in wanted.items() if not text]
    if missing:
        raise LibraryError(f"{corpus} lacks {', '.join(missing)}")
    text = "\n\n".join(wanted.values())
    temporary = path.with_suffix(".new")
    temporary.write_bytes(lzma.compress(text.encode(ENCODING), lzma.FORMAT_XZ, filters=_FILTERS))
    temporary.replace(path)
    return path.stat().st_size


def is_pack(path: Path) -> bool:
    """Whether a file is packed by xz."""
    with path.open("rb") as file:
        return file.read(6) == b"\xfd7zXZ\x00"


def _lines(corpus: Path) -> IO[str]:
    if corpus.suffix == ".xz":
        return lzma.open(corpus, "rt", encoding="utf-8", newline="\n")
    return corpus.open(encoding="utf-8", newline="\n")


def read_titles(path: Path = TITLES) -> list[str]:
    """The titles of the bundled books, one a line."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
