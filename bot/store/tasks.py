"""What Redis keeps of task queues. dramatiq names these keys; {queue} is {plm:work:QUEUE}:

    {queue}:QUEUE, {queue}:QUEUE.msgs        list, hash  the ids of waiting tasks, and all that is not done
    {queue}:QUEUE.DQ, {queue}:QUEUE.DQ.msgs  list, hash  likewise, to be done later
    {queue}:QUEUE.XQ, {queue}:QUEUE.XQ.msgs  zset, hash  dead letters, by when they died
    {queue}:__acks__.WHO.QUEUE               set         ids that a process has fetched and not acknowledged

A task exists as long as it is in one of the hashes; `contains` tells the process that has fetched it. They
lie in PLM_QUEUE_URL, if it is set. In the store itself:

    plm:{channel:user}:tasks  zset  tasks about a conversation, QUEUE and id, by when they were stored
    plm:tasks-noted-since     text  seconds since 1970; tasks from before are not in these sets
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import redis

from bot.store.connection import attempt, connect
from bot.store.conversations import OWED_MS, Store
from bot.store.scripts import SCRIPTS
from bot.text.records import Conversation

TIMEOUT = 2.0  # seconds; no user waits for a task
KEPT_MS = OWED_MS  # of a dead letter: it is useless without the message that it names
LONGEST_MS = KEPT_MS + 2 * 24 * 3600 * 1000  # of a task with all its retries, and as a dead letter
NOTED_SINCE = "plm:tasks-noted-since"
NOTED_SINCE_SECONDS = 400 * 24 * 3600  # then it begins anew: no harm
PLACES = ("", ".DQ", ".XQ")


class TaskStore:
    """A part of the store; its methods raise StoreDownError as those of Store do."""

    def __init__(self, store: Store) -> None:
        self.store = store
        own = store.queue_url != store.url
        self.client: Any = connect(store.queue_url, TIMEOUT) if own else store.client
        self._try = attempt
        self._rewrite = self.client.register_script(SCRIPTS["rewrite_task"])

    def queue_client(self) -> redis.Redis:
        """For the task queue: connections of its own, with a longer time-out."""
        return connect(self.store.queue_url, TIMEOUT)

    def note(self, about: str, queue: str, task_id: str) -> None:
        """Before a task about a conversation (its id) is stored: it is found when that is forgotten."""
        self.store.run_on("note_task", _noted(about), f"{queue} {task_id}", LONGEST_MS)

    def drop_note(self, about: str, queue: str, task_id: str) -> None:
        self._try(lambda: self.store.client.zrem(_noted(about), f"{queue} {task_id}"))

    def noted(self, conversation: Conversation) -> list[tuple[str, str]]:
        """Queues and ids of the tasks about a conversation; some may be done."""
        rows: Any = self._try(lambda: self.store.client.zrange(_noted(conversation.id), 0, -1))
        return [(row.decode().split(" ")[0], row.decode().split(" ")[1]) for row in rows]

    def some_unnoted(self) -> bool:
        """Whether there may be tasks of a version that did not note them."""
        client, now = self.store.client, time.time()
        self._try(lambda: client.set(NOTED_SINCE, now, nx=True, ex=NOTED_SINCE_SECONDS))
        return now - float(self._try(lambda: client.get(NOTED_SINCE)) or now) < LONGEST_MS / 1000

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
        keys = self._try(lambda: {*self.client.scan_iter(match="{plm:work:*}:*.msgs", count=5000)})
        for key in sorted(keys):
            rows = self._try(lambda key=key: [*self.client.hscan_iter(key, count=500)])  # type: ignore[misc]
            for task_id, data in rows:
                yield key.decode().removesuffix(".msgs"), task_id.decode(), data

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
            for place in PLACES:
                pipe.hlen(f"{queue}{place}.msgs")
            return list(pipe.execute())

        return dict(zip(("waiting", "delayed", "dead"), self._try(read), strict=True))


def _noted(about: str) -> str:
    return f"plm:{{{about}}}:tasks"
