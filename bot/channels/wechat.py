"""GET and POST /wechat: the WeChat Official Account platform. The only module that knows wechatpy.

The platform waits five seconds, then sends the same message again, three requests in all; an empty body or
"success" ends that. So the first two requests answer if the answer is done in time and else hold the line
until the platform hangs up; the third answers with what there is, and 继续 brings the rest.

wechatpy 1.8.18 parses, encrypts and renders; mended here: signatures compared in constant time, padding
checked, `]]>` split in replies, entity bombs and documents without the expected fields refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import secrets
import time
import uuid
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Any

import defusedxml.ElementTree
from defusedxml import DefusedXmlException
from flask import Blueprint, Response, request
from wechatpy.crypto import PrpCrypto
from wechatpy.crypto.pkcs7 import PKCS7Encoder
from wechatpy.exceptions import InvalidAppIdException
from wechatpy.fields import StringField
from wechatpy.parser import parse_message
from wechatpy.replies import TextReply
from werkzeug.exceptions import BadRequest, Forbidden, GatewayTimeout, NotFound

from bot import current_bot, dialogue, metrics
from bot.config import Settings
from bot.records import Conversation, Job, short_id
from bot.store import StoreDownError

log = logging.getLogger(__name__)
blueprint = Blueprint("wechat", __name__)

ANSWER_BY = 4.5  # seconds after a request came in: what is answered now still arrives
HOLD = 5.3  # seconds: the platform has hung up by then, and will ask again
LAST_AFTER = 9.0  # seconds after the first request: this must be the last one, whatever became of the second
MAX_REPLY = 1800  # bytes of text
# What people's keyboards get past the platform and no XML parser takes.
NOT_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# What a user does on purpose; the platform's own events (position, delivery reports …) expect no answer.
ANSWERED_EVENTS = ("click", "scan", "pic_", "location_select")


@blueprint.get("/wechat")
def check() -> Response:
    """The platform's check of the address: echostr comes back if the signature is right."""
    settings = _settings()
    _check_signature(settings, "signature", *_query("timestamp", "nonce"))
    return Response(request.args.get("echostr", ""), mimetype="text/plain")


@blueprint.post("/wechat")
def receive() -> Response:
    began, settings = time.monotonic(), _settings()
    envelope = _open(settings, request.get_data())
    try:
        reply = _answer(envelope.message, began)
    except StoreDownError as error:
        metrics.STORE_DOWN.inc()
        log.error("wechat: %s", error)
        reply = dialogue.BUSY
    if not reply:
        return Response("success", mimetype="text/plain")
    return Response(envelope.seal(_render(envelope.message, reply)), mimetype="application/xml")


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
    if command in ("new", "help"):
        reply = dialogue.NEW_TALK if command == "new" else dialogue.HELP
        return bot.store.command(conversation, message_id, nonce, command, reply).reply or reply
    if command == "more":
        return _continue(conversation, bot.store.more(conversation, message_id, nonce), began)
    refusal = bot.limits.refusal(conversation, message_id)
    if refusal is not None:
        return refusal
    job = bot.jobs.ask(conversation, message_id, question.text)
    before = bot.settings.disclaimer + "\n\n" if job.notice and bot.settings.disclaimer else ""
    before += dialogue.QUESTION_CUT + "\n" if question.cut else ""
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
    if not wish.latest:
        before = dialogue.label(current_bot().store.job(conversation, wish.source).question)
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


# What the platform sends


@dataclass(frozen=True)
class Envelope:
    """A message that is let in; `crypto` is the key that opened it, and seals the reply."""

    message: Any
    crypto: Crypto | None
    settings: Settings

    def seal(self, xml: str) -> str:
        if self.crypto is None:
            return xml
        encrypted = self.crypto.encrypt(xml, self.settings.wechat_appid).decode()
        timestamp, nonce = str(int(time.time())), secrets.token_hex(8)
        signature = _sign(self.settings.wechat_token or "", timestamp, nonce, encrypted)
        return (
            f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt><MsgSignature><![CDATA[{signature}]]></MsgSignature>"
            f"<TimeStamp>{timestamp}</TimeStamp><Nonce><![CDATA[{nonce}]]></Nonce></xml>"
        )


class Crypto(PrpCrypto):  # type: ignore[misc]
    """wechatpy's, with padding, length and appid checked; raises ValueError or InvalidAppIdException."""

    def decrypt_checked(self, encrypted: str, appid: str) -> bytes:
        plain = self.cipher.decrypt(base64.b64decode(encrypted, validate=True))
        padding = plain[-1] if plain else 0
        if not 1 <= padding <= PKCS7Encoder.block_size or plain[-padding:] != bytes([padding]) * padding:
            raise ValueError("wrong padding")
        content = plain[16:-padding]
        length = int.from_bytes(content[:4], "big")
        if length + 4 > len(content):
            raise ValueError("wrong length")
        if not hmac.compare_digest(content[4 + length :], appid.encode()):
            raise InvalidAppIdException
        return bytes(content[4 : 4 + length])

    def get_random_string(self) -> str:
        return secrets.token_hex(8)  # wechatpy draws from a generator that can be predicted


def _open(settings: Settings, body: bytes) -> Envelope:
    """Who sends this, and what; aborts with 401, 403 or 400."""
    timestamp, nonce = _query("timestamp", "nonce")
    mode, encrypted = settings.wechat_mode_in_force, request.args.get("encrypt_type") == "aes"
    if mode == "plain" and encrypted:
        log.error("the platform sends encrypted messages: set PLM_WECHAT_AES_KEY and PLM_WECHAT_APPID")
        raise Forbidden("encrypted messages are not expected here")
    if mode == "safe" and not encrypted:
        raise Forbidden("only encrypted messages are let in")
    # An encrypted body is vouched for by msg_signature, below; a `signature` beside it must be right all the
    # same.
    if not encrypted or "signature" in request.args:
        _check_signature(settings, "signature", timestamp, nonce)
    window = settings.wechat_replay_window
    if not encrypted:
        _check_age(timestamp, window)
        return Envelope(_parse(body), None, settings)
    encrypted_text = _fields(body).get("Encrypt", "")
    _check_signature(settings, "msg_signature", timestamp, nonce, encrypted_text)
    _check_age(timestamp, window)
    for key in filter(None, (settings.wechat_aes_key, settings.wechat_aes_key_previous)):
        crypto = Crypto(base64.b64decode(key + "="))
        try:
            return Envelope(
                _parse(crypto.decrypt_checked(encrypted_text, settings.wechat_appid or "")), crypto, settings
            )
        except (ValueError, InvalidAppIdException) as error:
            fault = error
    log.warning("wechat: a signed message could not be decrypted: %s", type(fault).__name__)
    raise Forbidden("the message cannot be decrypted with the configured key and appid")


def _settings() -> Settings:
    settings = current_bot().settings
    if not settings.wechat_token:
        raise NotFound("WeChat is not set up here: set PLM_WECHAT_TOKEN")
    return settings


def _query(*names: str) -> list[str]:
    return [request.args.get(name, "") for name in names]


def _sign(token: str, *parts: str) -> str:
    return hashlib.sha1("".join(sorted((token, *parts))).encode(), usedforsecurity=False).hexdigest()


def _check_signature(settings: Settings, name: str, *parts: str) -> None:
    given = request.args.get(name, "")
    if not hmac.compare_digest(_sign(settings.wechat_token or "", *parts).encode(), given.encode()):
        raise Forbidden(f"{name} is wrong")


def _check_age(timestamp: str, window: int) -> None:
    """A recorded request is worthless after a few minutes; within them, its message id gives it away."""
    if not window:
        return
    if not timestamp.isdecimal():
        raise Forbidden("the timestamp is not a number")
    ahead = int(timestamp[:15]) - time.time()
    if abs(ahead) > window:
        # It is signed: either an old recording, or the clock of this machine is wrong and nobody gets in.
        log.warning(
            "wechat: refused: its timestamp is %+.0f s off the clock here, %d s are let in", ahead, window
        )
        raise Forbidden("the timestamp is too far from the time here")


def _fields(body: bytes) -> dict[str, str]:
    try:
        root = defusedxml.ElementTree.fromstring(body, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        raise BadRequest("the body is not the XML of a message") from None
    if root.tag != "xml":
        raise BadRequest("the body is not the XML of a message")
    return {child.tag: child.text or "" for child in root}


def _parse(body: bytes) -> Any:
    body = NOT_XML.sub(b"", body)
    fields = _fields(body)
    for name in ("ToUserName", "FromUserName", "MsgType", "CreateTime"):
        if not fields.get(name):
            raise BadRequest(f"{name} is missing")
    if fields["MsgType"] != "event" and not fields.get("MsgId"):
        raise BadRequest("MsgId is missing")
    numbers = [fields["CreateTime"], fields.get("MsgId", "0")]
    if not all(number.isascii() and number.isdecimal() and len(number) <= 30 for number in numbers):
        raise BadRequest("CreateTime or MsgId is not a number")
    try:
        return parse_message(body.decode())
    except Exception:  # wechatpy raises what its dictionaries raise
        log.warning("wechat: a message of type %s could not be read", fields["MsgType"], exc_info=True)
        raise BadRequest("the message cannot be read") from None


# What it gets back


class _SafeTextField(StringField):  # type: ignore[misc]
    """CDATA cannot hold its own end mark: it is split over two sections."""

    def to_xml(self, value: str) -> str:
        return str(super().to_xml(value.replace("]]>", "]]]]><![CDATA[>")))


class _Reply(TextReply):  # type: ignore[misc]
    source = _SafeTextField("FromUserName")
    target = _SafeTextField("ToUserName")
    content = _SafeTextField("Content")


def _render(message: Any, text: str) -> str:
    return str(_Reply(message=message, content=text, time=int(time.time())).render())
