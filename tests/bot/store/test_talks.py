"""Talks: listed, gone back to, deleted with all that is kept of them."""

from __future__ import annotations

import uuid

import pytest

from bot.store.conversations import Store
from bot.store.feedback import FeedbackStore
from bot.store.talks import TalkStore
from bot.text.records import Conversation, Lease
from tests.bot.admin_client import everything, spelt

READER = Conversation("page", "a" * 32)


@pytest.fixture
def talks(store: Store) -> TalkStore:
    return TalkStore(store)


def answer(store: Store, message_id: str, question: str, emergency: bool = False) -> None:
    store.add_answered(READER, message_id, uuid.uuid4().hex, question, f"答{message_id}", emergency)


def new(store: Store) -> int:
    store.run_command(READER, uuid.uuid4().hex, "n", "new", "好")
    return store.talk(READER)


def asked(store: Store, talk: int) -> list[str]:
    return [turn["content"] for turn in store.turns(READER, talk=talk) if turn["role"] == "user"]


def test_a_list_names_each_talk_by_its_first_question(talks: TalkStore, store: Store) -> None:
    assert talks.list(READER) == []
    answer(store, "m1", "第一个\n问题" + "长" * 100)
    answer(store, "m2", "第二个")
    new(store)
    answer(store, "m3", "另一个")
    found = talks.list(READER)
    assert [(talk.number, talk.title[:6], talk.questions) for talk in found] == [
        (1, "另一个", 1), (0, "第一个 问题", 2)
    ]  # fmt: skip
    assert len(found[1].title) == 60
    assert found[0].updated > found[1].updated > 0


def test_a_talk_goes_on_and_new_ones_have_new_numbers(talks: TalkStore, store: Store) -> None:
    answer(store, "m1", "一")
    assert new(store) == 1
    answer(store, "m2", "二")
    assert talks.resume(READER, 0) == 0
    answer(store, "m3", "又一")
    assert (asked(store, 0), asked(store, 1)) == (["一", "又一"], ["二"])
    assert new(store) == 2
    assert talks.resume(READER, 7) == 2  # there is none
    assert talks.resume(Conversation("page", "b" * 32), 3) == 0
    assert store.client.exists(Conversation("page", "b" * 32).base + "meta") == 0


def test_no_state_of_the_model_crosses_from_one_talk_to_another(talks: TalkStore, store: Store) -> None:
    store.enqueue(READER, "m1", "n", "一")
    lease = store.acquire(READER, "w")
    assert isinstance(lease, Lease)
    store.finish(READER, lease, "答", "end", "p1", b"state")
    new(store)
    answer(store, "m2", "二")
    talks.resume(READER, 0)
    store.enqueue(READER, "m3", "n", "又一")
    again = store.acquire(READER, "w")
    assert isinstance(again, Lease)
    assert (again.talk, again.state) == (0, None)
    assert again.prefix not in ("", "p1")


def test_undo_in_a_talk_that_was_gone_back_to(talks: TalkStore, store: Store) -> None:
    answer(store, "m1", "一")
    new(store)
    answer(store, "m2", "二")
    talks.resume(READER, 0)
    assert store.undo(READER, "u1", "n", "好", "没有", only="m2").reply == "没有"
    assert store.undo(READER, "u2", "n", "好", "没有", only="m1").reply == "好"
    assert (asked(store, 0), asked(store, 1)) == ([], ["二"])


def test_an_erased_talk_leaves_nothing(talks: TalkStore, store: Store) -> None:
    answer(store, "m1", "我的秘密")
    FeedbackStore(store).mark(READER, "m1", "up")
    store.run_command(READER, "c1", "n", "export", "我：我的秘密")
    new(store)
    answer(store, "m2", "别的", emergency=True)
    store.enqueue(READER, "m3", "n", "还没有回答")
    erased = talks.erase(READER, 0)
    assert (erased.current, erased.message_ids, erased.questions) == (1, ["m1"], ["我的秘密"])
    assert erased.emergencies
    left = everything(store)
    assert [spelling for spelling in spelt("我的秘密") if spelling in left] == []
    assert "m1" not in left
    assert asked(store, 1) == ["别的", "还没有回答"]
    assert store.waiting(READER) == ["m3"]
    lease = store.acquire(READER, "w")
    assert isinstance(lease, Lease)
    erased = talks.erase(READER, 1)  # the one that goes on, while it is answered
    assert (erased.current, erased.emergencies) == (2, False)
    store.finish(READER, lease, "迟到的回答", "end", "p", b"")
    assert store.turns(READER) == []
    assert store.talk(READER) == 2
    assert talks.erase(READER, 9).message_ids == []
