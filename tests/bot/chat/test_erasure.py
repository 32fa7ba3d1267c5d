"""Nothing of a forgotten user stays in Redis: not in tasks that wait, are delayed, dead or being done."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from bot.admin.broadcasts import QUEUE as BROADCAST
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.feedback import KEY
from bot.store.index import EMERGENCIES
from bot.store.tasks import NOTED_SINCE
from bot.tasks.queue import PermanentError, RetryLaterError
from bot.text.records import Conversation
from tests.bot.admin_client import AdminClient, everything, spelt
from tests.bot.expected_help import help_for
from tests.service import wait_until

USER, WORDS, ID = "oForgetMe", "我的秘密", "secret-id"
OTHER = "oStays"
SHOP = Conversation("webhook-shop", USER)


class Tasks:
    """Tasks of a queue that end as they are told to, in their own words."""

    def __init__(self, admin_client: AdminClient) -> None:
        self.begun, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.queue = admin_client.bot.tasks
        for name in ("wait", "delayed", "dead", "hold"):
            self.queue.register("trial", name, getattr(self, name))
        self.queue.start()

    def wait(self, *_: str) -> None:
        self.go.wait(30)

    def delayed(self, user: str, text: str) -> None:
        raise RetryLaterError("later", retry_after=600)

    def dead(self, user: str, text: str) -> None:
        raise PermanentError("never")

    def hold(self, how: str, user: str, text: str) -> None:
        self.begun.set()
        self.go.wait(30)
        self.ended.set()
        if how != "done":
            raise PermanentError("never") if how == "dead" else RetryLaterError("later", retry_after=600)

    def counts(self) -> dict[str, int]:
        return self.queue.counts()["trial"]


@pytest.fixture
def admin_client(store: Store) -> Iterator[AdminClient]:
    store.client.set(NOTED_SINCE, 1)  # every task was noted when it was stored: none is searched for
    admin_client = AdminClient(store, "http://127.0.0.1:9/", retry_seconds=1)
    yield admin_client
    admin_client.close()


@pytest.fixture
def tasks(admin_client: AdminClient) -> Tasks:
    admin_client.bot.tasks.close(1)  # started again by Tasks, with its queue
    return Tasks(admin_client)


def assert_forgotten(store: Store, *more: str) -> None:
    left = everything(store)
    for trace in (USER, ID, *more):
        assert trace not in left
    for spelling in spelt(WORDS):
        assert spelling not in left
    assert OTHER in left


@pytest.mark.parametrize("way", ["admin", "own"])
def test_tasks_that_wait_are_delayed_or_dead_go_with_the_user(
    admin_client: AdminClient, tasks: Tasks, store: Store, way: str
) -> None:
    for user in (USER, OTHER):
        admin_client.say(user, WORDS if user == USER else "别人的话", f"{ID}-1" if user == USER else "m1")
        whose = Conversation("webhook-shop", user)
        for name in ("dead", "delayed"):
            tasks.queue.send("trial", name, whose, user, WORDS if user == USER else "")
    wait_until(lambda: tasks.counts()["dead"] == tasks.counts()["delayed"] == 2, 10)
    for _ in range(16):  # every thread of the queue is busy: what comes now has to wait
        tasks.queue.send("trial", "wait", None)
    for user in (USER, OTHER):
        tasks.queue.send("trial", "dead", Conversation("webhook-shop", user), user, WORDS)
    tasks.queue.send("trial", "dead", Conversation("webhook-lab", USER), "", "")
    before = everything(store)
    assert before.count(USER) > 5
    assert any(spelling in before for spelling in spelt(WORDS))
    if way == "admin":
        assert "webhook-shop:" + USER in admin_client.forget(USER).json["forgotten"]
        admin_client.bot.tasks.erase(Conversation("webhook-lab", USER))
    else:
        admin_client.say(USER, "忘记我", "ask")
        assert "删除" in admin_client.say(USER, "确认忘记", "yes").json["reply"]
        assert "webhook-lab:" + USER in everything(store)  # another channel is another conversation
        admin_client.bot.tasks.erase(Conversation("webhook-lab", USER))
        admin_client.bot.erasure.erase_conversation(
            SHOP
        )  # as when the minute is over for which retries are answered
    left = everything(store)
    tasks.go.set()
    wait_until(lambda: tasks.counts() == {"waiting": 0, "delayed": 1, "dead": 2}, 10, "the others' tasks")
    for found in (left, everything(store)):
        assert USER not in found
        assert ID not in found
        assert OTHER in found


@pytest.mark.parametrize("way", ["admin", "own"])
def test_an_emergency_leaves_no_trace(admin_client: AdminClient, store: Store, way: str) -> None:
    admin_client.say(OTHER, "别人的话", "m1")
    urgent = "我爸爸突然胸痛，出冷汗，喘不上气"
    assert admin_client.say(USER, urgent, f"{ID}-1").json["reply"] == help_for(urgent)
    assert USER in everything(store)
    if way == "admin":
        admin_client.forget(USER)
    else:
        admin_client.say(USER, "忘记我", "ask")
        admin_client.say(USER, "确认忘记", "yes")
        assert store.client.zcard(EMERGENCIES) == 0
        admin_client.bot.erasure.erase_conversation(SHOP)  # as when the minute for retries is over
    wait_until(lambda: USER not in everything(store), 10, "it is gone")
    assert_forgotten(store, "爸爸")


@pytest.mark.parametrize("way", ["admin", "own"])
def test_what_was_thought_of_answers_goes_with_them(
    admin_client: AdminClient, store: Store, way: str
) -> None:
    for user, message_id in ((USER, ID), (OTHER, "m1")):
        admin_client.say(user, WORDS if user == USER else "别人的话", message_id)
        whose = Conversation("webhook-shop", user)
        assert admin_client.bot.erasure.feedback.mark(whose, message_id, "down") == ""
    assert f"{SHOP.id}\\n{ID}" in everything(store)
    if way == "admin":
        admin_client.forget(USER)
    else:
        admin_client.say(USER, "忘记我", "ask")
        admin_client.say(USER, "确认忘记", "yes")
        assert SHOP.id not in str(store.client.zrange(KEY, 0, -1))
        admin_client.bot.erasure.erase_conversation(SHOP)  # as when the minute for retries is over
    wait_until(lambda: USER not in everything(store), 10, "it is gone")
    assert_forgotten(store)
    assert len(admin_client.bot.erasure.feedback.marked_down(9)) == 1


def test_one_talk_goes_without_the_others(admin_client: AdminClient, store: Store) -> None:
    """On the page, where no task holds any of it."""
    erasure, unanswered = admin_client.bot.erasure, admin_client.bot.answers.unanswered
    page = Conversation("page", USER)
    store.add_answered(page, f"{ID}-1", "n1", "我爸爸突然胸痛", "请拨打 120", emergency=True)
    store.add_answered(page, f"{ID}-2", "n2", WORDS, "答")
    erasure.feedback.mark(page, f"{ID}-2", "down")
    store.run_command(page, "new", "n3", "new", "好")
    store.add_answered(page, "m3", "n4", "别的话", "答")
    for question in (WORDS, "别的话"):
        unanswered.note(page, question)
    assert erasure.erase_talk(page, 0) == 1
    left = everything(store)
    assert [trace for trace in (ID, *spelt(WORDS), *spelt("爸爸")) if trace in left] == []
    assert [row.question for row in unanswered.list()] == ["别的话"]
    assert [turn["content"] for turn in store.turns(page)] == ["别的话", "答"]


@pytest.mark.parametrize("how", ["dead", "again", "done"])
def test_a_task_in_the_hands_of_a_process_does_not_come_back(
    admin_client: AdminClient, tasks: Tasks, store: Store, how: str
) -> None:
    admin_client.say(OTHER, "别人的话", "m1")
    tasks.queue.send("trial", "hold", SHOP, how, USER, WORDS)
    assert tasks.begun.wait(10)
    admin_client.bot.erasure.erase_conversation(SHOP)
    tasks.go.set()
    assert tasks.ended.wait(10)
    wait_until(lambda: not any(tasks.counts().values()), 10, "it is gone")
    assert_forgotten(store)


def test_a_delayed_task_that_comes_due_after_it_was_forgotten_is_not_done(
    admin_client: AdminClient, tasks: Tasks, store: Store
) -> None:
    """The process holds it in its memory until then."""
    done: list[str] = []

    def soon(user: str) -> None:
        done.append(user)
        raise RetryLaterError("soon", retry_after=1.0)

    admin_client.bot.tasks.close(1)
    admin_client.bot.tasks.register("trial", "soon", soon)
    admin_client.bot.tasks.start()
    for user in (USER, OTHER):
        tasks.queue.send("trial", "soon", Conversation("webhook-shop", user), user)
    wait_until(lambda: tasks.counts()["delayed"] == 2 and len(done) == 2, 10)
    admin_client.bot.erasure.erase_conversation(SHOP)
    wait_until(lambda: done.count(OTHER) == 3, 15, "the other one was tried again")
    assert done.count(USER) == 1
    assert USER not in everything(store)


def test_callbacks_that_were_never_taken_are_forgotten(admin_client: AdminClient, store: Store) -> None:
    """The real ones: their receiver is away."""
    for user in (USER, OTHER):
        admin_client.say(user, WORDS if user == USER else "别人的话", f"{ID}-2" if user == USER else "m2")
        admin_client.say(user, "帮助", f"{ID}-3" if user == USER else "m3")  # its task holds the reply
    wait_until(lambda: admin_client.bot.tasks.counts()["webhook"]["delayed"] >= 2, 10)
    assert USER in everything(store)
    admin_client.forget(USER)
    assert_forgotten(store)
    wait_until(lambda: admin_client.bot.tasks.counts()["webhook"]["delayed"] >= 1, 10)
    assert_forgotten(store)


def test_a_queue_that_nobody_works_on_any_more_is_searched_too(
    admin_client: AdminClient, store: Store
) -> None:
    admin_client.say(OTHER, "别人的话", "m1")
    other = AdminClient(store, "http://127.0.0.1:9/")
    other.bot.tasks.register("old-queue", "dead", lambda *_: None)
    other.bot.tasks.send("old-queue", "dead", SHOP, USER, WORDS)
    other.close()
    assert USER in everything(store)
    admin_client.bot.erasure.erase_conversation(SHOP)
    assert_forgotten(store)


def test_a_task_of_an_older_version_is_searched_for_while_there_may_be_any(
    admin_client: AdminClient, store: Store
) -> None:
    admin_client.say(OTHER, "别人的话", "m1")
    admin_client.bot.tasks.register("idle", "wait", print)
    for user in (USER, OTHER):
        admin_client.bot.tasks.send("idle", "wait", Conversation("webhook-shop", user), user, WORDS)
    store.client.delete(SHOP.base + "tasks")
    admin_client.bot.erasure.erase_conversation(SHOP)
    assert USER in everything(store)
    store.client.delete(NOTED_SINCE)
    admin_client.bot.erasure.erase_conversation(SHOP)
    assert_forgotten(store)


def test_lists_of_broadcasts_and_errors_are_forgotten(admin_client: AdminClient, store: Store) -> None:
    for user in (USER, OTHER):
        admin_client.say(user, "问", "m1")
    plan = admin_client.post("broadcasts", text="停诊").json
    assert plan["reached"]["webhook-shop"] == 2
    admin_client.bot.admin.store.add_errors([{"time": 1.0, "message": f"{SHOP.id} failed", "where": "x"}])  # type: ignore[union-attr]
    admin_client.forget(USER)
    assert_forgotten(store)
    assert admin_client.get(f"broadcasts/{plan['id']}").json["left"] == 1
    assert BROADCAST in admin_client.bot.tasks.queues


def test_forgetting_that_was_cut_off_goes_on(
    admin_client: AdminClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis goes away between two steps: the administrator sees 503, and asks again."""
    admin_client.say(OTHER, "别人的话", "m1")
    admin_client.say(USER, WORDS, ID)
    admin_client.bot.tasks.register("idle", "wait", print)  # nobody works on this queue
    admin_client.bot.tasks.send("idle", "wait", SHOP, USER, WORDS)

    def away(conversation: Conversation) -> None:
        raise StoreDownError("away")

    with monkeypatch.context() as patch:
        patch.setattr(admin_client.bot.tasks, "erase", away)
        assert admin_client.forget(USER).status_code == 503
    assert USER in everything(store)
    assert admin_client.forget(USER).status_code == 200
    assert_forgotten(store)
