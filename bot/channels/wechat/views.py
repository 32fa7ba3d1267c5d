"""GET and POST /wechat: the WeChat Official Account platform. What goes over the wire is in crypto.py.

The platform waits five seconds, then sends the same message again, three requests in all; an empty body or
"success" ends that. So the first two requests answer if the answer is done in time and else hold the line
until the platform hangs up; the third answers with what there is, and 继续 brings the rest.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from bot.channels.reply import Request
from bot.channels.wechat.crypto import check_signature, open_envelope, query, render
from bot.channels.wechat.messenger import MAX_MESSAGE, Wechat
from bot.chat.turn import Decision, Outcome, Turn
from bot.context import current_bot
from bot.settings.config import Settings
from bot.store.connection import StoreDownError
from bot.telemetry import metrics
from bot.text import dialogue
from bot.text.records import Conversation, short_id

log = logging.getLogger(__name__)
blueprint = Blueprint("wechat", __name__)

REQUESTS = 3  # that the platform makes for one message
# What a user does on purpose; the platform's own events (position, delivery reports …) expect no answer.
ANSWERED_EVENTS = ("click", "scan", "pic_", "location_select")
# What the platform writes in place of a sticker and the like.
PLACEHOLDERS = ("收到不支持的消息类型，暂无法显示", "Unsupported Message")


@blueprint.get("/wechat")
def check() -> Response:
    """The platform's check of the address: echostr comes back if the signature is right."""
    settings = _settings()
    check_signature(settings.wechat_token or "", "signature", *query("timestamp", "nonce"))
    return Response(request.args.get("echostr", ""), mimetype="text/plain")


@blueprint.post("/wechat")
def receive() -> Response:
    began, settings = time.monotonic(), _settings()
    envelope = open_envelope(settings, request.get_data())
    turn = _turn(envelope.message)
    try:
        reply = _answer(envelope.message, turn, began)
    except StoreDownError as error:
        metrics.STORE_DOWN.inc()
        log.error("wechat: %s", error)
        reply = turn.busy
    if not reply:
        return Response("success", mimetype="text/plain")
    xml = render(envelope.message.target, envelope.message.source, reply)
    return Response(envelope.seal(xml), mimetype="application/xml")


def _settings() -> Settings:
    settings = current_bot().settings
    if not settings.wechat_token:
        raise NotFound("WeChat is not set up here: set PLM_WECHAT_TOKEN")
    return settings


# What is said


def _turn(message: Any) -> Turn:
    fields = message._data  # wechatpy's objects forget the type of what they do not know
    message_id = short_id(
        str(message.id or f"event-{_event(message)}-{message.source}-{fields['CreateTime']}")
    )
    return Turn(current_bot(), Conversation("wechat", message.source), message_id)


def _event(message: Any) -> str:
    return str(message._data.get("Event", "")).lower()


def _answer(message: Any, turn: Turn, began: float) -> str:
    """The reply's text; "" for events that nobody expects an answer to."""
    decision = _decide(message, turn)
    messenger = turn.bot.channels.get("wechat")
    messenger = messenger if isinstance(messenger, Wechat) else None
    if messenger and decision.outcome is not Outcome.BLOCKED:
        try:
            messenger.allow(turn.conversation, turn.message_id, _event(message))
        except StoreDownError:
            if decision.outcome is not Outcome.EMERGENCY:  # help is said all the same
                raise
    return Request(turn, began, MAX_MESSAGE, REQUESTS).reply(decision, messenger)


def _decide(message: Any, turn: Turn) -> Decision:
    if message._data["MsgType"].lower() != "event":
        return turn.decide(_text_of(message))
    event = _event(message)
    if event.startswith("subscribe"):
        return turn.greet()
    return turn.notify(dialogue.HELP if event.startswith(ANSWERED_EVENTS) else "")


def _text_of(message: Any) -> str | None:
    """What the user wrote, or said so that the platform understood it; None for anything else."""
    if message.type == "text":
        text = message.content or ""
        return None if text.strip().strip("【】[]") in PLACEHOLDERS else text
    return message.recognition or None if message.type == "voice" else None
