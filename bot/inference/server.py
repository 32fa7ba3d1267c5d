"""An engine host: `plm engine`. It is stateless: the model's state comes and goes with each request.

Each request may name one of the host's models, which is loaded then if it is not; 404 if it has none such.
POST /stream {"state": base64|null, "feed": base64, "seed": n, "sampling": {…}|null, "model": …} answers
lines of JSON as messages.py has them: {"text": …} as it is written, then {"state": base64, "stop": …}, or
{"error": …} at any time. 409: the state belongs to another model; 503: the engine is busy. POST /likelihood
{"kind": …, "fields": {…}, "model": …} answers the result of the method of that name (score, choose, fill,
judge); 400 with {"error": …} for wrong fields. GET /about?model=… answers with the card. There is no
authentication: listen where only web processes can reach it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain
from typing import Any

from flask import Flask, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import BadRequest, Conflict, ServiceUnavailable

from bot.inference.interface import EngineDownError
from bot.inference.local import LocalEngine
from bot.inference.messages import STREAM_REQUEST, Event, Failure, Prompt, to_line
from bot.server.client_disconnect import client_disconnected
from bot.settings.config import ConfigError, Settings, load_settings
from bot.telemetry import access_log

log = logging.getLogger(__name__)


class _StateRefusedError(Exception):
    pass


def _refuse() -> bytes:
    raise _StateRefusedError


def create_engine_app(settings: Settings | None = None, engine: LocalEngine | None = None) -> Flask:
    settings = settings or load_settings()
    local = engine or LocalEngine.from_settings(settings)
    app = Flask("bot.inference.server", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 8 << 20
    access_log.watch_requests(app)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok", "model": local.model_name}

    @app.errorhandler(ConfigError)
    def no_such_model(error: ConfigError) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 404

    @app.get("/about")
    def about() -> dict[str, Any]:
        return local.about(request.args.get("model", ""))

    @app.post("/stream")
    def stream() -> Response:
        events = local.stream(_read_prompt(), cancel=client_disconnected(request.environ))
        try:
            first = next(events)  # the state is checked before the first character is sent
        except _StateRefusedError:
            raise Conflict("the state does not fit this model") from None
        except EngineDownError as error:
            raise ServiceUnavailable(str(error)) from None
        return Response(_lines(chain([first], events)), mimetype="application/x-ndjson")

    @app.post("/likelihood")
    def likelihood() -> tuple[dict[str, Any], int]:
        body: Any = request.get_json()
        try:
            return local.likelihood(body["kind"], body["fields"], str(body.get("model", ""))), 200
        except EngineDownError as error:
            return {"error": str(error)}, 503
        except (KeyError, TypeError, ValueError) as error:
            return {"error": str(error)}, 400

    return app


def _read_prompt() -> Prompt:
    try:
        asked = STREAM_REQUEST.validate_json(request.get_data())
    except ValidationError as error:
        raise BadRequest(_explain(error)) from None
    # A state that does not fit makes the engine ask for the history: here that is the caller's to send.
    history = _refuse if asked.state else bytes
    return Prompt(asked.state, asked.feed, history, asked.seed, asked.sampling, asked.model)


def _explain(error: ValidationError) -> str:
    """One line that names each field that is wrong."""
    faults = [(".".join(map(str, fault["loc"])) or "the body", fault["msg"]) for fault in error.errors()]
    return "; ".join(f"{place}: {what}" for place, what in faults)


def _lines(events: Iterator[Event]) -> Iterator[bytes]:
    """A caller that goes away ends it with GeneratorExit."""
    try:
        for event in events:
            yield to_line(event)
    except Exception as error:  # the status line is long gone: the fault goes as a line
        log.exception("answering failed")
        yield to_line(Failure(str(error) or type(error).__name__))
