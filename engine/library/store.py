"""What the library keeps in SQLite: sources, their texts, headings, passages. Only this module knows SQL.

Texts lie in compressed blocks, so that a passage is its two offsets and reading it unpacks one block. Numbers
of sources are never given twice; those of blocks, headings and passages hold their source's in the upper
bits, so a number that somebody kept of a removed source finds nothing.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.library.records import Pair, Passage, Quote, Source

FORMAT = "1"
BLOCK_BYTES = 16_384
_SHIFT = 20  # room for 2^20 headings or blocks of a source
MAX_PASSAGES = 1 << 18  # of a source; each may have a heading and name three formulas

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL UNIQUE, author TEXT NOT NULL,
    dynasty TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL, enabled INTEGER NOT NULL,
    kind TEXT NOT NULL, passages INTEGER NOT NULL, bytes INTEGER NOT NULL, bundled INTEGER NOT NULL
);
CREATE TABLE blocks (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE headings (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL
);
CREATE TABLE heading_keys (
    key TEXT NOT NULL, heading INTEGER NOT NULL, PRIMARY KEY (key, heading)
) WITHOUT ROWID;
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, heading INTEGER NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, pair TEXT
);
CREATE TABLE purges (source INTEGER PRIMARY KEY);
"""


def connect(file: Path, *, create: bool = False) -> sqlite3.Connection:
    """A connection that may be used by several threads, one at a time."""
    if not create and not file.exists():
        raise FileNotFoundError(file)
    connection = sqlite3.connect(file, timeout=10, isolation_level=None, check_same_thread=False)
    if create:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT,))
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")  # a removal must outlive a power cut
    return connection


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection for a few questions."""
    connection = connect(file)
    try:
        yield connection
    finally:
        connection.close()


def span(source: int) -> tuple[int, int]:
    """First and last number that belong to a source."""
    return source << _SHIFT, (source << _SHIFT) + (1 << _SHIFT) - 1


def source_of(number: int) -> int:
    return number >> _SHIFT


def version(connection: sqlite3.Connection) -> int:
    """Changes when another connection has committed."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def meta(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


_SOURCE = "id, title, author, dynasty, file, sha256, enabled, kind, passages, bytes, bundled"


def sources(connection: sqlite3.Connection) -> list[Source]:
    rows = connection.execute(f"SELECT {_SOURCE} FROM sources ORDER BY id")  # noqa: S608
    return [_source(row) for row in rows]


def _source(row: tuple[Any, ...]) -> Source:
    values = dict(zip(_SOURCE.split(", "), row, strict=True))
    return Source(**values | {"enabled": bool(values["enabled"]), "bundled": bool(values["bundled"])})


def passages(
    connection: sqlite3.Connection, first: int, last: int
) -> list[tuple[int, str, int, int, str | None]]:
    """Number, heading, start, end and pair of the passages from `first` to `last`."""
    return connection.execute(
        'SELECT p.id, h.path, p.start, p."end", p.pair FROM passages p JOIN headings h ON h.id = p.heading '
        "WHERE p.id BETWEEN ? AND ? ORDER BY p.id",
        (first, last),
    ).fetchall()


def passage_at(connection: sqlite3.Connection, source: int, byte: int) -> int | None:
    """Number of the last passage of a source that begins at a byte or before it."""
    row = connection.execute(
        "SELECT id FROM passages WHERE id BETWEEN ? AND ? AND start <= ? ORDER BY id DESC LIMIT 1",
        (*span(source), byte),
    ).fetchone()
    return None if row is None else int(row[0])


def headed(connection: sqlite3.Connection, key: str) -> list[tuple[int, int]]:
    """First and last passage of every heading with a key."""
    return connection.execute(
        "SELECT h.first, h.last FROM heading_keys k JOIN headings h ON h.id = k.heading WHERE k.key = ?"
        " ORDER BY h.id",
        (key,),
    ).fetchall()


def block(connection: sqlite3.Connection, source: int, number: int) -> bytes:
    row = connection.execute("SELECT data FROM blocks WHERE id = ?", (span(source)[0] + number,)).fetchone()
    return zlib.decompress(row[0]) if row else b""


def all_bytes(connection: sqlite3.Connection, source: int) -> bytes:
    rows = connection.execute("SELECT data FROM blocks WHERE id BETWEEN ? AND ? ORDER BY id", span(source))
    return b"".join(zlib.decompress(row[0]) for row in rows)


def last_number(connection: sqlite3.Connection) -> int:
    """The highest number that a source ever had."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'sources'").fetchone()
    return 0 if row is None else int(row[0])


def count_from(connection: sqlite3.Connection, number: int) -> None:
    """Give the next source a number above this one."""
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'sources'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('sources', ?)", (number,))


def add_source(connection: sqlite3.Connection, source: Source) -> int:
    """Insert it and return its number: its own, or the next one for 0."""
    values = [source.id or None, *list(asdict(source).values())[1:]]
    marks = ", ".join("?" * len(values))
    cursor = connection.execute(f"INSERT INTO sources ({_SOURCE}) VALUES ({marks})", values)  # noqa: S608
    return int(cursor.lastrowid or 0)


def add_text(connection: sqlite3.Connection, source: int, data: bytes) -> None:
    first = span(source)[0]
    connection.executemany(
        "INSERT INTO blocks VALUES (?, ?)",
        (
            (first + number, zlib.compress(data[at : at + BLOCK_BYTES], 4))
            for number, at in enumerate(range(0, len(data), BLOCK_BYTES))
        ),
    )


def add_passages(
    connection: sqlite3.Connection,
    headings: Sequence[tuple[int, str, int, int]],
    keys: Iterable[tuple[str, int]],
    rows: Sequence[tuple[int, int, int, int, str | None]],
) -> None:
    """Rows of headings (number, path, first and last passage), of their keys, and of passages."""
    connection.executemany("INSERT INTO headings VALUES (?, ?, ?, ?)", headings)
    connection.executemany("INSERT OR IGNORE INTO heading_keys VALUES (?, ?)", keys)
    connection.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?)", rows)


def remove_source(connection: sqlite3.Connection, source: int) -> None:
    """Take a source and all of it out, and note that the index has yet to forget it."""
    numbers = span(source)
    connection.execute("DELETE FROM heading_keys WHERE heading BETWEEN ? AND ?", numbers)
    for table in ("passages", "headings", "blocks"):
        connection.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", numbers)  # noqa: S608
    connection.execute("DELETE FROM sources WHERE id = ?", (source,))
    connection.execute("INSERT OR IGNORE INTO purges VALUES (?)", (source,))


def set_enabled(connection: sqlite3.Connection, source: int, enabled: bool) -> None:
    connection.execute("UPDATE sources SET enabled = ? WHERE id = ?", (enabled, source))


def purges(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT source FROM purges")]


def wipe(connection: sqlite3.Connection) -> None:
    """Give back freed pages (zeroed by secure_delete); empty the write-ahead log, which has the old ones."""
    connection.execute("DELETE FROM purges")
    connection.execute("PRAGMA incremental_vacuum").fetchall()
    for _ in range(100):  # a reader in the middle of a question keeps it for some milliseconds
        if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
            return
        time.sleep(0.02)


def pair_text(pair: Pair) -> str:
    return json.dumps(asdict(pair), ensure_ascii=False)


def read_pair(text: str) -> Pair:
    record = json.loads(text)
    record["questions"] = tuple(record["questions"])
    record["quotes"] = tuple(Quote(**quote) for quote in record["quotes"])
    return Pair(**record)


def passage(row: tuple[int, str, int, int, str | None], book: str, data: bytes) -> Passage:
    number, heading, start, end, _ = row
    return Passage(number, source_of(number), book, heading, data.decode(), start, end)
