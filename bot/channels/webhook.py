"""POST /webhook/<name>, signed as Standard Webhooks says (https://www.standardwebhooks.com).

In: {"user", "text", "id"?}; out: {"reply", "conversation"}. The same id gets the same answer and is asked
once. With PLM_WEBHOOK_<NAME>_URL set, the answer is also sent there, signed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import threading
import time
import uuid
from typing import Any

import requests
from flask import Blueprint, request
from standardwebhooks.webhooks import Webhook as Signer
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable, Unauthorized

from bot import current_bot, dialogue
from bot.config import Webhook
from bot.records import Conversation, short_id

log = logging.getLogger(__name__)
blueprint = Blueprint("webhook", __name__)
PATIENCE = 25.0  # seconds; senders commonly wait for 30
SEND_TIMEOUT = 10.0
MAX_USER = 200  # characters


@blueprint.post("/webhook/<name>")
def receive(name: str) -> dict[str, str]:
    settings = current_bot().settings.webhooks.get(name.lower().replace("-", "_"))
    if settings is None:
        raise NotFound(f"there is no webhook {name!r}: set PLM_WEBHOOK_{name.upper()}_SECRET")
    body = request.get_data()
    if not _signed(settings, body):
        raise Unauthorized("the signature, or the time in it, is wrong")
    user, text, message_id = _read(body)
    conversation = Conversation("webhook-" + name.lower(), user)
    answer = {"reply": _answer(conversation, short_id(message_id), text), "conversation": conversation.id}
    if settings.url:
        sender = threading.Thread(target=_send, args=(settings, {**answer, "user": user, "id": message_id}))
        sender.daemon = True
        sender.start()
    return answer


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


def _answer(conversation: Conversation, message_id: str, text: str) -> str:
    bot = current_bot()
    question = dialogue.clean_question(text)
    command = dialogue.command(question.text)
    if not question.text:
        return dialogue.NOTHING_TO_READ
    if command in ("new", "help"):
        reply = dialogue.NEW_TALK if command == "new" else dialogue.HELP
        return bot.store.command(conversation, message_id, uuid.uuid4().hex, command, reply).reply or reply
    bot.jobs.ask(conversation, message_id, question.text)
    job = bot.jobs.generate(conversation, message_id, time.monotonic() + PATIENCE)
    if job.status != "done":
        raise ServiceUnavailable(dialogue.BUSY + "。 No answer in time; send it again with the same id.")
    notice = bot.settings.disclaimer + "\n\n" if job.notice and bot.settings.disclaimer else ""
    return notice + job.text + ("\n" + dialogue.QUESTION_CUT if question.cut else "")


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
