"""The command `plm`: the bot's commands and the engine's, each imported when it runs."""

from __future__ import annotations

from typing import Any

import click

from engine.cli import main as engine_commands
from engine.cli import streams
from engine.cli.lazy import LazyCommand

# Name, where the command or group of commands is, and the first sentence of its help.
COMMANDS = (
    (
        "admin",
        "bot.cli.admin:admin",
        "Look after a running service: its numbers, conversations, people and model.",
    ),
    ("doctor", "bot.cli.plm:doctor", "Say what is wrong with this set-up, if anything."),
    ("engine", "bot.cli.plm:engine_command", "Run an engine host for the web servers of other machines."),
    (
        "serve",
        "bot.cli.plm:serve",
        "Run everything: the store unless PLM_REDIS_URL names one, the engine, the web server.",
    ),
    (
        "web",
        "bot.cli.plm:web",
        "Run the web server alone; it needs PLM_REDIS_URL, and asks engine hosts at PLM_ENGINE_URL.",
    ),
    (
        "worker",
        "bot.cli.plm:worker",
        "Work out of band (pushes, callbacks) beside the web servers; "
        "needs PLM_REDIS_URL, as `plm web` does.",
    ),
)


class LibraryCommand(LazyCommand):
    """One of the engine's, on the library that the bot serves, with what only the service knows."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        from bot.cli.plm import one_line_errors
        from bot.settings.config import load_settings

        with one_line_errors():
            settings = load_settings()
        extra["default_map"] = {"folder": str(settings.library_folder or settings.data_dir / "library")}
        return super().make_context(info_name, args, parent, **extra)

    def load(self) -> click.Command:
        command = super().load()
        if isinstance(command, click.Group):
            from bot.cli.admin import library_unanswered

            command.add_command(library_unanswered)
        return command


class Commands(streams.Commands):
    services = frozenset({"serve", "web", "worker", "engine"})


@click.group(cls=Commands)
@click.version_option(package_name="personal-lm", prog_name="plm")
def main() -> None:
    """A small language model of your own that answers over WeChat, webhooks and the web.

    Settings are variables of the environment, PLM_*; bot/SETTINGS.md lists them.
    """


for name, command in engine_commands.commands.items():
    if isinstance(command, LazyCommand) and name in ("ask", "library"):
        command = LibraryCommand(name, command.place, command.help or "")
    main.add_command(command)
for name, place, summary in COMMANDS:
    main.add_command(LazyCommand(name, place, summary))
