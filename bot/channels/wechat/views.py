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

from bot.channels.turn import Turn
from bot.channels.wechat.crypto import check_signature, open_envelope, query, render
from bot.channels.wechat.messenger import MAX_MESSAGE, Wechat
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
    try:
        reply = _answer(envelope.message, began)
    except StoreDownError as error:
        metrics.STORE_DOWN.inc()
        log.error("wechat: %s", error)
        reply = dialogue.BUSY
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


def _answer(message: Any, began: float) -> str:
    """The reply's text; "" for events that nobody expects an answer to."""
    bot, fields = current_bot(), message._data  # wechatpy's objects forget the type of what they do not know
    event = str(fields.get("Event", "")).lower()
    message_id = short_id(str(message.id or f"event-{event}-{message.source}-{fields['CreateTime']}"))
    conversation = Conversation("wechat", message.source)
    refusal = bot.limits.blocked(conversation, message_id)
    if refusal is not None:
        return refusal
    messenger = bot.channels.get("wechat")
    messenger = messenger if isinstance(messenger, Wechat) else None
    text = _text_of(message)
    if messenger and not bot.commands.is_emergency(text or ""):  # help is said with the store away, too
        messenger.allow(conversation, message_id, event)
    turn = Turn(bot, conversation, message_id, began, MAX_MESSAGE, messenger, REQUESTS)
    if fields["MsgType"].lower() == "event":
        if event.startswith("subscribe"):
            return turn.greet()
        return dialogue.HELP if event.startswith(ANSWERED_EVENTS) else ""
    return dialogue.TEXT_ONLY if text is None else turn.reply(text)


def _text_of(message: Any) -> str | None:
    """What the user wrote, or said so that the platform understood it; None for anything else."""
    if message.type == "text":
        return message.content or ""
    return message.recognition or None if message.type == "voice" else None
