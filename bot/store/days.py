"""What happened each day in each channel; it outlives processes, and people who are forgotten: it names none.

    plm:{days}:DATE                 hash  CHANNEL:NAME, how often; kept for 400 days
    plm:{days}:DATE:people:CHANNEL  a HyperLogLog of who asked, for two days: hashes that cannot be read back
    plm:{days}:DATE:nonce:…         text  a minute long: a command that was sent twice counts once

A day lies in one slot of a cluster, so no message writes to it: a process adds up what happens, and hands it
on once a second with one script, which counts all of it or nothing. A process that is killed loses that
second; one that stops hands on the rest. What a store that is away could not take is tried again for half a
minute. Days are those of the service's clock (TZ).
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.text.records import Conversation

log = logging.getLogger(__name__)
BASE = "plm:{days}:"
KEEP = 400 * 24 * 3600  # seconds
EVERY = 1.0  # seconds between two writes
TRY_FOR = 30.0  # seconds; then what could not be written is given up
NONCE_SECONDS = 60  # longer than the last try may take
NAMES = (
    "people", "questions", "quoted", "abstained", "unsure", "failed", "emergencies", "limited", "up", "down",
)  # fmt: skip


@dataclass
class _Batch:
    """What happened on a day within a second."""

    day: str
    began: float  # monotonic
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)
    counts: dict[str, Counter[str]] = field(default_factory=dict)  # by channel
    people: dict[str, set[str]] = field(default_factory=dict)
    tried: bool = False  # perhaps it is written already: it must not grow

    def add(self, channel: str, names: tuple[str, ...], person: str) -> None:
        counts = self.counts.setdefault(channel, Counter())
        people = self.people.setdefault(channel, set())
        for name in names:
            counts[name.removeprefix("-")] += -1 if name.startswith("-") else 1
        if person:
            people.add(person)

    def json(self) -> str:
        return json.dumps(
            {
                channel: {"counts": counts, "people": sorted(self.people[channel])}
                for channel, counts in self.counts.items()
            }
        )


class DayStore:
    """A process has one. The thread that writes runs only while there is something to write."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._batches: list[_Batch] = []  # the newest last; it alone grows
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._timer: threading.Timer | None = None

    def count(self, conversation: Conversation, *names: str) -> None:
        """One event with these of NAMES; "-up" takes one back. Questions also count who asked."""
        if not names:
            return
        person = ""
        if "questions" in names:
            person = hashlib.sha256(f"day\n{conversation.id}".encode()).hexdigest()[:32]
        day, now = _today().isoformat(), time.monotonic()
        with self._lock:
            last = self._batches[-1] if self._batches else None
            if last is None or last.tried or last.day != day:
                last = _Batch(day, now)
                self._batches.append(last)
            last.add(conversation.channel, names, person)
            self._write_later()

    def flush(self) -> None:
        """Write what has been counted so far. A store that is away costs nothing but time, for a while."""
        with self._writing:
            with self._lock:
                batches, self._batches = self._batches, []
            kept = []
            for number, batch in enumerate(batches):
                batch.tried = True
                try:
                    args = batch.nonce, batch.json(), KEEP, NONCE_SECONDS
                    self.store.run_on("count_day", BASE + batch.day, *args)
                except StoreDownError as error:  # the others would wait as long, and for nothing
                    kept = [one for one in batches[number:] if time.monotonic() - one.began < TRY_FOR]
                    if len(kept) < len(batches) - number:
                        log.warning("what happened within a second is not counted: %s", error)
                    break
            with self._lock:
                self._batches = kept + self._batches
                if self._batches:
                    self._write_later()

    def close(self) -> None:
        """Write the rest."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
        self.flush()

    def _write_later(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(EVERY, self._write)
            self._timer.daemon = True
            self._timer.start()

    def _write(self) -> None:
        with self._lock:
            self._timer = None
        self.flush()

    def read(self, days: int) -> list[dict[str, Any]]:
        """{"date", "channels": {channel: {name: count}}} for each of the last days, the newest first; other
        processes' last second is not in it. StoreDownError."""
        self.flush()
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
    for key, value in sorted(row.items()):
        channel, _, name = key.decode().rpartition(":")
        found.setdefault(channel, {})[name] = int(value)
    return found


def _today() -> date:
    return date.fromtimestamp(time.time())
