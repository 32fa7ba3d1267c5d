"""Waiting until a service has nothing left to send."""

from __future__ import annotations

from bot.store.conversations import Store
from bot.store.tasks import TaskStore
from tests.service import wait_until


def wait_until_idle(store: Store, seconds: float = 15.0) -> None:
    """Until no task is waiting, delayed or being done: what has not been sent by then never will be."""
    tasks = TaskStore(store)
    dead = ".XQ"
    wait_until(lambda: all(queue.endswith(dead) for queue, _, _ in tasks.all_tasks()), seconds, "all is sent")
