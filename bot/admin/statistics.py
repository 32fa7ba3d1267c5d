"""GET /admin/api/stats: the numbers of all processes together. GET /admin/api/days: those of each day."""

from __future__ import annotations

from flask import Blueprint, Response

from bot.admin import language
from bot.admin.access import current_admin, keep_out_of_caches, number_argument, require_admin
from bot.api.errors import ApiError, respond
from bot.context import current_bot

blueprint = Blueprint("admin_statistics", __name__)
blueprint.before_request(require_admin)
blueprint.after_request(keep_out_of_caches)
blueprint.register_error_handler(ApiError, language.refuse)

HOUR = 60  # minutes that the page draws
MAX_DAYS = 400


@blueprint.get("/admin/api/stats")
def stats() -> Response:
    """The last hour by the minute and in all, over all processes; what is up; the newest errors."""
    bot, admin = current_bot(), current_admin()
    minutes = admin.store.minutes(number_argument("minutes", HOUR, 1, 24 * 60))
    totals: dict[str, float] = {}
    for row in minutes:
        for name, value in row.items():
            totals[name] = totals.get(name, 0.0) + value
    server = admin.store.server()
    return respond(
        {
            "model": bot.model_name,
            "conversations": admin.store.conversations.count(),
            "totals": _without_buckets(totals),
            "latency": {str(share): _quantile(totals, share) for share in (0.5, 0.95, 0.99)},
            "minutes": [_without_buckets(row) | {"p95": _quantile(row, 0.95)} for row in minutes],
            "processes": admin.store.processes(),
            "redis": {name: server.get(name) for name in ("redis_version", "used_memory", "maxmemory")},
            "errors": admin.store.errors(),
        }
    )


@blueprint.get("/admin/api/days")
def days() -> Response:
    """`{"days": [{"date", "channels": {channel: {"people", "questions", …}}}]}`, the newest first; kept over
    restarts. See bot/store/days.py."""
    return respond({"days": current_bot().answers.days.read(number_argument("days", 30, 1, MAX_DAYS))})


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
