"""Log lines: for people, or JSON for machines (PLM_LOG_FORMAT=json), each with the id of its request.

The id comes in as X-Request-Id (or is made), goes out with the response, on to engine hosts, and into the
threads that write answers. No text of a message is in a line unless PLM_LOG_TEXT=1 asks for it.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from contextvars import ContextVar

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

HEADER = "X-Request-Id"
GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
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
