"""Where a library lies on disk, and which state of it is the current one.

    folder/
      current               name of the generation in use, replaced in one step
      generation-<hex>/     library.sqlite3 and index/
      writer.lock           held by the one process that writes

A build makes a new generation and switches to it; everything else changes the current one in transactions.
What a killed build leaves is not current, and the next writer clears it away.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.library.records import LibraryBusyError

CURRENT = "current"
DATABASE = "library.sqlite3"
INDEX = "index"
_PREFIX = "generation-"


def current(folder: Path) -> Path | None:
    """The generation in use; None before the first."""
    try:
        name = (folder / CURRENT).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    return folder / name


def stamp(folder: Path) -> tuple[int, int]:
    """Changes when another generation becomes current."""
    try:
        status = (folder / CURRENT).stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


def new(folder: Path) -> Path:
    """An empty folder for a generation that is not current yet."""
    path = folder / (_PREFIX + secrets.token_hex(6))
    path.mkdir(parents=True)
    return path


def switch(folder: Path, generation: Path) -> None:
    """Make a finished generation current and drop all others; it must be called under the lock."""
    temporary = folder / (CURRENT + ".new")
    with temporary.open("w", encoding="ascii") as file:
        file.write(generation.name + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / CURRENT)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what is not current; it must be called under the lock."""
    keep = current(folder)
    for path in folder.glob(_PREFIX + "*"):
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def lock(folder: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the library's lock; it goes with the process, however that ends. LibraryBusyError if taken."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with (folder / "writer.lock").open("a", encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise LibraryBusyError(
                        f"{folder}: another process is writing; try again when it is done"
                    ) from None
                time.sleep(0.05)
        yield
