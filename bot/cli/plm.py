"""The command `plm`: the bot's commands, and the engine's beside them."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from bot.settings.config import ELSEWHERE, ConfigError, Settings, load_settings, unknown_variables
from bot.settings.urls import check_url
from bot.telemetry import logs
from engine.cli import streams
from engine.cli.lazy import LazyCommand

log = logging.getLogger("bot")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Errors that a user can correct are one line and exit code 1, not a traceback.

    The engine's function of this name treats every OSError and ValueError so: right for a command that reads
    files, wrong for a server, where most of them are bugs.
    """
    from bot.server.embedded_store import EmbeddedStoreError
    from bot.store.connection import StoreDownError

    try:
        yield
    except (ConfigError, EmbeddedStoreError, StoreDownError) as error:
        raise click.ClickException(str(error)) from None


class Commands(streams.Commands):
    """The engine's commands are loaded when they are used: the web server does not need them."""

    services = frozenset({"serve", "web", "worker", "engine"})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({"admin", *super().list_commands(ctx), *_engine_commands().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "admin":
            from bot.cli.admin import admin

            return admin
        found = super().get_command(ctx, cmd_name) or _engine_commands().get_command(ctx, cmd_name)
        if cmd_name in ("ask", "library") and isinstance(found, LazyCommand):
            return LibraryCommand(cmd_name, found.place, found.help or "")
        return found


def _engine_commands() -> click.Group:
    from engine.cli import main as engine_main

    return engine_main


class LibraryCommand(LazyCommand):
    """One of the engine's, on the library that the bot serves, with what only the service knows."""

    def load(self) -> click.Command:
        with one_line_errors():
            settings = load_settings()
        os.environ["PLM_LIBRARY"] = str(settings.library_folder or settings.data_dir / "library")
        command = super().load()
        if isinstance(command, click.Group):
            from bot.cli.admin import library_unanswered

            command.add_command(library_unanswered)
        return command


@click.group(cls=Commands)
@click.version_option(package_name="personal-lm", prog_name="plm")
def main() -> None:
    """A small language model of your own that answers over WeChat, webhooks and the web.

    Settings are variables of the environment, PLM_*; bot/SETTINGS.md lists them.
    """


def _prepare() -> Settings:
    settings = load_settings()
    logs.set_up(settings.log_level, settings.log_format, settings.log_text)
    return settings


def _variables_without_effect() -> list[str]:
    return [f"{name} is not a setting; a typing mistake?" for name in unknown_variables()]


def _warn_about_variables() -> None:
    for line in _variables_without_effect():
        log.warning(line)


@main.command()
def serve() -> None:
    """Run everything: the store unless PLM_REDIS_URL names one, the engine, the web server."""
    from bot.server.embedded_store import EmbeddedStore
    from bot.server.processes import WebChild, check_port

    with one_line_errors():
        settings = _prepare()
        _warn_about_variables()
        check_port(settings)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        store = None
        if not settings.redis_url:
            store = EmbeddedStore(settings.data_dir)
            store.start()
        web = None
        try:
            web = WebChild(settings, store.url if store else settings.redis_url or "")
            if not web.wait_until_up(stop):
                if not stop.is_set() and web.running:
                    raise click.ClickException(f"the web server does not answer at {web.url}/healthz")
                sys.exit(0 if stop.is_set() else 1)
            click.echo(f"打开 {web.url}/ （open this in a browser; Ctrl-C ends it）")
            web.run(stop)
        finally:
            if web:
                web.stop()
            if store:
                store.stop()


@main.command()
def web() -> None:
    """Run the web server alone; it needs PLM_REDIS_URL, and asks engine hosts at PLM_ENGINE_URL."""
    from bot.app import create_app
    from bot.server.processes import METRICS_DIR

    with one_line_errors():
        settings = _prepare()
        if not settings.redis_url:
            raise ConfigError("PLM_REDIS_URL: missing (plm serve brings a store along; plm web needs one)")
        if settings.processes > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            # Several processes sum their metrics there. The library reads it once, at import.
            numbers = {"PROMETHEUS_MULTIPROC_DIR": tempfile.mkdtemp(prefix=METRICS_DIR)}
            os.execve(sys.executable, [sys.executable, "-m", "bot.cli", "web"], {**os.environ, **numbers})  # noqa: S606
        _serve(settings, lambda: create_app(settings))


@main.command()
def worker() -> None:
    """Work out of band (pushes, callbacks) beside the web servers; needs PLM_REDIS_URL, as `plm web` does."""
    from bot.app import create_bot
    from bot.server.processes import GRACE

    with one_line_errors():
        settings = _prepare()
        if not settings.redis_url:
            raise ConfigError("PLM_REDIS_URL: missing (a worker needs the store of the web servers)")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        bot = create_bot(settings)
        if not bot.tasks.queues:
            raise ConfigError(
                "nothing to work on: set PLM_WECHAT_PUSH=1, a PLM_WEBHOOK_<NAME>_URL or a platform"
            )
        stop.wait()
        bot.close(GRACE)


@main.command("engine")
def engine_command() -> None:
    """Run an engine host for the web servers of other machines."""
    from bot.inference.server import create_engine_app

    with one_line_errors():
        settings = _prepare()
        _serve(settings, lambda: create_engine_app(settings))


def _serve(settings: Settings, make_app: Callable[[], Any]) -> None:
    from bot.inference.local import LocalEngine
    from bot.server.processes import Server, check_port

    check_port(settings)
    if not settings.engine_url:
        LocalEngine.from_settings(
            settings
        )  # a bad model file is one line here, not a worker that will not start
    Server(settings, make_app).run()


@main.command()
@click.option(
    "--url",
    callback=lambda _, __, value: _checked_url(value),
    help="The service's public address: play the WeChat platform's check against it.",
)
def doctor(url: str | None) -> None:
    """Say what is wrong with this set-up, if anything."""
    from bot.cli.doctor import Note

    faults = 0
    checks: list[tuple[str, Callable[[], str]]] = [("settings", _check_settings)]
    for name, check in checks:
        try:
            with one_line_errors():
                said = check()
            click.echo(f"{'note ' if isinstance(said, Note) else 'ok   '} {name}: {said}")
            if check is _check_settings:  # without them there is nothing else to check
                checks += _checks(load_settings(), url.rstrip("/") if url else None)
        except Exception as error:
            faults += 1
            message = (
                error.message
                if isinstance(error, click.ClickException)
                else f"{type(error).__name__}: {error}"
            )
            click.echo(f"WRONG {name}: {message}")
    for line in _variables_without_effect():
        click.echo(f"note  {line}")
    if faults:
        sys.exit(1)


def _checked_url(value: str | None) -> str | None:
    try:
        return check_url(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _checks(settings: Settings, url: str | None) -> list[tuple[str, Callable[[], str]]]:
    from bot.cli import doctor as more

    way_in = [("way in", lambda: more.check_way_in(settings, url))] if url else []
    return [
        ("model", lambda: _check_model(settings)),
        ("library", lambda: _check_library(settings)),
        ("store", lambda: _check_store(settings)),
        ("WeChat", lambda: more.check_wechat(settings)),
        ("platforms", lambda: more.check_platforms(settings)),
        ("API", lambda: _check_api(settings)),
        ("webhooks", lambda: ", ".join(settings.webhooks) or "none"),
        ("keys", lambda: more.check_keys(settings)),
        ("clock", lambda: more.check_clock(more.store_of(settings), url)),
        *way_in,
    ]


def _check_settings() -> str:
    settings = load_settings()
    read = [name for name in os.environ if name.startswith("PLM_") and name not in ELSEWHERE]
    return f"{len(read)} from the environment, data in {settings.data_dir}"


def _check_model(settings: Settings) -> str:
    from bot.inference.local import LocalEngine
    from bot.inference.remote import RemoteEngine

    if settings.engine_url:
        if fault := RemoteEngine(settings.engine_url, settings.model_name).ready():
            raise ConfigError(f"PLM_ENGINE_URL: {fault}")
        return f"{settings.model_name} answers at {settings.engine_url}"
    model = LocalEngine.from_settings(settings).model
    return f"{model.name} ({model.parameters:,} parameters)"


def _check_library(settings: Settings) -> str:
    from bot.inference.library import ServedLibrary

    library = ServedLibrary.from_settings(settings)
    if library is None:
        return "none: the model answers"
    return library.describe()


def _check_store(settings: Settings) -> str:
    from bot.cli.doctor import check_store, queue_of, store_of
    from bot.server.embedded_store import EmbeddedStore

    tasks, queue = settings.works_out_of_band, queue_of(settings)
    if store := store_of(settings):
        said = [check_store(store, tasks=tasks and queue is None)]
        if queue:
            said.append(check_store(queue, tasks=True, name="PLM_QUEUE_URL"))
        return said[0] if len(said) == 1 else "; ".join(said)
    own = EmbeddedStore(settings.data_dir)
    own.make_directory()
    return f"brought along: {own.find_server()[1]}"


def _check_api(settings: Settings) -> str:
    if settings.api_keys:
        keys = (f"{key.name} ({'+'.join(sorted(key.scopes))})" for key in settings.api_keys)
        return "keys for " + ", ".join(keys)
    if settings.is_public:
        return "closed: PLM_API_KEYS is not set, and the service is a public one"
    return "open to this machine alone: PLM_API_KEYS is not set"


if __name__ == "__main__":
    main()
