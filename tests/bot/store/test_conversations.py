"""The store against a real server: each turn once, leases with fences, replies settled once."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from bot.server.embedded_store import EmbeddedStore
from bot.store import conversations as store_module
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.index import CHANNELS, INDEXES
from bot.store.outbox import Outbox
from bot.text.records import Conversation, Lease, Push, short_id
from tests.service import wait_until

DAY_MS = 24 * 3600 * 1000
TALKER = Conversation("wechat", "oUser1")
OTHER = Conversation("wechat", "oUser2")


def ask(store: Store, message_id: str, question: str = "桂枝汤？", nonce: str = "") -> None:
    store.enqueue(TALKER, message_id, nonce or uuid.uuid4().hex, question)


def acquire(store: Store, owner: str = "me") -> Lease:
    lease = store.acquire(TALKER, owner)
    assert isinstance(lease, Lease), lease
    return lease


def answer(store: Store, message_id: str, text: str, question: str = "桂枝汤？") -> None:
    ask(store, message_id, question)
    lease = acquire(store)
    assert lease.id == message_id
    assert store.finish(TALKER, lease, text, "end", f"hash-{message_id}", b"state")
    assert store.acquire(TALKER, "me") == "idle"


def contents(store: Store) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in store.turns(TALKER)]


def test_a_message_that_comes_again_is_one_turn_and_one_more_attempt(store: Store) -> None:
    for attempt in (1, 2, 3):
        assert store.enqueue(TALKER, "m1", f"nonce{attempt}", "问").attempts == attempt
    assert contents(store) == [("user", "问")]
    assert store.waiting(TALKER) == ["m1"]


def test_a_command_sent_twice_for_want_of_an_answer_counts_one_attempt(store: Store) -> None:
    assert store.enqueue(TALKER, "m1", "same", "问").attempts == 1
    assert store.enqueue(TALKER, "m1", "same", "问").attempts == 1


def test_twenty_threads_with_one_message_make_one_turn(store: Store) -> None:
    threads = [threading.Thread(target=ask, args=(store, "m1")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents(store) == [("user", "桂枝汤？")]
    assert store.message(TALKER, "m1").attempts == 20


def test_an_answer_is_appended_once_however_often_it_is_finished(store: Store) -> None:
    ask(store, "m1")
    lease = acquire(store)
    for _ in range(3):
        assert store.finish(TALKER, lease, "答", "end", "p", b"s")
    assert contents(store) == [("user", "桂枝汤？"), ("assistant", "答")]
    assert store.message(TALKER, "m1").status == "done"


def lease_runs_out(store: Store) -> None:
    wait_until(lambda: not store.message(TALKER, "m1").owned, 5, "nobody holds the lease")


def test_the_lease_is_held_by_one_and_lost_to_the_next_fence(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LEASE_MS", 60)
    ask(store, "m1")
    first = acquire(store, "a")
    assert store.acquire(TALKER, "b") == "busy"
    lease_runs_out(store)
    second = acquire(store, "b")
    assert (second.id, second.starts) == ("m1", 2)
    assert not store.heartbeat(TALKER, first.token, "m1", "旧")
    assert not store.finish(TALKER, first, "旧答", "end", "p", b"")
    assert store.finish(TALKER, second, "新答", "end", "p", b"")
    assert contents(store)[1:] == [("assistant", "新答")]


def test_a_lease_that_ran_out_untaken_is_still_good_for_the_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LEASE_MS", 30)
    ask(store, "m1")
    lease = acquire(store)
    lease_runs_out(store)
    assert store.finish(TALKER, lease, "答", "end", "p", b"")


def test_a_late_heartbeat_does_not_bring_back_a_lease_that_was_given_back(store: Store) -> None:
    ask(store, "m1")
    lease = acquire(store)
    store.finish(TALKER, lease, "答", "end", "p", b"")
    assert store.acquire(TALKER, "me") == "idle"
    assert not store.heartbeat(TALKER, lease.token)
    assert not store.message(TALKER, "m1").owned


def test_messages_are_taken_in_order_and_one_that_keeps_killing_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LEASE_MS", 1)
    ask(store, "m1")
    ask(store, "m2")
    for starts in range(1, store_module.MAX_STARTS + 1):
        lease = acquire(store, f"owner{starts}")
        assert (lease.id, lease.starts) == ("m1", starts)
        lease_runs_out(store)
    assert acquire(store, "last").id == "m2"
    assert store.message(TALKER, "m1").status == "failed"


def test_a_failed_message_sent_again_is_tried_again_and_stays_one_turn(store: Store) -> None:
    ask(store, "m1")
    store.fail(TALKER, acquire(store), "broken")
    assert store.message(TALKER, "m1").error == "broken"
    ask(store, "m1")
    assert acquire(store).id == "m1"
    assert contents(store) == [("user", "桂枝汤？")]


def test_the_state_is_valid_for_exactly_the_turns_it_has_read(store: Store) -> None:
    answer(store, "m1", "答")
    ask(store, "m2")
    lease = acquire(store)
    assert (lease.state, lease.prefix) == (b"state", "hash-m1")
    store.finish(TALKER, lease, "答二", "end", "hash-m2", b"")
    ask(store, "m3")
    assert acquire(store).state is None


def test_a_state_is_kept_packed_and_goes_before_the_transcript(store: Store) -> None:
    ask(store, "m1")
    state = bytes(range(256)) * 40
    store.finish(TALKER, acquire(store), "答", "end", "p", state)
    kept = store.client.hgetall(TALKER.base + "state")
    assert sum(map(len, kept.values())) < len(state) / 2
    assert store.client.pttl(TALKER.base + "state") <= store_module.STATE_MS
    ask(store, "m2")  # which renews all else
    assert store.client.pttl(TALKER.base + "state") <= store_module.STATE_MS
    assert store.client.pttl(TALKER.base + "turns") > 29 * DAY_MS
    assert acquire(store).state == state


def test_a_state_of_an_older_version_is_rebuilt(store: Store) -> None:
    answer(store, "m1", "答")
    store.client.hset(TALKER.base + "state", "blob", b"state")
    store.client.hdel(TALKER.base + "state", "packed")
    ask(store, "m2")
    lease = acquire(store)
    assert (lease.state, lease.prefix) == (None, "hash-m1")


def test_an_answered_message_is_remembered_for_hours_and_one_that_is_owed_for_days(store: Store) -> None:
    outbox, hours = Outbox(store), store_module.MESSAGE_MS
    left = lambda message_id: store.client.pttl(f"{TALKER.base}job:{message_id}")  # noqa: E731
    for message_id in ("m1", "m2", "m3"):
        answer(store, message_id, "甲乙丙")
    store.reply(TALKER, "m1", "m1", 0, 9, "甲乙丙", False)
    assert 0 < left("m1") <= hours
    store.reply(TALKER, "m2", "m2", 0, 3, "甲", True)
    assert left("m2") > 2 * DAY_MS
    outbox.push(TALKER, "m3", "")
    assert left("m3") > 2 * DAY_MS
    assert store.client.pttl(TALKER.base + "jobs") > 2 * DAY_MS  # or it were not found when it is forgotten
    push = outbox.push_acquire(TALKER, "me", repeatable=False)
    assert isinstance(push, Push)
    outbox.allow(TALKER, "mark", 5, 60_000, only_if_none=False)
    assert outbox.push_claim(TALKER, push, 9, counted=True)
    outbox.push_settle(TALKER, push, "told", "甲乙丙")
    assert 0 < left("m3") <= hours


def test_a_record_of_an_older_version_is_found_to_be_forgotten(store: Store) -> None:
    """It lives longer than one of this version; the list that names it must not drop it before."""
    answer(store, "m1", "甲乙丙")
    store.client.pexpire(TALKER.base + "job:m1", 3 * DAY_MS)
    store.client.pexpire(TALKER.base + "jobs", 3 * DAY_MS)
    store.client.zadd(TALKER.base + "jobs", {"m1": time.time() - 2 * DAY_MS / 1000, "gone": 1.0})
    answer(store, "m2", "丁")
    assert store.client.zrange(TALKER.base + "jobs", 0, -1) == [b"m1", b"m2"]
    assert store.client.pttl(TALKER.base + "jobs") > 2 * DAY_MS
    store.erase(TALKER)
    assert not [*store.client.scan_iter(match=TALKER.base + "*")]


def test_as_many_turns_are_kept_as_was_said(store: Store) -> None:
    brief = Store(store.url, keep_turns=4)
    for number in range(5):
        answer(brief, f"m{number}", f"答{number}", f"问{number}")
    ask(brief, "m5", "问5")
    assert [text for _, text in contents(brief)] == ["答3", "问4", "答4", "问5"]
    brief.close()


def test_a_state_that_is_too_large_is_not_kept(store: Store) -> None:
    ask(store, "m1")
    store.finish(TALKER, acquire(store), "答", "end", "p", b"x" * (store_module.MAX_STATE + 1))
    ask(store, "m2")
    lease = acquire(store)
    assert (lease.state, lease.prefix) == (None, "p")


def test_new_begins_a_talk_without_the_turns_before(store: Store) -> None:
    answer(store, "m1", "答")
    assert store.run_command(TALKER, "m2", "n", "new", "好的").reply == "好的"
    assert store.run_command(TALKER, "m2", "n2", "new", "又").reply == "好的"
    assert store.talk(TALKER) == 1
    ask(store, "m3")
    lease = acquire(store)
    assert (lease.talk, lease.prefix, lease.state) == (1, "", None)
    assert [turn["message_id"] for turn in store.turns(TALKER, talk=1)] == ["m3"]
    assert len(store.turns(TALKER)) == 3  # nothing is thrown away


def test_an_answer_that_ends_after_new_belongs_to_the_talk_before(store: Store) -> None:
    ask(store, "m1")
    lease = acquire(store)
    store.run_command(TALKER, "m2", "n", "new", "好的")
    store.finish(TALKER, lease, "答", "end", "old", b"state")
    ask(store, "m3")
    assert (acquire(store).prefix, store.turns(TALKER, talk=0)[-1]["content"]) == ("", "答")


def test_only_the_first_message_of_a_conversation_carries_the_notice(store: Store) -> None:
    assert store.enqueue(TALKER, "m1", "n", "一").notice
    assert store.enqueue(TALKER, "m1", "n2", "一").notice  # its retry says the same
    assert not store.enqueue(TALKER, "m2", "n", "二").notice


def test_a_reply_is_settled_once_and_its_bytes_are_handed_out_once(store: Store) -> None:
    answer(store, "m1", "甲乙丙丁")
    assert store.reply(TALKER, "m1", "m1", 0, 3, "甲", True) == "甲"
    assert store.reply(TALKER, "m1", "m1", 0, 6, "甲乙", True) == "甲"
    store.continue_answer(TALKER, "c1", "n")
    store.continue_answer(TALKER, "c2", "n")
    assert store.reply(TALKER, "c1", "m1", 3, 6, "乙", True) == "乙"
    assert store.reply(TALKER, "c2", "m1", 3, 6, "乙", True) is None  # taken meanwhile
    assert store.reply(TALKER, "c2", "m1", 6, 12, "丙丁", False) == "丙丁"
    assert store.continue_answer(TALKER, "c3", "n").source == ""


def test_more_goes_on_with_the_newest_answer_shown_in_part_and_stays_bound_to_it(store: Store) -> None:
    for message_id in ("m1", "m2", "m3"):
        answer(store, message_id, "甲乙丙丁")
    store.reply(TALKER, "m1", "m1", 0, 3, "甲", True)
    store.reply(TALKER, "m2", "m2", 0, 3, "甲", True)
    store.reply(TALKER, "m3", "m3", 0, 12, "甲乙丙丁", False)
    first = store.continue_answer(TALKER, "c1", "n")
    assert (first.source, first.latest) == ("m2", False)
    store.reply(TALKER, "c1", "m2", 3, 12, "乙丙丁", False)
    assert store.continue_answer(TALKER, "c1", "n2").source == "m2"  # its retry
    assert store.continue_answer(TALKER, "c2", "n").source == "m1"


def test_more_gives_an_answer_that_was_never_handed_out(store: Store) -> None:
    answer(store, "m1", "答")
    wish = store.continue_answer(TALKER, "c1", "n")
    assert (wish.source, wish.latest) == ("m1", True)


def test_more_passes_over_an_answer_that_has_expired(store: Store) -> None:
    for message_id in ("m1", "m2"):
        answer(store, message_id, "甲乙丙丁")
        store.reply(TALKER, message_id, message_id, 0, 0, "还在想", True)
    store.client.delete(TALKER.base + "job:m1")
    assert store.continue_answer(TALKER, "c1", "n").source == "m2"
    store.reply(TALKER, "c1", "m2", 0, 12, "甲乙丙丁", False)
    assert store.continue_answer(TALKER, "c2", "n").source == ""


def test_every_key_expires_and_lies_in_one_slot(store: Store) -> None:
    answer(store, "m1", "甲乙")
    store.reply(TALKER, "m1", "m1", 0, 3, "甲", True)
    store.continue_answer(TALKER, "c1", "n")
    store.run_command(TALKER, "h1", "n", "help", "用法")
    ask(store, "m2")
    acquire(store)
    keys = {key.decode() for key in store.client.scan_iter()}
    assert all(store.client.pttl(key) > 0 for key in keys)
    keys -= {*INDEXES, CHANNELS}
    parts = {"meta", "turns", "queue", "lease", "state", "open", "jobs", "job"}
    assert {key.split(":")[3] for key in keys} == parts
    assert all(key.startswith("plm:{wechat:oUser1}:") for key in keys)


def test_nothing_is_left_of_what_was_forgotten(store: Store) -> None:
    answer(store, "m1", "甲乙")
    store.reply(TALKER, "m1", "m1", 0, 3, "甲", True)
    store.continue_answer(TALKER, "c1", "n")
    store.run_command(TALKER, "h1", "n", "help", "用法")
    ask(store, "m2")
    lease = acquire(store)
    store.enqueue(OTHER, "m1", "n", "别人")
    other = store.acquire(OTHER, "me")
    assert isinstance(other, Lease)
    assert store.finish(OTHER, other, "答", "end", "p", b"s")
    others = {key for key in store.client.scan_iter() if b"oUser2" in key}
    for pushing in ("sends", "pushes", "pusher"):
        store.client.set(TALKER.base + pushing, "x")
    store.erase(TALKER)
    # Whoever was still at it writes nothing any more.
    assert store.heartbeat(TALKER, lease.token, lease.id, "迟") == 0
    assert not store.finish(TALKER, lease, "迟", "end", "p", b"s")
    assert store.reply(TALKER, "m2", "m2", 0, 3, "迟", True) == "迟"
    assert store.continue_answer(OTHER, "c", "n").source == "m1"
    assert others <= {*store.client.scan_iter()}
    assert [key for key in store.client.scan_iter() if b"oUser1" in key] == []
    listed = [name for key in INDEXES for name in store.client.zrange(key, 0, -1)]
    assert listed == [OTHER.id.encode()]


def test_an_answer_from_before_does_not_enter_the_conversation_begun_again(store: Store) -> None:
    for _ in range(20):  # within a millisecond, often
        store.erase(TALKER)
        ask(store, "m1")
        old = acquire(store)
        store.erase(TALKER)
        ask(store, "m2")
        new = acquire(store)
        assert old.token.rpartition(":")[2] < new.token.rpartition(":")[2]
    assert not store.finish(TALKER, old, "旧", "end", "p", b"s")
    assert store.finish(TALKER, new, "新", "end", "p", b"s")
    assert [turn["content"] for turn in store.turns(TALKER)][-1] == "新"


def test_a_retry_of_forget_forgets_nothing_that_came_after(store: Store) -> None:
    answer(store, "m1", "甲")
    assert store.erase(TALKER, "f1", "n", "忘了").reply == "忘了"
    answer(store, "m2", "乙")
    again = store.erase(TALKER, "f1", "n2", "忘了")
    assert (again.reply, again.attempts) == ("忘了", 2)
    assert [turn["content"] for turn in store.turns(TALKER)][-1] == "乙"
    assert 0 < store.client.pttl(TALKER.base + "job:f1") <= 60_000


def test_nothing_is_kept_longer_than_was_said(store: Store) -> None:
    brief = Store(store.url, keep_days=0.5)
    answer(brief, "m1", "甲乙")
    brief.reply(TALKER, "m1", "m1", 0, 3, "甲", True)
    brief.continue_answer(TALKER, "c1", "n")
    brief.run_command(TALKER, "h1", "n", "help", "用法")
    brief.close()
    left = {key: store.client.pttl(key) for key in store.client.scan_iter()}
    assert len(left) >= 6
    assert {key: ms for key, ms in left.items() if not 0 < ms <= 43_200_000} == {}


@given(st.text(max_size=30))
def test_any_user_name_makes_one_hash_tag_of_its_own(name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    base = Conversation("page", name).base
    assert base.count("{") == base.count("}") == 1
    assert base.split("{")[1].split("}")[0] == Conversation("page", name).id
    assert Conversation("page", name).id != Conversation("page", name + "}").id


def test_long_message_ids_are_bounded_and_stay_apart() -> None:
    assert short_id("24") == "24"
    assert len(short_id("x" * 1000)) < 100
    assert short_id("x" * 1000) != short_id("x" * 1001)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedStore]:
    server = EmbeddedStore(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.mark.alone
def test_a_frozen_server_is_reported_within_a_second(own_server: EmbeddedStore) -> None:
    store, pid = Store(own_server.url), own_server.pid
    assert pid
    store.ping()
    os.kill(pid, signal.SIGSTOP)
    try:
        for call in (store.ping, lambda: ask(store, "m1"), lambda: store.message(TALKER, "m1")):
            began = time.monotonic()
            with pytest.raises(StoreDownError):
                call()
            assert time.monotonic() - began < 0.9
    finally:
        os.kill(pid, signal.SIGCONT)
        store.close()


def test_a_start_whose_word_was_late_counts_once(
    own_server: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server reads the first command after its sender has given up on it, and then the second one."""
    monkeypatch.setattr(store_module, "MAX_STARTS", 2)
    monkeypatch.setattr(store_module, "TIMEOUT", 0.8)
    store, pid = Store(own_server.url), own_server.pid
    assert pid
    assert store.acquire(TALKER, "me") == "idle"  # the script is there, and a connection
    ask(store, "m1")
    for starts in (1, 2):
        os.kill(pid, signal.SIGSTOP)
        goes_on = threading.Timer(1.2, os.kill, (pid, signal.SIGCONT))
        goes_on.start()
        assert acquire(store).starts == starts
        goes_on.join()
        assert store.message(TALKER, "m1").starts == starts
    assert store.client.info("commandstats")["cmdstat_evalsha"]["calls"] >= 5
    store.close()


def test_a_server_that_refuses_writes_counts_as_away(own_server: EmbeddedStore) -> None:
    store = Store(own_server.url)
    store.client.config_set("maxmemory", "1")
    with pytest.raises(StoreDownError, match="refuses") as refused:
        store.enqueue(TALKER, "m1", "n", "秘密")
    assert "秘密" not in str(refused.value)  # it goes into the log
    store.client.config_set("maxmemory", "0")
    ask(store, "m1")
    store.close()


def test_no_server_is_reported_at_once_and_nothing_is_needed_to_heal(tmp_path: Path) -> None:
    server = EmbeddedStore(tmp_path)
    store = Store(f"unix://{tmp_path}/store/plm.sock")
    began = time.monotonic()
    with pytest.raises(StoreDownError):
        store.ping()
    assert time.monotonic() - began < 2
    server.start()
    store.ping()
    store.close()
    server.stop()


def test_a_programming_error_is_not_taken_for_an_absent_server(store: Store) -> None:
    store.client.set(TALKER.base + "turns", "not a list")
    with pytest.raises(redis.ResponseError):
        store.turns(TALKER)
