"""Figures by day and channel: counted once, in whole events, and still there after a restart."""

from __future__ import annotations

import pytest

from bot.store import days as module
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.days import KEEP, DayStore
from bot.text.records import Conversation
from tests.bot.admin_client import everything

ONE, TWO = Conversation("page", "one"), Conversation("webhook-shop", "two")


def test_events_add_up_by_day_and_channel(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    days = DayStore(store)
    noon = 1_800_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: noon - 86_400)
    days.count(ONE, "questions", "quoted")
    monkeypatch.setattr(module.time, "time", lambda: noon)
    for conversation in (ONE, ONE, Conversation("page", "three"), TWO):
        days.count(conversation, "questions", "abstained")
    days.count(ONE, "down")
    days.count(ONE, "-down", "up")
    days.count(ONE)
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


def test_a_command_that_was_sent_twice_counts_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.run_on

    def twice(*args: object) -> object:
        run(*args)  # type: ignore[arg-type]
        return run(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "run_on", twice)
    DayStore(store).count(ONE, "questions", "failed")
    (today,) = DayStore(store).read(1)
    assert today["channels"]["page"] == {"failed": 1, "people": 1, "questions": 1}


def test_a_store_that_is_away_costs_the_count_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreDownError("away")

    monkeypatch.setattr(store, "run_on", away)
    DayStore(store).count(ONE, "questions")
    assert DayStore(store).read(1) == []
