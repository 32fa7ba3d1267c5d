"""A small run of tests/bench/load/soak.py, and proof that its counting sees what it is to see."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from engine import Model
from tests.bench.load import soak_library
from tests.bench.load.load_judge import count
from tests.bench.load.load_users import FORGED, LoadUsers, Sent
from tests.bench.load.soak import soak
from tests.bench.load.soak_cluster import LONGEST_OUTAGE
from tests.bench.load.soak_library import CHANGES, LibraryChanges, freely
from tests.bot.expected_answer import message_answered_in
from tests.tiny_model import write_talkative_model

USER, LONGEST = "o1", 120
TALKER = Conversation("wechat", USER)
TURNS = TALKER.base + "turns"


def told(result: dict[str, Any]) -> str:
    """All of what went wrong, which pytest would cut."""
    return "\n".join([str(result["breaches"]), *result["faults"], *result["accounts"]])


@pytest.mark.alone
@pytest.mark.slow
def test_nothing_is_lost_doubled_mixed_up_or_let_in(tmp_path: Path) -> None:
    options = argparse.Namespace(
        messages=128, users=16, kills=2, redis_kills=1, webs=2, engines=2, seed=1, rate=12.0,
        library=False, cluster=False,
    )  # fmt: skip
    result = soak(tmp_path, options)
    assert not any(result["breaches"].values()), told(result)
    assert not result["faults"]
    assert result["messages"] == 128
    assert result["kills"] == {"web": 2, "engine": 2, "redis": 1}
    assert result["outcomes"]["answered"] > 90


@pytest.mark.alone
@pytest.mark.slow
def test_a_cluster_loses_a_master_and_moves_slots_meanwhile(tmp_path: Path) -> None:
    options = argparse.Namespace(
        messages=150, users=15, kills=0, redis_kills=1, webs=2, engines=1, seed=1, rate=12.0,
        library=False, cluster=True,
    )  # fmt: skip
    result = soak(tmp_path, options)
    assert not any(result["breaches"].values()), told(result)
    assert not result["faults"]
    assert result["cluster"]["elsewhere"] == 0, result
    assert result["cluster"]["masters killed"] == 1
    assert result["cluster"]["slots moved"] > 10
    assert result["cluster"]["longest outage s"] <= 2 * LONGEST_OUTAGE  # on a machine with other work


@pytest.mark.alone
@pytest.mark.slow
def test_a_library_that_changes_meanwhile_is_quoted_rightly(tmp_path: Path) -> None:
    options = argparse.Namespace(
        messages=300, users=20, kills=2, redis_kills=1, webs=2, engines=1, seed=1, rate=12.0, library=True,
        cluster=False,
    )  # fmt: skip
    result = soak(tmp_path, options)
    assert not any(result["breaches"].values()), told(result)
    assert not result["faults"]
    assert result["library"]["changes"] == len(CHANGES)
    assert all(result["library"][kind] > 5 for kind in ("quoted", "of changed texts", "not found", "written"))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model.load(str(write_talkative_model(tmp_path / "talkative.safetensors")))


@pytest.fixture
def users(store: Store, model: Model) -> LoadUsers:
    """Two messages of one user, sent, kept and answered as they should be."""
    users = LoadUsers(["http://127.0.0.1:1"])
    history = b""
    for number in range(2):
        question, here = f"第{number}问", users.platforms[0]
        # None ends at the limit, where it would be cut.
        message, answer = message_answered_in(range(24, 30), here, model, USER, question, history, LONGEST)
        sent = Sent(message, question, began=time.monotonic())
        history += b"\xfd" + sent.question.encode() + b"\xfe" + answer.encode() + b"\xff"
        store.enqueue(TALKER, sent.id, "n", sent.question)
        lease = store.acquire(TALKER, "me")
        assert not isinstance(lease, str)
        assert store.finish(TALKER, lease, answer, "end", "p", b"")
        sent.replies, sent.acknowledged, sent.outcome = [answer], time.monotonic(), "answered"
        users.sent[USER].append(sent)
    return users


def swap(users: LoadUsers, store: Store) -> None:
    rows: list[Any] = store.client.lrange(TURNS, 0, -1)
    store.client.delete(TURNS)
    store.client.rpush(TURNS, *rows[2:], *rows[:2])


def exchange(users: LoadUsers, store: Store) -> None:
    """The second question gets the first one's answer, in Redis and on the user's screen."""
    rows = [json.loads(row) for row in store.client.lrange(TURNS, 0, -1)]
    rows[3]["content"] = rows[1]["content"]
    store.client.lset(TURNS, 3, json.dumps(rows[3]))
    users.sent[USER][1].replies = [rows[1]["content"]]


def go_on(users: LoadUsers, reply: str) -> Sent:
    return Sent(users.platforms[0].text(USER, "继续"), "继续", time.monotonic(), replies=[reply])


BREACHES: list[tuple[str, Callable[[LoadUsers, Store], object]]] = [
    ("lost", lambda users, store: store.client.ltrim(TURNS, 2, -1)),
    ("left", lambda users, store: store.enqueue(TALKER, "9", "n", "无人回答")),
    ("twice", lambda users, store: store.client.rpush(TURNS, store.client.lindex(TURNS, -1))),  # type: ignore[arg-type]
    ("twice", lambda users, store: users.sent[USER][0].replies.append("别的话")),
    ("mixed up", lambda users, store: users.sent[USER][0].replies.__setitem__(0, "别人的回答")),
    ("mixed up", exchange),
    ("mixed up", lambda users, store: users.more[USER].append(go_on(users, "别人的回答"))),
    ("mixed up", lambda users, store: users.sent[USER][1].replies.__setitem__(0, dialogue.ALREADY_TOLD)),
    ("out of order", swap),
    ("forged", lambda users, store: store.enqueue(TALKER, "9", "n", FORGED)),
    ("forged", lambda users, store: store.enqueue(Conversation("wechat", "x"), "9", "n", "问")),
    ("protocol", lambda users, store: users.faults.append("1: status 500")),
]


def test_right_messages_count_as_no_breach(users: LoadUsers, store: Store, model: Model) -> None:
    assert not any(count(users, store.url, model, LONGEST).values())
    assert not users.mixed_up


@pytest.mark.parametrize("part", [0, 20])
def test_an_answer_that_continue_brought_is_not_mixed_up(
    part: int, users: LoadUsers, store: Store, model: Model
) -> None:
    last = users.sent[USER][1]
    whole = last.replies[0]
    brought, left = (whole[:part] + f"\n{dialogue.MORE_HINT}", whole[part:]) if part else (whole, "")
    users.more[USER].append(go_on(users, brought))
    last.replies = [left or dialogue.ALREADY_TOLD]
    assert not any(count(users, store.url, model, LONGEST).values()), users.mixed_up
    last.replies = [whole[part + 3 :]]  # not what is left
    assert count(users, store.url, model, LONGEST)["mixed up"] == 1
    assert last.id in users.mixed_up[0]


@pytest.mark.parametrize(("what", "breach"), BREACHES)
def test_each_breach_is_counted(
    what: str, breach: Callable[[LoadUsers, Store], object], users: LoadUsers, store: Store, model: Model
) -> None:
    breach(users, store)
    assert count(users, store.url, model, LONGEST)[what] > 0


def test_answers_of_another_state_or_of_none_are_counted(model: Model, tmp_path: Path) -> None:
    changes = LibraryChanges([], tmp_path)
    changes.made = [(100.0, 101.0), (200.0, 201.0)]  # 青囊方 added, then 紫河方
    question = "青囊汤治什么病？"
    before, after = (state.answer(question).text for state in changes.states[:2])

    def breaches(said: str, moment: float) -> dict[str, int]:
        asked = {"role": "user", "content": question, "message_id": "1"}
        answer = {"role": "assistant", "content": said, "message_id": "1", "time": moment}
        return dict(changes.judge(model, TALKER, [asked, answer], LONGEST))

    right, stale, mixed_up = ({"mixed up": m, "stale": s} for m, s in ((0, 0), (0, 1), (1, 0)))
    assert "久咳气喘" in after
    assert breaches(before, 99) == breaches(before, 102.9) == breaches(after, 100.5) == right
    assert breaches(after, 99) == breaches(before, 103.1) == stale
    assert breaches(after + "！", 150) == mixed_up


def test_what_goes_on_with_the_models_own_text_is_judged(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak_library, "state", lambda *_: None)  # no library is asked
    changes = LibraryChanges([], tmp_path)
    first = freely(model, TALKER, "1", dialogue.FreeWriting("气虚之人"), LONGEST)
    begin = "气虚之人" + first.removeprefix(dialogue.OWN_WORDS)
    second = freely(model, TALKER, "2", dialogue.FreeWriting(begin), LONGEST)
    talk = [("续写：气虚之人", "1"), (first, "1"), ("继续", "2"), (second, "2")]
    turns: list[dict[str, Any]] = [
        {"role": role, "content": content, "message_id": message_id}
        for role, (content, message_id) in zip(("user", "assistant") * 2, talk, strict=True)
    ]
    assert changes.judge(model, TALKER, turns, LONGEST)["mixed up"] == 0
    assert changes.kinds["written"] == 2
    turns[3]["content"] = first
    assert changes.judge(model, TALKER, turns, LONGEST)["mixed up"] == 1
