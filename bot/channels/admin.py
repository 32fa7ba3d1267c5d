"""/admin/api/… is for administrators: `Authorization: Bearer PLM_ADMIN_KEY`; /admin is a page that shows it.

    GET    /admin/api/conversations?user=&limit=&cursor=   {"conversations": […], "cursor"}
    GET    /admin/api/conversations/<id>                   {"id", "channel", "user", "turns": […]}
    DELETE /admin/api/conversations/<id>                   forgets it
    DELETE /admin/api/conversations?user=                  forgets all of a user's, in every channel
    GET    /admin/api/export?user=                         whole conversations as lines of JSON
    POST   /admin/api/block, unblock, quota                {"user", "channel"?, "rate"?}
    GET    /admin/api/people, models, stats, audit
    …      /admin/api/dead-letters, broadcasts              in admin_work.py
    POST   /admin/api/models/load                          {"name"}

Without a key there is nothing here. Errors have the form of /v1. Whatever tells of people or changes
something is in the audit log before it is done.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import limits
from flask import Blueprint, Response, make_response, render_template, request
from pydantic import BaseModel, ConfigDict, Field, field_validator
from werkzeug.exceptions import NotFound

from bot import current_bot, metrics
from bot.admin import Admin, person
from bot.admin_store import conversation_of, every
from bot.api import ApiError, read_body, respond
from bot.config import ConfigError
from bot.engines import EngineDownError
from bot.records import Conversation

blueprint = Blueprint("admin", __name__)
GUESSES = (limits.parse("10/minute"),)  # wrong keys from one address
MOST = 200  # conversations, or entries of the log, in one answer
HOUR = 60  # minutes that the page draws


def let_in() -> None:
    """404 where no key is set; for the API 401 without the right key, 429 after too many wrong ones."""
    bot = current_bot()
    if not bot.settings.admin_key:
        raise NotFound
    if not request.path.startswith("/admin/api/"):
        return
    guesser = f"admin-key:{request.remote_addr}"
    # Asked first: whoever has used up the guesses does not learn whether this one was right.
    if wait := bot.store.wait(guesser, GUESSES):
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
    bot.store.spend(guesser, GUESSES)
    raise ApiError(401, "that is not the administrator's key", code="invalid_api_key", headers=headers)


def keep_out_of_caches(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    return response


blueprint.before_request(let_in)
blueprint.after_request(keep_out_of_caches)


def the_admin() -> Admin:
    admin = current_bot().admin
    assert admin is not None  # noqa: S101  let_in has seen the key
    return admin


def write_down(action: str, target: str = "") -> None:
    """Before the action: with Redis away, nothing is done unseen."""
    address = request.remote_addr or ""
    the_admin().store.audit({"time": time.time(), "address": address, "action": action, "target": target})


def _number(name: str, default: int, least: int, most: int) -> int:
    given = request.args.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdecimal() and least <= int(given[:9]) <= most):
        raise ApiError(400, f"{name} must be a number from {least} to {most}", param=name)
    return int(given)


# Conversations


@blueprint.get("/admin/api/conversations")
def list_conversations() -> Response:
    store, user = the_admin().store, request.args.get("user") or None
    limit, cursor = _number("limit", 50, 1, MOST), _read_cursor(request.args.get("cursor", ""))
    write_down("list", person(user) if user else "all")
    rows: list[dict[str, Any]] = []
    if user is not None:  # one in each channel at most: there is nothing to page through
        found = store.about(store.of_user(user))
        rows = sorted(found, key=lambda row: row["updated"], reverse=True)
        return respond({"conversations": rows, "cursor": None})
    while True:
        batch, cursor = store.page(limit - len(rows), cursor)
        rows += store.about(batch)
        if cursor is None or len(rows) == limit:
            return respond({"conversations": rows, "cursor": _write_cursor(cursor)})


def _write_cursor(cursor: tuple[float, str] | None) -> str | None:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode() if cursor else None


def _read_cursor(text: str) -> tuple[float, str] | None:
    if not text:
        return None
    try:
        score, name = json.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
        return float(score), str(name)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise ApiError(400, "cursor is none that was given out here", param="cursor") from None


def _conversation(conversation_id: str) -> Conversation:
    channel, _, user = conversation_id.partition(":")
    # A caller may have written the id into the address as it is, so that its own %XX were taken out.
    conversation = conversation_of(conversation_id) or conversation_of(Conversation(channel, user).id)
    if conversation is None:
        raise ApiError(404, "there is no such conversation")
    return conversation


@blueprint.get("/admin/api/conversations/<path:conversation_id>")
def show(conversation_id: str) -> Response:
    conversation = _conversation(conversation_id)
    write_down("show", person(conversation.user))
    whole = the_admin().store.show(conversation)
    if whole is None:
        raise ApiError(404, "there is no such conversation")
    return respond(whole)


@blueprint.delete("/admin/api/conversations/<path:conversation_id>")
def forget(conversation_id: str) -> Response:
    conversation = _conversation(conversation_id)
    write_down("forget", person(conversation.user))
    current_bot().forgetting.wholly(conversation)
    return respond({"forgotten": [conversation.id]})


@blueprint.delete("/admin/api/conversations")
def forget_user() -> Response:
    user = request.args.get("user")
    if not user:
        raise ApiError(400, "user is missing", param="user")
    write_down("forget", person(user))
    found = current_bot().forgetting.user(user)
    return respond({"forgotten": [conversation.id for conversation in found]})


@blueprint.get("/admin/api/export")
def export() -> Response:
    user = request.args.get("user") or None
    write_down("export", person(user) if user else "all")
    store = the_admin().store

    def lines() -> Iterator[str]:
        for whole in every(store, user):
            yield json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n"

    return Response(lines(), mimetype="application/x-ndjson")


# People


class Someone(BaseModel):
    model_config = ConfigDict(extra="forbid")
    user: Annotated[str, Field(min_length=1, max_length=200)]
    channel: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=80)] = ""


class Quota(Someone):
    rate: str  # like PLM_RATE_LIMIT; "" takes the quota away

    @field_validator("rate")
    @classmethod
    def _is_rate(cls, rate: str) -> str:
        try:
            good = not rate or all(item.amount > 0 for item in limits.parse_many(rate))
        except ValueError:
            good = False
        if not good or len(rate) > 100:
            raise ValueError("must be like 20/minute or 20/minute;500/day, or empty")
        return rate


@blueprint.get("/admin/api/people")
def people() -> Response:
    write_down("people", "all")
    return respond({"people": [asdict(rule) for rule in the_admin().store.rules().values()]})


@blueprint.post("/admin/api/block")
def block() -> Response:
    return _change("block", read_body(Someone), blocked=True)


@blueprint.post("/admin/api/unblock")
def unblock() -> Response:
    return _change("unblock", read_body(Someone), blocked=False)


@blueprint.post("/admin/api/quota")
def quota() -> Response:
    body = read_body(Quota)
    return _change("quota", body, rate=body.rate)


def _change(action: str, who: Someone, **change: Any) -> Response:
    write_down(action, person(who.user))
    admin = the_admin()
    rule = admin.store.rule(who.user, who.channel, **change)
    admin.look()  # here at once, in the other processes within a second
    return respond(asdict(rule))


# Models


class Load(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


@blueprint.get("/admin/api/models")
def models() -> Response:
    bot, admin = current_bot(), the_admin()
    wanted = admin.store.wanted_model(bot.settings.model) or bot.settings.model_name
    rows = [{"name": name, "loaded": name == bot.model_name} for name in bot.settings.models]
    return respond({"models": rows, "wanted": wanted, "processes": admin.store.processes()})


@blueprint.post("/admin/api/models/load")
def load_model() -> Response:
    """Load it here first: what cannot be loaded is asked of no other process."""
    bot, admin, body = current_bot(), the_admin(), read_body(Load)
    if body.name not in bot.settings.models:
        raise ApiError(
            404, f"there is no model {body.name!r}; there is {', '.join(bot.settings.models)}", "name"
        )
    write_down("load", body.name)
    try:
        admin.load(body.name)
    except ConfigError as error:
        raise ApiError(400, str(error), "name") from None
    except EngineDownError as error:
        raise ApiError(503, str(error)) from None
    admin.store.want_model(body.name, bot.settings.model)
    return respond({"model": bot.model_name, "processes": admin.store.processes()})


# What happens


@blueprint.get("/admin/api/audit")
def audit() -> Response:
    start, limit = _number("start", 0, 0, 1_000_000), _number("limit", 50, 1, MOST)
    if user := request.args.get("user"):
        rows = [row for row in the_admin().store.audited(0, 1_000_000) if row["target"] == person(user)]
        return respond({"audit": rows[start : start + limit]})
    return respond({"audit": the_admin().store.audited(start, limit)})


@blueprint.get("/admin/api/stats")
def stats() -> Response:
    """The last hour by the minute and in all, over all processes; what is up; the newest errors."""
    bot, admin = current_bot(), the_admin()
    minutes = admin.store.minutes(_number("minutes", HOUR, 1, 24 * 60))
    totals: dict[str, float] = {}
    for row in minutes:
        for name, value in row.items():
            totals[name] = totals.get(name, 0.0) + value
    server = admin.store.server()
    return respond(
        {
            "model": bot.model_name,
            "conversations": admin.store.count(),
            "totals": _without_buckets(totals),
            "latency": {str(share): _quantile(totals, share) for share in (0.5, 0.95, 0.99)},
            "minutes": [_without_buckets(row) | {"p95": _quantile(row, 0.95)} for row in minutes],
            "processes": admin.store.processes(),
            "redis": {name: server.get(name) for name in ("redis_version", "used_memory", "maxmemory")},
            "errors": admin.store.errors(),
        }
    )


def _without_buckets(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if not name.startswith("le:")}


def _quantile(row: dict[str, float], share: float) -> float | None:
    """Seconds under which that share of the answers was finished: between two bounds, a straight line."""
    bounds = sorted(
        (float(name[3:].replace("+Inf", "inf")), value)
        for name, value in row.items()
        if name.startswith("le:")
    )
    if not bounds or not bounds[-1][1]:
        return None
    wanted, below, under = share * bounds[-1][1], 0.0, 0.0
    for bound, count in bounds:
        if count >= wanted:
            if bound == float("inf"):
                return below
            return round(below + (bound - below) * (wanted - under) / max(count - under, 1e-9), 4)
        below, under = bound, count
    return below


# The page


@blueprint.get("/admin")
def page() -> Response:
    return make_response(render_template("admin.html"))
