"""What a visitor of the chat page does with what is kept: see earlier talks, rate answers, export, erase.

GET  /page/talks                        {"talks": [{"talk", "title", "time", "current"}]}, the newest first
GET  /page/export                       the visitor's whole transcript as a text file
POST /page/feedback {"id", "verdict"}   what is thought of the answer with this id: "up", "down", or ""
POST /page/erase {"id", "talk"}         deletes one talk; {"talk"} is the number of the one that goes on
POST /page/forget {"id"}                deletes all that is kept of the visitor
"""

from __future__ import annotations

import logging
import time
import uuid

import limits
from flask import Blueprint, Response, jsonify, request

from bot.context import current_bot
from bot.store.connection import StoreDownError
from bot.store.feedback import FeedbackStore, Verdict
from bot.store.talks import TalkStore
from bot.telemetry import metrics
from bot.text import dialogue
from bot.web.visitor import (
    current_conversation,
    page_strings,
    read_request,
    refuse,
    set_token,
    talk_number,
)

log = logging.getLogger(__name__)
blueprint = Blueprint("talks", __name__)

RATES = (limits.parse("60/minute"),)  # of these requests for one address: each reads a whole transcript
VERDICTS: dict[object, Verdict] = {"up": "up", "down": "down", "": ""}


@blueprint.before_request
def slow_down() -> Response | None:
    if not (wait := current_bot().store.rates.hit(f"talks:{request.remote_addr}", RATES)):
        return None
    metrics.LIMITED.inc()
    response = refuse(429, page_strings()[1]["slow"])
    response.headers["Retry-After"] = str(wait)
    return response


@blueprint.after_request
def keep_out_of_caches(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/page/talks")
def list_talks() -> Response:
    conversation, store = current_conversation(), current_bot().store
    if conversation is None:
        return jsonify(talks=[])
    current = store.talk(conversation)
    rows = [
        {
            "talk": talk.number, "title": talk.title, "time": talk.updated,
            "current": talk.number == current,
        }
        for talk in TalkStore(store).list(conversation)
    ]  # fmt: skip
    return jsonify(talks=rows)


@blueprint.get("/page/export")
def export() -> Response:
    conversation, says = current_conversation(), page_strings()[1]
    turns = current_bot().store.turns(conversation, last=0) if conversation else []
    turns.sort(key=lambda turn: turn["talk"])  # in each talk in their order
    lines: list[str] = []
    talk = None
    for turn in turns:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(turn["time"]))
        if turn["talk"] != talk:
            lines += ["", f"—— {when} ——"]
            talk = turn["talk"]
        lines.append(f"{says[turn['role']]}（{when}）：{turn['content']}")
    text = "\n".join(lines).strip() or dialogue.NOTHING_TO_EXPORT
    headers = {"Content-Disposition": f'attachment; filename="talks-{time.strftime("%Y%m%d")}.txt"'}
    return Response(text + "\n", mimetype="text/plain", headers=headers)


@blueprint.post("/page/feedback")
def rate() -> Response:
    conversation, message_id, body = read_request()
    bot, given = current_bot(), body.get("verdict")
    if not isinstance(given, str) or given not in VERDICTS:
        return refuse(400, "verdict must be up, down or empty")
    verdict = VERDICTS[given]
    before = FeedbackStore(bot.store).mark(conversation, message_id, verdict)
    if before is None:
        return refuse(404, page_strings()[1]["no_answer"])
    if verdict != before:
        changed = ([f"-{before}"] if before else []) + ([verdict] if verdict else [])
        bot.answers.days.count(conversation, *changed)
    return jsonify(done=True)


@blueprint.post("/page/erase")
def erase() -> Response:
    conversation, _, body = read_request()
    talk = talk_number(body.get("talk"))
    if talk is None:
        return refuse(400, "talk must be the number of a talk")
    return jsonify(done=True, talk=current_bot().erasure.erase_talk(conversation, talk))


@blueprint.post("/page/forget")
def forget() -> Response:
    conversation, message_id, _ = read_request()
    nonce = uuid.uuid4().hex
    current_bot().erasure.erase_on_request(conversation, message_id, nonce, dialogue.FORGOTTEN)
    response = jsonify(done=True, talk=0)
    set_token(response, None, current_bot().settings.keep_days)  # whoever asks next is somebody new
    return response


@blueprint.errorhandler(StoreDownError)
def store_down(error: StoreDownError) -> Response:
    log.error("talks: %s", error)
    return refuse(503, page_strings()[1]["busy"])
