"""Calls to the APIs of platforms, and the tokens that they want.

Addresses may hold tokens, so no error of the HTTP library is ever shown as it is. A token is in Redis for all
processes; one of them fetches.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from bot.server.direct_http import session_for
from bot.store.connection import StoreDownError
from bot.store.outbox import Outbox

log = logging.getLogger(__name__)

TIMEOUT = (3.05, 8.0)  # seconds to connect, to answer
EARLY = 300  # seconds before its end that a token is not used any more: the platforms give a new one by then
GATEWAY_TIMEOUT = 504  # a gateway that gave up waiting: what stands behind it may have done it


class SendError(Exception):
    """A platform did not take a message; the text is for the log, without secrets."""

    def __init__(
        self, text: str, *, maybe_delivered: bool = False, retryable: bool = True, retry_after: float = 0
    ) -> None:
        super().__init__(text)
        self.maybe_delivered = maybe_delivered  # it may have taken it all the same
        self.retryable = retryable  # later it may take it
        self.retry_after = retry_after  # the platform wants to be left alone for so many seconds


@dataclass(frozen=True)
class Answer:
    status: int
    fields: dict[str, Any]


def call_json(
    name: str, url: str, body: dict[str, Any] | None, headers: dict[str, str] | None = None
) -> Answer:
    """One try, without redirections: POST, or GET without a body. `name` is how errors call it. SendError if
    there is no JSON object in the answer, or its status says that the platform itself failed."""
    # A connection kept from before may be dead, and nobody could tell what it had carried.
    headers = {"content-type": "application/json; charset=utf-8", "connection": "close", **(headers or {})}
    data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
    method = "GET" if data is None else "POST"
    try:
        with session_for(url) as http:
            response = http.request(
                method, url, data=data, headers=headers, timeout=TIMEOUT, allow_redirects=False
            )
    except requests.RequestException as error:
        raise SendError(f"{name}: {type(error).__name__}", maybe_delivered=not _never_sent(error)) from None
    status = response.status_code
    if status >= 500:
        raise SendError(f"{name}: HTTP status {status}", maybe_delivered=status == GATEWAY_TIMEOUT)
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        what = "the answer is not JSON" if status == 200 else f"HTTP status {status}"
        raise SendError(f"{name}: {what}", maybe_delivered=status == 200)
    return Answer(status, answer)


def _never_sent(error: requests.RequestException) -> bool:
    """No connection was made; after one was made, nobody knows what arrived."""
    if isinstance(
        error, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.ProxyError
    ):
        return True
    return bool(error.args) and isinstance(getattr(error.args[0], "reason", None), NewConnectionError)


class TokenApi(ABC):
    """An API whose calls carry a token that is good for hours. Codes are the platform's, 0 for success."""

    stale: Iterable[int]  # codes: the token is wrong or too old
    retryable: Iterable[int]  # codes that pass, by themselves or by hand

    def __init__(self, store: Outbox, account: str, secret: str) -> None:
        self.store = store
        self.account = account  # the token's name in Redis
        self.secret = secret

    @abstractmethod
    def fetch(self, stale: str) -> tuple[str, float]:
        """A token other than `stale`, and the seconds that it is good for. SendError."""

    @abstractmethod
    def request(self, path: str, body: dict[str, Any], token: str) -> Answer:
        """One call with this token. SendError."""

    @abstractmethod
    def explain(self, path: str, answer: Answer) -> tuple[int, str]:
        """The code of an answer, and what the log says of it."""

    def call(self, path: str, body: dict[str, Any]) -> None:
        """With another token, once, if the platform does not take this one. SendError."""
        self.with_token(path, lambda token: self.request(path, body, token))

    def with_token(self, path: str, ask: Callable[[str], Answer]) -> Answer:
        """The answer to `ask`, which gets a token: another one, once, if the platform does not take the
        first. SendError."""
        token = self._token("")
        answer = ask(token)
        code, text = self.explain(path, answer)
        if code in self.stale:
            answer = ask(self._token(token))
            code, text = self.explain(path, answer)
        if code:
            raise SendError(self.hide(text), retryable=code in self.retryable or code in self.stale)
        return answer

    def _token(self, stale: str) -> str:
        def fetch() -> tuple[str, float]:
            try:
                token, seconds = self.fetch(stale)
            except SendError as error:
                # Not unsure: no message was sent yet, whatever became of this.
                raise SendError(self.hide(str(error))) from None
            return token, max(seconds - EARLY, 1)

        try:
            return self.store.token(self.account, stale, fetch)
        except StoreDownError as error:  # help in an emergency does not wait for the store
            log.error("%s; a token is fetched for one call", error)
            return fetch()[0]

    def hide(self, text: str) -> str:
        return text.replace(self.secret, "…") if self.secret else text
