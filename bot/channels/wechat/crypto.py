"""What WeChat and WeCom send and get back: signatures, encryption, XML. Only this module knows wechatpy.

wechatpy 1.8.18 knows the messages, encrypts and renders; mended here: signatures compared in constant time,
padding checked, `]]>` split in replies, entity bombs and documents without the expected fields refused. Not
used are its parser, which would read the same XML once more, and its client for the API: see client.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import secrets
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Any

import defusedxml.ElementTree
from defusedxml import DefusedXmlException
from flask import request
from wechatpy.crypto import PrpCrypto
from wechatpy.crypto.pkcs7 import PKCS7Encoder
from wechatpy.exceptions import InvalidAppIdException
from wechatpy.fields import StringField
from wechatpy.messages import MESSAGE_TYPES, UnknownMessage
from wechatpy.replies import TextReply
from werkzeug.exceptions import BadRequest, Forbidden

from bot.settings.config import Settings

log = logging.getLogger(__name__)

Keys = tuple[str | None, ...]  # EncodingAESKeys, the current one first

# What people's keyboards get past the platform and no XML parser takes.
NOT_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")

TEXTS = (
    "ToUserName",
    "FromUserName",
    "MsgType",
    "CreateTime",
    "MsgId",
    "Content",
    "Recognition",
    "Event",
    "EventKey",
)


# What the platform sends


@dataclass(frozen=True)
class Envelope:
    """A message that is let in; `crypto` is the key that opened it, and seals the reply."""

    message: Any
    crypto: Crypto | None
    token: str
    account: str  # the appid, or WeCom's corpid

    def seal(self, xml: str) -> str:
        if self.crypto is None:
            return xml
        encrypted = self.crypto.encrypt(xml, self.account).decode()
        timestamp, nonce = str(int(time.time())), secrets.token_hex(8)
        signature = _sign(self.token, timestamp, nonce, encrypted)
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


def open_envelope(settings: Settings, body: bytes) -> Envelope:
    """Who sends this, and what; aborts with 403 or 400."""
    timestamp, nonce = query("timestamp", "nonce")
    token, appid = settings.wechat_token or "", settings.wechat_appid or ""
    mode, encrypted = settings.wechat_mode_in_force, request.args.get("encrypt_type") == "aes"
    if mode == "plain" and encrypted:
        log.error("the platform sends encrypted messages: set PLM_WECHAT_AES_KEY and PLM_WECHAT_APPID")
        raise Forbidden("encrypted messages are not expected here")
    if mode == "safe" and not encrypted:
        raise Forbidden("only encrypted messages are let in")
    # An encrypted body is vouched for by msg_signature, below; a `signature` beside it must be right all the
    # same.
    if not encrypted or "signature" in request.args:
        check_signature(token, "signature", timestamp, nonce)
    window = settings.wechat_replay_window
    if not encrypted:
        check_age(timestamp, window)
        return Envelope(_parse(body), None, token, appid)
    keys = (settings.wechat_aes_key, settings.wechat_aes_key_previous)
    plain, crypto = _unseal(body, token, appid, keys, window)
    return Envelope(_parse(plain), crypto, token, appid)


def open_sealed(body: bytes, token: str, account: str, keys: Keys, window: int) -> Envelope:
    """As WeCom has it: always encrypted, and the message is its fields. Aborts with 403 or 400."""
    plain, crypto = _unseal(body, token, account, keys, window)
    message = _message(NOT_XML.sub(b"", plain), events_without_sender=True)
    return Envelope(message, crypto, token, account)


def _unseal(body: bytes, token: str, account: str, keys: Keys, window: int) -> tuple[bytes, Crypto]:
    timestamp, nonce = query("timestamp", "nonce")
    encrypted = _fields(body).get("Encrypt", "")
    check_signature(token, "msg_signature", timestamp, nonce, encrypted)
    check_age(timestamp, window)
    return decrypt(encrypted, account, keys)


def decrypt(encrypted: str, account: str, keys: Keys) -> tuple[bytes, Crypto]:
    """What was signed, and the key that opens it; aborts with 403."""
    for key in filter(None, keys):
        crypto = Crypto(base64.b64decode(key + "="))
        try:
            return crypto.decrypt_checked(encrypted, account), crypto
        except (ValueError, InvalidAppIdException) as error:
            fault = error
    log.warning("%s: what is signed could not be decrypted: %s", account, type(fault).__name__)
    raise Forbidden("the message cannot be decrypted with the configured key and account")


def query(*names: str) -> list[str]:
    return [request.args.get(name, "") for name in names]


def _sign(token: str, *parts: str) -> str:
    return hashlib.sha1("".join(sorted((token, *parts))).encode(), usedforsecurity=False).hexdigest()


def check_signature(token: str, name: str, *parts: str) -> None:
    given = request.args.get(name, "")
    if not hmac.compare_digest(_sign(token, *parts).encode(), given.encode()):
        raise Forbidden(f"{name} is wrong")


def check_age(timestamp: str, window: int) -> None:
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
    fields = {child.tag: child.text or "" for child in root}
    for child in root:
        if child.tag in TEXTS and (len(child) or (child.text or "") != fields[child.tag]):
            raise BadRequest(f"{child.tag} is no text")
    return fields


def _parse(body: bytes) -> Any:
    """wechatpy's object of its type; what the user does (events) is in its fields alone."""
    fields = _message(NOT_XML.sub(b"", body))
    return MESSAGE_TYPES.get(fields["MsgType"].lower(), UnknownMessage)(fields)


def _message(body: bytes, events_without_sender: bool = False) -> dict[str, str]:
    """The fields of a message, with those that all have."""
    fields = _fields(body)
    nobody = events_without_sender and fields.get("MsgType") == "event"
    for name in ("ToUserName", "FromUserName", "MsgType", "CreateTime"):
        if not fields.get(name, "").strip() and not (nobody and name == "FromUserName"):
            raise BadRequest(f"{name} is missing")
    if fields["MsgType"] != "event" and not fields.get("MsgId"):
        raise BadRequest("MsgId is missing")
    numbers = [fields["CreateTime"], fields.get("MsgId", "0")]
    if not all(number.isascii() and number.isdecimal() and len(number) <= 30 for number in numbers):
        raise BadRequest("CreateTime or MsgId is not a number")
    return fields


# What it gets back


class _SafeTextField(StringField):  # type: ignore[misc]
    """CDATA cannot hold its own end mark: it is split over two sections."""

    def to_xml(self, value: str) -> str:
        return str(super().to_xml(value.replace("]]>", "]]]]><![CDATA[>")))


class _Reply(TextReply):  # type: ignore[misc]
    source = _SafeTextField("FromUserName")
    target = _SafeTextField("ToUserName")
    content = _SafeTextField("Content")


def render(source: str, target: str, text: str) -> str:
    return str(_Reply(source=source, target=target, content=text, time=int(time.time())).render())
