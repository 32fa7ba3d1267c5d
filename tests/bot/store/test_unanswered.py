"""The list of questions without an answer: who is gone from it when a question is answered."""

from __future__ import annotations

import pytest

from bot.store.conversations import Store
from bot.store.unanswered import LONGEST, UnansweredStore
from bot.text.records import Conversation


@pytest.fixture
def unanswered(store: Store) -> UnansweredStore:
    return UnansweredStore(store)


def note(unanswered: UnansweredStore, user: str, question: str) -> None:
    talker = Conversation("page", user)
    unanswered.store.enqueue(talker, f"m-{user}", f"n-{user}", question)
    unanswered.note(talker, question)


def questions(unanswered: UnansweredStore) -> list[tuple[str, int]]:
    return [(row.question, row.people) for row in unanswered.list()]


def test_an_answered_question_is_dropped_for_all_who_asked_it(unanswered: UnansweredStore) -> None:
    for user in ("u1", "u2"):
        note(unanswered, user, "哪里可以 停车？")
    note(unanswered, "u3", "晚上哪里可以 停车")
    note(unanswered, "u3", "哪里可以 停车场")
    unanswered.drop("哪里可以\n停车！")
    assert sorted(questions(unanswered)) == [("哪里可以 停车场", 1), ("晚上哪里可以 停车", 1)]


@pytest.mark.parametrize("question", ["*", "有[几]个*？\\", "药" * (LONGEST + 9)])
def test_signs_and_long_questions_are_dropped_as_they_were_noted(
    unanswered: UnansweredStore, question: str
) -> None:
    note(unanswered, "u1", "另一个")
    note(unanswered, "u1", question)
    assert len(questions(unanswered)) == 2
    unanswered.drop(question)
    assert questions(unanswered) == [("另一个", 1)]


def test_nothing_and_the_unknown_drop_nothing(unanswered: UnansweredStore) -> None:
    unanswered.drop("谁？")
    note(unanswered, "u1", "另一个")
    for question in ("", " ？", "一个"):
        unanswered.drop(question)
    assert questions(unanswered) == [("另一个", 1)]
