"""What Redis keeps of broadcasts (bot/admin/broadcasts.py). The keys:

    plm:{broadcast}:all        zset  the ids, by when they were planned
    plm:{broadcast}:ID         hash  text, rate, state, times, and once it has ended the numbers
    plm:{broadcast}:ID:PLACE   set   conversations: `to` send to, `open` (with the channel), `sent`, `failed`

A conversation is in one set at a time and is moved atomically, so that a task that runs twice counts once.
The sets are deleted when the broadcast has ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

from bot.store.conversations import Store
from bot.text.records import Conversation

BASE = "plm:{broadcast}:"
ALL = BASE + "all"
PLACES = ("to", "open", "sent", "failed")
PLAN_SECONDS = 3600  # a plan that was not started by then expires
KEEP = 90 * 24 * 3600  # seconds that the numbers of a broadcast are kept
BATCH = 1000


class BroadcastStore:
    """Any method raises StoreDownError when Redis is away."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client: Any = store.client
        self._try = store.attempt

    def plan(self, broadcast_id: str, record: dict[str, Any], to: Iterable[str]) -> None:
        """Store the text and its recipients; expires after an hour unless it is started."""
        key, names = BASE + broadcast_id, list(to)
        for start in range(0, len(names), BATCH):
            self._try(
                lambda start=start: self.client.sadd(key + ":to", *names[start : start + BATCH])  # type: ignore[misc]
            )

        def write() -> None:
            pipe = self.client.pipeline()
            pipe.hset(key, "record", json.dumps(record, ensure_ascii=False))
            pipe.hset(key, "state", "planned")
            for name in (key, key + ":to"):
                pipe.expire(name, PLAN_SECONDS)
            pipe.zadd(ALL, {broadcast_id: time.time()})
            pipe.expire(ALL, KEEP)
            pipe.execute()

        self._try(write)

    def start(self, broadcast_id: str) -> None:
        def write() -> None:
            pipe = self.client.pipeline()
            pipe.hset(BASE + broadcast_id, mapping={"state": "running", "started": time.time()})
            for name in ("", ":to"):
                pipe.expire(BASE + broadcast_id + name, KEEP)
            pipe.execute()

        self._try(write)

    def cancel(self, broadcast_id: str) -> None:
        self._try(lambda: self.client.hset(BASE + broadcast_id, "state", "cancelled"))

    def end(self, broadcast_id: str, state: str) -> None:
        """Keep the counts, and delete the names."""
        counts, key = self.counts(broadcast_id), BASE + broadcast_id

        def write() -> None:
            pipe = self.client.pipeline()
            pipe.hset(key, mapping={"state": state, "ended": time.time()})
            pipe.hsetnx(key, "counts", json.dumps(counts))
            for place in PLACES:
                pipe.delete(f"{key}:{place}")
            pipe.execute()

        self._try(write)

    def state(self, broadcast_id: str) -> str:
        """planned, running, cancelled, done; "" if there is none."""
        return str(self._try(lambda: self.client.hget(BASE + broadcast_id, "state")) or b"", "utf-8")

    def read(self, broadcast_id: str) -> dict[str, Any] | None:
        fields: Any = self._try(lambda: self.client.hgetall(BASE + broadcast_id))
        if b"record" not in fields:
            return None
        times = {
            name: float(fields[name.encode()]) for name in ("started", "ended") if name.encode() in fields
        }
        counts = json.loads(fields[b"counts"]) if b"counts" in fields else self.counts(broadcast_id)
        state = fields[b"state"].decode()
        return {"id": broadcast_id, "state": state, **json.loads(fields[b"record"]), **times, **counts}

    def ids(self) -> list[str]:
        """Newest first."""
        return [name.decode() for name in self._try(lambda: self.client.zrange(ALL, 0, 99, desc=True))]

    def counts(self, broadcast_id: str) -> dict[str, int]:
        def read() -> list[int]:
            pipe = self.client.pipeline()
            for place in PLACES:
                pipe.scard(f"{BASE}{broadcast_id}:{place}")
            return list(pipe.execute())

        to, given, sent, failed = self._try(read)
        return {"left": to + given, "on_the_way": given, "sent": sent, "failed": failed}

    def some(self, broadcast_id: str, place: str, count: int) -> list[str]:
        rows: Any = self._try(lambda: self.client.srandmember(f"{BASE}{broadcast_id}:{place}", count))
        return [row.decode() for row in rows]

    def move(self, broadcast_id: str, name: str, source: str, target: str) -> bool:
        """False if it was not there (any more)."""
        key = f"{BASE}{broadcast_id}:"

        def write() -> list[Any]:
            pipe = self.client.pipeline()
            pipe.execute_command(
                "SMOVE", key + source, key + target, name
            )  # no method of a cluster's pipelines
            pipe.expire(key + target, KEEP)
            pipe.sismember(key + target, name)
            return list(pipe.execute())

        return bool(self._try(write)[-1])

    def has(self, broadcast_id: str, place: str, name: str) -> bool:
        return bool(self._try(lambda: self.client.sismember(f"{BASE}{broadcast_id}:{place}", name)))

    def erase(self, conversation: Conversation) -> None:
        for broadcast_id in self._everyone():
            for place in PLACES:
                key = f"{BASE}{broadcast_id}:{place}"
                self._try(lambda key=key: self.client.srem(key, conversation.id))  # type: ignore[misc]

    def _everyone(self) -> Iterator[str]:
        rows: Any = self._try(lambda: self.client.zrange(ALL, 0, -1))
        return (row.decode() for row in rows)
