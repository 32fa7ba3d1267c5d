"""What people think of answers: up or down, kept with their conversation.

    plm:{channel:user}:feedback  hash  message id: up or down; it lives as long as the transcript
    plm:marked-down              zset  "CONVERSATION\\nMESSAGE", answers marked down by when: the newest 1,000

The list lies in a slot of its own, so it is written after the hash. An entry whose hash says otherwise counts
as none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

from bot.store.conversations import Store
from bot.store.listing import conversation_of
from bot.text.records import Conversation

KEY = "plm:marked-down"
MOST = 1000  # answers in the list; the newest stay

Verdict = Literal["up", "down", ""]


@dataclass(frozen=True)
class MarkedDown:
    """An answer that its reader did not like."""

    conversation: Conversation
    message_id: str
    time: float  # when it was marked, in seconds since 1970
    question: str
    answer: str


class FeedbackStore:
    """Any method raises StoreDownError."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client: Any = store.client

    def mark(self, conversation: Conversation, message_id: str, verdict: Verdict) -> str | None:
        """Keep what is thought of an answer; "" takes it back. What was kept before, "" for nothing; None if
        the transcript has no such answer. `message_id` must be of letters and digits."""
        before = self.store.run("mark", conversation, message_id, verdict, self.store.keep_turns)
        if before is None:
            return None
        member = f"{conversation.id}\n{message_id}"
        if verdict == "down":
            self.store.attempt(lambda: self._list(member))
            # Erasure deletes the conversation first, its entries after that: one of the two sees the other.
            if not self.store.attempt(lambda: self.client.exists(conversation.base + "meta")):
                self._remove([member])
        elif before == b"down":
            self._remove([member])
        return str(before, "utf-8")

    def of(self, conversation: Conversation) -> dict[str, str]:
        """By message id, what is thought of the answers."""
        rows: Any = self.store.attempt(lambda: self.client.hgetall(conversation.base + "feedback"))
        return {key.decode(): value.decode() for key, value in rows.items()}

    def marked_down(self, limit: int) -> list[MarkedDown]:
        """The newest first. Entries whose answer is gone are removed."""
        rows: Any = self.store.attempt(lambda: self.client.zrevrange(KEY, 0, limit - 1, withscores=True))
        found, gone = [], []
        for member, when in rows:
            name, _, message_id = member.decode().partition("\n")
            conversation = conversation_of(name)
            said = self._said(conversation, message_id) if conversation else {}
            if conversation and len(said) == 2:
                found.append(
                    MarkedDown(conversation, message_id, float(when), said["user"], said["assistant"])
                )
            else:
                gone.append(member)
        self._remove(gone)
        return found

    def erase(self, conversation: Conversation) -> None:
        """Take its answers off the list; the rest goes with the conversation."""
        rows: Any = self.store.attempt(lambda: self.client.zrange(KEY, 0, -1))
        self._remove([row for row in rows if row.decode().partition("\n")[0] == conversation.id])

    def erase_messages(self, conversation: Conversation, message_ids: list[str]) -> None:
        self._remove([f"{conversation.id}\n{message_id}" for message_id in message_ids])

    def _said(self, conversation: Conversation, message_id: str) -> dict[str, str]:
        if self.of(conversation).get(message_id) != "down":
            return {}
        turns = self.store.turns(conversation, last=0)
        return {turn["role"]: turn["content"] for turn in turns if turn["message_id"] == message_id}

    def _list(self, member: str) -> None:
        pipe = self.client.pipeline(transaction=False)
        pipe.zadd(KEY, {member: time.time()})
        pipe.zremrangebyscore(KEY, "-inf", time.time() - self.store.keep_ms / 1000)
        pipe.zremrangebyrank(KEY, 0, -MOST - 1)
        pipe.pexpire(KEY, self.store.keep_ms)
        pipe.execute()

    def _remove(self, members: list[Any]) -> None:
        if members:
            self.store.attempt(lambda: self.client.zrem(KEY, *members))
