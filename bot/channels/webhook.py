"""POST /webhook/<name>, signed as Standard Webhooks says (https://www.standardwebhooks.com).

In: {"user", "text", "id"?}; out: {"reply", "conversation"}. The same id gets the same answer and is asked
once. With PLM_WEBHOOK_<NAME>_URL set, the answer is also sent there, signed, however late it comes.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

import requests
from flask import Blueprint, request
from standardwebhooks.webhooks import Webhook as Signer
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable, Unauthorized

from bot import Bot, current_bot, dialogue
from bot.config import Webhook
from bot.jobs import LONGEST
from bot.records import Conversation, short_id
from bot.store import StoreDownError

log = logging.getLogger(__name__)
blueprint = Blueprint("webhook", __name__)
PATIENCE = 25.0  # seconds; senders commonly wait for 30
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
    exchange = Exchange(bot, conversation, short_id(message_id), question)
    reply = exchange.begin()
    if settings.url and reply != "":
        fields = {"conversation": conversation.id, "user": user, "id": message_id}
        sender = threading.Thread(target=_send_on, args=(settings, exchange, reply, fields), daemon=True)
        sender.start()
    if reply is None:
        reply = exchange.wait(PATIENCE)
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
class Exchange:
    """One message and the reply to it, which more than one may wait for."""

    bot: Bot
    conversation: Conversation
    message_id: str
    question: dialogue.Question

    def begin(self) -> str | None:
        """Take the message in, once per id; its reply if there is nothing to wait for."""
        refusal = self.bot.limits.blocked(self.conversation, self.message_id)
        if refusal is not None:
            return refusal
        text = self.question.text
        if not text:
            return dialogue.NOTHING_TO_READ
        command = dialogue.command(text)
        if command in ("new", "help"):
            reply = dialogue.NEW_TALK if command == "new" else dialogue.HELP
            nonce = uuid.uuid4().hex
            job = self.bot.store.command(self.conversation, self.message_id, nonce, command, reply)
            return job.reply or reply
        refusal = self.bot.limits.refusal(self.conversation, self.message_id)
        if refusal is None:
            self.bot.jobs.ask(self.conversation, self.message_id, text)
        return refusal

    def wait(self, seconds: float) -> str | None:
        """The reply; None if there is none by then, or none to be had."""
        job = self.bot.jobs.generate(self.conversation, self.message_id, time.monotonic() + seconds)
        if job.status != "done":
            return None
        disclaimer = self.bot.settings.disclaimer
        notice = disclaimer + "\n\n" if job.notice and disclaimer else ""
        return notice + job.text + ("\n" + dialogue.QUESTION_CUT if self.question.cut else "")


def _send_on(settings: Webhook, exchange: Exchange, reply: str | None, fields: dict[str, str]) -> None:
    """In a thread of its own: the sender of the message may have given up waiting long before."""
    try:
        reply = reply or exchange.wait(LONGEST)
    except StoreDownError as error:
        log.error("message %s has no answer to send on: %s", exchange.message_id, error)
        return
    if reply is None:
        log.error("message %s has no answer to send on", exchange.message_id)
        return
    _send(settings, {"reply": reply, **fields})


def _send(settings: Webhook, answer: dict[str, str]) -> None:
    """Deliver the answer to the configured URL. One try and a line in the log."""
    body = json.dumps(answer, ensure_ascii=False)
    # The same answer has the same id, so that the receiver can tell a second copy.
    message_id = (
        "msg_" + hashlib.sha256(f"{answer['conversation']}\n{answer['id']}".encode()).hexdigest()[:32]
    )
    now = datetime.datetime.now(datetime.UTC)
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Signer(secret).sign(message_id, now, body) for secret in settings.secret
        ),
    }
    try:
        response = requests.post(
            settings.url or "",
            data=body.encode(),
            headers=headers,
            timeout=SEND_TIMEOUT,
            allow_redirects=False,
        )
        response.raise_for_status()
    except requests.RequestException as error:
        log.error("the answer could not be sent to %s: %s", settings.url, error)
