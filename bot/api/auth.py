"""Who may use /v1: API keys with scopes and rates, and what holds when there are none.

With PLM_API_KEYS, every request carries `Authorization: Bearer KEY`. Without, /v1 is open to programs on this
machine alone, and only as long as nothing says that the service is a public one: see `_is_private`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import limits
from flask import request

from bot.api.errors import ApiError
from bot.chat.limits import Limits
from bot.settings.config import Settings
from bot.settings.values import ApiKey
from bot.telemetry import metrics

LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+")
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
# What proxies add. A request that came through one is not from this machine, whatever its address says.
PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")


@dataclass(frozen=True)
class Caller:
    name: str  # the key's, or "" where no key is asked for
    rates: tuple[limits.RateLimitItem, ...]


def count(quotas: Limits, caller: Caller) -> None:
    """Count the request against the caller's rates. ApiError 429."""
    wait = quotas.hit(f"api:{caller.name}" if caller.name else f"address:{request.remote_addr}", caller.rates)
    if wait:
        metrics.LIMITED.inc()
        raise ApiError(
            429,
            f"too many requests: try again in {wait} s",
            code="rate_limit_exceeded",
            headers={"Retry-After": str(wait)},
        )


def authenticate(settings: Settings, scope: str | None) -> Caller:
    """Who calls. ApiError 401 or 403. `scope` None: any key will do."""
    if not settings.api_keys:
        if not _is_private(settings):
            raise _unauthorized(
                "this service has no API keys, so /v1 is closed: its operator sets PLM_API_KEYS"
            )
        return Caller("", settings.rate_limit)
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not given.strip():
        raise _unauthorized("an API key is needed: Authorization: Bearer KEY")
    key = _match(settings.api_keys, given.strip())
    if key is None:
        raise _unauthorized("the API key is not one of this service's")
    if scope is not None and scope not in key.scopes:
        raise ApiError(403, f"the API key is not for {scope!r}", code="insufficient_scope")
    return Caller(key.name, settings.rate_limit if key.rates is None else key.rates)


def _match(keys: tuple[ApiKey, ...], given: str) -> ApiKey | None:
    """Takes the same time whichever key it is, and none."""
    digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _is_private(settings: Settings) -> bool:
    """A program on this machine speaks to a service that only this machine can know of.

    Not so when a platform or a webhook is set up (then the internet reaches this service), when a proxy
    passed the request on, or when a browser sends it for a page of another site, be it under a name that
    points here (DNS rebinding).
    """
    if settings.is_public:
        return False
    try:
        host = urlsplit(f"//{request.host}").hostname
    except ValueError:  # no address: "["
        return False
    return (
        LOOPBACK.fullmatch(request.remote_addr or "") is not None
        and host in LOCAL_NAMES
        and not any(name in request.headers for name in PROXY_HEADERS)
        and request.headers.get("Sec-Fetch-Site") in (None, "same-origin", "none")
        and is_same_origin()
    )


def is_same_origin() -> bool:
    """The request is not from a page of another site, as far as its browser tells."""
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host
