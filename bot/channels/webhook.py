"""POST /webhook/<name>, signed as Standard Webhooks says (https://www.standardwebhooks.com).

In: {"user", "text", "id"?}; out: {"reply", "conversation"}. The same id gets the same answer and is asked
once; with another text it is a 409. With PLM_WEBHOOK_<NAME>_URL set, the answer is also sent there, signed,
however late it comes: by a task that is tried again for a day while the receiver does not say 2xx, and is a
dead letter then. A task names the webhook, never an address: answers go to configured addresses alone, and
redirections are not followed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import requests
from flask import Blueprint, request
from standardwebhooks.webhooks import Webhook as Signer
from werkzeug.exceptions import BadRequest, Conflict, NotFound, ServiceUnavailable, Unauthorized

from bot.chat.answers import MAX_ANSWER_SECONDS
from bot.chat.channel import Channel
from bot.chat.turn import Decision, Outcome, Turn
from bot.context import Bot, current_bot
from bot.server.direct_http import session_for
from bot.settings.values import Webhook
from bot.store.connection import StoreDownError
from bot.tasks.queue import PermanentError, RetryLaterError
from bot.text import dialogue
from bot.text.records import Conversation, short_id

log = logging.getLogger(__name__)
blueprint = Blueprint("webhook", __name__)
QUEUE, TASK = "webhook", "send_on"
REPLY_TIMEOUT = 25.0  # seconds; senders commonly wait for 30
SEND_TIMEOUT = 10.0
MAX_USER = 200  # characters


@blueprint.post("/webhook/<name>")
def receive(name: str) -> dict[str, str]:
    bot, name = current_bot(), name.lower().replace("-", "_")
    settings = bot.settings.webhooks.get(name)
    if settings is None:
        raise NotFound(f"there is no webhook {name!r}: set PLM_WEBHOOK_{name.upper()}_SECRET")
    body = request.get_data()
    if not _signed(settings, body):
        raise Unauthorized("the signature, or the time in it, is wrong")
    user, text, message_id = _read(body)
    conversation = Conversation("webhook-" + name, user)
    turn = Turn(bot, conversation, short_id(message_id), shown_whole=True)
    decision = turn.decide(text)
    if decision.message and not bot.store.is_same_text(conversation, turn.message_id, text):
        raise Conflict(
            f"the id {message_id!r} came before with another text: each message needs its own, or none"
        )
    reply = turn.whole_reply(decision)
    if settings.url and reply != "":
        _send_on(bot, decision, conversation, (name, user, message_id, reply, decision.cut))
    if reply is None:
        end = time.monotonic() + REPLY_TIMEOUT
        reply = _wait(bot, conversation, decision.source, end, decision.cut)
    if reply is None:
        raise ServiceUnavailable(turn.busy + "。 No answer in time; send it again with the same id.")
    return {"reply": reply, "conversation": conversation.id}


def _send_on(bot: Bot, decision: Decision, conversation: Conversation, task: tuple[Any, ...]) -> None:
    try:
        bot.tasks.send(QUEUE, TASK, conversation, *task)
    except StoreDownError as error:
        if decision.outcome is not Outcome.EMERGENCY:
            raise
        log.error("an emergency's answer is in the response alone: %s", error)


def _signed(settings: Webhook, body: bytes) -> bool:
    """By any of the secrets: two are valid while one is being changed."""
    for secret in settings.secret:
        try:
            Signer(secret).verify(body, dict(request.headers), json_parse=False)
            return True
        except Exception:  # noqa: S112  the library raises many kinds on odd headers; all mean "not signed"
            continue
    return False


def _read(body: bytes) -> tuple[str, str, str]:
    try:
        message: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(message, dict):
        raise BadRequest('the body must be {"user": …, "text": …}')
    for field in ("user", "text"):
        if not isinstance(message.get(field), str) or not message[field].strip():
            raise BadRequest(f"{field!r} must be a text that is not empty")
    user = message["user"].encode("utf-8", "replace").decode()
    if len(user) > MAX_USER:
        raise BadRequest(f"'user' is longer than {MAX_USER} characters")
    message_id = message.get("id")
    if message_id is None or message_id == "":
        message_id = request.headers["webhook-id"]
    if not isinstance(message_id, str | int):
        raise BadRequest("'id' must be a text or a whole number")
    return user, message["text"], str(message_id).encode("utf-8", "replace").decode()


def _wait(bot: Bot, conversation: Conversation, message_id: str, end: float, cut: bool) -> str | None:
    """The whole answer to a message; None if there is none by time.monotonic() `end`, or none to be had."""
    message = bot.answers.wait(conversation, message_id, end)
    if message.status != "done":
        return None
    disclaimer = bot.settings.disclaimer
    notice = disclaimer + "\n\n" if message.notice and disclaimer else ""
    return notice + message.text + ("\n" + dialogue.QUESTION_CUT if cut else "")


# Answers sent on


class Callback(Channel):
    """The address that a webhook's answers are sent to."""

    def __init__(self, bot: Bot, webhook: str) -> None:
        self.bot = bot
        self.webhook = webhook
        self.name = "webhook-" + webhook

    def can_reach(self, conversation: Conversation) -> bool:
        return True

    def notify(self, conversation: Conversation, message_id: str, text: str) -> None:
        self.bot.tasks.send(
            QUEUE, TASK, conversation, self.webhook, conversation.user, message_id, text, False
        )

    def delivery_status(self, conversations: Sequence[Conversation], message_id: str) -> list[str]:
        dead_letter_args = self.bot.tasks.dead_letter_args(QUEUE, 3)

        def outcome(conversation: Conversation) -> str:
            answer = {"conversation": conversation.id, "user": conversation.user, "id": message_id}
            if self.bot.outbox.done(_delivery_id(answer)):
                return "sent"
            return "failed" if (self.webhook, conversation.user, message_id) in dead_letter_args else ""

        return [outcome(conversation) for conversation in conversations]


def add_task(bot: Bot) -> None:
    def send_on(name: str, user: str, message_id: str, reply: str | None, cut: bool) -> None:
        """The task: wait for the answer to a message and deliver it, once."""
        settings = bot.settings.webhooks.get(name)
        if settings is None or not settings.url:
            raise PermanentError(f"webhook {name} has no address any more")
        conversation = Conversation("webhook-" + name, user)
        answer = {"conversation": conversation.id, "user": user, "id": message_id}
        delivery_id = _delivery_id(answer)
        if bot.outbox.done(delivery_id):
            return
        reply = reply or _wait_for_answer(bot, conversation, short_id(message_id), cut)
        with bot.outbox.lock(delivery_id, 2 * SEND_TIMEOUT + 5):
            if not bot.outbox.done(delivery_id):
                _deliver(name, settings, delivery_id, {"reply": reply, **answer})
                bot.outbox.mark_done(delivery_id)

    bot.tasks.register(QUEUE, TASK, send_on)


def _wait_for_answer(bot: Bot, conversation: Conversation, message_id: str, cut: bool) -> str:
    message = bot.store.message(conversation, message_id)
    if message.kind == "more":  # another message's answer
        message = bot.store.message(conversation, message.source)
    if not message.status:
        raise PermanentError("the message is not known any more")
    if message.status == "failed":
        bot.answers.enqueue(conversation, message.id, message.question)
    end = time.monotonic() + MAX_ANSWER_SECONDS
    while time.monotonic() < end and not bot.answers.stopping:
        reply = _wait(bot, conversation, message.id, time.monotonic() + 1.0, cut)
        if reply is not None:
            return reply
        if bot.store.message(conversation, message.id).status == "failed":
            break
    raise RetryLaterError(f"message {message_id} has no answer to send on")


def _delivery_id(answer: dict[str, str]) -> str:
    """The same answer has the same id, so that the receiver can tell a second copy."""
    return "msg_" + hashlib.sha256(f"{answer['conversation']}\n{answer['id']}".encode()).hexdigest()[:32]


def _deliver(name: str, settings: Webhook, delivery_id: str, answer: dict[str, str | None]) -> None:
    """One try; TryAgainError unless the receiver says 2xx. Addresses may hold secrets: none is shown."""
    body = json.dumps(answer, ensure_ascii=False)
    now = datetime.datetime.now(datetime.UTC)
    signatures = [Signer(secret).sign(delivery_id, now, body) for secret in settings.secret]
    headers = {
        "content-type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    try:
        with (
            session_for(settings.url or "") as http,
            http.post(
                settings.url or "",
                data=body.encode(),
                headers=headers,
                timeout=SEND_TIMEOUT,
                allow_redirects=False,
                stream=True,  # what it says is not read
            ) as response,
        ):
            status = response.status_code
    except requests.RequestException as error:
        raise RetryLaterError(
            f"the answer could not be sent to webhook {name}: {type(error).__name__}"
        ) from None
    if status == 410:  # as the specification has it: for good
        raise PermanentError(f"webhook {name} says that it is gone")
    if not 200 <= status < 300:
        raise RetryLaterError(f"the answer could not be sent to webhook {name}: it says {status}")
