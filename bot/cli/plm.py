"""The bot's own commands: `plm serve`, `web`, `worker`, `engine`, `doctor`."""

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

log = logging.getLogger("bot")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Errors that a user can correct are one line and exit code 1, not a traceback.

    The engine's function of this name treats every OSError and ValueError so: right for a command that reads
    files, wrong for a server, where most of them are bugs.
    """
    from bot.server.embedded_store import EmbeddedStoreError

    try:
        yield
    except (ConfigError, EmbeddedStoreError) as error:
        raise click.ClickException(str(error)) from None
    except Exception as error:
        from bot.store.connection import StoreDownError  # loads the client, which `plm serve` does not need

        if isinstance(error, StoreDownError):
            raise click.ClickException(str(error)) from None
        raise


def _prepare() -> Settings:
    settings = load_settings()
    logs.set_up(settings.log_level, settings.log_format, settings.log_text)
    return settings


def _variables_without_effect() -> list[str]:
    return [f"{name} is not a setting; a typing mistake?" for name in unknown_variables()]


def _warn_about_variables() -> None:
    for line in _variables_without_effect():
        log.warning(line)


@click.command()
def serve() -> None:
    """Run everything: the store unless PLM_REDIS_URL names one, the engine, the web server."""
    from bot.server.embedded_store import EmbeddedStore
    from bot.server.supervisor import check_port

    with one_line_errors():
        settings = _prepare()
        _warn_about_variables()
        check_port(settings)
        _sum_metrics(settings, "serve")
        for number in (signal.SIGTERM, signal.SIGINT):  # until the web server handles them
            signal.signal(number, lambda *_: sys.exit(0))
        store, this = None, os.getpid()
        try:
            if not settings.redis_url:
                store = EmbeddedStore(settings.data_dir)
                store.start()
                settings = settings.model_copy(update={"redis_url": store.url})
            url = settings.own_url
            _serve_pages(
                settings, lambda: click.echo(f"打开 {url}/ （open this in a browser; Ctrl-C ends it）")
            )
        except SystemExit as end:
            if os.getpid() == this and end.code:  # gunicorn's own, of a worker that does not start
                sys.exit(1)
            raise
        finally:
            if store and os.getpid() == this:  # workers, forks of this process, come by here too
                store.stop()


@click.command()
def web() -> None:
    """Run the web server alone; it needs PLM_REDIS_URL, and asks engine hosts at PLM_ENGINE_URL."""
    with one_line_errors():
        settings = _prepare()
        if not settings.redis_url:
            raise ConfigError("PLM_REDIS_URL: missing (plm serve brings a store along; plm web needs one)")
        _sum_metrics(settings, "web")
        _serve_pages(settings)


def _sum_metrics(settings: Settings, command: str) -> None:
    """Let several processes sum their metrics in a folder. The library reads its name once, at import."""
    if settings.processes > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        from bot.server.processes import METRICS_DIR

        numbers = {"PROMETHEUS_MULTIPROC_DIR": tempfile.mkdtemp(prefix=METRICS_DIR)}
        os.execve(sys.executable, [sys.executable, "-m", "bot.cli", command], {**os.environ, **numbers})  # noqa: S606


@click.command()
def worker() -> None:
    """Work out of band (pushes, callbacks) beside the web servers; needs PLM_REDIS_URL, as `plm web` does."""
    from bot.app import create_bot
    from bot.server.supervisor import GRACE

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


@click.command("engine")
def engine_command() -> None:
    """Run an engine host for the web servers of other machines."""
    from bot.inference.server import create_engine_app

    with one_line_errors():
        settings = _prepare()
        _check_before(settings)
        _run_server(settings, lambda: create_engine_app(settings))


def _serve_pages(settings: Settings, when_up: Callable[[], None] | None = None) -> None:
    _check_before(settings)
    from bot.app import create_app

    _run_server(settings, lambda: create_app(settings), when_up)


def _check_before(settings: Settings) -> None:
    """What is wrong is one line here, not a worker that will not start. Raises ConfigError."""
    from bot.inference.local import LocalEngine
    from bot.server.supervisor import check_port

    check_port(settings)
    if not settings.engine_url:
        LocalEngine.from_settings(settings)


def _run_server(
    settings: Settings, make_app: Callable[[], Any], when_up: Callable[[], None] | None = None
) -> None:
    from bot.server.processes import Server

    Server(settings, make_app, when_up, stop_on_hangup=when_up is not None).run()


@click.command()
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
