"""One running job per message, shared by all processes through the store.

`ask` puts a message into its conversation's queue. Whoever waits for it (`generate`, `follow`) sees to it
that somebody answers that queue: the holder of the conversation's lease, one message after the other. A
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
from dataclasses import dataclass

from bot.inference.interface import Engine, EngineDownError
from bot.inference.messages import Finished, Prompt
from bot.store.conversations import LEASE_MS, Store, StoreDownError
from bot.telemetry import logs, metrics
from bot.text import dialogue, questions
from bot.text.records import Conversation, Job, Work
from bot.text.safety import Censor

log = logging.getLogger(__name__)

POLL = 0.03  # seconds between two looks at a record that another process writes
LOOK = 0.25  # seconds between two looks at one that this process writes: it says when it is done
FLUSH = 0.05  # seconds between two publications of the text so far
ENGINE_PATIENCE = 12.0  # seconds that an absent engine is waited for: less than WeChat waits in all
STORE_PATIENCE = 15.0  # seconds that a finished answer waits for an absent store
LONGEST = 180.0  # seconds after which an answer ends with what there is
PARALLEL = 16  # conversations that one process answers at a time


class LeaseLostError(Exception):
    """Another process answers this conversation now."""


@dataclass(frozen=True)
class Update:
    """A step of an answer: `text` is new text, or the whole text if `restart`; the last one has `done`."""

    text: str
    restart: bool = False
    done: bool = False
    failed: bool = False


class Jobs:
    def __init__(
        self,
        store: Store,
        engine: Engine,
        context_bytes: int = 6000,
        forbidden: Iterable[str] = (),
        unsure: float = 0.0,
    ) -> None:
        """Words that are `forbidden` are never shown. An answer of more bits a byte than `unsure` says so."""
        self.store = store
        self.engine = engine
        self.context_bytes = context_bytes
        self.forbidden = tuple(forbidden)
        self.unsure = unsure
        self.stopping = False
        self._runners: dict[str, _Runner] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="answer")
        self._quiet = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heart", daemon=True)
        self._heart.start()

    def ask(self, conversation: Conversation, message_id: str, question: str) -> Job:
        """Take a message in (once per id) and begin to answer it. One call is one attempt of the sender."""
        job = self.store.ask(conversation, message_id, uuid.uuid4().hex, question)
        (metrics.MESSAGES if job.attempts == 1 else metrics.RETRIES).labels(conversation.channel).inc()
        if job.attempts > 1 and job.finished:
            metrics.DUPLICATES.labels(conversation.channel).inc()
        if not job.finished:
            self._see_to(conversation)
        return job

    def generate(self, conversation: Conversation, message_id: str, deadline: float) -> Job:
        """Wait until the message is answered or time.monotonic() is past the deadline; the job as it is then.

        The store may be away for a while in between; it raises StoreDownError only if it is away at the end.
        """
        while True:
            runner = self._runners.get(conversation.id)
            if runner and not runner.answered:  # it has just begun: there is nothing to see yet
                job = runner.wait(message_id, max(0.0, min(deadline - time.monotonic(), POLL)))
                if job:
                    return job
            left = deadline - time.monotonic()
            try:
                job = self.store.job(conversation, message_id)
                if job.finished or not job.status or left <= 0:
                    return job
                if not job.owned:
                    self._see_to(conversation)
            except StoreDownError:
                if left <= 0:
                    raise
            if runner:
                if ended := runner.wait(message_id, max(0.0, min(left, LOOK))):
                    return ended
            else:
                time.sleep(max(0.0, min(left, POLL)))

    def follow(
        self, conversation: Conversation, message_id: str, timeout: float = LONGEST
    ) -> Iterator[Update]:
        """The answer as it grows, from its beginning, whichever process writes it."""
        told, deadline = "", time.monotonic() + timeout
        while True:
            now = time.monotonic()
            job = self.generate(conversation, message_id, min(deadline, now + FLUSH))
            over = job.finished or not job.status or now > deadline
            if job.text.startswith(told):
                if len(job.text) > len(told):
                    yield Update(job.text[len(told) :])
                    told = job.text
            elif over or not told.startswith(job.text):  # begun again elsewhere, in other words
                yield Update(job.text, restart=True)
                told = job.text
            if over:
                yield Update("", done=True, failed=job.status != "done")
                return

    def stop(self, conversation: Conversation, message_id: str) -> None:
        """End the answer to a message with what there is of it, whichever process writes it."""
        self.store.enough(conversation, message_id)

    def close(self, timeout: float) -> None:
        """Finish what is being written, take nothing new; what is not done in time is for another process."""
        self.stopping = True
        end = time.monotonic() + timeout
        while self._runners and time.monotonic() < end:
            time.sleep(0.02)
        for runner in list(self._runners.values()):
            runner.dropped = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._quiet.set()

    def _see_to(self, conversation: Conversation) -> None:
        """Have this process answer the conversation's queue, unless it is at it already."""
        with self._lock:
            if self.stopping or conversation.id in self._runners:
                return
            runner = self._runners[conversation.id] = _Runner(self, conversation)
        self._pool.submit(copy_context().run, self._run, runner)  # its lines carry this request's id

    def _run(self, runner: _Runner) -> None:
        try:
            runner.run()
        except StoreDownError as error:
            log.warning("%s: left for later: %s", runner.conversation.id, error)
        except Exception:
            log.exception("%s: answering failed", runner.conversation.id)
        finally:
            with self._lock:
                self._runners.pop(runner.conversation.id, None)
            runner.end()

    def _beat(self) -> None:
        """Renew the leases of this process: an engine may be silent for longer than a lease lives."""
        while not self._quiet.wait(LEASE_MS / 4000):
            for runner in list(self._runners.values()):
                token = runner.token
                if token:
                    try:
                        self.store.progress(runner.conversation, token)
                    except StoreDownError:
                        break


class _Runner:
    """Answers one conversation's queue while this process holds its lease."""

    def __init__(self, jobs: Jobs, conversation: Conversation) -> None:
        self.jobs = jobs
        self.store = jobs.store
        self.conversation = conversation
        self.owner = uuid.uuid4().hex
        self.token = ""
        self.dropped = False
        self.enough = False  # the sender wants no more of the answer being written
        self.answered: set[str] = set()  # messages that are over, one way or the other
        self.records: dict[str, Job] = {}  # as `finish` gave them
        self._ended = False
        self._bell = threading.Condition()

    def ring(self, message_id: str) -> None:
        with self._bell:
            self.answered.add(message_id)
            self._bell.notify_all()

    def end(self) -> None:
        with self._bell:
            self._ended = True
            self._bell.notify_all()

    def wait(self, message_id: str, timeout: float) -> Job | None:
        """Until the message is over here, at most so many seconds. Its record then, for the first who asks:
        the next must see what was handed out since."""
        with self._bell:
            self._bell.wait_for(lambda: self._ended or message_id in self.answered, timeout)
            return self.records.pop(message_id, None)

    def run(self) -> None:
        token, more = "", True
        while more:
            if self.jobs.stopping:
                if token:
                    self.store.release(self.conversation, token)
                return
            work = self.store.take(self.conversation, self.owner)
            if isinstance(work, str):
                return
            token = work.token
            self.token = token
            try:
                with metrics.RUNNING.track_inprogress():
                    more = self._answer(work)
            except LeaseLostError:
                log.warning("%s: another process has taken over", self.conversation.id)
                return
            except StoreDownError:
                raise
            except EngineDownError as error:
                log.error("%s: message %s failed: %s", self.conversation.id, work.id, error)
                metrics.FAILED.inc()
                self.store.give_up(self.conversation, work, str(error))
            except Exception as error:
                log.exception("%s: message %s failed", self.conversation.id, work.id)
                metrics.FAILED.inc()
                self.store.give_up(self.conversation, work, type(error).__name__)
            finally:
                self.token = ""
                self.ring(work.id)

    def _answer(self, work: Work) -> bool:
        """False if nothing more waits to be answered; the lease is given back then."""
        began = time.monotonic()
        end = began + ENGINE_PATIENCE
        metrics.QUEUE.observe(work.waited)
        told = False
        while True:
            try:
                raw, text, last = self._weigh(work) or self._write(work)
                break
            except EngineDownError as error:
                if time.monotonic() > end or self.dropped:
                    raise
                if not told:
                    log.warning("%s: %s; trying for %.0f s", self.conversation.id, error, ENGINE_PATIENCE)
                told = True
                time.sleep(0.25)
        if last.stop == "cancelled" and self.dropped:
            self.store.give_up(self.conversation, work, "")
            return True
        answer = text.strip() or dialogue.EMPTY_ANSWER
        # The state has read what the model wrote; where the transcript says otherwise, the transcript is
        # right.
        state = last.state if answer == raw else b""
        prefix = dialogue.chain(work.prefix, work.question, answer)
        unsure = text.strip() and 0 < self.jobs.unsure < last.bits
        remark = dialogue.UNSURE if unsure else ""
        ended = self._insist(work, answer, last.stop, prefix, state, remark)
        if not ended:
            raise LeaseLostError
        self.records[work.id], more = ended
        metrics.GENERATED.inc(len(answer.encode()))
        took = time.monotonic() - began
        metrics.LATENCY.observe(took)
        said = (self.conversation.id, work.id, took, logs.text(work.question), logs.text(answer))
        log.info("%s: message %s answered in %.2f s: %s → %s", *said)
        return more

    def _weigh(self, work: Work) -> tuple[str, str, Finished] | None:
        """Answer a question of choices, gaps or truth by likelihood; None if it is none. No state comes of
        it: the next answer reads the transcript."""
        weighing = questions.read(work.question)
        if weighing is None:
            return None
        try:
            answer = self.jobs.engine.likelihood(weighing.kind, weighing.asked())
        except ValueError as error:  # no contrast to a statement, a model that fills no gaps …
            log.info("%s: %s; the model answers", self.conversation.id, error)
            return None
        return "", Censor(self.jobs.forbidden).whole(weighing.words(answer)), Finished(b"", weighing.kind)

    def _write(self, work: Work) -> tuple[str, str, Finished]:
        """Answer once, publishing on the way: what the model wrote, what of it is shown, and how it ended."""

        def read_history() -> bytes:
            turns = self.store.turns(self.conversation, talk=work.talk)
            history = dialogue.history(turns, work.id, self.jobs.context_bytes)
            metrics.PROMPT.inc(len(history))
            return history

        began = time.monotonic()
        prompt = Prompt(
            conversation=self.conversation.id,
            state=work.state,
            tail=dialogue.question_bytes(work.question),
            history=read_history,
            seed=dialogue.seed(self.conversation.id, work.id),
        )
        metrics.PROMPT.inc(len(prompt.tail))
        raw = text = ""
        censor = Censor(self.jobs.forbidden)
        published, first = began, 0.0  # a short answer is published once, finished
        self.enough = False
        for event in self.jobs.engine.stream(prompt, self._cancelled(began)):
            if isinstance(event, Finished):
                metrics.observe_writing(began, first, time.monotonic(), len(raw.encode()))
                return raw, text + censor.flush(), event
            if not isinstance(event, str):
                continue
            first = first or time.monotonic()
            raw += event
            text = (text + censor.push(dialogue.printable(event))).lstrip()
            if text and time.monotonic() - published >= FLUSH:
                self._publish(work, text)
                published = time.monotonic()
        raise EngineDownError("the answer broke off")

    def _cancelled(self, began: float) -> Callable[[], bool]:
        return lambda: self.dropped or self.enough or time.monotonic() - began > LONGEST

    def _publish(self, work: Work, text: str) -> None:
        try:
            held = self.store.progress(self.conversation, work.token, work.id, text)
            if not held:
                raise LeaseLostError
            self.enough = held == 2
        except StoreDownError as error:  # the answer is worth finishing: the store may be back by then
            log.warning("%s: %s", self.conversation.id, error)

    def _insist(
        self, work: Work, answer: str, stop: str, prefix: str, state: bytes, remark: str
    ) -> tuple[Job, bool] | None:
        end = time.monotonic() + STORE_PATIENCE
        while True:
            try:
                return self.store.finish(self.conversation, work, answer, stop, prefix, state, remark)
            except StoreDownError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
