"""A stand-in for the WeChat platform, written from its protocol and from nothing of ours.

It signs, wraps and encrypts what users send, delivers it as the platform does (five seconds, then the
same message again, three requests in all), and reads the answers more strictly than the platform would:
whatever it takes for a reply, WeChat would have shown to the user.

Source: "消息推送" and "消息加解密说明" on developers.weixin.qq.com, and its published test vectors.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import struct
import time
from dataclasses import dataclass, field
from xml.etree import ElementTree

import requests
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.message_ids import message_number

#: The most a reply may hold. The platform cuts or drops longer ones near 2,048 bytes.
REPLY_BYTES = 1800
_PADDING_BLOCK = 32


class ProtocolError(AssertionError):
    """The service said something that the platform would not show to the user."""


def sign(*parts: str) -> str:
    """The platform's signature: SHA-1 over the sorted, joined parts."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


@dataclass(frozen=True)
class Crypt:
    """Safe mode: AES-256-CBC over random16 + length4 + message + appid, padded to 32 bytes."""

    token: str
    aes_key: str
    appid: str

    def _cipher(self) -> Cipher[modes.CBC]:
        key = base64.b64decode(self.aes_key + "=")
        return Cipher(algorithms.AES(key), modes.CBC(key[:16]))

    def encrypt(self, message: bytes, random16: bytes | None = None) -> str:
        body = (random16 or secrets.token_bytes(16)) + struct.pack(">I", len(message)) + message
        body += self.appid.encode()
        padding = _PADDING_BLOCK - len(body) % _PADDING_BLOCK
        encryptor = self._cipher().encryptor()
        return base64.b64encode(encryptor.update(body + bytes([padding]) * padding)).decode()

    def decrypt(self, encrypted: str) -> bytes:
        decryptor = self._cipher().decryptor()
        body = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
        padding = body[-1]
        if not 1 <= padding <= _PADDING_BLOCK or body[-padding:] != bytes([padding]) * padding:
            raise ProtocolError(f"bad PKCS#7 padding: {padding}")
        body = body[:-padding]
        (length,) = struct.unpack(">I", body[16:20])
        message, appid = body[20 : 20 + length], body[20 + length :]
        if len(message) != length or appid != self.appid.encode():
            raise ProtocolError(f"sealed for {appid!r}, not for {self.appid!r}")
        return message

    def signature(self, timestamp: str, nonce: str, encrypted: str) -> str:
        return sign(self.token, timestamp, nonce, encrypted)


def cdata(text: str) -> str:
    """`text` as CDATA; the one sequence that cannot stand inside is split over two sections."""
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def to_xml(fields: dict[str, str | int]) -> str:
    """The platform's flat XML: numbers bare, everything else in CDATA."""
    inner = "\n".join(
        f"<{name}>{value if isinstance(value, int) else cdata(value)}</{name}>"
        for name, value in fields.items()
    )
    return f"<xml>\n{inner}\n</xml>"


def read_flat_xml(body: bytes) -> dict[str, str]:
    """The fields of a flat `<xml>` document; anything nested, repeated or malformed is an error."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ProtocolError(f"not well-formed XML ({error}): {body[:200]!r}") from None
    if root.tag != "xml" or root.attrib:
        raise ProtocolError(f"the root is <{root.tag}>, not <xml>")
    fields: dict[str, str] = {}
    for child in root:
        if len(child) or child.attrib or child.tag in fields:
            raise ProtocolError(f"<{child.tag}> is nested, repeated or has attributes")
        fields[child.tag] = child.text or ""
    return fields


@dataclass(frozen=True)
class Message:
    """What one user sent: the XML fields, in the platform's order."""

    fields: dict[str, str | int]

    @property
    def user(self) -> str:
        return str(self.fields["FromUserName"])


@dataclass(frozen=True)
class Attempt:
    """One request of the platform and what came of it."""

    seconds: float
    status: int | None = None  # None: no answer within the time, or no connection
    body: bytes = b""
    reply: str | None = None  # the text that the user would see
    error: str = ""


@dataclass
class Delivery:
    """Every request made for one message."""

    attempts: list[Attempt] = field(default_factory=list)

    @property
    def reply(self) -> str | None:
        return self.attempts[-1].reply

    @property
    def replies(self) -> list[str]:
        return [attempt.reply for attempt in self.attempts if attempt.reply is not None]


class Platform:
    """One official account on the platform: `url` is the service's message address."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        appid: str = "wxba5fad812f8e6fb9",
        aes_key: str | None = None,
        mode: str = "plain",
        account: str = "gh_97417a04a28d",
    ) -> None:
        if mode not in ("plain", "compatible", "safe") or (mode != "plain" and aes_key is None):
            raise ValueError(f"mode {mode} with key {aes_key}")
        self.url, self.token, self.mode, self.account = url, token, mode, account
        self.crypt = Crypt(token, aes_key, appid) if aes_key else None

    # What users do -------------------------------------------------------------------------------

    def _message(self, user: str, kind: str, msg_id: int | None, fields: dict[str, str | int]) -> Message:
        head: dict[str, str | int] = {
            "ToUserName": self.account,
            "FromUserName": user,
            "CreateTime": int(time.time()),
            "MsgType": kind,
        }
        return Message({**head, **fields, "MsgId": message_number() if msg_id is None else msg_id})

    def text(self, user: str, content: str, msg_id: int | None = None) -> Message:
        return self._message(user, "text", msg_id, {"Content": content})

    def image(self, user: str) -> Message:
        return self._message(
            user, "image", None, {"PicUrl": "https://example.com/tongue.jpg", "MediaId": "m1"}
        )

    def voice(self, user: str, recognition: str | None = None) -> Message:
        """With `recognition`, what the platform understood (an account has to turn that on)."""
        heard: dict[str, str | int] = {} if recognition is None else {"Recognition": recognition}
        return self._message(user, "voice", None, {"MediaId": "m2", "Format": "amr", **heard})

    def location(self, user: str) -> Message:
        place: dict[str, str | int] = {
            "Location_X": "23.13",
            "Location_Y": "113.36",
            "Scale": 20,
            "Label": "广州",
        }
        return self._message(user, "location", None, place)

    def link(self, user: str) -> Message:
        page = {"Title": "本草", "Description": "一页", "Url": "https://example.com/?a=1&b=2"}
        return self._message(user, "link", None, {**page})

    def event(self, user: str, name: str, created: int | None = None, **fields: str | int) -> Message:
        """Events carry no MsgId: the platform tells them apart by user and CreateTime."""
        head: dict[str, str | int] = {
            "ToUserName": self.account,
            "FromUserName": user,
            "CreateTime": created or int(time.time()),
            "MsgType": "event",
            "Event": name,
        }
        return Message({**head, **fields})

    # What the platform does ----------------------------------------------------------------------

    def check(self, echo: str = "4375120948345356249", **wrong: str) -> requests.Response:
        """The GET that proves who owns the address, when it is entered in the console."""
        timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
        query = {"signature": sign(self.token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
        return requests.get(self.url, params={**query, "echostr": echo, **wrong}, timeout=10)

    def seal(self, message: Message | bytes) -> tuple[dict[str, str], bytes]:
        """The query and the body of one request; every request has its own timestamp and nonce."""
        timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
        query = {"signature": sign(self.token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
        xml = message if isinstance(message, bytes) else to_xml(message.fields).encode()
        if isinstance(message, Message):
            query["openid"] = message.user
        if self.mode == "plain" or self.crypt is None:
            return query, xml
        encrypted = self.crypt.encrypt(xml)
        query |= {"encrypt_type": "aes", "msg_signature": self.crypt.signature(timestamp, nonce, encrypted)}
        outer: dict[str, str | int] = {"ToUserName": self.account, "Encrypt": encrypted}
        if self.mode == "compatible" and isinstance(message, Message):
            outer = {**message.fields, "Encrypt": encrypted}
        return query, to_xml(outer).encode()

    def post(self, query: dict[str, str], body: bytes, timeout: float = 10) -> requests.Response:
        return requests.post(
            self.url, params=query, data=body, headers={"Content-Type": "text/xml"}, timeout=timeout
        )

    def request(self, message: Message, timeout: float = 5.0) -> Attempt:
        """One request for `message`, cut off after `timeout` seconds as the platform does."""
        query, body = self.seal(message)
        started = time.monotonic()
        try:
            response = self.post(query, body, timeout)
        except (requests.Timeout, requests.ConnectionError) as error:
            return Attempt(time.monotonic() - started, error=type(error).__name__)
        seconds = time.monotonic() - started
        if response.status_code != 200:
            return Attempt(seconds, response.status_code, response.content)
        reply = self.read_reply(message, response.content)
        return Attempt(seconds, response.status_code, response.content, reply)

    def deliver(
        self, message: Message, *, timeout: float = 5.0, attempts: int = 3, pause: float = 0.0
    ) -> Delivery:
        """Deliver as the platform does: until the service answers in time, `attempts` requests in all."""
        delivery = Delivery()
        for _ in range(attempts):
            delivery.attempts.append(self.request(message, timeout))
            if delivery.attempts[-1].status is not None:
                break
            time.sleep(pause)
        return delivery

    def ask(self, user: str, content: str) -> str:
        """The answer to one text message, which must come on the first request."""
        attempt = self.request(self.text(user, content))
        if attempt.reply is None:
            raise ProtocolError(f"no answer: {attempt}")
        return attempt.reply

    # What the user sees --------------------------------------------------------------------------

    def read_reply(self, message: Message, body: bytes) -> str | None:
        """The text that `message`'s sender sees; None for the agreed silence, `success` or nothing."""
        if body in (b"", b"success"):
            return None
        fields = read_flat_xml(body)
        if self.mode == "safe" or "Encrypt" in fields:
            fields = read_flat_xml(self._open(fields))
        expected = {"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"}
        if set(fields) != expected:
            raise ProtocolError(f"the reply's fields are {sorted(fields)}")
        if fields["ToUserName"] != message.user or fields["FromUserName"] != self.account:
            raise ProtocolError(f"addressed to {fields['ToUserName']} from {fields['FromUserName']}")
        if not fields["CreateTime"].isdigit() or abs(int(fields["CreateTime"]) - time.time()) > 60:
            raise ProtocolError(f"CreateTime is {fields['CreateTime']}")
        content = fields["Content"]
        if fields["MsgType"] != "text" or not 0 < len(content.encode()) <= REPLY_BYTES:
            raise ProtocolError(f"a {fields['MsgType']} of {len(content.encode())} bytes")
        return content

    def _open(self, fields: dict[str, str]) -> bytes:
        if self.crypt is None or set(fields) != {"Encrypt", "MsgSignature", "TimeStamp", "Nonce"}:
            raise ProtocolError(f"not a sealed reply: {sorted(fields)}")
        expected = self.crypt.signature(fields["TimeStamp"], fields["Nonce"], fields["Encrypt"])
        if fields["MsgSignature"] != expected:
            raise ProtocolError("the reply's MsgSignature is wrong")
        return self.crypt.decrypt(fields["Encrypt"])
