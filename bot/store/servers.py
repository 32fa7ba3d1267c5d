"""What the servers say about themselves: one, or each master of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from bot.store.cluster import Cluster
from bot.store.connection import attempt
from bot.store.faults import unless_refused


@dataclass(frozen=True)
class ServerFacts:
    address: str  # "" for the one server
    info: dict[str, Any]  # INFO; empty where the user may not run it
    options: dict[str, str]  # CONFIG; likewise, and where a managed server does not tell

    @property
    def following(self) -> int:
        """Replicas that have what it writes."""
        rows = (value for name, value in self.info.items() if name.startswith("slave") and name[5:].isdigit())
        return sum(row.get("state") == "online" for row in rows)


def server_facts(client: redis.Redis) -> list[ServerFacts]:
    """Raises StoreDownError, also where one of several masters does not answer."""
    if not isinstance(client, Cluster):
        return [_facts("", client)]
    nodes = attempt(client.masters)
    found = []
    for node in nodes:
        place = node.connection_pool.connection_kwargs
        found.append(_facts(f"{place['host']}:{place['port']}", node))
    return found


def _facts(address: str, client: redis.Redis) -> ServerFacts:
    info = attempt(lambda: unless_refused(client.info, {}))
    options = attempt(lambda: unless_refused(lambda: client.config_get("*"), {}))
    return ServerFacts(address, dict(info), dict(options))


def totals(client: redis.Redis) -> dict[str, Any]:
    """Version, used_memory and maxmemory, of all together."""
    facts = [one.info for one in server_facts(client)]
    sums = {name: sum(int(info.get(name) or 0) for info in facts) for name in ("used_memory", "maxmemory")}
    return {"redis_version": facts[0].get("redis_version"), **sums}
