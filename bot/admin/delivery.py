"""/admin/api/… for what goes on out of band, beside views.py; access.py says who may:

GET  /admin/api/dead-letters                 {"dead_letters": [{"id", "lane", "task", "conversation", …}]}
POST /admin/api/dead-letters/resend, drop    {"id"} or {"all": true}
GET  /admin/api/broadcasts, broadcasts/<id>
POST /admin/api/broadcasts                   {"text", "rate"?, "channels"?}: a plan, nothing is sent
POST /admin/api/broadcasts/<id>/start        sends it to whom the plan counted
POST /admin/api/broadcasts/<id>/cancel
"""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.admin import broadcasts, language
from bot.admin.access import audit, keep_out_of_caches, require_admin
from bot.api.endpoint import read_body
from bot.api.errors import ApiError, respond
from bot.chat.policy import pseudonym
from bot.context import current_bot
from bot.store.listing import conversation_of
from bot.tasks.queue import DeadLetter

blueprint = Blueprint("admin_delivery", __name__)
blueprint.before_request(require_admin)
blueprint.after_request(keep_out_of_caches)
blueprint.register_error_handler(ApiError, language.refuse)


# Dead letters


class DeadLettersBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str = ""
    all: bool = False

    @model_validator(mode="after")
    def _is_either(self) -> DeadLettersBody:
        if bool(self.id) == self.all:
            raise ValueError("give either an id or all")
        return self


@blueprint.get("/admin/api/dead-letters")
def dead_letters() -> Response:
    """Without the texts that they hold."""
    audit("letters", "all")
    letters = current_bot().tasks.dead_letters()
    rows = [
        {
            "id": letter.id, "lane": letter.queue, "task": letter.task, "error": letter.error,
            "died": letter.died, "conversation": letter.about,
        }
        for letter in letters
    ]  # fmt: skip
    return respond({"dead_letters": rows})


@blueprint.post("/admin/api/dead-letters/resend")
def resend() -> Response:
    letters = _wanted("resend", read_body(DeadLettersBody))
    for letter in letters:
        current_bot().tasks.requeue(letter)
    return respond({"resent": [letter.id for letter in letters]})


@blueprint.post("/admin/api/dead-letters/drop")
def drop() -> Response:
    letters = _wanted("drop", read_body(DeadLettersBody))
    for letter in letters:
        current_bot().tasks.drop(letter)
    return respond({"dropped": [letter.id for letter in letters]})


def _wanted(action: str, body: DeadLettersBody) -> list[DeadLetter]:
    letters = [letter for letter in current_bot().tasks.dead_letters() if body.all or letter.id == body.id]
    if not letters and not body.all:
        raise ApiError(404, "there is no such dead letter", "id")
    whom = conversation_of(letters[0].about) if body.id else None
    audit(action, pseudonym(whom.user) if whom else "all")
    return letters


# Broadcasts


class PlanBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    rate: Annotated[float, Field(gt=0, le=broadcasts.MAX_RATE)] = 10.0  # users a second
    channels: list[str] = []  # all of them


@blueprint.get("/admin/api/broadcasts")
def list_broadcasts() -> Response:
    return respond({"broadcasts": broadcasts.Broadcasts(current_bot()).all()})


@blueprint.get("/admin/api/broadcasts/<broadcast_id>")
def show(broadcast_id: str) -> Response:
    return _do("show", broadcast_id)


@blueprint.post("/admin/api/broadcasts")
def plan() -> Response:
    body = read_body(PlanBody)
    audit("plan")
    try:
        return respond(broadcasts.Broadcasts(current_bot()).plan(body.text, body.rate, body.channels))
    except broadcasts.BroadcastError as error:
        raise ApiError(400, str(error)) from None


@blueprint.post("/admin/api/broadcasts/<broadcast_id>/start")
def start(broadcast_id: str) -> Response:
    audit("start", broadcast_id[:40])
    return _do("start", broadcast_id)


@blueprint.post("/admin/api/broadcasts/<broadcast_id>/cancel")
def cancel(broadcast_id: str) -> Response:
    audit("cancel", broadcast_id[:40])
    return _do("cancel", broadcast_id)


def _do(action: str, broadcast_id: str) -> Response:
    found: dict[str, Any]
    try:
        found = getattr(broadcasts.Broadcasts(current_bot()), action)(broadcast_id)
    except broadcasts.BroadcastError as error:
        raise ApiError(404, str(error)) from None
    return respond(found)
