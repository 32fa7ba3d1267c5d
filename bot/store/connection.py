"""The connection to Redis: its URLs, one retry, and which of its errors mean that it is unavailable."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterError, MovedError, SlotNotCoveredError, TryAgainError
from redis.retry import Retry
from redis.sentinel import Sentinel

from bot.store.cluster import SCHEMES, Cluster
from bot.store.faults import is_refusal, setup_fault

SENTINEL = "redis+sentinel://"
_ONCE_MORE = Retry(NoBackoff(), 1)
MOVING_SECONDS = 0.5  # how long a call waits for a slot that is being moved to another node of the cluster
MOVING_PAUSE = 0.02  # seconds between two tries
MOST_MOVES = 3  # a client of a cluster follows at once

T = TypeVar("T")


class StoreDownError(Exception):
    """Redis cannot be reached, or refuses writes, for now."""


def connect(url: str, timeout: float) -> redis.Redis:
    """A client for redis://, rediss://, unix://, redis+cluster://[USER:PASSWORD@]HOST:PORT,…, rediss+cluster://
    or redis+sentinel://[USER:PASSWORD@]HOST:PORT,…/NAME[/DB].

    The last asks the sentinels for the master of this name at each new connection. ValueError if it is none
    of these. No retries in the client: it nests them (connection in command), which can take over a second.
    """
    if url.startswith(SCHEMES):
        return cast(redis.Redis, Cluster(url, timeout))
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
    A call for a slot that is being moved is repeated for MOVING_SECONDS. Errors of Redis become
    StoreDownError; one that is for the owner to mend names PLM_REDIS_URL."""
    end, moved = time.monotonic() + MOVING_SECONDS, 0
    while True:
        try:
            return _ONCE_MORE.call_with_retry(call, lambda _: None)
        except MovedError as error:  # a client of a cluster knows now where to
            moved += 1
            if moved > MOST_MOVES:
                raise StoreDownError(setup_fault(error)) from error
        except (AskError, TryAgainError) as error:
            if time.monotonic() > end:
                raise StoreDownError(f"Redis: a slot of the cluster is being moved: {error}") from error
            time.sleep(MOVING_PAUSE)
        except SlotNotCoveredError as error:
            raise StoreDownError(f"Redis: nobody serves a slot of the cluster: {error}") from error
        except redis.RedisError as error:
            if cause := setup_fault(error):
                raise StoreDownError(cause) from error
            if isinstance(error, redis.ConnectionError | redis.TimeoutError):
                raise StoreDownError(f"Redis does not answer: {error}") from error
            if is_refusal(error) or isinstance(error, ClusterError):
                raise StoreDownError(f"Redis refuses: {error}") from error
            raise
