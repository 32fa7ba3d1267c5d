"""The connection to Redis: its URLs, one retry, and which of its errors mean that it is unavailable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from bot.store.faults import is_refusal, setup_fault

SENTINEL = "redis+sentinel://"
_ONCE_MORE = Retry(NoBackoff(), 1)

T = TypeVar("T")


class StoreDownError(Exception):
    """Redis cannot be reached, or refuses writes, for now."""


def connect(url: str, timeout: float) -> redis.Redis:
    """A client for redis://, rediss://, unix:// or redis+sentinel://[USER:PASSWORD@]HOST:PORT,…/NAME[/DB].

    The last asks the sentinels for the master of this name at each new connection. ValueError if it is none
    of these. No retries in the client: it nests them (connection in command), which can take over a second.
    """
    options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    options["retry"] = Retry(NoBackoff(), 0)
    if not url.startswith(SENTINEL):
        return redis.Redis.from_url(url, **options)
    account, _, place = url.removeprefix(SENTINEL).rpartition("@")
    user, _, password = (unquote(part) or None for part in account.partition(":"))
    hosts, name, db = [*place.split("/"), "", ""][:3]
    nodes = [(host.rpartition(":")[0], int(host.rpartition(":")[2])) for host in hosts.split(",")]
    own = {"username": user, "password": password, "db": int(db or 0), **options}
    sentinel: Any = Sentinel(nodes, sentinel_kwargs=options, **own)  # type: ignore[no-untyped-call]
    master: redis.Redis = sentinel.master_for(name)
    return master


def attempt(call: Callable[[], T]) -> T:
    """The result of `call`, with one retry: a pooled connection may be older than the server's last restart.
    Errors of Redis become StoreDownError; one that is for the owner to mend names PLM_REDIS_URL."""
    try:
        return _ONCE_MORE.call_with_retry(call, lambda _: None)
    except redis.RedisError as error:
        if cause := setup_fault(error):
            raise StoreDownError(cause) from error
        if isinstance(error, redis.ConnectionError | redis.TimeoutError):
            raise StoreDownError(f"Redis does not answer: {error}") from error
        if is_refusal(error):
            raise StoreDownError(f"Redis refuses: {error}") from error
        raise
