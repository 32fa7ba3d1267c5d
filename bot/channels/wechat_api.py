"""Calls to the WeChat platform: customer-service messages and the typing sign.

Not with wechatpy's client, of which nothing would be left to use: a lasting 40001 makes it call itself
without end, it knows neither stable_token nor the typing sign, each process fetches tokens for itself, and
it waits for them without a time limit.

The token (https://api.weixin.qq.com/cgi-bin/stable_token) is in Redis for all processes; one of them
fetches. It is part of the addresses that are called, so no error of the HTTP library is ever shown as it is.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import requests

from bot.channels.channel import SendError
from bot.config import Settings
from bot.outbound_store import OutboundStore

log = logging.getLogger(__name__)

TIMEOUT = (3.05, 8.0)  # seconds to connect, to answer
EARLY = 300  # seconds before its end that a token is not used any more: the platform gives a new one by then
STALE = (40001, 40014, 42001)  # the token is wrong or too old
FORBIDDEN_ADDRESS = 40164
# -1 busy; 45009, 45011 too many calls; 40125, 40013 secret or appid wrong: all pass, by themselves or by hand
PASSING = {-1, 45009, 45011, 40013, 40125, FORBIDDEN_ADDRESS, *STALE}
MAYBE_TAKEN = 504  # a gateway that gave up waiting: what stands behind it may have done it


class WechatApi:
    def __init__(self, settings: Settings, store: OutboundStore) -> None:
        self.settings = settings
        self.store = store

    def send_text(self, user: str, text: str) -> None:
        """A customer-service message; raises SendError, or StoreDownError for want of the token."""
        self._call("message/custom/send", {"touser": user, "msgtype": "text", "text": {"content": text}})

    def typing(self, user: str) -> None:
        """The sign that an answer is being written; it lasts 15 s, or until a message comes."""
        self._call("message/custom/typing", {"touser": user, "command": "Typing"})

    def _call(self, path: str, body: dict[str, Any]) -> None:
        """With another token, once, if the platform does not take this one."""
        token = self._token("")
        for again in (True, False):
            answer = self._post(path, body, token)
            code = answer.get("errcode", 0)
            if not code:
                return
            if code in STALE and again:
                token = self._token(token)
                continue
            raise SendError(self._explain(path, answer), passing=code in PASSING)

    def _token(self, stale: str) -> str:
        def fetch() -> tuple[str, float]:
            answer = self._fetch_token(force=False)
            if answer[0] == stale:  # the platform itself holds it for good: twenty times a day this helps
                answer = self._fetch_token(force=True)
            return answer

        return self.store.token(f"wechat:{self.settings.wechat_appid}", stale, fetch)

    def _fetch_token(self, force: bool) -> tuple[str, float]:
        body = {
            "grant_type": "client_credential",
            "appid": self.settings.wechat_appid,
            "secret": self.settings.wechat_secret,
            "force_refresh": force,
        }
        try:
            answer = self._post("stable_token", body)
        except SendError as error:
            raise SendError(str(error)) from None  # no message was sent yet, whatever became of this
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(seconds, int):
            raise SendError(self._explain("stable_token", answer))
        return token, max(seconds - EARLY, 1)

    def _post(self, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
        try:
            response = requests.post(
                f"{self.settings.wechat_api_url}/cgi-bin/{path}",
                params={"access_token": token} if token else None,
                data=json.dumps(body, ensure_ascii=False).encode(),
                # A connection kept from before may be dead, and nobody could tell what it had carried.
                headers={"content-type": "application/json", "connection": "close"},
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise SendError(f"{path}: {type(error).__name__}", unsure=not _never_sent(error)) from None
        if response.status_code != 200:
            unsure = response.status_code == MAYBE_TAKEN
            raise SendError(f"{path}: HTTP status {response.status_code}", unsure=unsure)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise SendError(f"{path}: the answer is not JSON", unsure=True)
        return answer

    def _explain(self, path: str, answer: dict[str, Any]) -> str:
        code = answer.get("errcode")
        text = f"{path}: error {code}: {str(answer.get('errmsg', ''))[:200]!r}"
        if code == FORBIDDEN_ADDRESS:
            text += " (add this machine's public address to the IP whitelist in the platform's console)"
        if self.settings.wechat_secret:
            text = text.replace(self.settings.wechat_secret, "…")
        return text


def _never_sent(error: requests.RequestException) -> bool:
    """No connection was made; after one was made, nobody knows what arrived."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError")  # urllib3's
