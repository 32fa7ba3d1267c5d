"""The list of all conversations, for administrators: by their last question, in 16 parts.

    plm:{admin}:built  text  set for a day after the list was mended

index.py writes the list, as far as its nodes are there; what it lacks is found here, once a day.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from bot.store.conversations import Store
from bot.store.index import ALL_CHANNELS, CHANNELS, EMERGENCIES, INDEX, INDEXES, index_of
from bot.text.records import Conversation

BUILT = "plm:{admin}:built"
MENDED_SECONDS = 24 * 3600  # between two scans for conversations that are missing in the list
LOOKED_AT = 200  # conversations that are read at once
ROWS = 50  # entries of one list that are read at once
ID = re.compile(r"[A-Za-z0-9_-]+:[A-Za-z0-9@._~%-]+")  # as Conversation.id writes them


def conversation_of(conversation_id: str) -> Conversation | None:
    """The one with this id; None if nothing can have it."""
    if not ID.fullmatch(conversation_id):
        return None
    channel, _, user = conversation_id.partition(":")
    found = Conversation(channel, unquote(user, errors="replace"))
    return found if found.id == conversation_id else None


class ConversationList:
    """Any method raises StoreDownError when Redis is away."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client: Any = store.client

    def _do(self, command: str, *args: Any, **options: Any) -> Any:
        return self.store.attempt(lambda: getattr(self.client, command)(*args, **options))

    def page(self, limit: int, cursor: tuple[float, str] | None) -> tuple[list[Conversation], Any]:
        """Conversations after the cursor, the one with the newest turn first, and the next cursor or None."""
        if cursor is None:
            self._take_over()
        found: list[Conversation] = []
        parts = [self._part(key, cursor) for key in INDEXES]
        for score, name in heapq.merge(*parts, reverse=True):
            if conversation := conversation_of(name):
                found.append(conversation)
            if len(found) == limit:
                return found, (score, name)
        return found, None

    def _part(self, key: str, cursor: tuple[float, str] | None) -> Iterator[tuple[float, str]]:
        """What one of the lists holds after the cursor: time and id, the newest first."""
        start = 0
        while True:
            rows: Any = self._do(
                "zrevrangebyscore", key, cursor[0] if cursor else "+inf", "-inf", start, ROWS, withscores=True
            )
            for member, score in rows:
                if (
                    cursor is None or (score, member.decode()) < cursor
                ):  # equal scores come in descending order
                    yield score, member.decode()
            if len(rows) < ROWS:
                return
            start += ROWS

    def about(self, conversations: list[Conversation]) -> list[dict[str, Any]]:
        """The list's entry for each, with the time of its last emergency, if any; expired ones are left out
        and removed from the lists."""

        def read() -> list[Any]:
            pipe = self.client.pipeline(transaction=False)
            for conversation in conversations:
                pipe.hget(conversation.base + "meta", "updated")
                pipe.llen(conversation.base + "turns")
                pipe.zscore(EMERGENCIES, conversation.id)
            found: list[Any] = pipe.execute()
            return found

        answers = iter(self.store.attempt(read))
        rows, gone = [], []
        for conversation, updated, turns, emergency in zip(
            conversations, answers, answers, answers, strict=True
        ):
            if updated is None:
                gone.append(conversation)
            else:
                row = {"turns": turns, "updated": float(updated), "emergency": emergency}
                rows.append(_head(conversation) | row)
        for conversation in gone:
            for key in (index_of(conversation), EMERGENCIES):
                self._do("zrem", key, conversation.id)
        return rows

    def emergencies(self, limit: int) -> list[Conversation]:
        """Conversations with an emergency, the newest first."""
        names: Any = self._do("zrevrange", EMERGENCIES, 0, limit - 1)
        return [found for name in names if (found := conversation_of(name.decode()))]

    def show(self, conversation: Conversation) -> dict[str, Any] | None:
        """A whole conversation; None if there is none."""
        turns = [_turn(turn) for turn in self.store.turns(conversation, 100_000)]
        return _head(conversation) | {"turns": turns} if turns else None

    def channels(self) -> list[str]:
        """All in which somebody may have a conversation."""
        names = self._do("smembers", CHANNELS)
        if ALL_CHANNELS.encode() not in names:  # written by a version that did not note them
            self.mend()
            names = self._do("smembers", CHANNELS)
        return sorted(name.decode() for name in names if name != ALL_CHANNELS.encode())

    def in_all_channels(self, user: str) -> list[Conversation]:
        return [Conversation(channel, user) for channel in self.channels()]

    def listed(self, conversation: Conversation) -> float:
        """Where it stands in the list of conversations; 0 if it is not there."""
        return float(self._do("zscore", index_of(conversation), conversation.id) or 0)

    def of_user(self, user: str) -> list[Conversation]:
        """All conversations with a key in Redis under this user's name, in any channel."""
        return [one for one in self.in_all_channels(user) if self.store.exists(one)]

    def count(self) -> int:
        return sum(int(self._do("zcard", key)) for key in INDEXES)

    def mend(self) -> None:
        """List all conversations whose entry was lost (a node was down, a process died), note all channels.

        Reads the names of all keys: for one process, now and then.
        """
        listed = {name for key in INDEXES for name in self._do("zrange", key, 0, -1)}
        keys = self.store.scan("plm:{*:*}:meta")
        names = [key[len("plm:{") : -len("}:meta")] for key in keys]
        found = [conversation for name in names if (conversation := conversation_of(name))]
        for conversation in found:
            if conversation.id.encode() not in listed:
                updated = self._do("hget", conversation.base + "meta", "updated")
                if updated is not None:
                    self._do("zadd", index_of(conversation), {conversation.id: float(updated)}, gt=True)
        for key in INDEXES:
            self._do("pexpire", key, self.store.keep_ms)
        self._do("sadd", CHANNELS, ALL_CHANNELS, *{conversation.channel for conversation in found})
        self._do("pexpire", CHANNELS, self.store.keep_ms)

    def mend_if_due(self) -> None:
        """Once a day, by one of the processes."""
        if self._do("set", BUILT, "1", nx=True, ex=MENDED_SECONDS):
            self.mend()

    def _take_over(self) -> None:
        """What the list of an older version has, also while such a version still runs."""
        while rows := self._do("zrange", INDEX, 0, LOOKED_AT - 1, withscores=True):
            for member, score in rows:
                if conversation := conversation_of(member.decode()):
                    self._do("zadd", index_of(conversation), {conversation.id: score}, gt=True)
            self._do("zrem", INDEX, *(member for member, _ in rows))


def _head(conversation: Conversation) -> dict[str, Any]:
    return {"id": conversation.id, "channel": conversation.channel, "user": conversation.user}


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn as administrators see it; answers may have "marks": abstained, unsure, emergency …"""
    shown = {name: turn[name] for name in ("role", "content", "time", "message_id")}
    return shown | {"marks": turn["marks"].split(",")} if turn.get("marks") else shown


def every(people: ConversationList, user: str | None) -> Iterator[dict[str, Any]]:
    """Every conversation, or a user's, whole; one at a time, so that only one is in memory."""
    if user is not None:
        batches: Iterator[list[Conversation]] = iter([people.of_user(user)])
    else:
        batches = _pages(people)
    for batch in batches:
        for conversation in batch:
            if whole := people.show(conversation):
                yield whole


def _pages(people: ConversationList) -> Iterator[list[Conversation]]:
    cursor = None
    while True:
        found, cursor = people.page(LOOKED_AT, cursor)
        yield found
        if cursor is None:
            return
