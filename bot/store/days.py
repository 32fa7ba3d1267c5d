"""What happened each day in each channel; it outlives processes, and people who are forgotten: it names none.

    plm:{days}:DATE                 hash  CHANNEL:NAME, how often; kept for 400 days
    plm:{days}:DATE:people:CHANNEL  a HyperLogLog of who asked, for two days: hashes that cannot be read back
    plm:{days}:DATE:nonce:…         text  ten seconds long: a command that was sent twice counts once

One script counts an event in all its fields. It comes right after what it counts, which lies in another slot
of a cluster: a process killed between the two leaves one out, and none is counted twice. Days are those of
the service's clock (TZ).
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from datetime import date, timedelta
from typing import Any

from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.text.records import Conversation

log = logging.getLogger(__name__)
BASE = "plm:{days}:"
KEEP = 400 * 24 * 3600  # seconds
NAMES = (
    "people", "questions", "quoted", "abstained", "unsure", "failed", "emergencies", "limited", "up", "down",
)  # fmt: skip


class DayStore:
    def __init__(self, store: Store) -> None:
        self.store = store

    def count(self, conversation: Conversation, *names: str) -> None:
        """One event with these of NAMES; "-up" takes one back. Questions also count who asked. A store that
        is away costs the count, never the answer."""
        if not names:
            return
        person = ""
        if "questions" in names:
            person = hashlib.sha256(f"day\n{conversation.id}".encode()).hexdigest()[:32]
        event = uuid.uuid4().hex, conversation.channel, person, ",".join(names), KEEP
        try:
            self.store.run_on("count_day", BASE + _today().isoformat(), *event)
        except StoreDownError as error:
            log.warning("%s: not counted: %s", conversation.channel, error)

    def read(self, days: int) -> list[dict[str, Any]]:
        """{"date", "channels": {channel: {name: count}}} for each of the last days, the newest first.
        StoreDownError."""
        dates = [(_today() - timedelta(days=number)).isoformat() for number in range(days)]

        def read() -> list[Any]:
            pipe = self.store.client.pipeline(transaction=False)  # all in one slot
            for name in dates:
                pipe.hgetall(BASE + name)
            found: list[Any] = pipe.execute()
            return found

        rows = self.store.attempt(read)
        return [
            {"date": name, "channels": _by_channel(row)} for name, row in zip(dates, rows, strict=True) if row
        ]


def _by_channel(row: dict[bytes, bytes]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for field, value in sorted(row.items()):
        channel, _, name = field.decode().rpartition(":")
        found.setdefault(channel, {})[name] = int(value)
    return found


def _today() -> date:
    return date.fromtimestamp(time.time())
