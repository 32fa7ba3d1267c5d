"""A stand-in for what WeCom, Feishu, DingTalk and Telegram offer to bots: tokens, and messages sent.

Written from their documentation, which the modules in bot/channels name. It can be told to fail, or to hang
up in the middle, and shows what users have seen.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response

from tests.stand_in import StandIn

HANG_UP = "hang up"  # take the message, and close the connection without a word

CORPID, CORP_SECRET, AGENTID = "wx5823bf96d3bd56c7", "c0rp-5ecret", 218
APP_ID, APP_SECRET = "cli_9dbb2dd6f5e0d104", "4pp-5ecret"
BOT_TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
GETTOKEN, WECOM_SEND = "/cgi-bin/gettoken", "/cgi-bin/message/send"
TENANT_TOKEN = "/open-apis/auth/v3/tenant_access_token/internal"
FEISHU_SEND = "/open-apis/im/v1/messages"
FEISHU_INFO = "/open-apis/bot/v3/info"
DINGTALK_SEND = "/robot/sendBySession"
TELEGRAM_SEND = "sendMessage"


@dataclass
class Call:
    path: str  # of Telegram's methods the name alone
    query: dict[str, str]
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class PlatformApi:
    """`faults[path]` is what to do with the next calls of it, one each: (status, JSON), HANG_UP, or None for
    nothing out of the way. `sent` is what users have seen: (to whom, text)."""

    calls: list[Call] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    faults: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    delay: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    tokens: int = 1
    webhook: dict[str, Any] = field(default_factory=lambda: {"url": "https://bot.example.org/telegram"})

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._uuids: set[str] = set()
        self._server = StandIn(self._respond)
        self.url = self._server.url_for("").rstrip("/")
        self.close = self._server.stop

    def _respond(self, request: Request) -> Response | None:
        path = request.path.removeprefix(f"/bot{BOT_TOKEN}/")
        time.sleep(self.delay[path])
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self.answer(Call(path, request.args.to_dict(), json.loads(request.data or b"{}"), headers))
        return answer and Response(json.dumps(answer[1]), answer[0])

    @property
    def token(self) -> str:
        return f"t0k3n-{self.tokens}"

    def texts(self, user: str) -> list[str]:
        return [text for receiver, text in self.sent if receiver == user]

    def count(self, path: str) -> int:
        return sum(call.path == path for call in self.calls)

    def answer(self, call: Call) -> tuple[int, dict[str, Any]] | None:
        with self._lock:
            self.calls.append(call)
            fault = self.faults[call.path].pop(0) if self.faults[call.path] else None
            if fault and fault != HANG_UP:
                return fault
            acts = {
                GETTOKEN: self._gettoken,
                WECOM_SEND: self._wecom_send,
                TENANT_TOKEN: self._tenant_token,
                FEISHU_SEND: self._feishu_send,
                FEISHU_INFO: self._feishu_info,
                DINGTALK_SEND: self._dingtalk_send,
                TELEGRAM_SEND: self._telegram_send,
                "sendChatAction": lambda call: (200, {"ok": True, "result": True}),
                "getWebhookInfo": lambda call: (200, {"ok": True, "result": self.webhook}),
            }
            act = acts.get(call.path)
            answer = act(call) if act else (404, {"ok": False, "error_code": 404, "description": "Not Found"})
            return None if fault == HANG_UP else answer

    def _gettoken(self, call: Call) -> tuple[int, dict[str, Any]]:
        if call.query != {"corpid": CORPID, "corpsecret": CORP_SECRET}:
            return 200, {"errcode": 40001, "errmsg": "invalid credential"}
        return 200, {"errcode": 0, "errmsg": "ok", "access_token": self.token, "expires_in": 7200}

    def _wecom_send(self, call: Call) -> tuple[int, dict[str, Any]]:
        if call.query.get("access_token") != self.token:
            return 200, {"errcode": 42001, "errmsg": "access_token expired"}
        text = call.body["text"]["content"]
        assert call.body == {
            "touser": call.body["touser"],
            "msgtype": "text",
            "agentid": AGENTID,
            "text": {"content": text},
        }
        self.sent.append((call.body["touser"], text.encode()[:2048].decode("utf-8", "ignore")))
        return 200, {"errcode": 0, "errmsg": "ok", "invaliduser": "", "msgid": "xxxx"}

    def _tenant_token(self, call: Call) -> tuple[int, dict[str, Any]]:
        if call.body != {"app_id": APP_ID, "app_secret": APP_SECRET}:
            return 200, {"code": 10014, "msg": "app secret invalid"}
        return 200, {"code": 0, "msg": "ok", "tenant_access_token": self.token, "expire": 7200}

    def _feishu_info(self, call: Call) -> tuple[int, dict[str, Any]]:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return 400, {"code": 99991663, "msg": "Invalid access token for authorization."}
        return 200, {"code": 0, "msg": "ok", "bot": {"app_name": "Bot", "open_id": "ou_bot"}}

    def _feishu_send(self, call: Call) -> tuple[int, dict[str, Any]]:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return 400, {"code": 99991663, "msg": "Invalid access token for authorization."}
        body, kind = call.body, call.query["receive_id_type"]
        if not body["receive_id"].startswith({"open_id": "ou_", "chat_id": "oc_"}[kind]):
            return 400, {"code": 230001, "msg": "invalid receive_id"}
        assert body["msg_type"] == "text"
        assert len(body["uuid"]) <= 50
        if body["uuid"] not in self._uuids:
            self._uuids.add(body["uuid"])
            self.sent.append((body["receive_id"], json.loads(body["content"])["text"]))
        return 200, {"code": 0, "msg": "success", "data": {"message_id": "om_x"}}

    def _dingtalk_send(self, call: Call) -> tuple[int, dict[str, Any]]:
        if call.query["session"].startswith("ended"):
            return 200, {"errcode": 300001, "errmsg": "session is not exist"}
        self.sent.append((call.query["session"], call.body["text"]["content"]))
        return 200, {"errcode": 0, "errmsg": "ok"}

    def _telegram_send(self, call: Call) -> tuple[int, dict[str, Any]]:
        text = call.body["text"]
        if not 1 <= len(text.encode("utf-16-le")) // 2 <= 4096:
            return 400, {"ok": False, "error_code": 400, "description": "Bad Request: message is too long"}
        self.sent.append((str(call.body["chat_id"]), text))
        return 200, {"ok": True, "result": {"message_id": 1}}
