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

SENTINEL = "redis+sentinel://"
# The server cannot write for now: disk or memory full, a replica, still loading its file …
_REFUSALS = (redis.ReadOnlyError, redis.OutOfMemoryError)
_REFUSAL_CODES = ("MISCONF", "OOM", "READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS")

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
    StoreDownError."""
    end, moved = time.monotonic() + MOVING_SECONDS, 0
    while True:
        try:
            return _ONCE_MORE.call_with_retry(call, lambda _: None)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreDownError(f"Redis does not answer: {error}") from error
        except MovedError as error:  # the client knows now where to
            moved += 1
            if moved > MOST_MOVES:
                raise StoreDownError(
                    "PLM_REDIS_URL: this server is one node of a cluster: write redis+cluster://HOST:PORT"
                ) from error
        except (AskError, TryAgainError) as error:
            if time.monotonic() > end:
                raise StoreDownError(f"Redis: a slot of the cluster is being moved: {error}") from error
            time.sleep(MOVING_PAUSE)
        except (ClusterError, SlotNotCoveredError) as error:
            raise StoreDownError(f"Redis: a part of the cluster is down: {error}") from error
        except redis.ResponseError as error:
            if isinstance(error, _REFUSALS) or any(code in str(error) for code in _REFUSAL_CODES):
                raise StoreDownError(f"Redis refuses: {error}") from error
            raise
