"""A stand-in for the API that the WeChat platform offers: tokens, customer-service messages, the typing sign.

Written from its documentation on developers.weixin.qq.com ("获取稳定版接口调用凭据", "发消息",
"客服输入状态"). It counts what each user may still be sent, and can be told to be slow, to fail, or to
hang up in the middle.
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

APPID, SECRET = "wxba5fad812f8e6fb9", "5ecre7-0f-the-acc0unt"
MESSAGE_BYTES = 2048
HANG_UP = "hang up"  # take the message, and close the connection without a word


@dataclass
class WechatApiServer:
    """`faults[path]` is what to do with the next calls of it, one each: an error code, a status ≥ 500,
    HANG_UP, or 0 for nothing out of the way. `delay[path]` is in seconds, before anything is answered.
    """

    sent: list[tuple[str, str]] = field(default_factory=list)  # (user, text), as the users see them
    typing: list[str] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    arriving: list[str] = field(default_factory=list)  # paths, before `delay`
    left: dict[str, int] = field(default_factory=dict)  # sends per user; nobody else may be sent anything
    faults: dict[str, list[int | str]] = field(default_factory=lambda: defaultdict(list))
    delay: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    token: str = "t0k3n-1-" + "x" * 500
    tokens: int = 1
    lifetime: int = 7200

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = StandIn(self._respond)
        self.url = self._server.url_for("").rstrip("/")
        self.close = self._server.stop

    def _respond(self, request: Request) -> Response | None:
        path = request.path.removeprefix("/cgi-bin/")
        self.arriving.append(path)
        time.sleep(self.delay[path])
        answer = self.answer(path, request.args.get("access_token", ""), json.loads(request.data))
        return (
            Response("<html>", answer) if isinstance(answer, int) else answer and Response(json.dumps(answer))
        )

    def expire_token(self) -> None:
        """As if somebody had refreshed it by force elsewhere."""
        self.tokens += 1
        self.token = f"t0k3n-{self.tokens}-" + "x" * 500

    def texts(self, user: str) -> list[str]:
        return [text for receiver, text in self.sent if receiver == user]

    def count(self, path: str) -> int:
        return sum(path == called for called, _ in self.calls)

    def answer(self, path: str, token: str, body: dict[str, Any]) -> dict[str, Any] | int | None:
        """The JSON of the answer; or an HTTP status; or None for hanging up."""
        with self._lock:
            self.calls.append((path, body))
            fault = self.faults[path].pop(0) if self.faults[path] else 0
            if isinstance(fault, int) and 500 <= fault < 600:
                return fault
            if fault and fault != HANG_UP:
                return {"errcode": fault, "errmsg": "as the test wishes"}
            answer = self._act(path, token, body)
            return None if fault == HANG_UP else answer

    def _act(self, path: str, token: str, body: dict[str, Any]) -> dict[str, Any] | int:
        if path == "stable_token":
            if (body["appid"], body["secret"]) != (APPID, SECRET):
                return {"errcode": 40125, "errmsg": "invalid appsecret"}
            if body.get("force_refresh"):
                self.expire_token()
            return {"access_token": self.token, "expires_in": self.lifetime}
        if token != self.token:
            return {"errcode": 40001, "errmsg": f"invalid credential, access_token is invalid: {token[:6]}"}
        user = body["touser"]
        if path == "message/custom/typing":
            self.typing.append(user)
            return {"errcode": 0, "errmsg": "ok"}
        if path != "message/custom/send" or set(body) != {"touser", "msgtype", "text"}:
            return 404
        if user not in self.left:
            return {"errcode": 45015, "errmsg": "response out of time limit or subscription is canceled"}
        if not self.left[user]:
            return {"errcode": 45047, "errmsg": "out of response count limit"}
        if len(body["text"]["content"].encode()) > MESSAGE_BYTES:
            return {"errcode": 45002, "errmsg": "content size out of limit"}
        self.left[user] -= 1
        self.sent.append((user, body["text"]["content"]))
        return {"errcode": 0, "errmsg": "ok"}
