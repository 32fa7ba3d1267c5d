"""Requests that nobody sends on purpose: number N of a seed is always the same one.

Each begins as a right request of one path, signed by whoever may sign there; then its XML, JSON, query,
method, headers or framing is changed. What is inside a signature is changed before it is signed, so that the
parsers behind it are reached.
"""

from __future__ import annotations

import base64
import datetime
import json
import random
import time
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask
from standardwebhooks.webhooks import Webhook

from tests.bench.load import fuzz_adapters
from tests.bench.load.load_users import APPID, KEY, TOKEN
from tests.wechat_platform import Platform, sign, to_xml

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
API_KEY, ADMIN_KEY = "k" * 32, "a" * 32
COOKIE = "plm_page=" + "0" * 32
SETTINGS = {
    "PLM_WECHAT_TOKEN": TOKEN, "PLM_WECHAT_APPID": APPID, "PLM_WECHAT_AES_KEY": KEY,
    "PLM_WECHAT_MODE": "compatible", "PLM_WEBHOOK_SHOP_SECRET": SECRET, "PLM_ADMIN_KEY": ADMIN_KEY,
    "PLM_API_KEYS": f"fuzz:{API_KEY}", "PLM_MAX_BYTES": 16, "PLM_LOG_LEVEL": "ERROR",
}  # fmt: skip

ODD: list[Any] = [
    "", " ", "\x00", "\ud800", "𠮷" * 50, "字" * 3000, "a" * 70_000, "]]>", "<![CDATA[", "&amp;", "&x;",
    "../..",
    "%00%ff", "\r\nX-Injected: 1", "\u202e", "1" * 400, "-1", "1e999", "NaN", "true", "null", "____",
    "判断：",
    "A. 甲 B. 乙", "/forget yes", "继续", "/export", "胸痛", None, True, False, 0, -1, 2**31, 2**63,
    2**70, 10**400,
    1.5, -0.0, 1e308, [], {}, [[]], [None], {"": None}, ["a"] * 300,
]  # fmt: skip
BYTES = [b"", b"\x00", b"\xff", b"\xfe\xff", b"\xed\xa0\x80", b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
    b"<?xml version='1.0' encoding='utf-16'?>", b"]]>", b"<", b"&", b"\"", b"\\u", b"{", b"[" * 3000, b"}",
    b"9" * 500]  # fmt: skip
HEADERS = [
    "Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "Accept-Language", "Host",
    "Cookie", "Origin",
    "Authorization", "X-Forwarded-For", "X-Request-Id", "Expect", "Range", "If-None-Match",
    "Sec-Fetch-Site",
    "webhook-id", "webhook-timestamp", "webhook-signature", "Referer", "User-Agent", "Upgrade",
    "Connection",
]  # fmt: skip
VALUES = [
    "", " ", "*/*", "application/json", "application/json; charset=utf-7", "text/xml; charset=nonsense",
    "é", "a" * 7000,
    "multipart/form-data; boundary=", "application/x-www-form-urlencoded", "gzip", "Bearer", "Bearer é",
    "Basic !!!",
    "1, 2, 3", "::1", "100-continue", "bytes=0-", "h2c", "close", "null", "http://[", "v1,AAAA",
    "2" * 40, "q=;q=9", "%s%n",
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "XYZZY"]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    right: bool = True  # as HTTP: it must get an answer
    framing: str = "length"  # chunked, slow (in parts), short (less comes than was promised), bad chunks

    def raw(self) -> bytes:
        """All that goes over the wire."""
        target = self.path + ("?" + self.query if self.query else "")
        headers = {"Host": "127.0.0.1", **dict(self.headers)}
        body = self.body
        if "chunk" in self.framing:
            headers["Transfer-Encoding"] = "chunked"
            parts = [body[:7], body[7:100], body[100:]]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
            if self.framing == "bad chunks":
                body = body.replace(b"\r\n", b"\n", 1)
        elif body or self.method not in ("GET", "HEAD"):
            headers["Content-Length"] = str(len(body) + (50 if self.framing == "short" else 0))
        lines = [f"{self.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body


@dataclass
class Maker:
    """Makes requests to the paths of an application."""

    app: Flask
    seed: int
    api_url: str  # of a stand-in for the adapters' platforms
    rules: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for rule in self.app.url_map.iter_rules():
            self.rules += [(str(rule), method) for method in sorted(rule.methods or ())]
        self.rules.sort()
        self.platform = Platform("", TOKEN, appid=APPID, aes_key=KEY, mode="compatible")

    def make(self, number: int) -> Request:
        dice = random.Random(f"{self.seed}:{number}")
        base = dice.choices((self._wechat, self._adapter, self._webhook, self._api, self._page, self._admin,
                             self._any), (25, 20, 10, 18, 7, 10, 10))[0](dice)  # fmt: skip
        if dice.random() < 0.3:
            base = self._change(dice, base)
        return base

    def _change(self, dice: random.Random, base: Request) -> Request:
        """Outside of what is signed."""
        kind = dice.randrange(6)
        if kind == 0:
            return replace(base, method=dice.choice(METHODS))
        if kind == 1:
            return replace(base, query=mangled(dice, base.query.encode()).decode("latin-1").translate(
                {ord(c): "+" for c in " \r\n\t\x00"}), right=False)  # fmt: skip
        if kind == 2:
            own = [(name, value) for name, value in base.headers if dice.random() < 0.7]
            extra = [(dice.choice(HEADERS), dice.choice(VALUES)) for _ in range(dice.randrange(1, 4))]
            return replace(base, headers=(*own, *extra), right=False)
        if kind == 3:
            return replace(base, body=mangled(dice, base.body))
        framing = dice.choices(("chunked", "bad chunks", "short", "slow"), (60, 20, 15, 2))[0]
        return replace(base, framing=framing, right=framing in ("chunked", "slow"))

    def _wechat(self, dice: random.Random) -> Request:
        user = f"o{dice.randrange(50)}"
        kinds = (
            lambda: self.platform.text(user, "什么是气虚？", dice.randrange(10**12)),
            lambda: self.platform.voice(user, "气虚"),
            lambda: self.platform.location(user),
            lambda: self.platform.link(user),
            lambda: self.platform.image(user),
            lambda: self.platform.event(
                user, dice.choice(("subscribe", "CLICK", "SCAN", "VIEW")), EventKey="k"
            ),
        )
        fields = dict(dice.choice(kinds)().fields)
        for _ in range(dice.randrange(3)):
            name = dice.choice([*fields, "Extra", "Event", "Recognition"])
            change = dice.randrange(3)
            if change == 0:
                fields.pop(name, None)
            else:
                fields[name] = str(dice.choice(ODD)).encode("utf-8", "replace").decode()
        inner = to_xml(fields).encode()
        if dice.random() < 0.4:
            inner = mangled(dice, inner)
        now, nonce = str(int(time.time())), str(dice.randrange(10**9))
        query = {"signature": sign(TOKEN, now, nonce), "timestamp": now, "nonce": nonce, "openid": user}
        if dice.random() < 0.1:
            return Request(
                "GET",
                "/wechat",
                urlencode({**query, "echostr": str(dice.choice(ODD)).encode("utf-8", "replace")}),
            )
        if dice.random() < 0.5:
            assert self.platform.crypt
            encrypted = self.platform.crypt.encrypt(inner, bytes(dice.randrange(256) for _ in range(16)))
            if dice.random() < 0.1:
                encrypted = mangled(dice, encrypted.encode()).decode("latin-1")
            query |= {
                "encrypt_type": "aes",
                "msg_signature": self.platform.crypt.signature(now, nonce, encrypted),
            }
            inner = to_xml({"ToUserName": self.platform.account, "Encrypt": encrypted}).encode()
        return Request("POST", "/wechat", urlencode(query), (("Content-Type", "text/xml"),), inner)

    def _adapter(self, dice: random.Random) -> Request:
        kind = dice.choice(fuzz_adapters.KINDS)
        message = fuzz_adapters.message(dice, kind, self.api_url)
        if kind.name == "wecom":
            if dice.random() < 0.5:
                alter(dice, message)
            fields = {name: str(value).encode("utf-8", "replace").decode() for name, value in message.items()}
            plain = to_xml(fields).encode()
            plain = mangled(dice, plain) if dice.random() < 0.25 else plain
        else:
            plain = self._json(dice, message)
        query, headers, body = fuzz_adapters.signed(dice, kind, plain)
        method = "GET" if "echostr" in query else "POST"
        return Request(method, "/" + kind.name, query, tuple(headers.items()), body)

    def _webhook(self, dice: random.Random) -> Request:
        body = self._json(
            dice, {"user": f"u{dice.randrange(50)}", "text": "什么是气虚？", "id": f"m{dice.random()}"}
        )
        when, own = datetime.datetime.now(datetime.UTC), f"msg_{dice.random()}"
        signature = Webhook(SECRET).sign(own, when, body.decode("utf-8", "replace"))
        headers = {
            "webhook-id": own,
            "webhook-timestamp": str(int(when.timestamp())),
            "webhook-signature": signature,
        }
        return Request(
            "POST", "/webhook/shop", "", (*headers.items(), ("Content-Type", "application/json")), body
        )

    def _api(self, dice: random.Random) -> Request:
        few: dict[str, Any] = {"model": "tiny", "max_tokens": 4}
        messages = [{"role": "system", "content": "短"}, {"role": "user", "content": "气虚？"}]
        bodies = {
            "chat/completions": {
                **few,
                "messages": messages,
                "stream": dice.random() < 0.3,
                "seed": 1,
                "stop": ["。"],
            },
            "completions": {**few, "prompt": "气虚", "n": 2, "logprobs": 2, "echo": True, "temperature": 0.5},
            "score": {"text": "气虚"},
            "choose": {"question": "气虚？", "choices": ["甲", "乙"]},
            "fill": {"text": "气____虚"},
            "judge": {"statement": "气虚是虚证。"},
        }
        path = dice.choice(list(bodies))
        return Request("POST", "/v1/" + path, "", self._bearer(API_KEY), self._json(dice, bodies[path]))

    def _page(self, dice: random.Random) -> Request:
        body: dict[str, Any] = {"id": f"{dice.randrange(16**32):032x}", "text": "什么是气虚？"}
        headers = (("Content-Type", "application/json"), ("Cookie", COOKIE))
        path = dice.choice(("chat", "chat", "chat", "stop", "new", "feedback", "erase", "forget"))
        if path == "chat":
            body |= {"talk": dice.randrange(3), "instead": f"{dice.randrange(16**32):032x}"}
        elif path in ("feedback", "erase"):
            body |= {"verdict": "down", "talk": dice.randrange(3)}
        return Request("POST", "/page/" + path, "", headers, self._json(dice, body))

    def _admin(self, dice: random.Random) -> Request:
        rule, method = dice.choice([rule for rule in self.rules if rule[0].startswith("/admin")])
        names = ("user", "channel", "limit", "cursor", "days", "minutes", "id", "text")
        query = urlencode(
            {dice.choice(names): str(dice.choice(ODD)).encode("utf-8", "replace") for _ in range(2)}
        )
        body = self._json(
            dice, {"user": f"o{dice.randrange(50)}", "rate": "5/minute", "name": "tiny", "text": "好"}
        )
        return Request(
            method, self._path(dice, rule), query, self._bearer(ADMIN_KEY), body if method != "GET" else b""
        )

    def _any(self, dice: random.Random) -> Request:
        rule, method = dice.choice(self.rules)
        body = b"" if method in ("GET", "HEAD") else mangled(dice, b'{"user": "x"}')
        return Request(method, self._path(dice, rule), "", (("Content-Type", "application/json"),), body)

    def _path(self, dice: random.Random, rule: str) -> str:
        parts = [
            quote(str(dice.choice(ODD)).encode("utf-8", "replace")[:200]) if "<" in part else part
            for part in rule.split("/")
        ]
        return "/".join(parts)

    def _bearer(self, key: str) -> tuple[tuple[str, str], ...]:
        return (("Authorization", "Bearer " + key), ("Content-Type", "application/json"))

    def _json(self, dice: random.Random, value: dict[str, Any]) -> bytes:
        for _ in range(dice.randrange(3)):
            alter(dice, value)
        body = json.dumps(value, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
        return mangled(dice, body) if dice.random() < 0.25 else body


def alter(dice: random.Random, value: Any) -> None:
    """Change one thing somewhere in a JSON object."""
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not places:
        return
    place = dice.choice(places)
    if isinstance(value[place], dict | list) and dice.random() < 0.6:
        alter(dice, value[place])
    elif dice.random() < 0.2:
        del value[place]
    else:
        value[place] = dice.choice(ODD)


def mangled(dice: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut out, doubled, or put in."""
    for _ in range(dice.randrange(1, 4)):
        a, b = sorted(dice.randrange(len(data) + 1) for _ in range(2))
        kind = dice.randrange(5)
        if kind == 0:
            data = data[:a] + bytes([dice.randrange(256)]) + data[a + 1 :]
        elif kind == 1:
            data = data[:a] + data[min(b, a + 30) :]
        elif kind == 2:
            data = data[:b] + data[a:b][:200] + data[b:]
        elif kind == 3:
            data = data[:a] + dice.choice(BYTES) + data[a:]
        else:
            data = data[:b]
    return data
