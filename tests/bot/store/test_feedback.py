"""Thumbs up and down: kept with the answer, listed for the owner, gone with the conversation."""

from __future__ import annotations

import uuid

import pytest

from bot.store.conversations import Store
from bot.store.feedback import KEY, FeedbackStore
from bot.text.records import Conversation

READER = Conversation("page", "a" * 32)


@pytest.fixture
def feedback(store: Store) -> FeedbackStore:
    return FeedbackStore(store)


def answer(store: Store, message_id: str, reader: Conversation = READER) -> None:
    store.add_answered(reader, message_id, uuid.uuid4().hex, f"问{message_id}", f"答{message_id}")


def listed(feedback: FeedbackStore) -> list[tuple[str, str, str]]:
    return [(row.message_id, row.question, row.answer) for row in feedback.marked_down(10)]


def test_a_mark_is_kept_changed_and_taken_back(feedback: FeedbackStore, store: Store) -> None:
    answer(store, "m1")
    assert feedback.mark(READER, "m1", "up") == ""
    assert listed(feedback) == []
    assert feedback.mark(READER, "m1", "down") == "up"
    assert feedback.of(READER) == {"m1": "down"}
    assert listed(feedback) == [("m1", "问m1", "答m1")]
    assert feedback.mark(READER, "m1", "") == "down"
    assert feedback.of(READER) == {}
    assert store.client.exists(KEY) == 0


def test_only_answers_of_the_transcript_can_be_marked(feedback: FeedbackStore, store: Store) -> None:
    answer(store, "m1")
    store.enqueue(READER, "m2", "n", '"message_id":"m3" 还没有回答')
    for message_id in ("m2", "m3", "m"):
        assert feedback.mark(READER, message_id, "down") is None
    assert feedback.mark(Conversation("page", "b" * 32), "m1", "down") is None
    assert store.client.exists(KEY, READER.base + "feedback") == 0


def test_marks_live_as_long_as_the_transcript(feedback: FeedbackStore, store: Store) -> None:
    answer(store, "m1")
    feedback.mark(READER, "m1", "up")
    left = store.client.pttl(READER.base + "feedback")
    assert 0 < left <= store.client.pttl(READER.base + "turns") + 1000
    store.client.pexpire(READER.base + "feedback", 5000)
    answer(store, "m2")
    assert store.client.pttl(READER.base + "feedback") > 5000


def test_what_is_taken_back_or_erased_leaves_the_list(feedback: FeedbackStore, store: Store) -> None:
    other = Conversation("page", "b" * 32)
    for message_id, reader in (("m1", READER), ("m2", READER), ("m3", other)):
        answer(store, message_id, reader)
        feedback.mark(reader, message_id, "down")
    assert [row[0] for row in listed(feedback)] == ["m3", "m2", "m1"]
    store.undo(READER, "u1", "n", "好", "没有")
    assert feedback.of(READER) == {"m1": "down"}
    assert [row[0] for row in listed(feedback)] == ["m3", "m1"]
    store.erase(READER)
    feedback.erase(READER)
    assert [row[0] for row in listed(feedback)] == ["m3"]
    assert store.client.zcard(KEY) == 1


def test_a_mark_that_crosses_an_erasure_is_not_listed(
    feedback: FeedbackStore, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(store, "m1")
    run = store.run

    def erased_meanwhile(name: str, *args: object) -> object:
        before = run(name, *args)  # type: ignore[arg-type]
        store.erase(READER)
        feedback.erase(READER)
        return before

    monkeypatch.setattr(store, "run", erased_meanwhile)
    feedback.mark(READER, "m1", "down")
    assert store.client.exists(KEY) == 0
