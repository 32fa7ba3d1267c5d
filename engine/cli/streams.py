"""Standard streams that are closed, as cron and some services leave them, or full: one line, no traceback.

Python has None for a closed stream, and the next file that is opened gets its number: what a library prints
would go into that file. So the number is taken by /dev/null first.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, ClassVar

import click

_NAMES = ("standard input", "standard output", "standard error")


class ClosedInput(io.RawIOBase):
    """Reads from it fail with the name of the stream."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> int:
        raise OSError(errno.EBADF, "is closed; give it a file, or < /dev/null", _NAMES[0])


def open_closed_streams() -> set[int]:
    """Put something in place of each closed stream, and return their numbers."""
    closed = {number for number, name in enumerate(("stdin", "stdout", "stderr")) if _is_closed(name)}
    for number in sorted(closed):
        try:
            os.fstat(number)  # somebody else's by now
        except OSError:
            taken = os.open(os.devnull, os.O_RDWR)
            os.dup2(taken, number)  # for the children of this process too
            if taken != number:
                os.close(taken)
    if 0 in closed:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(ClosedInput()), encoding="utf-8")
    if 1 in closed:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 PTH123  for the whole run
    if 2 in closed:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 PTH123
    return closed


def _is_closed(name: str) -> bool:
    return getattr(sys, name) is None and getattr(sys, f"__{name}__") is None


class Commands(click.Group):
    """Commands whose result is what they print, and those in `services`, which run without any output."""

    services: ClassVar[frozenset[str]] = frozenset()
    _closed: ClassVar[set[int]] = set()

    def main(self, *args: Any, **more: Any) -> Any:
        Commands._closed = open_closed_streams()
        return super().main(*args, **more)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        found = super().resolve_command(ctx, args)
        if 1 in self._closed and ctx.parent is None and found[0] not in self.services:
            raise click.ClickException(f"{_NAMES[1]}: is closed; give it a file, or > /dev/null")
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename in _NAMES:
                raise click.ClickException(f"{error.filename}: {error.strerror}") from None
            if error.errno == errno.ENOSPC and error.filename is None:
                # What waits in it would be complained of once more at the end.
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 PTH123
                raise click.ClickException(f"what was to be written is lost: {error.strerror}") from None
            raise
