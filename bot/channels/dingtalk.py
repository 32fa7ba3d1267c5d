"""POST /dingtalk: a robot of a DingTalk (钉钉) application, in HTTP mode.

https://open.dingtalk.com/document/orgapp/receive-message: the headers `timestamp` (ms) and `sign`, which is
base64(HMAC-SHA256(app secret, timestamp + "\\n" + app secret)); a timestamp more than an hour off is refused.
The signature does not cover the body: as the platform has made it, whoever reads one request can forge others
for an hour, so the way here must be TLS.

Answers go to the `sessionWebhook` that comes with a message, until `sessionWebhookExpiredTime`
(https://open.dingtalk.com/document/orgapp/robot-reply-and-send-messages). It comes from outside: it is used
only if it is where PLM_DINGTALK_API_URL says that DingTalk is. Else, the answer is in the response. In groups
the platform passes on what mentions the robot.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Annotated
from urllib.parse import urlsplit

from flask import Response, jsonify, request
from pydantic import Field
from werkzeug.exceptions import Forbidden

from bot.channels.adapter import Adapter, Incoming, Payload, read
from bot.channels.client import SendError, call_json
from bot.channels.delivery import Messenger
from bot.context import Bot
from bot.text.records import Conversation, short_id

WINDOW_MS = 3600 * 1000
SESSION_MS = 24 * WINDOW_MS  # no sessionWebhook is good for so long
SENDS = 1000  # messages that one sessionWebhook takes: no number is documented
RETRYABLE = (-1, 130101, 130103, 130108)  # busy, or too many messages in a minute
PATH = "/robot/sendBySession"
Id = Annotated[str, Field(min_length=1, max_length=200)]


class Text(Payload):
    content: str


class RichText(Payload):
    text: str = ""


class Content(Payload):
    recognition: str | None = None  # of a voice message: what the platform has understood
    richText: tuple[RichText, ...] = Field((), strict=False)  # noqa: N815  pieces, of which some are pictures


class Message(Payload):
    msgtype: str
    msgId: Id  # noqa: N815  as DingTalk writes them
    conversationType: str  # noqa: N815  "1": private, "2": a group
    conversationId: Id  # noqa: N815
    senderId: Id  # noqa: N815
    senderStaffId: Id | None = None  # noqa: N815  only of people in the robot's own organisation
    sessionWebhook: str = ""  # noqa: N815
    sessionWebhookExpiredTime: int = 0  # noqa: N815  ms
    text: Text | None = None
    content: Content | str | None = None


class Dingtalk(Adapter):
    name = "dingtalk"
    limit = 4000
    counted = True

    def __init__(self, bot: Bot) -> None:
        super().__init__(bot)
        self.secret = (bot.settings.dingtalk_app_secret or "").encode()
        self.home = urlsplit(bot.settings.dingtalk_api_url)

    def open(self) -> Incoming:
        self._check()
        message = read(Message, request.get_data())
        user = message.senderStaffId or message.senderId
        if message.conversationType != "1":
            user = f"{message.conversationId}/{user}"
        left = min(message.sessionWebhookExpiredTime - int(time.time() * 1000), SESSION_MS)
        address = message.sessionWebhook if left > 0 and self._is_own(message.sessionWebhook) else ""
        address = f"{left} {address}" if address else ""
        return Incoming(user, message.msgId, _text_of(message), _respond, address=address)

    def _check(self) -> None:
        timestamp, sign = request.headers.get("timestamp", ""), request.headers.get("sign", "")
        digest = hmac.digest(self.secret, timestamp.encode() + b"\n" + self.secret, hashlib.sha256)
        if not hmac.compare_digest(base64.b64encode(digest), sign.encode()):
            raise Forbidden("sign is wrong")
        if not timestamp.isdecimal() or abs(int(timestamp[:20]) - time.time() * 1000) > WINDOW_MS:
            raise Forbidden("the timestamp is too far from the time here")

    def _is_own(self, address: str) -> bool:
        try:
            url = urlsplit(address)
        except ValueError:
            return False
        return (url.scheme, url.netloc, url.path) == (self.home.scheme, self.home.netloc, PATH)

    def messenger(self, conversation: Conversation, incoming: Incoming) -> Messenger | None:
        left, _, address = incoming.address.partition(" ")
        if not address:
            return None
        self.bot.outbox.allow(conversation, short_id(incoming.id), SENDS, int(left), False, address)
        return self

    def send(self, user: str, text: str, key: str) -> None:
        address = self.bot.outbox.address(Conversation(self.name, user))
        if not self._is_own(address):
            raise SendError("the session has ended", retryable=False)
        answer = call_json("sendBySession", address, {"msgtype": "text", "text": {"content": text}})
        code = answer.fields.get("errcode")
        if code:
            text = f"sendBySession: error {code}: {str(answer.fields.get('errmsg', ''))[:200]!r}"
            raise SendError(text, retryable=code in RETRYABLE)


def _text_of(message: Message) -> str | None:
    """What was typed, or said so that the platform understood it; None where nothing was."""
    if message.msgtype == "text" and message.text:
        return message.text.content
    if isinstance(message.content, Content):
        if message.msgtype == "audio":
            return message.content.recognition or None
        if message.msgtype == "richText":
            return "".join(piece.text for piece in message.content.richText).strip() or None
    return None


def _respond(reply: str) -> Response:
    return jsonify({"msgtype": "text", "text": {"content": reply}} if reply else {"msgtype": "empty"})
