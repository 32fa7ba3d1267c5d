"""`plm admin …`: the commands of administrators, which ask /admin/api of a running service."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import requests

from bot.cli.admin_api import Api, as_json
from bot.cli.admin_delivery import broadcast, dead_letters
from bot.cli.admin_library import library
from bot.settings.config import ConfigError, load_settings
from bot.settings.credentials import check_credential
from bot.settings.urls import check_url
from engine import OutputError, check_output

SWAPPED_WITHIN = 60.0  # seconds that all processes get to load a model


@click.group()
@click.option("--url", envvar="PLM_ADMIN_URL", help="The service; by default the one on this machine.")
@click.option(
    "--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Else PLM_ADMIN_KEY."
)
@click.pass_context
def admin(ctx: click.Context, url: str | None, key_file: Path | None) -> None:
    """Look after a running service: its numbers, conversations, people and model.

    The key is PLM_ADMIN_KEY's, from the environment, PLM_CONFIG or --key-file; never an argument, which every
    user of this machine could read.
    """
    if "--help" not in sys.argv:
        ctx.obj = connect(url, key_file)


def connect(url: str | None = None, key_file: Path | None = None) -> Api:
    """The service, by default the one on this machine. ClickException where its key is not known."""
    key = _read_key(key_file) if key_file else os.environ.get("PLM_ADMIN_KEY", "")
    if not url or not key:
        try:
            settings = load_settings()
        except ConfigError as error:
            raise click.ClickException(str(error)) from None
        key = key or settings.admin_key or ""
        url = url or settings.own_url
    if not key:
        raise click.ClickException("PLM_ADMIN_KEY: missing")
    for name, check, value in (
        ("PLM_ADMIN_URL", check_url, url),
        (key_file or "PLM_ADMIN_KEY", check_credential, key),
    ):
        try:
            check(value)
        except ValueError as error:
            raise click.ClickException(f"{name}: {error}") from None
    return Api(url, key)


def _read_key(file: Path) -> str:
    """Of a file that may have been written on Windows. ClickException."""
    try:
        return file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: {getattr(error, 'strerror', 'is not UTF-8')}") from None


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _dump(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


@admin.command()
@as_json
@click.pass_obj
def unanswered(api: Api, as_json: bool) -> None:
    """What people asked and the library does not answer: how many asked it, when last, the question."""
    show_unanswered(api, as_json)


@click.command("unanswered")
@as_json
def library_unanswered(as_json: bool) -> None:
    """What people asked and the library does not answer: how many asked it, when last, the question."""
    show_unanswered(connect(), as_json)


def show_unanswered(api: Api, as_json: bool) -> None:
    said = api.get("library/unanswered", limit=1000)
    if as_json:
        _dump(said)
        return
    for row in said["questions"]:
        click.echo(f"{row['people']:>5}  {_time(row['last'])}  {row['question']}")


@admin.command()
@as_json
@click.pass_obj
def stats(api: Api, as_json: bool) -> None:
    """Traffic and latencies of the last hour, processes, the newest errors."""
    said = api.get("stats")
    if as_json:
        return _dump(said)
    totals, latency = said["totals"], said["latency"]
    click.echo(f"model          {said['model']}\nconversations  {said['conversations']}")
    for name in (
        "messages",
        "answers",
        "retries",
        "failed",
        "limited",
        "blocked",
        "deadline_misses",
        "errors",
    ):
        click.echo(f"{name:<14} {totals.get(name, 0):.0f} in the last hour")
    for share, seconds in latency.items():
        if seconds is not None:
            click.echo(f"{float(share):<14.0%} of the answers within {seconds:.2f} s")
    for process in said["processes"]:
        click.echo(f"process        {process['name']} {process['model']} {process['fault'] or ''}".rstrip())
    for error in said["errors"][:10]:
        click.echo(f"error          {_time(error['time'])} {error['message']}")
    return None


@admin.command()
@click.option("--user", help="An openid, a webhook's user …")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@as_json
@click.pass_obj
def conversations(api: Api, user: str | None, limit: int, as_json: bool) -> None:
    """Conversations, the newest first."""
    for row in _conversations(api, user, limit):
        if as_json:
            _dump(row)
        else:
            click.echo(f"{_time(row['updated'])}  {row['turns']:>5}  {row['id']}")


def _conversations(api: Api, user: str | None, limit: int) -> Iterator[dict[str, Any]]:
    params: dict[str, Any] = {"user": user} if user else {}
    while limit > 0:
        said = api.get("conversations", limit=min(limit, 200), **params)
        yield from said["conversations"][:limit]
        limit -= len(said["conversations"])
        if not said["cursor"]:
            return
        params["cursor"] = said["cursor"]


@admin.command()
@click.argument("conversation")
@as_json
@click.pass_obj
def show(api: Api, conversation: str, as_json: bool) -> None:
    """The turns of a conversation."""
    whole = api.get(f"conversations/{quote(conversation, safe='')}")
    if as_json:
        return _dump(whole)
    for turn in whole["turns"]:
        click.echo(f"{_time(turn['time'])} {turn['role']}: {turn['content']}")
    return None


@admin.command()
@click.option("--user", help="Only this user's.")
@click.option("--out", type=click.Path(path_type=Path), help="A file; else standard output.")
@click.pass_obj
def export(api: Api, user: str | None, out: Path | None) -> None:
    """Whole conversations as lines of JSON, one after the other."""
    if out is None or str(out) == "-":
        for line in _exported(api, user):
            click.echo(line)
        return
    whole = out.with_name(f".{out.name}.{os.getpid()}.new")  # what was there stays until all of it has come
    try:
        check_output(out, what="export of conversations", is_one=_is_export)
        private = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # it holds what people said
        with os.fdopen(private, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in _exported(api, user))
        whole.replace(out)
    except (OSError, OutputError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        whole.unlink(missing_ok=True)


def _exported(api: Api, user: str | None) -> Iterator[str]:
    try:
        with api.ask("GET", "export", stream=True, params={"user": user} if user else {}) as response:
            for line in response.iter_lines():
                yield line.decode()
    except requests.RequestException as error:
        raise click.ClickException(f"the export broke off: {type(error).__name__}") from None


def _is_export(path: Path) -> bool:
    """By its first line."""
    try:
        with path.open("rb") as file:
            first: dict[str, Any] = json.loads(file.readline(10_000_000))
        return first.keys() >= {"id", "turns"}
    except (OSError, ValueError, AttributeError):
        return False


@admin.command()
@click.argument("user", required=False)
@click.option("--conversation", help="Only this conversation, by its id.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(api: Api, user: str | None, conversation: str | None, yes: bool) -> None:
    """Delete all traces of a user, in every channel."""
    if bool(user) == bool(conversation):
        raise click.UsageError("give either a user or --conversation")
    if not yes:
        click.confirm(f"Delete all that is kept of {user or conversation}, for good?", abort=True)
    path = f"conversations/{quote(conversation, safe='')}" if conversation else "conversations"
    said = api.ask("DELETE", path, params={"user": user} if user else {}).json()
    for name in said["forgotten"]:
        click.echo(f"forgotten: {name}")
    if not said["forgotten"]:
        click.echo("there was nothing")


channel_option = click.option("--channel", default="", help="Only there: wechat, page, webhook-NAME.")


@admin.command()
@click.argument("user")
@channel_option
@click.pass_obj
def block(api: Api, user: str, channel: str) -> None:
    """Answer a user once more, politely, and keep nothing of what they send."""
    api.post("block", user=user, channel=channel)
    click.echo(f"blocked: {user}")


@admin.command()
@click.argument("user")
@channel_option
@click.pass_obj
def unblock(api: Api, user: str, channel: str) -> None:
    """Answer a user again."""
    api.post("unblock", user=user, channel=channel)
    click.echo(f"not blocked: {user}")


@admin.command()
@click.argument("user", required=False)
@click.argument("rate", required=False)
@channel_option
@click.option("--none", "none", is_flag=True, help="PLM_RATE_LIMIT holds again.")
@click.pass_obj
def quota(api: Api, user: str | None, rate: str | None, channel: str, none: bool) -> None:
    """How much a user may ask, such as 5/minute;100/day; without a user, who has a quota or is blocked."""
    if user is None:
        for rule in api.get("people")["people"]:
            state = " ".join(filter(None, ("blocked" if rule["blocked"] else "", rule["rate"])))
            click.echo(f"{rule['user'] or '(forgotten)'}  {rule['channel'] or 'every channel'}  {state}")
        return
    if bool(rate) == none:
        raise click.UsageError("give either a rate or --none")
    said = api.post("quota", user=user, channel=channel, rate=rate or "")
    click.echo(f"{user}: {said['rate'] or 'as everybody'}")


@admin.group()
def model() -> None:
    """Which model answers."""


@model.command("list")
@click.pass_obj
def list_models(api: Api) -> None:
    """What can be loaded; the one with * is."""
    for row in api.get("models")["models"]:
        click.echo(("* " if row["loaded"] else "  ") + row["name"])


@model.command("load")
@click.argument("name")
@click.pass_obj
def load_model(api: Api, name: str) -> None:
    """Have every process answer with another model, without dropping a message."""
    api.post("models/load", name=name)
    end = time.monotonic() + SWAPPED_WITHIN
    while True:
        processes = api.get("models")["processes"]
        behind = [process for process in processes if process["model"] != name]
        if not behind:
            click.echo(f"{name}: loaded by {len(processes)} process(es)")
            return
        if faults := [f"{process['name']}: {process['fault']}" for process in behind if process["fault"]]:
            raise click.ClickException("; ".join(faults))
        if time.monotonic() > end:
            raise click.ClickException(
                f"not loaded yet by {', '.join(process['name'] for process in behind)}"
            )
        time.sleep(0.3)


@admin.command()
@click.option("--user", help="Only what was done about this user.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@as_json
@click.pass_obj
def audit(api: Api, user: str | None, limit: int, as_json: bool) -> None:
    """What administrators did, the newest first. People are hashes there."""
    for entry in api.get("audit", limit=limit, **({"user": user} if user else {}))["audit"]:
        if as_json:
            _dump(entry)
        else:
            click.echo(
                f"{_time(entry['time'])}  {entry['address']:<15}  {entry['action']:<8}  {entry['target']}"
            )


admin.add_command(dead_letters)
admin.add_command(library)
admin.add_command(broadcast)
