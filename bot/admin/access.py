"""Who may use /admin/api, and the audit log of what they do there."""

from __future__ import annotations

import hashlib
import hmac
import time

import limits
from flask import Response, request
from werkzeug.exceptions import NotFound

from bot.api.errors import ApiError
from bot.chat.policy import AdminSync
from bot.context import current_bot
from bot.telemetry import metrics

GUESSES = (limits.parse("10/minute"),)  # wrong keys from one address


def require_admin() -> None:
    """404 where no key is set; for the API 401 without the right key, 429 after too many wrong ones."""
    bot = current_bot()
    if not bot.settings.admin_key:
        raise NotFound
    if not request.path.startswith("/admin/api/"):
        return
    guesser = f"admin-key:{request.remote_addr}"
    # Asked first: whoever has used up the guesses does not learn whether this one was right.
    if wait := bot.store.rates.time_until_allowed(guesser, GUESSES):
        metrics.LIMITED.inc()
        message = f"too many wrong keys from this address: try again in {wait} s"
        raise ApiError(429, message, code="rate_limit_exceeded", headers={"Retry-After": str(wait)})
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    digests = (
        hashlib.sha256(key.encode("utf-8", "replace")).digest()
        for key in (given.strip(), bot.settings.admin_key)
    )
    if kind.lower() == "bearer" and hmac.compare_digest(*digests):
        return
    headers = {"WWW-Authenticate": "Bearer"}
    if not given.strip():
        raise ApiError(
            401,
            "the administrator's key is needed: Authorization: Bearer KEY",
            code="invalid_api_key",
            headers=headers,
        )
    bot.store.rates.hit(guesser, GUESSES)
    raise ApiError(401, "that is not the administrator's key", code="invalid_api_key", headers=headers)


def keep_out_of_caches(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def current_admin() -> AdminSync:
    admin = current_bot().admin
    assert admin is not None  # noqa: S101  require_admin has seen the key
    return admin


def audit(action: str, target: str = "") -> None:
    """Before the action: with Redis away, nothing is done unseen."""
    address = request.remote_addr or ""
    current_admin().store.audit({"time": time.time(), "address": address, "action": action, "target": target})


def number_argument(name: str, default: int, least: int, most: int) -> int:
    given = request.args.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdecimal() and least <= int(given[:9]) <= most):
        raise ApiError(400, f"{name} must be a number from {least} to {most}", param=name)
    return int(given)
