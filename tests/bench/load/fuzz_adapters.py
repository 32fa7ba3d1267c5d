"""Requests to the adapters of fuzz_requests.py: changed before they are sealed and signed, so that they get
past the signatures of WeCom, Feishu, DingTalk and Telegram."""

from __future__ import annotations

import json
import random
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from tests.bot.channels import test_dingtalk as dingtalk
from tests.bot.channels import test_feishu as feishu
from tests.bot.channels import test_telegram as telegram
from tests.bot.channels import test_wecom as wecom
from tests.bot.channels.adapter_suite import Platform
from tests.platform_api import CORPID
from tests.wechat_platform import to_xml

KINDS: tuple[type[Platform], ...] = (wecom.Wecom, feishu.Feishu, dingtalk.Dingtalk, telegram.Telegram)
JSON = {"Content-Type": "application/json"}


def settings(api_url: str) -> dict[str, str]:
    """All four turned on, with a stand-in for their platforms."""
    found = {f"PLM_{name.upper()}": str(value) for kind in KINDS for name, value in kind.settings.items()}
    return found | {f"PLM_{kind.name.upper()}_API_URL": api_url for kind in KINDS}


def message(dice: random.Random, kind: type[Platform], api_url: str) -> dict[str, Any]:
    """A right one, of one of fifty users; the address that DingTalk names is the stand-in's."""
    sender = kind.__new__(kind)
    sender.api = type("Place", (), {"url": api_url})()
    text = dice.choice(("什么是气虚？", "什么是气虚？", "继续", "/help", "/start", None))
    user = ("ou_" if kind is feishu.Feishu else "") + str(1000 + dice.randrange(50))
    return sender.body(user, text, str(dice.randrange(1, 2**40)))


def signed(dice: random.Random, kind: type[Platform], plain: bytes) -> tuple[str, dict[str, str], bytes]:
    """What the platform would send with this inside: query, headers, body."""
    if kind is feishu.Feishu:
        body = json.dumps({"encrypt": feishu.seal(plain.decode("utf-8", "replace"))}).encode()
        return "", feishu.headers(body), body
    if kind is dingtalk.Dingtalk:
        return "", dingtalk.signed() | JSON, plain
    if kind is telegram.Telegram:
        return "", {telegram.HEADER: telegram.SECRET} | JSON, plain
    encrypted = wecom.CRYPT.encrypt(plain)
    now, nonce = str(int(time.time())), secrets.token_hex(8)
    query = {"msg_signature": wecom.CRYPT.signature(now, nonce, encrypted), "timestamp": now, "nonce": nonce}
    if dice.random() < 0.1:
        query["echostr"] = encrypted
    body = to_xml({"ToUserName": CORPID, "Encrypt": encrypted}).encode()
    return urlencode(query), {"Content-Type": "text/xml"}, body
