"""POST /webhook/<name>, signed as Standard Webhooks says (https://www.standardwebhooks.com).

In: {"user", "text", "id"?}; out: {"reply", "conversation"}. The same id gets the same answer and is asked
once. With PLM_WEBHOOK_<NAME>_URL set, the answer is also sent there, signed, however late it comes: by a task
that is tried again for a day while the receiver does not say 2xx, and is a dead letter then. A task names the
webhook, never an address: answers go to configured addresses alone, and redirections are not followed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests
from flask import Blueprint, request
from standardwebhooks.webhooks import Webhook as Signer
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable, Unauthorized

from bot.chat.answers import MAX_ANSWER_SECONDS
from bot.chat.channel import Channel
from bot.context import Bot, current_bot
from bot.server.direct_http import session_for
from bot.settings.values import Webhook
from bot.tasks.queue import PermanentError, RetryLaterError
from bot.text import dialogue
from bot.text.records import Conversation, short_id

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
    conversation, question = Conversation("webhook-" + name, user), dialogue.clean_question(text)
    turn = Turn(bot, conversation, short_id(message_id), question.text, question.cut)
    reply = turn.begin()
    if settings.url and reply != "":
        bot.tasks.send(QUEUE, TASK, conversation, name, user, message_id, reply, question.cut)
    if reply is None:
        reply = turn.wait(REPLY_TIMEOUT)
    if reply is None:
        raise ServiceUnavailable(dialogue.BUSY + "。 No answer in time; send it again with the same id.")
    return {"reply": reply, "conversation": conversation.id}


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
        raise BadRequest("'id' must be a text")
    return user, message["text"], str(message_id).encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class Turn:
    """One message and the reply to it, which more than one may wait for."""

    bot: Bot
    conversation: Conversation
    message_id: str
    question: str
    cut: bool  # the end of an over-long question was left out

    def begin(self) -> str | None:
        """Take the message in, once per id; its reply if there is nothing to wait for."""
        refusal = self.bot.limits.blocked(self.conversation, self.message_id)
        if refusal is not None:
            return refusal
        text = self.question
        if not text:
            return dialogue.NOTHING_TO_READ
        done = self.bot.commands.answer(self.conversation, self.message_id, text)
        if done is not None:
            return done.reply or done.text
        refusal = self.bot.limits.refusal(self.conversation, self.message_id)
        if refusal is None:
            self.bot.answers.enqueue(self.conversation, self.message_id, text)
        return refusal

    def wait(self, seconds: float) -> str | None:
        """The reply; None if there is none by then, or none to be had."""
        message = self.bot.answers.wait(self.conversation, self.message_id, time.monotonic() + seconds)
        if message.status != "done":
            return None
        disclaimer = self.bot.settings.disclaimer
        notice = disclaimer + "\n\n" if message.notice and disclaimer else ""
        return notice + message.text + ("\n" + dialogue.QUESTION_CUT if self.cut else "")


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
    if not message.status:
        raise PermanentError("the message is not known any more")
    if message.status == "failed":
        bot.answers.enqueue(conversation, message_id, message.question)
    turn, end = (
        Turn(bot, conversation, message_id, message.question, cut),
        time.monotonic() + MAX_ANSWER_SECONDS,
    )
    while time.monotonic() < end and not bot.answers.stopping:
        reply = turn.wait(1.0)
        if reply is not None:
            return reply
        if bot.store.message(conversation, message_id).status == "failed":
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
