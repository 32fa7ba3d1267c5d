"""How many messages one person may send, how many requests one API key may make, and how many run at a time.

The first two are counted in Redis, so that all processes count together. A message counts once, however often
it is sent again.
"""

from __future__ import annotations

import threading
import uuid

from bot.chat.policy import AccessRules
from bot.store.conversations import Store
from bot.store.days import DayStore
from bot.store.rates import Rates
from bot.telemetry import metrics
from bot.text import dialogue
from bot.text.records import Conversation

RUNNING = 8  # requests of /v1 that a process works on at a time; messages have their own (answers.py)
WAITING = 8  # and so many more wait for a place,
WAIT_TIMEOUT = 2.0  # so many seconds


class Limits:
    """`rates` holds for everybody who has none of their own (PLM_RATE_LIMIT); empty: no limit. `rules` are
    what administrators have set."""

    def __init__(
        self, store: Store, rates: Rates = (), rules: AccessRules | None = None, days: DayStore | None = None
    ) -> None:
        self.store = store
        self.rules = rules or AccessRules()
        self.rates = rates
        self.days = days or DayStore(store)

    def hit(self, who: str, rates: Rates) -> int:
        """Count one request; 0, or if it is one too many (it does not count then) the seconds to wait.

        Raises StoreDownError where there is something to count and Redis is away.
        """
        return self.store.rates.hit(who, rates) if rates else 0

    def clear(self, conversation: Conversation) -> None:
        """Forget what was counted of its rates in force."""
        self.store.rates.clear(conversation.id, self.rules.rates(conversation) or self.rates)

    def blocked(self, conversation: Conversation, message_id: str) -> str | None:
        """What is said to somebody an administrator has blocked: a polite sentence to one message, however
        often it is sent, and "" to all others. None if the sender is not blocked. Nothing of the message
        is kept; ask this before anything else.
        """
        answered = self.rules.blocked(conversation, message_id)
        if answered is None:
            return None
        metrics.BLOCKED.inc()
        return dialogue.BLOCKED if answered else ""

    def refusal(self, conversation: Conversation, message_id: str, who: str | None = None) -> str | None:
        """What to say instead of answering a message that is one too many; every retry gets the same words.

        `who` is counted, the conversation by default, and where it has a quota of its own.
        """
        own = self.rules.rates(conversation)
        rates = own or self.rates
        if not rates:
            return None
        message = self.store.message(conversation, message_id)
        if not message.status:
            wait = self.hit(conversation.id if own or not who else who, rates)
            if not wait:
                return None
            metrics.LIMITED.inc()
            reply = dialogue.too_many(wait)
            # Should another attempt of the same message have been let in meanwhile, its answer stands.
            message = self.store.run_command(conversation, message_id, uuid.uuid4().hex, "limit", reply)
            self.days.count(conversation, "limited")
        return message.reply if message.kind == "command" else None


class BusyError(Exception):
    """All places are taken."""


class ConcurrencyLimiter:
    """Bounds how many requests are worked on at a time: they must not take all threads from messages."""

    def __init__(self, running: int = RUNNING, waiting: int = WAITING, timeout: float = WAIT_TIMEOUT) -> None:
        self._room = threading.BoundedSemaphore(running + waiting)
        self._places = threading.BoundedSemaphore(running)
        self._timeout = timeout

    def acquire(self) -> None:
        """Raises BusyError; else `release` must be called once."""
        if not self._room.acquire(blocking=False):
            raise BusyError
        if not self._places.acquire(timeout=self._timeout):
            self._room.release()
            raise BusyError

    def release(self) -> None:
        self._places.release()
        self._room.release()
