"""What Redis keeps for sending: answers to push, shared tokens, tasks that have run.

The keys are listed in __init__.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis

from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.text.records import Conversation, Push

PUSH_LEASE_MS = 20_000  # longer than the time-out of the platform's API
TOKEN_LEASE = 15.0  # seconds; likewise


class Outbox:
    """A part of the store; its methods raise StoreDownError as those of Store do."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def allow(
        self,
        conversation: Conversation,
        mark: str,
        count: int,
        ms: int,
        only_if_none: bool,
        address: str = "",
    ) -> None:
        """The platform allows `count` more messages for this user within `ms`, at `address` if it names one;
        once for each mark."""
        self.store.run("allow_sends", conversation, mark, count, ms, int(only_if_none), address)

    def address(self, conversation: Conversation) -> str:
        """Where to send messages for this user now; "" if the platform has not said."""
        return self._field(conversation, "sends", "address")

    def sends_left(self, conversation: Conversation) -> int:
        """How many messages the platform still allows for this user."""
        return int(self._field(conversation, "sends", "left") or 0)

    def push(self, conversation: Conversation, message_id: str, before: str, again: bool = False) -> str:
        """Schedule the answer to a message for pushing, once, after the words `before`; with `again` also
        if a push was refused before.

        Returns the state: due, sending…, told, kept, unsure.
        """
        args = (message_id, before, self.store.owed_ms, int(again))
        return str(self.store.run("push", conversation, *args), "utf-8")

    def notice(self, conversation: Conversation, message_id: str, text: str) -> str:
        """Schedule a text that answers no message for pushing, once for this id. Returns the state; "" if
        nothing is kept of the user (any more)."""
        return str(self.store.run("notice", conversation, message_id, text, self.store.owed_ms), "utf-8")

    def push_state(self, conversation: Conversation, message_id: str) -> str:
        """The state of a push; "" for a message that is not to be pushed."""
        return self._field(conversation, f"job:{message_id}", "push")

    def _field(self, conversation: Conversation, key: str, name: str) -> str:
        found: Any = self.store.attempt(lambda: self.store.client.hget(conversation.base + key, name))
        return str(found or b"", "utf-8")

    def push_acquire(self, conversation: Conversation, owner: str, repeatable: bool) -> Push | str:
        """The next answer to push, leased for PUSH_LEASE_MS.

        Or "busy" (another process has the lease), "idle" (none is ready), or "unsure": sending was
        interrupted, so it may have arrived; 继续 brings it. With `repeatable` it is due again.
        """
        found = self.store.run("push_acquire", conversation, owner, PUSH_LEASE_MS, int(repeatable))
        if found[0] != b"acquired":
            return str(found[0], "utf-8")
        message_id, status, text, delivered, before, left = (value or b"" for value in found[1:])
        return Push(
            owner=owner, id=message_id.decode(), failed=status == b"failed", text=text.decode(),
            delivered=int(delivered or 0), before=before.decode(), left=int(left),
        )  # fmt: skip

    def push_claim(self, conversation: Conversation, push: Push, end: int, counted: bool) -> bool:
        """Claim the bytes up to `end`, and if `counted` one of the allowed sends; False if another process
        has them meanwhile."""
        args = (push.owner, push.id, push.delivered, end, uuid.uuid4().hex, PUSH_LEASE_MS, int(counted))
        return bool(self.store.run("push_claim", conversation, *args))

    def push_settle(self, conversation: Conversation, push: Push, outcome: str, reply: str = "") -> None:
        """Store the outcome: sent, told, full, kept, unsure or again (see lua/push_settle.lua)."""
        self.store.run(
            "push_settle", conversation, push.owner, push.id, outcome, reply, self.store.message_ms
        )

    def token(self, name: str, stale: str, fetch: Callable[[], tuple[str, float]]) -> str:
        """A token that all processes share: the stored one unless it is `stale`, else a new one.

        `fetch` returns it with its lifetime in seconds. One process fetches, the others wait.
        """
        key = "plm:token:" + name

        def kept() -> str:
            found: Any = self.store.attempt(lambda: self.store.client.get(key))
            value = str(found or b"", "utf-8")
            return "" if value == stale else value

        if value := kept():
            return value
        with self.lock("token:" + name, TOKEN_LEASE):
            if value := kept():
                return value
            value, seconds = fetch()
            self.store.attempt(lambda: self.store.client.set(key, value, px=int(max(seconds, 1) * 1000)))
            return value

    @contextmanager
    def lock(self, name: str, seconds: float) -> Iterator[None]:
        """A lock of this name over all processes, held and waited for at most so many seconds."""
        held = self.store.client.lock("plm:lock:" + name, timeout=seconds, blocking_timeout=seconds)
        if not self.store.attempt(held.acquire):
            raise StoreDownError(f"{name} is taken by another process")
        try:
            yield
        finally:
            with suppress(redis.exceptions.LockError, StoreDownError):  # it has expired, which does no harm
                self.store.attempt(held.release)

    def done(self, task: str) -> bool:
        return bool(self.store.attempt(lambda: self.store.client.exists("plm:done:" + task)))

    def mark_done(self, task: str) -> None:
        """Kept as long as its message may be."""
        self.store.attempt(lambda: self.store.client.set("plm:done:" + task, 1, px=self.store.owed_ms))
