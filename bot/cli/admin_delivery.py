"""`plm admin dead-letters …` and `plm admin broadcast …`."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any, TextIO

import click

from bot.cli.admin_api import Api, as_json

LOOK_EVERY = 1.0  # seconds


@click.group("dead-letters")
def dead_letters() -> None:
    """What could not be sent within a day, or never can be: pushes, callbacks, broadcasts."""


@dead_letters.command("list")
@as_json
@click.pass_obj
def list_letters(api: Api, as_json: bool) -> None:
    """Newest first."""
    for letter in api.get("dead-letters")["dead_letters"]:
        if as_json:
            click.echo(json.dumps(letter, ensure_ascii=False))
        else:
            died = datetime.fromisoformat(letter["died"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
            click.echo(
                f"{died}  {letter['id']}  {letter['conversation']}  {letter['task']}: {letter['error']}"
            )


def _which(letter: str | None, every: bool) -> dict[str, Any]:
    if bool(letter) == every:
        raise click.UsageError("give either an id or --all")
    return {"all": True} if every else {"id": letter}


@dead_letters.command()
@click.argument("letter", required=False)
@click.option("--all", "every", is_flag=True, help="All there are.")
@click.pass_obj
def resend(api: Api, letter: str | None, every: bool) -> None:
    """Try again, from the first try on."""
    click.echo(f"sent again: {len(api.post('dead-letters/resend', **_which(letter, every))['resent'])}")


@dead_letters.command()
@click.argument("letter", required=False)
@click.option("--all", "every", is_flag=True, help="All there are.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def drop(api: Api, letter: str | None, every: bool, yes: bool) -> None:
    """Give up for good."""
    which = _which(letter, every)
    if not yes:
        click.confirm(f"Drop {letter or 'all dead letters'}, for good?", abort=True)
    click.echo(f"dropped: {len(api.post('dead-letters/drop', **which)['dropped'])}")


@click.group()
def broadcast() -> None:
    """Send a text to everybody who can be reached: `plan` first, then `start` with the id that it prints."""


@broadcast.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--rate", type=float, default=10.0, show_default=True, help="Users a second.")
@click.option("--channel", "channels", multiple=True, help="Only there: wechat, webhook-NAME … Repeatable.")
@click.pass_obj
def plan(api: Api, file: TextIO, rate: float, channels: tuple[str, ...]) -> None:
    """Count who would get the text in FILE (- is standard input). Nothing is sent."""
    said = api.post("broadcasts", text=file.read(), rate=rate, channels=list(channels))
    for name, count in said["reached"].items():
        click.echo(f"{name}: {count} would get it, {said['not_reached'][name]} cannot be reached")
    click.echo(f"plm admin broadcast start {said['id']}    sends it; the plan is kept for an hour")


@broadcast.command()
@click.argument("broadcast_id")
@click.option("--watch", is_flag=True, help="Show how far it is until it has ended.")
@click.pass_obj
def start(api: Api, broadcast_id: str, watch: bool) -> None:
    """Send what was planned."""
    said = api.post(f"broadcasts/{broadcast_id}/start")
    click.echo(_line(said))
    if watch:
        _watch(api, said)


@broadcast.command()
@click.argument("broadcast_id")
@click.pass_obj
def cancel(api: Api, broadcast_id: str) -> None:
    """Tell nobody else. What has been handed to a platform's queue, two seconds' worth, is still sent."""
    click.echo(_line(api.post(f"broadcasts/{broadcast_id}/cancel")))


@broadcast.command()
@click.argument("broadcast_id", required=False)
@click.option("--watch", is_flag=True, help="Until it has ended.")
@as_json
@click.pass_obj
def status(api: Api, broadcast_id: str | None, watch: bool, as_json: bool) -> None:
    """How far it is; without an id, of all."""
    path = f"broadcasts/{broadcast_id}" if broadcast_id else "broadcasts"
    said = api.get(path)
    for row in said["broadcasts"] if broadcast_id is None else [said]:
        click.echo(json.dumps(row, ensure_ascii=False) if as_json else _line(row))
    if watch and broadcast_id:
        _watch(api, said)


def _watch(api: Api, said: dict[str, Any]) -> None:
    before = _line(said)
    while not said.get("ended"):
        time.sleep(LOOK_EVERY)
        said = api.get(f"broadcasts/{said['id']}")
        if (line := _line(said)) != before:
            click.echo(line)
        before = line


def _line(said: dict[str, Any]) -> str:
    counts = f"{said['sent']} sent, {said['failed']} failed, {said['left']} left"
    return f"{said['id']}  {said['state']:<9}  {counts}"
