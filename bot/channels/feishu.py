"""POST /feishu: a bot of a Feishu (飞书) or Lark application, by event subscription, version 2.0.

https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/encrypt-key-encryption-configuration-case
("接收事件"): X-Lark-Signature is sha256(timestamp + nonce + Encrypt Key + body); the body is {"encrypt": …},
AES-256-CBC under sha256(Encrypt Key). Both keys are asked for here, so nothing unsigned is let in: only the
check of the address comes without a signature, and proves itself by being encrypted.

https://open.feishu.cn/document/server-docs/im-v1/message/events/receive: im.message.receive_v1. What is not
answered with 200 within three seconds is sent again after 15 s, 5 min, 1 h and 6 h.
https://open.feishu.cn/document/server-docs/im-v1/message/create: messages with one `uuid` within an hour are
one. The response carries no reply, so each is sent; the platform's asking again repeats what failed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import time
from typing import Annotated, Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from flask import Response, jsonify, request
from pydantic import Field
from werkzeug.exceptions import Forbidden, ServiceUnavailable

from bot.channels.adapter import Adapter, Incoming, Payload, read
from bot.channels.client import Answer, SendError, TokenApi, call_json
from bot.context import Bot
from bot.settings.config import Settings
from bot.store.outbox import Outbox

log = logging.getLogger(__name__)
# Wider than an event is asked for again: a copy is known by its message id, which is remembered for longer.
WINDOW = 8 * 3600
MESSAGE = "im.message.receive_v1"
Id = Annotated[str, Field(min_length=1, max_length=200)]


class Sealed(Payload):
    encrypt: str


class Header(Payload):
    event_type: str
    token: str


class UserId(Payload):
    open_id: Id


class Sender(Payload):
    sender_id: UserId
    sender_type: str = "user"


class MentionId(Payload):
    open_id: str | None = None


class Mention(Payload):
    key: str  # as it stands in the text
    id: MentionId = MentionId()


class Message(Payload):
    message_id: Id
    chat_id: Id
    chat_type: str  # p2p, group …
    message_type: str
    content: str  # JSON
    mentions: tuple[Mention, ...] = Field((), strict=False)


class Event(Payload):
    sender: Sender
    message: Message


class Text(Payload):
    text: str


class Element(Payload):
    text: str = ""  # of a text or a link; of a mention there is user_name


class Post(Payload):
    title: str = ""
    content: tuple[tuple[Element, ...], ...] = Field((), strict=False)


class Head(Payload):
    """Of any event; or the check of the address, which is in the older form."""

    header: Header | None = None
    type: str = ""
    token: str = ""
    challenge: str = ""


class Body(Payload):
    event: Event


class Feishu(Adapter):
    name = "feishu"
    limit = 4000
    repeatable = True
    asks_again = True

    def __init__(self, bot: Bot) -> None:
        super().__init__(bot)
        settings = bot.settings
        self.key = (settings.feishu_encrypt_key or "").encode()
        self.token = (settings.feishu_verification_token or "").encode()
        self.api = FeishuApi(settings, bot.outbox)

    def open(self) -> Incoming | Response:
        signed = self._signed(request.get_data())
        plain = self._decrypt(read(Sealed, request.get_data()).encrypt)
        head = read(Head, plain)
        given = head.header.token if head.header else head.token
        if not hmac.compare_digest(given.encode(), self.token):
            raise Forbidden("the request is not Feishu's")
        if head.type == "url_verification":
            return jsonify(challenge=head.challenge)
        if not signed:
            raise Forbidden("the request is not Feishu's")
        if head.header is None or head.header.event_type != MESSAGE:
            return jsonify({})
        return self._read(read(Body, plain).event)

    def _read(self, event: Event) -> Incoming | Response:
        message, user = event.message, event.sender.sender_id.open_id
        private = message.chat_type == "p2p"
        if event.sender.sender_type != "user" or not (private or self._is_mentioned(message)):
            return jsonify({})
        text = _text_of(message)
        for mention in message.mentions:
            text = text and text.replace(mention.key, "")
        if not private:
            user = f"{message.chat_id}/{user}"

        def respond(reply: str) -> Response:
            if reply:
                self._respond(user, reply, message.message_id)
            return jsonify({})

        return Incoming(user, message.message_id, text, respond)

    def _is_mentioned(self, message: Message) -> bool:
        """By its own name: neither a colleague's nor everybody's. False while its own is not known."""
        named = {mention.id.open_id for mention in message.mentions}
        return bool(named) and self.api.open_id() in named

    def _respond(self, user: str, reply: str, message_id: str) -> None:
        try:
            self.send(user, reply, hashlib.sha256(message_id.encode()).hexdigest()[:32])
        except SendError as error:
            log.error("feishu: a reply was not sent: %s", error)
            if error.retryable:
                raise ServiceUnavailable("the reply could not be sent: ask again") from None

    def _signed(self, body: bytes) -> bool:
        """False without a signature; a wrong one is refused."""
        given = request.headers.get("X-Lark-Signature")
        if given is None:
            return False
        timestamp = request.headers.get("X-Lark-Request-Timestamp", "")
        start = (timestamp + request.headers.get("X-Lark-Request-Nonce", "")).encode()
        if not hmac.compare_digest(
            hashlib.sha256(start + self.key + body).hexdigest().encode(), given.encode()
        ):
            raise Forbidden("the request is not Feishu's")
        if not timestamp.isdecimal() or abs(int(timestamp[:15]) - time.time()) > WINDOW:
            raise Forbidden("the timestamp is too far from the time here")
        return True

    def _decrypt(self, encrypted: str) -> bytes:
        try:
            data = base64.b64decode(encrypted, validate=True)
            cipher = Cipher(
                algorithms.AES(hashlib.sha256(self.key).digest()), modes.CBC(data[:16])
            ).decryptor()
            unpadder = PKCS7(128).unpadder()
            padded = cipher.update(data[16:]) + cipher.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except (ValueError, binascii.Error):
            raise Forbidden("the request is not Feishu's") from None

    def send(self, user: str, text: str, key: str) -> None:
        chat, _, person = user.rpartition("/")
        kind = "chat_id" if chat else "open_id"
        # In a text, <at user_id="all"> would call everybody.
        content = json.dumps({"text": text.replace("<at", "＜at")}, ensure_ascii=False)
        body = {"receive_id": chat or person, "msg_type": "text", "content": content, "uuid": key}
        self.api.call(f"im/v1/messages?receive_id_type={kind}", body)


def _text_of(message: Message) -> str | None:
    """What was typed; None where nothing was. A `post` is lines of elements of which some hold text."""
    if message.message_type == "text":
        return read(Text, message.content).text
    if message.message_type != "post":
        return None
    post = read(Post, message.content)
    lines = ["".join(element.text for element in line) for line in post.content]
    return "\n".join(line for line in (post.title, *lines) if line.strip()) or None


class FeishuApi(TokenApi):
    stale = (99991661, 99991663, 99991664, 99991668)
    # too many calls, to this user, to this group; the application lacks a right, which somebody will give it
    retryable = (99991400, 11232, 11233, 230020, 230006, 230027, 99991672)

    def __init__(self, settings: Settings, store: Outbox) -> None:
        super().__init__(store, f"feishu:{settings.feishu_app_id}", settings.feishu_app_secret or "")
        self.url = settings.feishu_api_url
        self.app_id = settings.feishu_app_id
        self._open_id = ""

    def open_id(self) -> str | None:
        """The bot's own (https://open.feishu.cn/document/client-docs/bot-v3/obtain-bot-info); None as long as
        it cannot be had."""
        path = "bot/v3/info"
        if not self._open_id:
            try:
                answer = self.with_token(path, lambda token: self._ask(path, None, token))
            except SendError as error:
                log.error("feishu: who this bot is cannot be found out, so no group is answered: %s", error)
                return None
            bot = answer.fields.get("bot")
            self._open_id = str(bot.get("open_id") or "") if isinstance(bot, dict) else ""
        return self._open_id or None

    def fetch(self, stale: str) -> tuple[str, float]:
        path = "auth/v3/tenant_access_token/internal"
        answer = self._ask(path, {"app_id": self.app_id, "app_secret": self.secret})
        token, seconds = answer.fields.get("tenant_access_token"), answer.fields.get("expire")
        if not isinstance(token, str) or not token or not isinstance(seconds, int):
            raise SendError(self.explain(path, answer)[1])
        return token, seconds

    def request(self, path: str, body: dict[str, Any], token: str) -> Answer:
        return self._ask(path, body, token)

    def _ask(self, path: str, body: dict[str, Any] | None, token: str = "") -> Answer:
        """POST, or GET without a body."""
        headers = {"authorization": f"Bearer {token}"} if token else None
        return call_json(path, f"{self.url}/open-apis/{path}", body, headers)

    def explain(self, path: str, answer: Answer) -> tuple[int, str]:
        code = answer.fields.get("code", -1)
        text = f"{path}: error {code}: {str(answer.fields.get('msg', ''))[:200]!r}"
        return code if isinstance(code, int) else -1, text
