"""Commands that are imported when they run: listed as if they were there, and run as if they were."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from engine.cli import COMMANDS, main
from engine.cli.lazy import LazyCommand


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_is_listed_with_the_first_sentence_of_its_own_help(command: tuple[str, str, str]) -> None:
    name, place, summary = command
    lazy = LazyCommand(name, place, summary)
    own = lazy.load()
    assert own.name == name
    for width in (40, 80, 400):
        assert lazy.get_short_help_str(width) == own.get_short_help_str(width)


def test_the_list_names_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert [line.split()[0] for line in result.stdout.partition("Commands:\n")[2].splitlines()] == sorted(
        name for name, _, _ in COMMANDS
    )


def test_help_and_wrong_usage_are_those_of_the_command_itself() -> None:
    shown = CliRunner().invoke(main, ["generate", "--help"]).stdout
    assert "--max-bytes" in shown
    assert shown.startswith("Usage: main generate [OPTIONS] MODEL")
    wrong = CliRunner().invoke(main, ["generate", "tcm", "--colour"])
    assert (wrong.exit_code, "No such option" in wrong.stderr) == (2, True)


def test_a_group_of_commands_is_loaded_as_one() -> None:
    @click.group()
    def outer() -> None: ...

    outer.add_command(LazyCommand("convert", "engine.cli.models:convert", "Import models."))
    assert "wygpt" in CliRunner().invoke(outer, ["convert", "--help"]).stdout
    assert "--encoding" in CliRunner().invoke(outer, ["convert", "wygpt", "--help"]).stdout
