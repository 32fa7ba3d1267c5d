"""Conversations in Redis, for the rest of the bot: one method for each operation.

Atomic operations are scripts in lua/; the keys are listed in __init__.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from bot.store.cluster import SCHEMES as CLUSTER
from bot.store.connection import SENTINEL, attempt, connect
from bot.store.index import Index
from bot.store.rates import RateCounts
from bot.store.scripts import Call, run
from bot.text.dialogue import TAKEN_BACK
from bot.text.records import Citation, Conversation, Lease, LeaseState, Message, NoLease, write_citations

TIMEOUT = 0.3  # seconds; WeChat waits five in all, and "busy" must be replied within one
LEASE_MS = 2500  # how long a killed process keeps its conversation waiting
# How long a message is remembered. Platforms repeat what got no response for seconds or minutes, Feishu for
# seven hours: https://open.feishu.cn/document/server-docs/event-subscription-guide/overview
MESSAGE_MS = 8 * 3600 * 1000
OWED_MS = 3 * 24 * 3600 * 1000  # and as long as its answer is to be pushed, or was shown in part
STATE_MS = 6 * 3600 * 1000  # how long the model's state is kept; later it is rebuilt from the transcript
MAX_STATE = 48_000  # bytes; a larger state is rebuilt from the transcript instead of kept
FORGOTTEN_MS = 60_000  # how long the reply to an erasure is kept, for retries of its request
CONFIRM_WITHIN = 600  # seconds
MAX_STARTS = 3  # a message whose answer was interrupted this often fails

T = TypeVar("T")
log = logging.getLogger(__name__)

COPY_MS = 100  # how long a write waits for a replica
LISTED = ("enqueue", "add_answered")  # the newest turn of a conversation: it goes first in the list
PARTS = ("meta", "turns", "queue", "lease", "state", "open", "jobs", "sends", "pushes", "pusher", "tasks")
NOT_COPIED = ("heartbeat", "request_stop", "release")  # lost in a failover without harm


class Store:
    """Everything the bot keeps. Any method raises StoreDownError, within about 0.6 s, if Redis is down.

    `keep_turns` questions and answers of a conversation are kept; `queue_url` is that of the task queues' own
    store, if they have one.
    """

    def __init__(self, url: str, keep_days: float = 30, keep_turns: int = 2000, queue_url: str = "") -> None:
        self.url, self.queue_url = url, queue_url or url
        self.keep_turns = keep_turns
        self.client = connect(url, TIMEOUT)
        self.keep_ms = int(keep_days * 24 * 3600 * 1000)
        self.message_ms = min(MESSAGE_MS, self.keep_ms)  # it holds the question and the answer too
        self.owed_ms = min(OWED_MS, self.keep_ms)
        self.rates = RateCounts(self.client)
        self._is_cluster = url.startswith(CLUSTER)
        self._replicated = self._is_cluster or url.startswith(SENTINEL)
        self.index = Index(self.client, self.keep_ms)

    def close(self) -> None:
        self.client.close()
        if self._is_cluster:
            return
        manager = getattr(self.client.connection_pool, "sentinel_manager", None)
        for sentinel in manager.sentinels if manager else ():
            sentinel.close()

    def ping(self) -> None:
        self._try(self.client.ping)

    def exists(self, conversation: Conversation) -> bool:
        """Whether anything is kept of it."""
        keys = [conversation.base + name for name in PARTS]
        return bool(self._try(lambda: self.client.exists(*keys)))

    def clock(self) -> float:
        """The server's time, in seconds since 1970."""
        seconds, micro = self._try(self.client.time)
        return float(seconds) + float(micro) / 1e6

    def probe(self, prefix: str, commands: list[list[str]]) -> list[str]:
        """The errors of commands that cannot be run, each behind the command's name; see readiness.py."""
        said: list[Any] = self.run_on("probe", prefix, json.dumps(commands))
        return [line.decode("utf-8", "replace") for line in said]

    def enqueue(
        self, conversation: Conversation, message_id: str, nonce: str, question: str, caution: str = "",
        after: str = "",
    ) -> Message:  # fmt: skip
        """Enqueue a user's message, once: a second call with its id only counts an attempt (once for each
        nonce). Its answer will begin with `caution`. With `after` it is taken in only if that message's
        answer is still the newest turn; one without a status is returned if it is not."""
        fields = self._run(
            "enqueue", conversation, message_id, nonce, question, self.keep_ms, self.message_ms,
            self.keep_turns, conversation.channel, conversation.user, caution, after,
        )  # fmt: skip
        return self._message(message_id, fields)

    def run_command(
        self, conversation: Conversation, message_id: str, nonce: str, action: str, reply: str
    ) -> Message:
        """Run "new", "greet", "export" … once for this message id, and keep the reply."""
        args = (message_id, nonce, action, reply, self.keep_ms, self.message_ms)
        return self._message(message_id, self._run("run_command", conversation, *args))

    def add_answered(
        self,
        conversation: Conversation,
        message_id: str,
        nonce: str,
        question: str,
        answer: str,
        emergency: bool = False,
    ) -> Message:
        """Store a message with its answer, once: both go into the transcript, no engine is asked.

        An `emergency` is marked as one, and also in a list of its own, by its time.
        """
        args = (
            message_id, nonce, question, answer, self.keep_ms, self.message_ms, self.keep_turns,
            conversation.channel, conversation.user, "emergency" if emergency else "",
        )  # fmt: skip
        message = self._message(message_id, self._run("add_answered", conversation, *args))
        if emergency and message.attempts == 1:
            self.index.add_emergency(conversation)
        return message

    def undo(
        self, conversation: Conversation, message_id: str, nonce: str, undone: str, nothing: str,
        only: str = "",
    ) -> Message:  # fmt: skip
        """Remove the talk's last question with its answer, also one that is not finished; the reply is
        `undone` or `nothing`. With `only`, nothing is removed unless it is this message."""
        args = (message_id, nonce, undone, nothing, TAKEN_BACK, self.keep_ms, self.message_ms, only)
        return self._message(message_id, self._run("undo", conversation, *args))

    def erasure_requested(self, conversation: Conversation) -> bool:
        """Whether the user asked to be forgotten in the last ten minutes."""
        asked = self._try(lambda: self.client.hget(conversation.base + "meta", "forget"))
        return asked is not None and time.time() - float(asked) < CONFIRM_WITHIN

    def wants_news(self, conversation: Conversation) -> bool:
        """Whether the user is known and has not opted out of broadcasts."""
        found = self._try(lambda: self.client.hmget(conversation.base + "meta", "user", "quiet"))
        return found[0] is not None and found[1] is None

    def continue_answer(
        self, conversation: Conversation, message_id: str, nonce: str, whole: bool = False
    ) -> Message:
        """A request for the rest of an answer, bound here to the message (`source`) whose answer it is.

        Its kind is "write-on" where all of it has been shown and its writer had to stop: the request is to be
        enqueued after its source, and the answer to it is what the model writes on. `whole`: the channel
        shows answers as they are finished.
        """
        args = message_id, nonce, self.message_ms, int(whole)
        return self._message(message_id, self._run("continue", conversation, *args))

    def is_same_text(self, conversation: Conversation, message_id: str, text: str) -> bool:
        """Whether a message came with this text whenever it came; one that is not known has no other."""
        said = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
        return bool(self._run("match_text", conversation, message_id, said))

    def reply(
        self,
        conversation: Conversation,
        message_id: str,
        source: str,
        start: int,
        end: int,
        reply: str,
        more: bool,
    ) -> str | None:
        """Settle the reply to a message and hand out bytes [start, end) of the source's answer with it.

        Returns the reply that holds: an earlier one if there was one; None if those bytes were handed out
        meanwhile as the reply to another message.
        """
        held = self._run(
            "reply", conversation, message_id, source, start, end, reply, int(more), self.owed_ms
        )
        return None if held is None else str(held, "utf-8")

    def message(self, conversation: Conversation, message_id: str) -> Message:
        def read() -> list[Any]:
            pipe = self.client.pipeline(transaction=False)
            pipe.hgetall(f"{conversation.base}job:{message_id}")
            pipe.exists(conversation.base + "lease")
            return pipe.execute()

        fields, owned = self._try(read)
        return Message.read(message_id, fields, owned=bool(owned))

    def acquire(self, conversation: Conversation, owner: str) -> Lease | NoLease:
        """The conversation's lease, with the next message to answer."""
        found = self._run("acquire", conversation, owner, LEASE_MS, MAX_STARTS, uuid.uuid4().hex)
        if found[0] != b"acquired":
            return NoLease(str(found[0], "utf-8"))
        token, message_id, question, talk, prefix, state_prefix, packed, starts, waited, caution = found[1:]
        # An empty prefix is a talk without answers: it has no state.
        fresh = bool(prefix) and prefix == state_prefix and bool(packed)
        state = zlib.decompress(packed) if fresh else None
        return Lease(
            token=token.decode(), id=message_id.decode(), question=question.decode(), talk=int(talk),
            prefix=(prefix or b"").decode(), state=state, starts=int(starts),
            waited=float(waited), caution=caution.decode(),
        )  # fmt: skip

    def request_stop(self, conversation: Conversation, message_id: str) -> None:
        """End this answer early: the process that writes it learns of it from `heartbeat`."""
        self._run("request_stop", conversation, message_id)

    def heartbeat(
        self, conversation: Conversation, token: str, message_id: str = "", text: str = ""
    ) -> LeaseState:
        """Renew the lease, and publish the text so far."""
        return LeaseState(self._run("heartbeat", conversation, token, message_id, text, LEASE_MS))

    def finish(
        self,
        conversation: Conversation,
        lease: Lease,
        answer: str,
        stop: str,
        prefix: str,
        state: bytes,
        remark: str = "",
        citations: tuple[Citation, ...] = (),
        marks: tuple[str, ...] = (),
    ) -> tuple[Message, bool] | None:
        """Append the answer to the transcript and end the message, atomically.

        Returns the message as it is then, and whether more wait (if not, the lease is released); None if
        the lease is lost.

        `remark` is shown behind the answer; the model will not read it. `citations` are kept with the turn,
        and so are `marks`, which administrators see.
        """
        packed = zlib.compress(state, 1) if 0 < len(state) <= MAX_STATE else b""
        args = (
            lease.token, lease.id, answer, stop, prefix, packed, self.keep_ms, lease.prefix, remark,
            write_citations(citations), ",".join(marks), min(STATE_MS, self.keep_ms),
        )  # fmt: skip
        held, *record = self._run("finish", conversation, *args)
        return (self._message(lease.id, record[0]), held == 1) if held else None

    def fail(self, conversation: Conversation, lease: Lease, error: str) -> bool:
        """End the message as failed; with an empty error, requeue it for another process."""
        return bool(self._run("fail", conversation, lease.token, lease.id, error))

    def release(self, conversation: Conversation, token: str) -> None:
        """Release the lease early and leave the queue as it is."""
        self._run("release", conversation, token)

    def erase(
        self, conversation: Conversation, message_id: str = "", nonce: str = "", reply: str = ""
    ) -> Message:
        """Delete all that is kept of a conversation. A running answer loses its lease and stops.

        Asked for by a message of the conversation itself, its id and reply stay for a minute: a retry gets
        the same words and erases nothing that came after. Counts for rate limits stay, under a hash, for the
        window of the rate.
        """
        fields = self._run("erase", conversation, message_id, nonce, reply, FORGOTTEN_MS)
        self.index.remove(conversation)
        return self._message(message_id, fields)

    def unlist_emergency(self, conversation: Conversation) -> None:
        """Nothing is left of it in the conversation."""
        self.index.remove_emergency(conversation)

    def turns(
        self, conversation: Conversation, last: int = 200, talk: int | None = None
    ) -> list[dict[str, Any]]:
        """The newest turns (0: all), oldest first; of one talk only if it is given.

        Answers that quote have `citations`, a list of the fields of `Citation`; some have `marks`, with
        commas between.
        """
        rows = self._try(lambda: self.client.lrange(conversation.base + "turns", -last, -1))
        turns = [json.loads(row) for row in rows]
        for turn in turns:
            if "citations" in turn:
                turn["citations"] = json.loads(turn["citations"])
        return [turn for turn in turns if talk is None or turn["talk"] == talk]

    def talk(self, conversation: Conversation) -> int:
        """Number of the current talk: 0, and one more after every /new."""
        return int(self._try(lambda: self.client.hget(conversation.base + "meta", "talk")) or 0)

    def waiting(self, conversation: Conversation) -> list[str]:
        """Ids of the messages that are not answered yet, in order."""
        rows: list[Any] = self._try(lambda: self.client.lrange(conversation.base + "queue", 0, -1))
        return [row.decode() for row in rows]

    def attempt(self, call: Callable[[], T]) -> T:
        """The result of `call`, with the errors of Redis as this class raises them."""
        return self._try(call)

    def run(self, name: str, conversation: Conversation, *args: str | bytes | int) -> Any:
        """Run a script of a conversation, for outbox.py."""
        return self._run(name, conversation, *args)

    def run_on(self, name: str, key: str, *args: str | bytes | int) -> Any:
        """Run a script on a key that belongs to no conversation."""
        return self._try(lambda: run(self.client, [Call(name, key, args)]))

    def _message(self, message_id: str, fields: list[bytes]) -> Message:
        pairs = dict(zip(fields[::2], fields[1::2], strict=True))
        return Message.read(message_id, pairs)

    def _run(self, name: str, conversation: Conversation, *args: str | bytes | int) -> Any:
        calls = [Call(name, conversation.base, args)]
        copy_ms = COPY_MS if self._replicated and name not in NOT_COPIED else 0
        # On one server the list is written to in the same round trip; in a cluster it lies elsewhere.
        together = name in LISTED and not self._is_cluster
        if together:
            calls.append(self.index.entry(conversation))
        result = self._try(lambda: run(self.client, calls, copy_ms))
        if name in LISTED and not together:
            self.index.add(conversation)
        self.index.note_channel(conversation.channel)
        return result

    def scan(self, pattern: str) -> set[str]:
        """The keys that match, of all that there are: for repairs, never for what a user asks."""
        keys = self._try(lambda: {*self.client.scan_iter(match=pattern, count=2000)})
        return {key.decode("utf-8", "replace") for key in keys}

    def _try(self, call: Callable[[], T]) -> T:
        return attempt(call)
