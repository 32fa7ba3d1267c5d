"""Calls to the WeChat platform: customer-service messages and the typing sign; and to WeCom, its sister.

Not with wechatpy's client, of which nothing would be left to use: a lasting 40001 makes it call itself
without end, it knows neither stable_token nor the typing sign, each process fetches tokens for itself, and
it waits for them without a time limit.

The token (https://api.weixin.qq.com/cgi-bin/stable_token) is part of the addresses that are called.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from bot.channels.client import Answer, SendError, TokenApi, call_json
from bot.settings.config import Settings
from bot.store.outbox import Outbox

FORBIDDEN_ADDRESS = {
    40164: "add this machine's public address to the IP whitelist in the platform's console",
    60020: "add this machine's public address to the application's trusted IPs in WeCom's console",
}


class TencentApi(TokenApi):
    """What WeChat and WeCom have in common: the token in the address, `errcode` in the answer."""

    stale = (40001, 40014, 42001)
    # -1 busy; 45009, 45011, 45033 too many calls; 40125, 40013 secret or appid wrong
    retryable = (-1, 45009, 45011, 45033, 40013, 40125, *FORBIDDEN_ADDRESS)
    url: str

    def request(self, path: str, body: dict[str, Any], token: str) -> Answer:
        return self.call_json(path, body, f"?access_token={quote(token)}")

    def call_json(self, path: str, body: dict[str, Any] | None, query: str = "") -> Answer:
        answer = call_json(path, f"{self.url}/cgi-bin/{path}{query}", body)
        if answer.status != 200:
            raise SendError(f"{path}: HTTP status {answer.status}")
        return answer

    def explain(self, path: str, answer: Answer) -> tuple[int, str]:
        code = answer.fields.get("errcode", 0)
        text = f"{path}: error {code}: {str(answer.fields.get('errmsg', ''))[:200]!r}"
        if code in FORBIDDEN_ADDRESS:
            text += f" ({FORBIDDEN_ADDRESS[code]})"
        return code if isinstance(code, int) else -1, text

    def read_token(self, path: str, answer: Answer) -> tuple[str, float]:
        token, seconds = answer.fields.get("access_token"), answer.fields.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(seconds, int):
            raise SendError(self.explain(path, answer)[1])
        return token, seconds


class WechatApi(TencentApi):
    def __init__(self, settings: Settings, store: Outbox) -> None:
        super().__init__(store, f"wechat:{settings.wechat_appid}", settings.wechat_secret or "")
        self.url = settings.wechat_api_url
        self.appid = settings.wechat_appid

    def send_text(self, user: str, text: str) -> None:
        """A customer-service message; raises SendError, or StoreDownError for want of the token."""
        self.call("message/custom/send", {"touser": user, "msgtype": "text", "text": {"content": text}})

    def typing(self, user: str) -> None:
        """The sign that an answer is being written; it lasts 15 s, or until a message comes."""
        self.call("message/custom/typing", {"touser": user, "command": "Typing"})

    def fetch(self, stale: str) -> tuple[str, float]:
        found = self._fetch(force=False)
        if found[0] == stale:  # the platform itself holds it for good: twenty times a day this helps
            found = self._fetch(force=True)
        return found

    def _fetch(self, force: bool) -> tuple[str, float]:
        body = {
            "grant_type": "client_credential",
            "appid": self.appid,
            "secret": self.secret,
            "force_refresh": force,
        }
        return self.read_token("stable_token", self.call_json("stable_token", body))
