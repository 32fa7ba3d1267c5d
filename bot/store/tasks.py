"""What Redis keeps of task queues. dramatiq names these keys; {queue} is {plm:work:QUEUE}:

    {queue}:QUEUE, {queue}:QUEUE.msgs        list, hash  the ids of waiting tasks, and all that is not done
    {queue}:QUEUE.DQ, {queue}:QUEUE.DQ.msgs  list, hash  likewise, to be done later
    {queue}:QUEUE.XQ, {queue}:QUEUE.XQ.msgs  zset, hash  dead letters, by when they died
    {queue}:__acks__.WHO.QUEUE               set         ids that a process has fetched and not acknowledged

A task exists as long as it is in one of the hashes; `contains` tells the process that has fetched it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from bot.store.connection import connect
from bot.store.conversations import Store
from bot.store.scripts import SCRIPTS

TIMEOUT = 2.0  # seconds; no user waits for a task


class TaskStore:
    """A part of the store; its methods raise StoreDownError as those of Store do."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client: Any = store.client
        self._try = store.attempt
        self._rewrite = self.client.register_script(SCRIPTS["rewrite_task"])

    def queue_client(self) -> redis.Redis:
        """For the task queue: connections of its own, with a longer time-out."""
        return connect(self.store.url, TIMEOUT)

    def dead_letters(self, queue: str) -> list[tuple[str, float, bytes]]:
        """The dead letters of a queue: id, time in ms, data."""
        base = queue + ".XQ"
        found: list[Any] = self._try(lambda: self.client.zrange(base, 0, -1, withscores=True))
        if not found:
            return []
        data: list[Any] = self._try(lambda: self.client.hmget(base + ".msgs", [name for name, _ in found]))
        pairs = zip(found, data, strict=True)
        return [(name.decode(), died, blob) for (name, died), blob in pairs if blob]

    def rewrite(self, queue: str, task_id: str, data: bytes) -> None:
        """Unless it was deleted: an erased task must not come back."""
        self._try(lambda: self._rewrite(keys=[queue + ".msgs"], args=[task_id, data]))

    def contains(self, queue: str, task_id: str) -> bool:
        """Whether a fetched task still exists: waiting, delayed or running."""
        return any(
            self._try(lambda key=key: self.client.hexists(key, task_id))  # type: ignore[misc]
            for key in (queue + ".msgs", queue + ".DQ.msgs")
        )

    def all_tasks(self) -> Iterator[tuple[str, str, bytes]]:
        """Every task of every queue, also of queues without workers: queue, id, data."""
        for name in self._keys("{plm:work:*}:*.msgs"):
            cursor = 0
            while True:
                cursor, rows = self._try(
                    lambda name=name, cursor=cursor: self.client.hscan(name, cursor, count=500)  # type: ignore[misc]
                )
                for task_id, data in rows.items():
                    yield name.removesuffix(".msgs"), task_id.decode(), data
                if not cursor:
                    break

    def remove(self, queue: str, task_id: str) -> bool:
        """False if it is gone already. First from the queue: no worker may fetch a task without data."""
        if queue.endswith(".XQ"):
            self._try(lambda: self.client.zrem(queue, task_id))
        else:
            self._try(lambda: self.client.lrem(queue, 0, task_id))
        return bool(self._try(lambda: self.client.hdel(queue + ".msgs", task_id)))

    def counts(self, queue: str) -> dict[str, int]:
        """How many tasks are waiting or running, delayed, and dead."""

        def read() -> list[int]:
            pipe = self.client.pipeline(transaction=False)
            for kind in ("", ".DQ", ".XQ"):
                pipe.hlen(f"{queue}{kind}.msgs")
            return list(pipe.execute())

        return dict(zip(("waiting", "delayed", "dead"), self._try(read), strict=True))

    def _keys(self, pattern: str) -> list[str]:
        found: list[str] = []
        cursor = 0
        while True:
            cursor, keys = self._try(
                lambda cursor=cursor: self.client.scan(cursor, match=pattern, count=5000)  # type: ignore[misc]
            )
            found += [key.decode() for key in keys]
            if not cursor:
                return sorted(set(found))
