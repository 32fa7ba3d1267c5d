"""/admin/api/… is for administrators: `Authorization: Bearer PLM_ADMIN_KEY`; /admin is a page that shows it.

    GET    /admin/api/conversations?user=&limit=&cursor=   {"conversations": […], "cursor"}, emergencies first
    GET    /admin/api/conversations?text=&limit=&cursor=   those in which it was said, with "found": […]
    GET    /admin/api/conversations/<id>                   {"id", "channel", "user", "turns": […]}
    DELETE /admin/api/conversations/<id>                   erases it
    DELETE /admin/api/conversations?user=                  erases all of a user's, in every channel
    GET    /admin/api/export?user=                         whole conversations as lines of JSON
    POST   /admin/api/block, unblock, quota                {"user", "channel"?, "rate"?}
    GET    /admin/api/people, models, stats, audit
    …      /admin/api/dead-letters, broadcasts              in delivery.py
    POST   /admin/api/models/load                          {"name"}

Without a key there is nothing here. Errors have the form of /v1. Whatever tells of people or changes
something is in the audit log before it is done.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

from flask import Blueprint, Response, make_response, render_template, request
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.admin import language, transcripts
from bot.admin.access import audit, current_admin, keep_out_of_caches, number_argument, require_admin
from bot.api.endpoint import read_body
from bot.api.errors import ApiError, respond
from bot.chat.policy import pseudonym
from bot.context import current_bot
from bot.inference.interface import EngineDownError
from bot.settings.config import ConfigError
from bot.settings.values import read_rates
from bot.store.listing import conversation_of, every
from bot.text.records import Conversation
from bot.web import site

blueprint = Blueprint("admin", __name__)
MOST = 200  # conversations, or entries of the log, in one answer
MAX_SEARCH = 200  # characters that are looked for

blueprint.before_request(require_admin)
blueprint.after_request(keep_out_of_caches)
blueprint.register_error_handler(ApiError, language.refuse)


# Conversations


@blueprint.get("/admin/api/conversations")
def list_conversations() -> Response:
    people, user, text = (
        current_admin().store.conversations,
        request.args.get("user"),
        request.args.get("text", "").strip(),
    )
    limit, cursor = number_argument("limit", 50, 1, MOST), _read_cursor(request.args.get("cursor", ""))
    if text:
        if len(text) > MAX_SEARCH:
            raise ApiError(400, f"text may have {MAX_SEARCH} characters", param="text")
        audit("search")
        return _respond_rows(*transcripts.search(people, text, limit, cursor))
    audit("list", pseudonym(user) if user else "all")
    if user:  # one in each channel at most: there is nothing to page through
        found = people.about(people.of_user(user))
        return _respond_rows(sorted(found, key=lambda row: row["updated"], reverse=True), None)
    urgent = people.emergencies(
        limit
    )  # they stand at the head of the first page, and not in their own places
    rows = [] if cursor else people.about(urgent)
    if len(rows) == limit:
        return _respond_rows(rows, (math.inf, ""))
    while True:
        batch, cursor = people.page(limit - len(rows), cursor)
        rows += people.about([conversation for conversation in batch if conversation not in urgent])
        if cursor is None or len(rows) == limit:
            return _respond_rows(rows, cursor)


def _respond_rows(rows: list[dict[str, Any]], cursor: tuple[float, str] | None) -> Response:
    shown = [transcripts.with_name(row) for row in rows]
    return respond({"conversations": shown, "cursor": _write_cursor(cursor)})


def _write_cursor(cursor: tuple[float, str] | None) -> str | None:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode() if cursor else None


def _read_cursor(text: str) -> tuple[float, str] | None:
    if not text:
        return None
    try:
        score, name = json.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
        return float(score), str(name)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise ApiError(400, "cursor is none that was given out here", param="cursor") from None


def _conversation(conversation_id: str) -> Conversation:
    channel, _, user = conversation_id.partition(":")
    # A caller may have written the id into the address as it is, so that its own %XX were taken out.
    conversation = conversation_of(conversation_id) or conversation_of(Conversation(channel, user).id)
    if conversation is None:
        raise ApiError(404, "there is no such conversation")
    return conversation


@blueprint.get("/admin/api/conversations/<path:conversation_id>")
def show(conversation_id: str) -> Response:
    conversation = _conversation(conversation_id)
    audit("show", pseudonym(conversation.user))
    whole = current_admin().store.conversations.show(conversation)
    if whole is None:
        raise ApiError(404, "there is no such conversation")
    return respond(transcripts.with_name(transcripts.with_feedback(whole, current_bot().erasure.feedback)))


@blueprint.delete("/admin/api/conversations/<path:conversation_id>")
def forget(conversation_id: str) -> Response:
    conversation = _conversation(conversation_id)
    audit("forget", pseudonym(conversation.user))
    current_bot().erasure.erase_conversation(conversation)
    return respond({"forgotten": [conversation.id]})


@blueprint.delete("/admin/api/conversations")
def forget_user() -> Response:
    user = request.args.get("user")
    if not user:
        raise ApiError(400, "user is missing", param="user")
    audit("forget", pseudonym(user))
    found = current_bot().erasure.erase_user(user)
    return respond({"forgotten": [conversation.id for conversation in found]})


@blueprint.get("/admin/api/export")
def export() -> Response:
    user = request.args.get("user") or None
    audit("export", pseudonym(user) if user else "all")
    people, feedback = current_admin().store.conversations, current_bot().erasure.feedback

    def lines() -> Iterator[str]:
        for whole in every(people, user):
            transcripts.with_feedback(whole, feedback)
            yield json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n"

    return Response(lines(), mimetype="application/x-ndjson")


# People


class UserBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    user: Annotated[str, Field(min_length=1, max_length=200)]
    channel: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=80)] = ""


class QuotaBody(UserBody):
    rate: str  # like PLM_RATE_LIMIT; "" takes the quota away

    @field_validator("rate")
    @classmethod
    def _is_rate(cls, rate: str) -> str:
        try:
            good = len(rate) <= 100 and (not rate or bool(read_rates(rate)))
        except ValueError:  # its words are those of the setting
            good = False
        if not good:
            raise ValueError(
                "must be like 20/minute or 20/minute;500/day, or empty; to refuse somebody, block"
            )
        return rate


@blueprint.get("/admin/api/people")
def people() -> Response:
    audit("people", "all")
    return respond({"people": [asdict(rule) for rule in current_admin().store.rules().values()]})


@blueprint.post("/admin/api/block")
def block() -> Response:
    return _change("block", read_body(UserBody), blocked=True)


@blueprint.post("/admin/api/unblock")
def unblock() -> Response:
    return _change("unblock", read_body(UserBody), blocked=False)


@blueprint.post("/admin/api/quota")
def quota() -> Response:
    body = read_body(QuotaBody)
    return _change("quota", body, rate=body.rate)


def _change(action: str, who: UserBody, **change: Any) -> Response:
    audit(action, pseudonym(who.user))
    admin = current_admin()
    rule = admin.store.rule(who.user, who.channel, **change)
    admin.refresh()  # here at once, in the other processes within a second
    return respond(asdict(rule))


# Models


class LoadBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


@blueprint.get("/admin/api/models")
def models() -> Response:
    bot, admin = current_bot(), current_admin()
    wanted = admin.store.wanted_model(bot.settings.model) or bot.settings.model_name
    rows = [{"name": name, "loaded": name == bot.model_name} for name in bot.settings.models]
    return respond({"models": rows, "wanted": wanted, "processes": admin.store.processes()})


@blueprint.post("/admin/api/models/load")
def load_model() -> Response:
    """Load it here first: what cannot be loaded is asked of no other process."""
    bot, admin, body = current_bot(), current_admin(), read_body(LoadBody)
    if body.name not in bot.settings.models:
        raise ApiError(
            404, f"there is no model {body.name!r}; there is {', '.join(bot.settings.models)}", "name"
        )
    audit("load", body.name)
    try:
        admin.load(body.name)
    except ConfigError as error:
        raise ApiError(400, str(error), "name") from None
    except EngineDownError as error:
        raise ApiError(503, str(error)) from None
    admin.store.want_model(body.name, bot.settings.model)
    return respond({"model": bot.model_name, "processes": admin.store.processes()})


# What happens


@blueprint.get("/admin/api/audit")
def audit_log() -> Response:
    start, limit = number_argument("start", 0, 0, 1_000_000), number_argument("limit", 50, 1, MOST)
    if user := request.args.get("user"):
        rows = [
            row for row in current_admin().store.audited(0, 1_000_000) if row["target"] == pseudonym(user)
        ]
        return respond({"audit": rows[start : start + limit]})
    return respond({"audit": current_admin().store.audited(start, limit)})


# The page


@blueprint.get("/admin")
def page() -> Response:
    return make_response(render_template("admin.html", **site.appearance()))
