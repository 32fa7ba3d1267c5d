"""GET /library/passage?book=&start=&end= is where a quotation stands: the text around it, for the chat page.

    {"book", "author", "dynasty", "heading", "before", "quote", "after"}

`start` and `end` are byte offsets in the source, as citations have them. Only sources that answer are shown,
and no more of them than the passages of the quotation with one neighbour on either side.
"""

from __future__ import annotations

import logging

import limits
from flask import Blueprint, Response, jsonify, request

from bot.context import current_bot
from bot.store.connection import StoreDownError
from bot.telemetry import metrics
from bot.web.visitor import page_strings, refuse
from engine.library import Library, LibraryError

log = logging.getLogger(__name__)
blueprint = Blueprint("passages", __name__)

RATES = (limits.parse("60/minute"),)  # passages for one address
MAX_QUOTE = 20_000  # bytes


@blueprint.get("/library/passage")
def show() -> Response:
    bot, says = current_bot(), page_strings()[1]
    if bot.library is None or bot.library.answerer is None:
        return refuse(404, says["gone"])
    if wait := bot.store.rates.hit(f"passages:{request.remote_addr}", RATES):
        metrics.LIMITED.inc()
        response = refuse(429, says["slow"])
        response.headers["Retry-After"] = str(wait)
        return response
    book, start, end = request.args.get("book", ""), _offset("start"), _offset("end")
    if not book or start is None or end is None or not start < end <= start + MAX_QUOTE:
        return refuse(400, says["wrong"])
    try:
        found = _around(bot.library.library, book, start, end)
    except ValueError:  # LibraryError, or offsets that cut a character
        return refuse(404, says["gone"])
    response = jsonify(found)
    response.headers["Cache-Control"] = "no-store"  # it may be removed at any time
    return response


def _offset(name: str) -> int | None:
    given = request.args.get(name, "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) <= 12 else None


def _around(library: Library, book: str, start: int, end: int) -> dict[str, str]:
    """LibraryError if it is not there, or not to be shown; ValueError for offsets that cut a character."""
    source = library.source(book)
    first, last = library.passage_at(book, start), library.passage_at(book, end - 1)
    near = library.neighbours(first.id, 1, last.id - first.id + 1)
    if not near or not source.enabled:
        raise LibraryError(f"{book} is not to be shown")
    return {
        "book": source.title, "author": source.author, "dynasty": source.dynasty,
        "heading": first.heading.replace("/", "·"),
        "before": library.text(source.id, min(near[0].start, start), start),
        "quote": library.text(source.id, start, end),
        "after": library.text(source.id, end, max(near[-1].end, end)),
    }  # fmt: skip


@blueprint.errorhandler(StoreDownError)
def store_down(error: StoreDownError) -> Response:
    log.error("passages: %s", error)
    return refuse(503, page_strings()[1]["busy"])
