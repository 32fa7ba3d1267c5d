"""The command line, `plm`."""

from bot.cli.commands import main

__all__ = ["main"]
