"""Figures by day and channel: added up, written once, and still there after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from bot.store import days as module
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.days import KEEP, DayStore
from bot.text.records import Conversation
from tests.bot.admin_client import everything
from tests.service import wait_until

ONE, TWO = Conversation("page", "one"), Conversation("webhook-shop", "two")
NOON = 1_800_000_000.0


class Wire:
    """Instead of the store's `run_on`: counts calls, and is away as long as it is told to be."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run, self.calls, self.is_away, self.times = store.run_on, 0, False, 1
        monkeypatch.setattr(store, "run_on", self)

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        if self.is_away:
            raise StoreDownError("away")
        return [self.run(*args) for _ in range(self.times)][-1]


@pytest.fixture
def wire(store: Store, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(store, monkeypatch)


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written by itself."""
    monkeypatch.setattr(DayStore, "_write_later", lambda _: None)


def test_events_add_up_by_day_and_channel(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    days = DayStore(store)
    monkeypatch.setattr(module.time, "time", lambda: NOON - 86_400)
    days.count(ONE, "questions", "quoted")
    monkeypatch.setattr(module.time, "time", lambda: NOON)
    for conversation in (ONE, ONE, Conversation("page", "three"), TWO):
        days.count(conversation, "questions", "abstained")
    days.count(ONE, "down")
    days.count(ONE, "-down", "up")
    days.count(ONE)
    days.close()
    today, before = DayStore(Store(store.url)).read(30)
    assert today["channels"] == {
        "page": {"abstained": 3, "down": 0, "people": 2, "questions": 3, "up": 1},
        "webhook-shop": {"abstained": 1, "people": 1, "questions": 1},
    }
    assert before["channels"] == {"page": {"people": 1, "questions": 1, "quoted": 1}}
    assert today["date"] > before["date"]
    assert 0 < store.client.ttl(f"plm:{{days}}:{today['date']}") <= KEEP
    left = everything(store)
    assert not [name for name in ("one", "three", "two") if f":{name}" in left]


def test_processes_add_up(store: Store, unwritten: None) -> None:
    first, second = DayStore(store), DayStore(Store(store.url))
    first.count(ONE, "questions")
    second.count(ONE, "questions")
    second.count(TWO, "questions")
    first.close()
    second.close()
    (today,) = first.read(1)
    assert today["channels"] == {
        "page": {"people": 1, "questions": 2},
        "webhook-shop": {"people": 1, "questions": 1},
    }


def test_many_events_are_written_at_once_and_soon(store: Store, wire: Wire) -> None:
    days = DayStore(store)
    for number in range(2500):
        days.count(Conversation("page", str(number)), "questions")
    days.count(ONE, "limited")
    written = DayStore(Store(store.url))
    wait_until(lambda: "limited" in str(written.read(1)), 10, "it is written by itself")
    assert wire.calls <= 3  # seconds on a busy machine, not messages
    (today,) = written.read(1)
    assert today["channels"]["page"]["questions"] == 2500
    assert abs(today["channels"]["page"]["people"] - 2500) < 100  # as exact as a HyperLogLog


def test_a_command_that_was_sent_twice_counts_once(store: Store, wire: Wire, unwritten: None) -> None:
    wire.times = 2
    days = DayStore(store)
    days.count(ONE, "questions", "failed")
    (today,) = days.read(1)
    assert today["channels"]["page"] == {"failed": 1, "people": 1, "questions": 1}


def test_what_a_store_that_is_away_could_not_take_is_written_later(
    store: Store, wire: Wire, unwritten: None
) -> None:
    days = DayStore(store)
    wire.is_away = True
    days.count(ONE, "questions")
    assert days.read(1) == []
    days.count(ONE, "questions")  # the first may have been written: this one goes by itself
    days.flush()
    assert wire.calls == 2, "one try a flush"
    wire.is_away = False
    assert days.read(1)[0]["channels"]["page"] == {"people": 1, "questions": 2}
    assert wire.calls == 4


def test_a_store_that_stays_away_costs_the_count_alone(
    store: Store, wire: Wire, unwritten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRY_FOR", 0.0)
    days = DayStore(store)
    wire.is_away = True
    days.count(ONE, "questions")
    days.flush()
    wire.is_away = False
    assert days.read(1) == []
