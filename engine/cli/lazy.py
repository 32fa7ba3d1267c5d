"""Commands that are imported only when they run, so that `plm` and its list of commands start fast."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


class LazyCommand(click.Command):
    """Stands for the command, or group of commands, at `place` ("module:attribute").

    `summary` is the first sentence of its help, all that the list of commands shows of it.
    """

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self.place = place

    def load(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self.place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the command itself, which then runs in place of this one."""
        return self.load().make_context(info_name, args, parent, **extra)
