"""The bot: a Flask application that carries messages between people and the model."""

from __future__ import annotations

import atexit
import contextlib
import logging
from typing import Any

from flask import Flask, Response, jsonify, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from bot.admin import broadcasts, statistics, unanswered
from bot.admin import delivery as admin_delivery
from bot.admin import library as admin_library
from bot.admin import views as admin_views
from bot.api import answer, completions, likelihood, openapi, search
from bot.api.errors import ApiError, error_body, respond
from bot.channels import adapter, webhook
from bot.channels.delivery import Messenger
from bot.channels.dingtalk import Dingtalk
from bot.channels.feishu import Feishu
from bot.channels.telegram import Telegram
from bot.channels.wechat import views as wechat
from bot.channels.wechat.messenger import Wechat
from bot.channels.wecom import Wecom
from bot.chat.answers import Answers
from bot.chat.commands import Commands
from bot.chat.erasure import Erasure
from bot.chat.limits import ConcurrencyLimiter, Limits
from bot.chat.policy import AdminSync
from bot.context import Bot, current_bot
from bot.inference.interface import Engine
from bot.inference.library import ServedLibrary
from bot.inference.library_sync import LibrarySync
from bot.inference.local import LocalEngine
from bot.inference.remote import RemoteEngine
from bot.settings.config import ConfigError, Settings, load_settings
from bot.store import readiness
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.days import DayStore
from bot.store.library import LibraryStore
from bot.store.outbox import Outbox
from bot.tasks.queue import TaskQueue
from bot.telemetry import access_log, metrics
from bot.web import page, passages, site, talks, visitor
from engine.emergency import Detector

log = logging.getLogger(__name__)
MAX_BODY = 1 << 20  # bytes


def create_bot(
    settings: Settings | None = None, *, engine: Engine | None = None, store: Store | None = None
) -> Bot:
    """The bot without its web application. Without arguments everything comes from the environment.

    Works on what is to be done out of band until `close`. Raises ConfigError if a setting is wrong, and the
    engine's errors if the model cannot be loaded. Redis may be away at the start and come later.
    """
    settings = settings or load_settings()
    if store is None:
        if not settings.redis_url:
            raise ConfigError("PLM_REDIS_URL: missing (plm serve brings a store along; plm web needs one)")
        store = open_store(settings)
    if engine is None:
        engine = (
            RemoteEngine(settings.engine_url, settings.model_name)
            if settings.engine_url
            else LocalEngine.from_settings(settings)
        )
    library = ServedLibrary.from_settings(settings)
    admin = AdminSync(store, engine, settings.model) if settings.admin_key else None
    tasks = TaskQueue(store, settings.retry_seconds)
    days = DayStore(store)
    limits = Limits(store, settings.rate_limit, admin.rules if admin else None, days)
    erasure = Erasure(store, tasks, limits)
    bot = Bot(
        settings,
        store,
        Answers(store, engine, settings.context_bytes, settings.forbidden, settings.unsure, library, days),
        limits,
        ConcurrencyLimiter(),
        Outbox(store),
        tasks,
        admin,
        erasure,
        Commands(store, engine, settings, erasure, library),
        Detector.load(settings.emergency_words),
        library,
        _sync_library(library, store),
    )
    _open_channels(bot)
    if library:
        library.start()
    if bot.library_sync:
        bot.library_sync.start()
    bot.tasks.start()
    if admin:
        admin.start()
    atexit.register(bot.close, 1.0)  # does nothing where it was closed already
    return bot


def create_app(
    settings: Settings | None = None, *, engine: Engine | None = None, store: Store | None = None
) -> Flask:
    """The web application around `create_bot`."""
    bot = create_bot(settings, engine=engine, store=store)
    app = Flask("bot", static_folder="web/static", template_folder="web/templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.merge_slashes = False  # it would answer //x by a redirection
    app.url_map.strict_slashes = False  # /v1/models/ is /v1/models
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.extensions["plm"] = bot
    if bot.settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=bot.settings.proxies, x_proto=0)  # type: ignore[method-assign]
    access_log.watch_requests(app)
    _add_headers(app)
    _add_operator_routes(app)
    _add_error_pages(app)
    _add_views(app)
    return app


def _sync_library(served: ServedLibrary | None, store: Store) -> LibrarySync | None:
    if served is None:
        return None
    return LibrarySync(LibraryStore(store), served.library, lambda: served.answerer is not None)


def _open_channels(bot: Bot) -> None:
    """What works out of band, as far as it is set up."""
    kinds = (Wecom, Feishu, Dingtalk, Telegram)
    messengers: list[Messenger] = [kind(bot) for kind in kinds if kind.name in bot.settings.adapters]
    if bot.settings.wechat_push:
        messengers.append(Wechat(bot))
    for messenger in messengers:
        messenger.add_task()
        bot.channels[messenger.name] = messenger
    called_back = [name for name, hook in bot.settings.webhooks.items() if hook.url]
    if called_back:
        webhook.add_task(bot)
    for name in called_back:
        callback = webhook.Callback(bot, name)
        bot.channels[callback.name] = callback
    if bot.admin and bot.channels:
        broadcasts.add_task(bot)


def open_store(settings: Settings) -> Store:
    try:
        return Store(
            settings.redis_url or "", settings.keep_days, settings.keep_turns, settings.queue_url or ""
        )
    except ValueError as error:
        raise ConfigError(f"PLM_REDIS_URL: {error}") from None


def _add_views(app: Flask) -> None:
    for room in (
        wechat, adapter, webhook, page, talks, site, passages, completions, likelihood, search, answer,
        admin_views, statistics, admin_delivery, admin_library, unanswered,
    ):  # fmt: skip
        app.register_blueprint(room.blueprint)


def _add_operator_routes(app: Flask) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """This process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, Any], int]:
        """Messages can be answered: the store and an engine are there."""
        bot, faults = current_bot(), {}
        try:
            readiness.check(bot.store, tasks=bool(bot.tasks.queues))
        except StoreDownError as error:
            faults["redis"] = str(error)
        if fault := bot.answers.engine.ready():
            faults["engine"] = fault
        if bot.library and (fault := bot.library.fault()):
            faults["library"] = fault
        if bot.answers.stopping:
            faults["web"] = "stopping"
        return ({"status": "unavailable", "faults": faults}, 503) if faults else ({"status": "ready"}, 200)

    @app.get("/openapi.json")
    def show_openapi() -> Response:
        return respond(openapi.document(app, [current_bot().model_name]))

    @app.get("/metrics")
    def show_metrics() -> tuple[bytes, dict[str, str]]:
        bot = current_bot()
        with contextlib.suppress(StoreDownError):
            metrics.note_tasks(bot.tasks.counts())
        return metrics.show()


def _add_headers(app: Flask) -> None:
    @app.after_request
    def guard(response: Response) -> Response:
        """How browsers must take whatever comes from here: as what it says it is, and in no frame."""
        response.headers["Content-Security-Policy"] = visitor.POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"  # for browsers that do not know frame-ancestors
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def _add_error_pages(app: Flask) -> None:
    """Errors are one plain sentence: JSON for programs that ask for it, text for people."""

    @app.errorhandler(StoreDownError)
    def store_down(error: StoreDownError) -> Response:
        metrics.STORE_DOWN.inc()
        log.error("%s %s: %s", request.method, request.path, error)
        response = sentence(
            503, "服务暂时不可用，请稍后再试。 The service is unavailable for the moment; try again."
        )
        response.headers["Retry-After"] = "2"
        return response

    @app.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        return respond(error.body, error.code or 500, error.more_headers)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        text = "这里没有这个页面。 There is nothing at this address." if error.code == 404 else None
        if text is None or error.description != NotFound.description:
            text = error.description or error.name
        response = sentence(error.code or 500, text)
        if error.code == 405 and "Allow" in (headers := dict(error.get_headers())):
            response.headers["Allow"] = headers["Allow"]
        return response

    @app.errorhandler(ParseException)
    @app.errorhandler(BlockingIOError)
    def broken_body(error: Exception) -> Response:
        """gunicorn reads the body when the view asks for it: it is no HTTP, or the rest never came."""
        return sentence(400, f"the body cannot be read: {type(error).__name__}")

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        log.exception("%s %s failed", request.method, request.path)
        return sentence(500, "内部错误，请稍后再试。 Something went wrong here; it is in the log.")


def sentence(status: int, text: str) -> Response:
    if request.path.startswith(("/v1/", "/admin/api/")):
        return respond(error_body(status, text), status)
    wants_json = request.is_json or request.accept_mimetypes.best == "application/json"
    response = jsonify(error=text) if wants_json else Response(text + "\n", mimetype="text/plain")
    response.status_code = status
    return response
