"""Where a command writes: never over what it reads, nor over a file of another kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

PICTURES = (".png", ".svg", ".pdf")


class OutputError(ValueError):
    """A file that may not be written over, or cannot be written; the message says so in one line."""


def check_output(
    out: Path, inputs: Iterable[Path] = (), *, what: str, is_one: Callable[[Path], bool]
) -> None:
    """OutputError if `out` is one of `inputs`, also by a link, or exists and `is_one` does not know it as
    `what`; an empty file is nobody's loss."""
    if not out.parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.parent}")
    if not out.exists():
        return
    for path in inputs:
        if path.exists() and out.samefile(path):
            name = "" if path == out else f", as {path}"
            raise OutputError(f"{out}: is read by this command{name}; write to another file")
    if not out.is_file():
        raise OutputError(f"{out}: is {'a folder' if out.is_dir() else 'no plain file'}; name a file")
    if out.stat().st_size and not is_one(out):
        raise OutputError(f"{out}: exists and is no {what}; write to another file, or remove it first")


def check_picture(out: Path, inputs: Iterable[Path] = ()) -> None:
    """The same of a figure; its ending says of which kind."""
    if out.suffix.lower() not in PICTURES:
        raise OutputError(f"{out}: a picture's name ends in {', '.join(PICTURES)}")
    check_output(out, inputs, what="picture", is_one=is_picture)


def is_picture(path: Path) -> bool:
    """PNG, PDF or SVG, by how it begins."""
    with path.open("rb") as file:
        head = file.read(1000)
    return head.startswith((b"\x89PNG", b"%PDF")) or b"<svg" in head
