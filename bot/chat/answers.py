"""One answer per message, shared by all processes through the store.

`enqueue` puts a message into its conversation's queue. Whoever waits for its answer (`wait`, `stream`) makes
sure that a worker answers that queue: the holder of the conversation's lease, one message after the other. A
holder that is killed stops renewing the lease; the next one who waits takes over and begins that answer
again, with the same seed.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace

from bot.chat.answering import FLUSH, Answering, Question, Reply
from bot.inference.interface import Engine, EngineDownError
from bot.inference.library import ServedLibrary
from bot.store.connection import StoreDownError
from bot.store.conversations import LEASE_MS, Store
from bot.store.days import DayStore
from bot.store.unanswered import UnansweredStore
from bot.telemetry import logs, metrics
from bot.text import dialogue
from bot.text.records import Citation, Conversation, Lease, LeaseState, Message

log = logging.getLogger(__name__)

POLL = 0.03  # seconds between two looks at a record that another process writes
LOOK = 0.25  # seconds between two looks at one that this process writes: it says when it is done
ENGINE_TIMEOUT = 12.0  # seconds that an absent engine is waited for: less than WeChat waits in all
STORE_TIMEOUT = 15.0  # seconds that a finished answer waits for an absent store
MAX_ANSWER_SECONDS = 180.0  # seconds after which an answer ends with what there is
PARALLEL = 16  # conversations that one process answers at a time


class LeaseLostError(Exception):
    """Another process answers this conversation now."""


@dataclass(frozen=True)
class Update:
    """A step of an answer: `text` is new text, or the whole text if `restart`; the last one has `done`, and
    the citations of the answer."""

    text: str
    restart: bool = False
    done: bool = False
    failed: bool = False
    citations: tuple[Citation, ...] = ()


class Answers:
    def __init__(
        self,
        store: Store,
        engine: Engine,
        context_bytes: int = 6000,
        forbidden: Iterable[str] = (),
        unsure: float = 0.0,
        library: ServedLibrary | None = None,
        days: DayStore | None = None,
    ) -> None:
        """Words that are `forbidden` are never shown. An answer of more bits a byte than `unsure` says so.
        Without a `library` the model answers everything."""
        self.store = store
        self.engine = engine
        self.answering = Answering(engine, library, context_bytes, forbidden, unsure)
        self.unanswered = UnansweredStore(store)
        self.days = days or DayStore(store)
        self.stopping = False
        self._workers: dict[str, ConversationWorker] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="answer")
        self._closed = threading.Event()
        self._heartbeats = threading.Thread(target=self._send_heartbeats, name="heartbeats", daemon=True)
        self._heartbeats.start()

    def enqueue(
        self, conversation: Conversation, message_id: str, question: str, caution: str = "", after: str = ""
    ) -> Message:
        """Take a message in (once per id) and begin to answer it. One call is one attempt of the sender.

        `caution` is what the answer begins with, in the transcript too. `after`: see Store.enqueue.
        """
        message = self.store.enqueue(conversation, message_id, uuid.uuid4().hex, question, caution, after)
        if not message.status:
            return message
        (metrics.MESSAGES if message.attempts == 1 else metrics.RETRIES).labels(conversation.channel).inc()
        if message.attempts > 1 and message.finished:
            metrics.DUPLICATES.labels(conversation.channel).inc()
        if not message.finished:
            self._ensure_worker(conversation)
        return message

    def wait(self, conversation: Conversation, message_id: str, deadline: float) -> Message:
        """Wait until the message is answered or time.monotonic() is past the deadline; the message as
        it is then.

        The store may be away for a while in between; it raises StoreDownError only if it is away at the end.
        """
        while True:
            worker = self._workers.get(conversation.id)
            if worker and not worker.answered:  # it has just begun: there is nothing to see yet
                message = worker.wait(message_id, max(0.0, min(deadline - time.monotonic(), POLL)))
                if message:
                    return message
            left = deadline - time.monotonic()
            try:
                message = self.store.message(conversation, message_id)
                if message.finished or not message.status or left <= 0:
                    return message
                if not message.owned:
                    self._ensure_worker(conversation)
            except StoreDownError:
                if left <= 0:
                    raise
            if worker:
                if ended := worker.wait(message_id, max(0.0, min(left, LOOK))):
                    return ended
            else:
                time.sleep(max(0.0, min(left, POLL)))

    def stream(
        self, conversation: Conversation, message_id: str, timeout: float = MAX_ANSWER_SECONDS
    ) -> Iterator[Update]:
        """The answer as it grows, from its beginning, whichever process writes it."""
        sent, deadline = "", time.monotonic() + timeout
        while True:
            now = time.monotonic()
            message = self.wait(conversation, message_id, min(deadline, now + FLUSH))
            over = message.finished or not message.status or now > deadline
            if message.text.startswith(sent):
                if len(message.text) > len(sent):
                    yield Update(message.text[len(sent) :])
                    sent = message.text
            elif over or not sent.startswith(message.text):  # begun again elsewhere, in other words
                yield Update(message.text, restart=True)
                sent = message.text
            if over:
                yield Update("", done=True, failed=message.status != "done", citations=message.citations)
                return

    def stop(self, conversation: Conversation, message_id: str) -> None:
        """End the answer to a message with what there is of it, whichever process writes it."""
        self.store.request_stop(conversation, message_id)

    def note_unanswered(self, conversation: Conversation, question: str) -> None:
        """List it for the owner of the library; a store that is away must not cost the answer."""
        try:
            self.unanswered.note(conversation, question)
        except StoreDownError as error:
            log.warning("%s: an unanswered question is not listed: %s", conversation.id, error)

    def close(self, timeout: float) -> None:
        """Finish what is being written, take nothing new; what is not done in time is for another process."""
        self.stopping = True
        end = time.monotonic() + timeout
        while self._workers and time.monotonic() < end:
            time.sleep(0.02)
        for worker in list(self._workers.values()):
            worker.abandoned = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.days.close()
        self._closed.set()

    def _ensure_worker(self, conversation: Conversation) -> None:
        """Have this process answer the conversation's queue, unless it is at it already."""
        with self._lock:
            if self.stopping or conversation.id in self._workers:
                return
            worker = self._workers[conversation.id] = ConversationWorker(self, conversation)
        self._pool.submit(copy_context().run, self._run, worker)  # its lines carry this request's id

    def _run(self, worker: ConversationWorker) -> None:
        try:
            worker.run()
        except StoreDownError as error:
            log.warning("%s: left for later: %s", worker.conversation.id, error)
        except Exception:
            log.exception("%s: answering failed", worker.conversation.id)
        finally:
            with self._lock:
                self._workers.pop(worker.conversation.id, None)
            worker.end()

    def _send_heartbeats(self) -> None:
        """Renew the leases of this process: an engine may be silent for longer than a lease lives."""
        while not self._closed.wait(LEASE_MS / 4000):
            for worker in list(self._workers.values()):
                token = worker.token
                if token:
                    try:
                        self.store.heartbeat(worker.conversation, token)
                    except StoreDownError:
                        break


class ConversationWorker:
    """Answers one conversation's queue while this process holds its lease."""

    def __init__(self, answers: Answers, conversation: Conversation) -> None:
        self.answers = answers
        self.store = answers.store
        self.conversation = conversation
        self.owner = uuid.uuid4().hex
        self.token = ""
        self.abandoned = False
        self.stop_requested = False  # the sender wants no more of the answer being written
        self.answered: set[str] = set()  # messages that are over, one way or the other
        self.records: dict[str, Message] = {}  # as `finish` gave them
        self._outcome: tuple[str, ...] = ()  # of the message answered last, to be counted
        self._ended = False
        self._changed = threading.Condition()

    def mark_answered(self, message_id: str) -> None:
        with self._changed:
            self.answered.add(message_id)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait(self, message_id: str, timeout: float) -> Message | None:
        """Until the message is over here, at most so many seconds. Its record then, for the first who asks:
        the next must see what was handed out since."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or message_id in self.answered, timeout)
            return self.records.pop(message_id, None)

    def run(self) -> None:
        token, more = "", True
        while more:
            if self.answers.stopping:
                if token:
                    self.store.release(self.conversation, token)
                return
            lease = self.store.acquire(self.conversation, self.owner)
            if not isinstance(lease, Lease):
                return
            token = lease.token
            self.token, self._outcome = token, ("failed",)
            try:
                with metrics.RUNNING.track_inprogress():
                    more = self._answer(lease)
            except LeaseLostError:
                log.warning("%s: another process has taken over", self.conversation.id)
                return
            except StoreDownError:
                raise
            except EngineDownError as error:
                log.error("%s: message %s failed: %s", self.conversation.id, lease.id, error)
                metrics.FAILED.inc()
                self.store.fail(self.conversation, lease, str(error))
            except Exception as error:
                log.exception("%s: message %s failed", self.conversation.id, lease.id)
                metrics.FAILED.inc()
                self.store.fail(self.conversation, lease, type(error).__name__)
            finally:
                self.token = ""
                self.mark_answered(lease.id)
            self.answers.days.count(self.conversation, *self._outcome)

    def _answer(self, lease: Lease) -> bool:
        """False if nothing more waits to be answered; the lease is given back then."""
        began = time.monotonic()
        end = began + ENGINE_TIMEOUT
        metrics.QUEUE.observe(lease.waited)
        warned = False
        while True:
            try:
                reply = self._ask(lease)
                break
            except EngineDownError as error:
                if time.monotonic() > end or self.abandoned:
                    raise
                if not warned:
                    log.warning("%s: %s; trying for %.0f s", self.conversation.id, error, ENGINE_TIMEOUT)
                warned = True
                time.sleep(0.25)
        if reply.stop == "cancelled" and self.abandoned:
            self.store.fail(self.conversation, lease, "")
            self._outcome = ()
            return True
        if reply.stop == "cancelled" and not self.stop_requested:  # by MAX_ANSWER_SECONDS: a limit as others
            reply = reply.cut_short()
        marks = reply.marks
        if lease.caution:  # what the transcript then says the model has not written
            reply = replace(reply, text=dialogue.cautioned(lease.caution, reply.text), state=b"")
            marks += ("caution",)
        ended = self._commit(lease, reply, marks)
        if not ended:
            raise LeaseLostError
        self.records[lease.id], more = ended
        quoted = ("quoted",) if reply.citations else ()
        self._outcome = "questions", *quoted, *(mark for mark in marks if mark in ("abstained", "unsure"))
        if reply.abstained:
            self.answers.note_unanswered(self.conversation, lease.question)
        metrics.GENERATED.inc(len(reply.text.encode()))
        took = time.monotonic() - began
        metrics.LATENCY.observe(took)
        said = (self.conversation.id, lease.id, took, logs.text(lease.question), logs.text(reply.text))
        log.info("%s: message %s answered in %.2f s: %s → %s", *said)
        return more

    def _ask(self, lease: Lease) -> Reply:
        """Answer once, publishing on the way."""
        self.stop_requested = False
        question = Question(
            self.conversation.id,
            lease.id,
            lease.question,
            lease.state,
            lambda: self.store.turns(self.conversation, talk=lease.talk),
            lambda text: self._publish(lease, text),
            self._cancelled(time.monotonic()),
        )
        return self.answers.answering.reply(question)

    def _cancelled(self, began: float) -> Callable[[], bool]:
        return lambda: self.abandoned or self.stop_requested or time.monotonic() - began > MAX_ANSWER_SECONDS

    def _publish(self, lease: Lease, text: str) -> None:
        try:
            shown = dialogue.cautioned(lease.caution, text)
            state = self.store.heartbeat(self.conversation, lease.token, lease.id, shown)
            if state is LeaseState.LOST:
                raise LeaseLostError
            self.stop_requested = state is LeaseState.STOP_REQUESTED
        except StoreDownError as error:  # the answer is worth finishing: the store may be back by then
            log.warning("%s: %s", self.conversation.id, error)

    def _commit(self, lease: Lease, reply: Reply, marks: tuple[str, ...]) -> tuple[Message, bool] | None:
        prefix = dialogue.chain(lease.prefix, lease.question, reply.text)
        end = time.monotonic() + STORE_TIMEOUT
        while True:
            try:
                return self.store.finish(
                    self.conversation, lease, reply.text, reply.stop, prefix, reply.state, reply.remark,
                    reply.citations, marks,
                )  # fmt: skip
            except StoreDownError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
