"""What an owner can make better: GET /admin/api/library/unanswered, questions without an answer in the
library; GET /admin/api/marked-down, answers that their readers marked down."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from bot.admin import language, transcripts
from bot.admin.access import audit, keep_out_of_caches, number_argument, require_admin
from bot.api.errors import ApiError, respond
from bot.context import current_bot
from bot.store.unanswered import MOST

blueprint = Blueprint("admin_unanswered", __name__)
MOST_SHOWN = 100  # answers, each out of its transcript
blueprint.before_request(require_admin)
blueprint.after_request(keep_out_of_caches)
blueprint.register_error_handler(ApiError, language.refuse)


@blueprint.get("/admin/api/library/unanswered")
def unanswered() -> Response:
    """`{"questions": [{"question", "people", "last"}]}`: what most people asked first, then the newest."""
    limit = number_argument("limit", 200, 1, MOST)
    audit("library.unanswered")
    rows = current_bot().answers.unanswered.list(limit)
    return respond({"questions": [asdict(row) for row in rows]})


@blueprint.get("/admin/api/marked-down")
def marked_down() -> Response:
    """`{"answers": [{"question", "answer", "time", "conversation", "name"?, "message_id"}]}`, newest."""
    limit = number_argument("limit", 50, 1, MOST_SHOWN)
    audit("marked-down", "all")
    rows = [
        transcripts.with_name({"channel": row.conversation.channel, "user": row.conversation.user})
        | {
            "conversation": row.conversation.id, "message_id": row.message_id, "time": row.time,
            "question": row.question, "answer": row.answer,
        }
        for row in current_bot().erasure.feedback.marked_down(limit)
    ]  # fmt: skip
    return respond({"answers": rows})
