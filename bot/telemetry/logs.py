"""Log lines: for people, or JSON for machines (PLM_LOG_FORMAT=json), each with the id of its request.

The id comes in as X-Request-Id (or is made), goes out with the response, on to engine hosts, and into the
threads that write answers. No text of a message is in a line unless PLM_LOG_TEXT=1 asks for it.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid
from contextvars import ContextVar

from flask import Flask, Response, g, request
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from bot.telemetry import metrics

HEADER = "X-Request-Id"
GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUIET = ("/healthz", "/readyz", "/metrics", "/static/", "/admin/api/stats")  # asked for all the time

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

request_id: ContextVar[str] = ContextVar("request_id", default="")
log = logging.getLogger(__name__)
_texts = False


def set_up(level: str, form: str, texts: bool) -> None:
    global _texts
    _texts = texts
    handler = logging.StreamHandler(sys.stderr)
    plain = _Plain("%(asctime)s %(levelname)s %(name)s%(marked)s: %(message)s")
    handler.setFormatter(_Json() if form == "json" else plain)
    handler.addFilter(_mark)
    logging.basicConfig(level=level, handlers=[handler])
    for library in ("urllib3", "dramatiq"):
        logging.getLogger(library).setLevel(logging.WARNING)


def text(message: str) -> str:
    """The text of a message as it may appear in a log line."""
    return message if _texts else f"({len(message)} characters)"


def _mark(record: logging.LogRecord) -> bool:
    if own := request_id.get():
        record.request = own
    record.marked = f" [{own}]" if own else ""
    return True


class _Plain(logging.Formatter):
    """One line for each record, whatever characters an id holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        line = super().formatMessage(record)
        return "".join(c if c >= " " and c not in "\x7f\x85\u2028\u2029" else repr(c)[1:-1] for c in line)


class _Json(JsonFormatter):
    """One JSON object a line: the record, what was given as `extra`, and the traceback."""

    converter = staticmethod(time.gmtime)
    default_time_format, default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"

    def __init__(self) -> None:
        names = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "traceback"}
        skipped = [*RESERVED_ATTRS, "marked"]
        fields = ["asctime", "levelname", "name", "message"]
        super().__init__(fields, rename_fields=names, reserved_attrs=skipped, json_ensure_ascii=False)


def watch_requests(app: Flask) -> None:
    """Give every request its id, and count it; a line for each that people or programs make."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get(HEADER, "")
        request_id.set(given if GIVEN.fullmatch(given) else uuid.uuid4().hex[:16])
        g.began = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        response.headers[HEADER] = request_id.get()
        path = request.url_rule.rule if request.url_rule else "(none)"
        method = request.method if request.method in METHODS else "(other)"  # callers may invent any number
        metrics.REQUESTS.labels(path, method, str(response.status_code)).inc()
        if not request.path.startswith(QUIET):
            ms = round(1000 * (time.monotonic() - g.get("began", time.monotonic())), 1)
            what = {"method": request.method, "path": path, "status": response.status_code, "ms": ms}
            log.info("%(method)s %(path)s %(status)d %(ms).1f ms", what, extra=what)
        return response
