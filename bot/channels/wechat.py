"""GET and POST /wechat: the WeChat Official Account platform. What goes over the wire is in wechat_wire.py.

The platform waits five seconds, then sends the same message again, three requests in all; an empty body or
"success" ends that. So the first two requests answer if the answer is done in time and else hold the line
until the platform hangs up; the third answers with what there is, and 继续 brings the rest.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import GatewayTimeout, NotFound

from bot import current_bot, dialogue, metrics
from bot.channels.wechat_push import Wechat
from bot.channels.wechat_wire import check_signature, open_envelope, query, render
from bot.config import Settings
from bot.records import Conversation, Job, short_id
from bot.store import StoreDownError

log = logging.getLogger(__name__)
blueprint = Blueprint("wechat", __name__)

ANSWER_BY = 4.5  # seconds after a request came in: what is answered now still arrives
HOLD = 5.3  # seconds: the platform has hung up by then, and will ask again
LAST_AFTER = 9.0  # seconds after the first request: this must be the last one, whatever became of the second
MAX_REPLY = 1800  # bytes of text
# What a user does on purpose; the platform's own events (position, delivery reports …) expect no answer.
ANSWERED_EVENTS = ("click", "scan", "pic_", "location_select")


@blueprint.get("/wechat")
def check() -> Response:
    """The platform's check of the address: echostr comes back if the signature is right."""
    settings = _settings()
    check_signature(settings, "signature", *query("timestamp", "nonce"))
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
    return Response(envelope.seal(render(envelope.message, reply)), mimetype="application/xml")


def _settings() -> Settings:
    settings = current_bot().settings
    if not settings.wechat_token:
        raise NotFound("WeChat is not set up here: set PLM_WECHAT_TOKEN")
    return settings


# What is said


def _answer(message: Any, began: float) -> str:
    """The reply's text; "" for events that nobody expects an answer to."""
    bot = current_bot()
    conversation = Conversation("wechat", message.source)
    event = f"{message._data.get('Event', '')}-{message._data.get('CreateTime')}"
    refusal = bot.limits.blocked(conversation, short_id(str(message.id or event)))
    if refusal is not None:
        return refusal
    fields = message._data  # wechatpy's objects forget the type of what they do not know
    pushes = bot.channels.get("wechat")
    if isinstance(pushes, Wechat):
        event = str(fields.get("Event", "")).lower()
        pushes.allow(conversation, short_id(f"{message.id or message.time}"), event)
    if fields["MsgType"].lower() == "event":
        event = str(fields.get("Event")).lower()
        if event.startswith("subscribe"):
            return _welcome(conversation, message)
        return dialogue.HELP if event.startswith(ANSWERED_EVENTS) else ""
    text = _text_of(message)
    if text is None:
        return dialogue.TEXT_ONLY
    question = dialogue.clean_question(text)
    message_id, nonce = short_id(str(message.id)), uuid.uuid4().hex
    if not question.text:
        return dialogue.NOTHING_TO_READ
    command = dialogue.command(question.text)
    done = bot.commands.answer(conversation, message_id, question.text)
    if done is not None:
        return done.reply or _hand_out(conversation, done, done.id, "", began, last=True)
    if command == "more":
        return _continue(conversation, bot.store.more(conversation, message_id, nonce), began)
    refusal = bot.limits.refusal(conversation, message_id)
    if refusal is not None:
        return refusal
    job = bot.jobs.ask(conversation, message_id, question.text)
    before = bot.settings.disclaimer + "\n\n" if job.notice and bot.settings.disclaimer else ""
    before += dialogue.QUESTION_CUT + "\n" if question.cut else ""
    if isinstance(pushes, Wechat):
        pushes.push_later(conversation, job.id, before)
        return ""
    return _hand_out(conversation, job, job.id, before, began, last=job.attempts >= 3 or job.age > LAST_AFTER)


def _text_of(message: Any) -> str | None:
    """What the user wrote, or said so that the platform understood it; None for anything else."""
    if message.type == "text":
        return message.content or ""
    return message.recognition or None if message.type == "voice" else None


def _welcome(conversation: Conversation, message: Any) -> str:
    """Greets without the store, if need be: the same words every time."""
    bot = current_bot()
    reply = "\n\n".join(filter(None, (dialogue.WELCOME, bot.settings.disclaimer)))
    event_id = short_id(f"event-{message.source}-{message.time}")
    try:
        bot.store.command(conversation, event_id, uuid.uuid4().hex, "greet", reply)
    except StoreDownError as error:
        log.error("wechat: %s", error)
    return reply


def _continue(conversation: Conversation, wish: Job, began: float) -> str:
    if wish.reply is not None:
        return wish.reply
    if not wish.source:
        return dialogue.NOTHING_MORE
    before = ""
    if not wish.latest and (question := current_bot().store.job(conversation, wish.source).question):
        before = dialogue.label(question)
    # Told after one wait, finished or not: the user has waited for it before.
    return _hand_out(conversation, wish, wish.source, before, began, last=True)


def _hand_out(
    conversation: Conversation, job: Job, source: str, before: str, began: float, last: bool
) -> str:
    """The reply to `job` out of the answer to `source`: when that is finished, or at the last moment."""
    bot = current_bot()
    while True:
        answer = bot.jobs.generate(conversation, source, began + (ANSWER_BY if last else HOLD))
        reply = job.reply if source != job.id else answer.reply
        if reply is not None:
            return reply
        if answer.status == "failed" or not answer.status:
            return dialogue.BUSY
        if not answer.finished and not last:
            raise GatewayTimeout("not finished; the platform asks again")
        piece = dialogue.piece(answer.text, answer.delivered, answer.finished, MAX_REPLY, before)
        settled = bot.store.reply(
            conversation, job.id, source, piece.start, piece.end, piece.text, piece.more
        )
        if settled is not None:
            if not answer.finished:
                metrics.DEADLINE_MISSES.inc()
            return settled
