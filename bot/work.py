"""Work out of band: pushes and callbacks, as tasks of the library dramatiq over the same Redis.

The only module that knows dramatiq. Each lane is a queue of its own with threads of its own, so that a dead
receiver of callbacks does not hold up WeChat. Every web process works on the lanes that its settings need,
and `plm worker` is more of the same without the web.

A task is done at least once: a killed process stops its heartbeat, and what it had fetched goes back to the
queue. So each task must be harmless when it runs twice. What fails is tried again, later and later; what
fails to the end, or with GiveUpError, is a dead letter for KEPT_MS, to be listed, sent again or dropped.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware, Retries
from dramatiq.worker import ConsumerThread, WorkerThread

from bot import metrics
from bot.outbound_store import OutboundStore
from bot.store import JOB_MS, Store, StoreDownError

log = logging.getLogger(__name__)

KEPT_MS = JOB_MS  # a dead letter names a message, and is worth nothing without it
THREADS = 16  # tasks of one lane that a process works on at a time
POLL_MS = 200  # at most so long does a task wait for an idle process to look
SILENT_MS = 15_000  # without a sign of life for so long, a process counts as killed
MAINTENANCE = 50_000  # of a million looks: so many also look for killed processes (about one in five seconds)
LONGEST_WAIT = 6 * 3600.0  # seconds between two tries
RETRIES = 15  # with five seconds before the first: a day in all


class TryAgainError(Exception):
    """The task could not be done now; its text is one line for the log, without secrets. With `wait`, it is
    tried again after so many seconds, not when its turn would come."""

    def __init__(self, text: str, wait: float = 0) -> None:
        super().__init__(text)
        self.wait = wait


class GiveUpError(Exception):
    """The task will never succeed: a dead letter at once."""


@dataclass(frozen=True)
class DeadLetter:
    id: str
    lane: str
    task: str
    args: tuple[Any, ...]
    error: str
    died: str  # ISO 8601, UTC


class Work:
    """The lanes of one process. `task` first, then `start`; `send` works without `start` too."""

    def __init__(self, store: Store, retry_seconds: float = 5.0) -> None:
        self.store = OutboundStore(store)
        self.retry_seconds = retry_seconds
        self._lanes: dict[str, _Lane] = {}
        self._workers: list[dramatiq.Worker] = []

    def task(self, lane: str, name: str, function: Callable[..., None]) -> None:
        """Have `function` run for every task of this name; its arguments are what JSON can carry."""
        broker = self._lanes.setdefault(lane, _Lane(self.store, lane))

        def run(*args: Any) -> None:
            _run(name, function, args)

        dramatiq.actor(
            actor_name=name,
            queue_name=lane,
            broker=broker,
            max_retries=RETRIES,
            min_backoff=int(self.retry_seconds * 1000),
            max_backoff=int(max(self.retry_seconds, LONGEST_WAIT) * 1000),
            throws=GiveUpError,
        )(run)

    def send(self, lane: str, name: str, *args: Any) -> None:
        """Raises StoreDownError if it cannot be written down; else it will be done."""
        try:
            self._lanes[lane].get_actor(name).send(*args)
        except ConnectionClosed as error:
            raise StoreDownError(str(error)) from None

    @property
    def lanes(self) -> list[str]:
        return list(self._lanes)

    def start(self) -> None:
        for lane in self._lanes.values():
            worker = dramatiq.Worker(lane, worker_timeout=POLL_MS, worker_threads=THREADS)
            worker.start()
            self._workers.append(worker)

    def close(self, timeout: float) -> None:
        """Finish what is being done; what is not finished in time is done again by another process."""
        for lane in self._lanes.values():
            lane.closing = True
        for worker in self._workers:
            worker.stop(timeout=int(timeout * 1000))
        self._workers.clear()

    def dead_letters(self) -> list[DeadLetter]:
        """Newest first."""
        found = []
        for name, lane in self._lanes.items():
            for letter_id, died, data in self.store.dead_letters(lane.namespace, name):
                message = dramatiq.Message.decode(data)
                when = datetime.fromtimestamp(died / 1000, UTC).isoformat(timespec="seconds")
                error = str(message.options.get("error", ""))
                found.append(
                    DeadLetter(letter_id, name, message.actor_name, tuple(message.args), error, when)
                )
        return sorted(found, key=lambda letter: letter.died, reverse=True)

    def resend(self, letter: DeadLetter) -> None:
        """Begin again from the first try. Written down before it is dropped: at worst it is done twice."""
        self.send(letter.lane, letter.task, *letter.args)
        self.drop(letter)

    def forget(self, user: str) -> None:
        """Drop the dead letters that name a user. A task that is still waiting finds its message gone."""
        for letter in self.dead_letters():
            if user in letter.args:
                self.drop(letter)

    def drop(self, letter: DeadLetter) -> None:
        self.store.drop_dead_letter(self._lanes[letter.lane].namespace, letter.lane, letter.id)


def _run(name: str, function: Callable[..., None], args: tuple[Any, ...]) -> None:
    try:
        function(*args)
    except TryAgainError as error:
        metrics.TASKS_FAILED.labels(name).inc()
        log.warning("%s: to be tried again: %s", name, error)
        delay = int(min(error.wait, LONGEST_WAIT) * 1000) or None
        raise dramatiq.errors.Retry(str(error), delay=delay) from None
    except StoreDownError as error:
        raise dramatiq.errors.Retry(str(error)) from None
    except GiveUpError as error:
        metrics.TASKS_FAILED.labels(name).inc()
        log.error("%s: given up: %s", name, error)
        raise
    metrics.TASKS_DONE.labels(name).inc()


class _LastWords(Middleware):
    """A dead letter says what it died of: dramatiq keeps it as it was before the last try."""

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        if exception is not None:
            message.options["error"] = str(exception)[:300] or type(exception).__name__

    def before_nack(self, broker: Any, message: Any) -> None:
        broker.rewrite(message)


class _Lane(RedisBroker):
    """dramatiq's broker, mended where it would lose or forget a task when Redis is away for a while.

    It takes a time-out for a bug of its own, and then keeps for ever what it was about to hand out; and it
    acknowledges a task that failed even when it could not put it back.
    """

    def __init__(self, store: OutboundStore, name: str) -> None:
        self.store = store
        self.closing = False
        # The braces keep all keys of a lane in one slot of a cluster.
        super().__init__(  # type: ignore[no-untyped-call]
            client=store.queue_client(),
            namespace=f"{{plm:work:{name}}}",
            middleware=[Retries(), _LastWords()],
            maintenance_chance=MAINTENANCE,
            heartbeat_timeout=SILENT_MS,
            dead_message_ttl=KEPT_MS,
        )

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        while True:
            try:
                return super().enqueue(message, delay=delay)
            except ConnectionClosed:
                own_thread = isinstance(threading.current_thread(), WorkerThread | ConsumerThread)
                if not own_thread or self.closing:
                    raise
                time.sleep(0.5)

    def rewrite(self, message: Any) -> None:
        with contextlib.suppress(StoreDownError):  # then it has no last words
            self.store.rewrite_task(
                self.namespace, message.queue_name, message.options["redis_message_id"], message.encode()
            )

    def _dispatch(self, command: str) -> Callable[..., Any]:
        send = super()._dispatch(command)  # type: ignore[no-untyped-call]

        def dispatch(*args: Any) -> Any:
            try:
                return self.store.store.attempt(lambda: send(*args))
            except StoreDownError as error:
                if command == "fetch":
                    # What Redis may have handed out unheard is noted under the old name, which falls silent
                    # now: as with a killed process, all of it goes back to the queue.
                    self.broker_id = str(uuid.uuid4())
                raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

        return dispatch
