"""Questions to which the library has no answer, for its owner to see: who asked stands beside each as a hash.

One sorted set, `plm:unanswered`: a member is the hash and the question, its score when it was asked last. So
one person counts once for a question, and all that a person asked is found when it is to be forgotten.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bot.store.conversations import Store
from bot.text.records import Conversation

KEY = "plm:unanswered"
MOST = 1000  # the newest are kept
LONGEST = 200  # characters of a question


@dataclass(frozen=True)
class Unanswered:
    question: str
    people: int  # who asked it
    last: float  # when it was asked last, in seconds since 1970


class UnansweredStore:
    """Any method raises StoreDownError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def note(self, conversation: Conversation, question: str) -> None:
        """Somebody got no answer to a question. Not if the conversation has been forgotten meanwhile."""
        now, client = time.time(), self.store.client
        text = _normalize(question)

        def add() -> None:
            pipe = client.pipeline(transaction=False)
            pipe.zadd(KEY, {_member(conversation.user, text): now})
            pipe.zremrangebyscore(KEY, "-inf", now - self.store.keep_ms / 1000)
            pipe.zremrangebyrank(KEY, 0, -MOST - 1)
            pipe.pexpire(KEY, self.store.keep_ms)
            pipe.execute()

        if not text:
            return
        self.store.attempt(add)
        # Erasure deletes the conversation first and its questions after that: one of the two sees the other.
        if not self.store.attempt(lambda: client.exists(conversation.base + "meta")):
            self.erase(conversation.user)

    def list(self, limit: int = MOST) -> list[Unanswered]:
        """What most people asked first, and of those the newest."""
        rows: Any = self.store.attempt(lambda: self.store.client.zrange(KEY, 0, -1, withscores=True))
        found: dict[str, Unanswered] = {}
        for member, last in rows:  # the newest comes last
            question = member.decode().partition("\n")[2]
            people = found[question].people if question in found else 0
            found[question] = Unanswered(question, people + 1, float(last))
        return sorted(found.values(), key=lambda row: (-row.people, -row.last))[:limit]

    def drop(self, question: str) -> None:
        """The question has an answer now, whoever asked it."""
        ending = f"\n{_normalize(question)}".encode()

        def remove() -> None:
            # All are read: to a pattern, signs in the question would mean something else.
            members: Any = self.store.client.zrange(KEY, 0, -1)
            if answered := [member for member in members if member.endswith(ending)]:
                self.store.client.zrem(KEY, *answered)

        self.store.attempt(remove)

    def erase(self, user: str) -> None:
        """What this user asked, in whatever channel."""

        def remove() -> None:
            members = list(self.store.client.zscan_iter(KEY, _member(user, "") + "*", 500))
            if members:
                self.store.client.zrem(KEY, *(member for member, _ in members))

        self.store.attempt(remove)

    def erase_questions(self, user: str, questions: Iterable[str]) -> None:
        """Some of what this user asked."""
        if members := [_member(user, _normalize(question)) for question in questions]:
            self.store.attempt(lambda: self.store.client.zrem(KEY, *members))


def _normalize(question: str) -> str:
    return " ".join(question.split())[:LONGEST].rstrip("？?。！!，, ")


def _member(user: str, question: str) -> str:
    return hashlib.sha256(f"unanswered\n{user}".encode()).hexdigest()[:32] + "\n" + question
