"""Task queues: pushes and callbacks, as tasks of the library dramatiq over the same Redis.

Only this module imports dramatiq. Each queue has threads of its own, so that an unreachable
receiver of callbacks does not delay WeChat. Every web process works on the queues that its settings need,
and `plm worker` does the same without the web.

A task runs at least once: when a process is killed its heartbeat stops, and what it had fetched is requeued.
So each task must be idempotent. A failed task is retried after growing pauses; after the last retry, or with
PermanentError, it is a dead letter for KEPT_MS, to be listed, requeued or dropped.

A task names its conversation and is deleted with it: waiting, delayed, dead, or running in a process, which
then may not requeue it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import dramatiq
from dramatiq.brokers import redis as dramatiq_redis
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware, Retries
from dramatiq.worker import ConsumerThread, WorkerThread

from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.tasks import KEPT_MS, PLACES, TaskStore
from bot.telemetry import metrics
from bot.text.records import Conversation

log = logging.getLogger(__name__)

THREADS = 16  # tasks of one queue that a process runs at a time
POLL_MS = 200  # the interval at which an idle process polls
SILENT_MS = 15_000  # a process without a heartbeat for this long counts as killed
MAINTENANCE = 50_000  # of a million polls, so many also look for killed processes (about one in five seconds)
LONGEST_WAIT = 6 * 3600.0  # seconds between two tries
RETRIES = 15  # with five seconds before the first: a day in all

# dramatiq's script looks through all keys of the server for what a dead process had fetched. Each of our
# brokers has one queue and its delayed tasks, so two names tell.
_ACKS = b'dead_worker_acks .. "." .. queue_canonical_name'
DISPATCH = dramatiq_redis._scripts["dispatch"].replace(
    b'"keys", dead_worker_acks .. "*"', b'"sunion", %s, %s .. ".DQ"' % (_ACKS, _ACKS)
)

T = TypeVar("T")


class RetryLaterError(Exception):
    """The task failed for now; the text is one line for the log, without secrets. With `wait` it is retried
    after so many seconds, instead of the usual pause."""

    def __init__(self, text: str, retry_after: float = 0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class PermanentError(Exception):
    """The task will never succeed: a dead letter at once."""


@dataclass(frozen=True)
class DeadLetter:
    id: str
    queue: str
    task: str
    about: str  # a conversation's id, or ""
    args: tuple[Any, ...]
    error: str
    died: str  # ISO 8601, UTC


class TaskQueue:
    """The task queues of one process. `task` first, then `start`; `send` works without `start` too."""

    def __init__(self, store: Store, retry_seconds: float = 5.0) -> None:
        self.store = TaskStore(store)
        self.retry_seconds = retry_seconds
        self._brokers: dict[str, _Broker] = {}
        self._workers: list[dramatiq.Worker] = []

    def register(self, queue: str, name: str, function: Callable[..., None]) -> None:
        """Run `function` for every task of this name; its arguments must be JSON."""
        broker = self._brokers.setdefault(queue, _Broker(self.store, queue))

        def run(*args: Any) -> None:
            _run(name, function, args)

        dramatiq.actor(
            actor_name=name,
            queue_name=queue,
            broker=broker,
            max_retries=RETRIES,
            min_backoff=int(self.retry_seconds * 1000),
            max_backoff=int(max(self.retry_seconds, LONGEST_WAIT) * 1000),
            throws=PermanentError,
        )(run)

    def send(self, queue: str, name: str, about: Conversation | None, *args: Any) -> None:
        """Enqueue a task. It will run unless the conversation that it is `about` is erased. Raises
        StoreDownError if it cannot be stored."""
        self._send(queue, name, about.id if about else "", args)

    def _send(self, queue: str, name: str, about: str, args: tuple[Any, ...]) -> None:
        try:
            self._brokers[queue].get_actor(name).send_with_options(args=args, about=about)
        except ConnectionClosed as error:
            raise StoreDownError(str(error)) from None

    @property
    def queues(self) -> list[str]:
        return list(self._brokers)

    def start(self) -> None:
        for broker in self._brokers.values():
            worker = dramatiq.Worker(broker, worker_timeout=POLL_MS, worker_threads=THREADS)
            worker.start()
            self._workers.append(worker)

    def close(self, timeout: float) -> None:
        """Finish the running tasks; what is not finished in time is run again by another process."""
        for broker in self._brokers.values():
            broker.closing = True
        for worker in self._workers:
            worker.stop(timeout=int(timeout * 1000))
        self._workers.clear()
        for broker in self._brokers.values():
            broker.client.close()

    def counts(self) -> dict[str, dict[str, int]]:
        """For each queue how many tasks are waiting or running, delayed, and dead."""
        return {name: self.store.counts(broker.key) for name, broker in self._brokers.items()}

    def dead_letters(self) -> list[DeadLetter]:
        """Newest first."""
        found = [letter for name in self._brokers for letter in self._dead(name)]
        return sorted(found, key=lambda letter: letter.died, reverse=True)

    def dead_letter_args(self, queue: str, count: int) -> set[tuple[Any, ...]]:
        """The first `count` arguments of each dead letter of the queue."""
        return {letter.args[:count] for letter in self._dead(queue)}

    def _dead(self, queue: str) -> Iterator[DeadLetter]:
        for letter_id, died, data in self.store.dead_letters(self._brokers[queue].key):
            message = dramatiq.Message.decode(data)
            when = datetime.fromtimestamp(died / 1000, UTC).isoformat(timespec="seconds")
            about, error = (str(message.options.get(key, "")) for key in ("about", "error"))
            yield DeadLetter(letter_id, queue, message.actor_name, about, tuple(message.args), error, when)

    def requeue(self, letter: DeadLetter) -> None:
        """Requeue with all retries. Enqueued before it is dropped: at worst it runs twice."""
        self._send(letter.queue, letter.task, letter.about, letter.args)
        self.drop(letter)

    def drop(self, letter: DeadLetter) -> None:
        self.store.remove(self._brokers[letter.queue].key + ".XQ", letter.id)

    def erase(self, conversation: Conversation) -> None:
        """Drop every task about a conversation.

        Repeats until nothing new is noted: whoever retries a task meanwhile notes it anew before the old one
        is gone. What a process has noted and not stored yet it takes back itself (_Broker.enqueue).
        """
        tried: set[tuple[str, str]] = set()
        while found := set(self.store.noted(conversation)) - tried:
            for queue, task_id in found:
                for place in PLACES:
                    self.store.remove(queue + place, task_id)
                self.store.drop_note(conversation.id, queue, task_id)
            tried |= found
        if self.store.some_unnoted():
            self._erase_unnoted(conversation)

    def _erase_unnoted(self, conversation: Conversation) -> None:
        """Those of a version that did not note them, in the first days after it was replaced. One scan may
        miss a task that moves from one queue to the other; there it stays for longer than a scan takes."""
        clean = 0
        while clean < 2:
            dropped = [
                self.store.remove(queue, task_id)
                for queue, task_id, data in self.store.all_tasks()
                if dramatiq.Message.decode(data).options.get("about", "") == conversation.id
            ]
            clean = 0 if any(dropped) else clean + 1


def _run(name: str, function: Callable[..., None], args: tuple[Any, ...]) -> None:
    try:
        function(*args)
    except RetryLaterError as error:
        metrics.TASKS_FAILED.labels(name).inc()
        log.warning("%s: to be tried again: %s", name, error)
        delay = int(min(error.retry_after, LONGEST_WAIT) * 1000) or None
        raise dramatiq.errors.Retry(str(error), delay=delay) from None
    except StoreDownError as error:
        raise dramatiq.errors.Retry(str(error)) from None
    except PermanentError as error:
        metrics.TASKS_FAILED.labels(name).inc()
        log.error("%s: given up: %s", name, error)
        raise
    metrics.TASKS_DONE.labels(name).inc()


class _ErrorInDeadLetter(Middleware):
    """Adds the last error to a dead letter: dramatiq keeps the task as it was before the last try."""

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        if exception is not None:
            message.options["error"] = str(exception)[:300] or type(exception).__name__

    def before_nack(self, broker: Any, message: Any) -> None:
        broker.rewrite(message)


class _DropNotes(Middleware):
    """A task that is done is no more to be found."""

    def after_ack(self, broker: Any, message: Any) -> None:
        if about := message.options.get("about"):
            with contextlib.suppress(StoreDownError):  # the note expires
                broker.store.drop_note(about, broker.key, message.options["redis_message_id"])


class _Broker(dramatiq_redis.RedisBroker):
    """dramatiq's broker, corrected where it would lose a task while Redis is unavailable.

    It treats a time-out as a bug and never hands out what it had fetched; and it acknowledges a failed task
    even when it could not requeue it.
    """

    def __init__(self, store: TaskStore, name: str) -> None:
        self.store = store
        self.closing = False
        self.key = f"{{plm:work:{name}}}:{name}"
        # The braces keep all keys of a queue in one slot of a cluster.
        super().__init__(  # type: ignore[no-untyped-call]
            client=store.queue_client(),
            namespace=f"{{plm:work:{name}}}",
            middleware=[Retries(), _ErrorInDeadLetter(), _DropNotes()],
            maintenance_chance=MAINTENANCE,
            heartbeat_timeout=SILENT_MS,
            dead_message_ttl=KEPT_MS,
        )
        script = self.client.register_script(DISPATCH)
        # The second key is for clusters: see bot/store/cluster.py.
        self.scripts["dispatch"] = lambda keys, args: script([*keys, keys[0] + ":"], args)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Delay or retry a fetched task, unless it was erased."""
        handed_out, send = message.options.get("redis_message_id"), super().enqueue
        if handed_out and not self._retrying(lambda: self.store.contains(self.key, handed_out)):
            return message
        sent: dramatiq.Message[Any] = self._retrying(lambda: send(message, delay=delay))
        # Checked again: it may have been erased in between; a later scan finds it in the queue.
        if handed_out and not self._retrying(lambda: self.store.contains(self.key, handed_out)):
            key, task_id = f"{self.namespace}:{sent.queue_name}", sent.options["redis_message_id"]
            self._retrying(lambda: self.store.remove(key, task_id))
        return sent

    def do_enqueue(self, queue_name: str, task_id: str, data: bytes) -> None:
        if about := dramatiq.Message.decode(data).options.get("about"):
            self.store.note(about, self.key, task_id)
        self._dispatch("enqueue")(queue_name, task_id, data)

    def _retrying(self, call: Callable[[], T]) -> T:
        """In a thread of the library, wait until the store is available."""
        while True:
            try:
                return call()
            except (ConnectionClosed, StoreDownError):
                own_thread = isinstance(threading.current_thread(), WorkerThread | ConsumerThread)
                if not own_thread or self.closing:
                    raise
                time.sleep(0.5)

    def rewrite(self, message: Any) -> None:
        with contextlib.suppress(StoreDownError):  # then there is nothing to acknowledge
            self.store.rewrite(self.key, message.options["redis_message_id"], message.encode())

    def _dispatch(self, command: str) -> Callable[..., Any]:
        send = super()._dispatch(command)  # type: ignore[no-untyped-call]

        def dispatch(*args: Any) -> Any:
            try:
                return self.store.store.attempt(lambda: send(*args))
            except StoreDownError as error:
                if command == "fetch":
                    # Tasks that were handed out without reaching us are noted under the old name. Its
                    # heartbeat stops now, so all of them are requeued, as with a killed process.
                    self.broker_id = str(uuid.uuid4())
                raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

        return dispatch
