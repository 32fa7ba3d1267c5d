"""A log line and a count for each request; apart from logs.py, which processes without Flask use too."""

from __future__ import annotations

import logging
import time
import uuid

from flask import Flask, Response, g, request

from bot.telemetry import metrics
from bot.telemetry.logs import GIVEN, HEADER, request_id

QUIET = ("/healthz", "/readyz", "/metrics", "/static/", "/admin/api/stats")  # asked for all the time
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

log = logging.getLogger(__name__)


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
