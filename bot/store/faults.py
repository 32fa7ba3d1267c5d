"""What an error of Redis means: it cannot write for now, or something is to be mended in its set-up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import redis

# The server cannot write for now: disk or memory full, a replica, still loading its file …
_REFUSALS = (redis.ReadOnlyError, redis.OutOfMemoryError, redis.exceptions.ClusterDownError)
REFUSAL_CODES = ("MISCONF", "OOM", "READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS")
_OF_CLUSTERS = (
    redis.exceptions.MovedError,
    redis.exceptions.AskError,
    redis.exceptions.ClusterCrossSlotError,
)

CLUSTER_FORM = "this is a member of a cluster: write redis+cluster://HOST:PORT,HOST:PORT"
KEYS_NEEDED = "it needs the keys ~plm:* and ~{plm:*"
_NOT_ALLOWED = re.compile(
    "NOPERM|no permissions|can't run this command|can't access|ACL failure", re.IGNORECASE
)
_REFUSED = re.compile(_NOT_ALLOWED.pattern + "|unknown command", re.IGNORECASE)
_COMMAND = re.compile("permissions to run the '([^']+)' command")


def is_refusal(error: redis.RedisError) -> bool:
    """Whether the server cannot write for now."""
    return isinstance(error, _REFUSALS) or any(code in str(error) for code in REFUSAL_CODES)


def setup_fault(error: redis.RedisError) -> str:
    """What the owner must mend, naming PLM_REDIS_URL; "" for other errors."""
    found = _mend(error)
    return f"PLM_REDIS_URL: {found}" if found else ""


def _mend(error: redis.RedisError) -> str:
    # Errors of pipelines quote texts of users: nothing of an error is handed on but a command's name.
    text = str(error)
    if isinstance(error, redis.AuthenticationError):
        return "the server does not take this user and password, or wants one"
    if isinstance(error, _OF_CLUSTERS):
        return CLUSTER_FORM
    if isinstance(error, redis.exceptions.InvalidResponse):
        return "what answers there is not Redis"
    if "WRONG_VERSION_NUMBER" in text:
        return "the server does not speak TLS there: write redis:// instead of rediss://"
    if re.search("DB index|SELECT is not allowed", text):
        return "the server has no database of the number at its end"
    if re.search("unknown command.{0,3}sentinel", text, re.IGNORECASE):
        return "what answers there is no sentinel: write redis://HOST:PORT/0"
    if re.search("unknown command", text, re.IGNORECASE):
        return "the server does not know a command that is needed: Redis 6.2 is the oldest that will do"
    if isinstance(error, redis.exceptions.NoPermissionError) or _NOT_ALLOWED.search(text):
        found = _COMMAND.search(text)
        return f"its user may not run {found[1].upper()}" if found else f"its user may not: {KEYS_NEEDED}"
    return ""


def explain_refusals(lines: list[str]) -> str:
    """One sentence of what refused commands said, each line "COMMAND error"."""
    for code in REFUSAL_CODES:
        if found := next((line for line in lines if code in line), None):
            return f"Redis refuses: {found.partition(' ')[2]}"
    if any(re.search("access", line) and not _COMMAND.search(line) for line in lines):
        return f"PLM_REDIS_URL: its user may not: {KEYS_NEEDED}"
    names = ", ".join(sorted({line.partition(" ")[0] for line in lines}))
    if all(_NOT_ALLOWED.search(line) for line in lines):
        return f"PLM_REDIS_URL: its user may not run {names}"
    return f"PLM_REDIS_URL: the server does not run {names}: {lines[0].partition(' ')[2][:200]}"


def unless_refused(call: Callable[[], Any], instead: Any) -> Any:
    """The result of a command that the user may be denied, or that a managed server does not know."""
    try:
        return call()
    except (redis.exceptions.NoPermissionError, redis.ResponseError) as error:
        if _REFUSED.search(str(error)):
            return instead
        raise


def server_mode(client: redis.Redis) -> str:
    """standalone, cluster or sentinel; "" where the server does not say."""
    said = unless_refused(lambda: client.execute_command("HELLO"), {})  # type: ignore[no-untyped-call]
    pairs = said if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=False))
    mode = pairs.get(b"mode", b"")
    return mode.decode() if isinstance(mode, bytes) else str(mode)
