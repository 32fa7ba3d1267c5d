"""A cluster of Redis or Valkey, as the store uses it: redis-py's client, made at its first use.

All keys of a script lie in one slot, and every script names a second key beside its first: while a slot is
being moved, a node that has only one of two answers TRYAGAIN. A script with one key, which is a prefix and
never exists, would be sent on (ASK) to the node that has none of the others yet, and begin them anew there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.commands.core import Script
from redis.exceptions import ClusterDownError, MovedError, RedisClusterException
from redis.retry import Retry

SCHEMES = ("redis+cluster://", "rediss+cluster://")
REFRESH_SECONDS = 0.2  # between two readings of who serves which slot: each takes some ms of CPU
CONNECTIONS = 1000  # to one node, as many as a process has threads at most


class Cluster:
    """RedisCluster, which has the methods of redis.Redis, for rediss+cluster://[USER:PASSWORD@]HOST:PORT,…

    Like it, but: no node need answer before the first use; a pipeline is a transaction unless told otherwise;
    `ping` and `script_load` succeed with a part of the masters; topology is read at most every
    REFRESH_SECONDS by all threads together (redis-py would read it for each failed call of each thread).
    """

    def __init__(self, url: str, timeout: float) -> None:
        account, _, hosts = url.partition("://")[2].rstrip("/").rpartition("@")
        user, _, password = (unquote(part) or None for part in account.partition(":"))
        places = (host.rpartition(":") for host in hosts.split(","))
        self._places = [(host.strip("[]"), int(port)) for host, _, port in places]
        self._options: dict[str, Any] = {
            "username": user, "password": password, "ssl": url.startswith("rediss"),
            "socket_timeout": timeout, "socket_connect_timeout": timeout, "max_connections": CONNECTIONS,
        }  # fmt: skip
        self._made: Any = None
        self._lock = threading.Lock()
        self._refreshed = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    @property
    def _cluster(self) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._connect()
        return self._made

    def _connect(self) -> Any:
        node: Any = ClusterNode
        try:
            made: Any = RedisCluster(
                startup_nodes=[node(host, port) for host, port in self._places],
                retry=Retry(NoBackoff(), 0), require_full_coverage=False, **self._options,
            )  # fmt: skip
        except RedisClusterException as error:
            raise redis.ConnectionError(str(error)) from error
        read = made.nodes_manager.initialize

        def refresh(*args: Any, **options: Any) -> None:
            if time.monotonic() - self._refreshed > REFRESH_SECONDS:
                self._refreshed = time.monotonic()
                with suppress(RedisClusterException):  # the call that wanted it fails for a reason of its own
                    read(*args, **options)

        made.nodes_manager.initialize = refresh
        return made

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def register_script(self, lua: str | bytes) -> Script:
        return Script(self, lua.encode() if isinstance(lua, str) else lua)  # type: ignore[arg-type]

    def lock(self, *args: Any, **options: Any) -> Any:
        return redis.lock.Lock(self, *args, **options)

    def pipeline(self, transaction: bool = True) -> Any:
        """Commands of several slots without `transaction`, else of one."""
        return self._cluster.pipeline(transaction)

    def masters(self) -> list[redis.Redis]:
        return [self._cluster.get_redis_connection(node) for node in self._cluster.get_primaries()]

    def ping(self) -> bool:
        """Of the first master that answers: without one of them, others are still served."""
        fault: Exception = redis.ConnectionError("no master is known")
        for node in self.masters():
            try:
                return bool(node.ping())
            except (redis.ConnectionError, redis.TimeoutError) as error:
                fault = error
        self._cluster.nodes_manager.initialize()
        raise fault

    def script_load(self, lua: str) -> str:
        sha = ""
        for node in self.masters():
            with suppress(redis.ConnectionError, redis.TimeoutError):
                sha = str(node.script_load(lua))
        return sha

    def on_node(self, key: str, send: Callable[[redis.Redis], list[Any]]) -> list[Any]:
        """What `send` returns for the node that serves the key. If its first value says that the slot is
        elsewhere, that error is raised, and noted."""
        manager = self._cluster.nodes_manager
        node = manager.get_node_from_slot(self._cluster.keyslot(key))
        try:
            said = send(self._cluster.get_redis_connection(node))
        except (redis.ConnectionError, redis.TimeoutError):
            manager.initialize(last_failed_node_name=node.name)
            raise
        if isinstance(said[0], MovedError):
            manager.move_slot(said[0])
            raise said[0]
        if isinstance(said[0], ClusterDownError):
            manager.initialize()
        return said
