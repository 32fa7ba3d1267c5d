"""`plm admin library`: the library of a running service, on all of its hosts.

`plm library` is for one folder.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bot.cli.admin_api import Api


@click.group()
def library() -> None:
    """The texts that a running service answers from, on every host of it."""


@library.command("list")
@click.pass_obj
def list_command(api: Api) -> None:
    """The sources: id, where they come from, title."""
    for row in api.get("library/sources")["sources"]:
        state = "" if row["enabled"] else "  disabled"
        click.echo(f"{row['id']}  {row['origin']}  {row['title']}{state}")


@library.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.pass_obj
def add(api: Api, files: tuple[Path, ...]) -> None:
    """Upload files. One that cannot be read is named; the rest goes in."""
    failed = False
    for file in files:
        with ExitStack() as stack:
            form = [("file", (file.name, stack.enter_context(file.open("rb"))))]
            outcomes = api.ask("POST", "library/sources", files=form).json()["outcomes"]
        for outcome in outcomes:
            failed |= outcome["state"] == "failed"
            click.echo(_line(outcome), err=outcome["state"] == "failed")
    if failed:
        raise click.exceptions.Exit(1)


def _line(outcome: dict[str, Any]) -> str:
    if outcome["state"] == "failed":
        return f"{outcome['file']}: {outcome['reason']}"
    return f"{outcome['state']} {outcome['title']} {outcome['id']}".rstrip()


@library.command()
@click.argument("ids", nargs=-1, required=True)
@click.pass_obj
def enable(api: Api, ids: tuple[str, ...]) -> None:
    """Let sources answer again."""
    for source_id in ids:
        api.ask("PATCH", f"library/sources/{source_id}", json={"enabled": True})
        click.echo(f"enabled {source_id}")


@library.command()
@click.argument("ids", nargs=-1, required=True)
@click.pass_obj
def disable(api: Api, ids: tuple[str, ...]) -> None:
    """Keep sources, but find nothing in them."""
    for source_id in ids:
        api.ask("PATCH", f"library/sources/{source_id}", json={"enabled": False})
        click.echo(f"disabled {source_id}")


@library.command()
@click.argument("ids", nargs=-1, required=True)
@click.pass_obj
def remove(api: Api, ids: tuple[str, ...]) -> None:
    """Take sources out, on every host."""
    for source_id in ids:
        api.ask("DELETE", f"library/sources/{source_id}")
        click.echo(f"removed {source_id}")
