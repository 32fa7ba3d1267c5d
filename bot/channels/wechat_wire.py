"""What the WeChat platform sends and gets back: signatures, encryption, XML. Only this module knows wechatpy.

wechatpy 1.8.18 parses, encrypts and renders; mended here: signatures compared in constant time, padding
checked, `]]>` split in replies, entity bombs and documents without the expected fields refused. Its client
for the platform's API is not used: see wechat_api.py.
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
from wechatpy.parser import parse_message
from wechatpy.replies import TextReply
from werkzeug.exceptions import BadRequest, Forbidden

from bot.config import Settings

log = logging.getLogger(__name__)

# What people's keyboards get past the platform and no XML parser takes.
NOT_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


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


def open_envelope(settings: Settings, body: bytes) -> Envelope:
    """Who sends this, and what; aborts with 401, 403 or 400."""
    timestamp, nonce = query("timestamp", "nonce")
    mode, encrypted = settings.wechat_mode_in_force, request.args.get("encrypt_type") == "aes"
    if mode == "plain" and encrypted:
        log.error("the platform sends encrypted messages: set PLM_WECHAT_AES_KEY and PLM_WECHAT_APPID")
        raise Forbidden("encrypted messages are not expected here")
    if mode == "safe" and not encrypted:
        raise Forbidden("only encrypted messages are let in")
    # An encrypted body is vouched for by msg_signature, below; a `signature` beside it must be right all the
    # same.
    if not encrypted or "signature" in request.args:
        check_signature(settings, "signature", timestamp, nonce)
    window = settings.wechat_replay_window
    if not encrypted:
        _check_age(timestamp, window)
        return Envelope(_parse(body), None, settings)
    encrypted_text = _fields(body).get("Encrypt", "")
    check_signature(settings, "msg_signature", timestamp, nonce, encrypted_text)
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


def query(*names: str) -> list[str]:
    return [request.args.get(name, "") for name in names]


def _sign(token: str, *parts: str) -> str:
    return hashlib.sha1("".join(sorted((token, *parts))).encode(), usedforsecurity=False).hexdigest()


def check_signature(settings: Settings, name: str, *parts: str) -> None:
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


def render(message: Any, text: str) -> str:
    return str(_Reply(message=message, content=text, time=int(time.time())).render())
