"""GET /admin/api/library/unanswered: what people asked and the library does not answer."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from bot.admin.access import audit, keep_out_of_caches, number_argument, require_admin
from bot.api.errors import respond
from bot.context import current_bot
from bot.store.unanswered import MOST

blueprint = Blueprint("admin_unanswered", __name__)
blueprint.before_request(require_admin)
blueprint.after_request(keep_out_of_caches)


@blueprint.get("/admin/api/library/unanswered")
def unanswered() -> Response:
    """`{"questions": [{"question", "people", "last"}]}`: what most people asked first, then the newest."""
    limit = number_argument("limit", 200, 1, MOST)
    audit("library.unanswered")
    rows = current_bot().answers.unanswered.list(limit)
    return respond({"questions": [asdict(row) for row in rows]})
