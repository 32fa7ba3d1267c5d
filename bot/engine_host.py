"""An engine host: `plm engine`. It keeps nothing between requests; the model's state travels with them.

POST /stream {"state": base64|null, "feed": base64, "seed": n} answers lines of JSON: {"text": …} as it is
written, then {"state": base64, "stop": …}, or {"error": …} at any time. 409 says that the state is another
model's. There is no sign-in: listen where only the web processes can reach it.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest, Conflict

from bot.config import Settings, load_settings
from bot.engines import Engine, Finished, LocalEngine, Prompt

log = logging.getLogger(__name__)
LINE_EVERY = 0.02  # seconds; a line a character would cost more than the character


class _StateRefusedError(Exception):
    pass


def _refuse() -> bytes:
    raise _StateRefusedError


def create_engine_app(settings: Settings | None = None, engine: Engine | None = None) -> Flask:
    settings = settings or load_settings()
    local = engine or LocalEngine.from_settings(settings)
    app = Flask("bot.engine_host", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 8 << 20

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/stream")
    def stream() -> Response:
        events = local.stream(_read_prompt(), cancel=lambda: False)
        try:
            first = next(events)  # the state is looked at before the first character is out
        except _StateRefusedError:
            raise Conflict("the state does not fit this model") from None
        return Response(_lines(first, events), mimetype="application/x-ndjson")

    return app


def _read_prompt() -> Prompt:
    body: Any = request.get_json()
    try:
        state = base64.b64decode(body["state"], validate=True) if body["state"] else None
        feed = base64.b64decode(body["feed"], validate=True)
        seed = int(body["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(f"state, feed or seed is wrong: {error}") from None
    # A state that does not fit makes the engine ask for the history: here that is the caller's to send.
    return Prompt("", state, feed, _refuse if state else bytes, seed)


def _lines(first: str | Finished, events: Iterator[str | Finished]) -> Iterator[str]:
    """Joins pieces that come faster than LINE_EVERY. A caller that goes away ends it with GeneratorExit."""
    waiting, written = "", 0.0
    event: str | Finished | None = first
    try:
        while event is not None:
            if isinstance(event, str):
                waiting += event
                if time.monotonic() - written >= LINE_EVERY:
                    yield json.dumps({"text": waiting}) + "\n"
                    waiting, written = "", time.monotonic()
            else:
                if waiting:
                    yield json.dumps({"text": waiting}) + "\n"
                yield json.dumps({"state": base64.b64encode(event.state).decode(), "stop": event.stop}) + "\n"
            event = next(events, None)
    except Exception as error:  # the status line is long gone: the fault goes as a line
        log.exception("answering failed")
        yield json.dumps({"error": str(error) or type(error).__name__}) + "\n"
