"""The command line, `plm`."""

from bot.cli.plm import main

__all__ = ["main"]
