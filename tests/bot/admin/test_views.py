"""/admin/api against a real store: who is let in, what is shown, set, forgotten and written down."""

from __future__ import annotations

import base64
import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from standardwebhooks.webhooks import Webhook as Signer

from bot.app import create_app
from bot.chat.policy import pseudonym
from bot.settings.config import load_settings
from bot.store.conversations import Store
from bot.store.index import INDEX, INDEXES, index_of
from bot.store.listing import ConversationList
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import wait_until

KEY = "an-administrators-key-0123456789"
SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda prompt: "答案在这里。")


@pytest.fixture
def client(store: Store, engine: ScriptedEngine, tmp_path: Path) -> Iterator[FlaskClient]:
    (tmp_path / "other.safetensors").touch()  # a scripted engine reads none
    settings = load_settings(
        redis_url="redis://unused", model="tcm", admin_key=KEY, model_dir=tmp_path,
        webhooks={name: {"secret": SECRET} for name in ("shop", "lab")},
    )  # fmt: skip
    app = create_app(settings, engine=engine, store=store)
    yield app.test_client()
    app.extensions["plm"].close(1)


def say(client: FlaskClient, user: str, text: str, message_id: str, hook: str = "shop") -> Any:
    body = json.dumps({"user": user, "text": text, "id": message_id}).encode()
    now = datetime.datetime.now(datetime.UTC)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(SECRET).sign(message_id, now, body.decode()),
    }
    return client.post(f"/webhook/{hook}", data=body, headers=headers)


def get(client: FlaskClient, path: str, **query: object) -> Any:
    return client.get(f"/admin/api/{path}", headers=HEADERS, query_string=query)


def post(client: FlaskClient, path: str, **body: object) -> Any:
    return client.post(f"/admin/api/{path}", headers=HEADERS, json=body)


def routes(client: FlaskClient) -> list[tuple[str, str]]:
    found = []
    for rule in client.application.url_map.iter_rules():
        if rule.rule.startswith("/admin"):
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            found += [(method, rule.rule.replace("<path:conversation_id>", "page:x")) for method in methods]
    return found


# Who is let in ------------------------------------------------------------------------------------


def test_without_a_key_there_is_nothing(store: Store, client: FlaskClient) -> None:
    app = create_app(load_settings(redis_url="redis://unused"), engine=ScriptedEngine(), store=store)
    closed = app.test_client()
    assert len(routes(client)) >= 12
    for method, path in routes(client):
        assert closed.open(path, method=method, headers=HEADERS).status_code == 404, path
    app.extensions["plm"].close(1)


def test_every_path_asks_for_the_key(store: Store, client: FlaskClient) -> None:
    for method, path in routes(client):
        if path == "/admin":
            continue
        store.client.flushall()
        for wrong in ({}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Basic {KEY}"}):
            response = client.open(path, method=method, headers=wrong)
            assert (response.status_code, response.json["error"]["code"]) == (401, "invalid_api_key"), path
            assert response.headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/admin/api/stats", headers={"Authorization": f"bearer {KEY}"}).status_code == 200


def test_guessing_is_slowed_down_by_address_and_tells_nothing(client: FlaskClient) -> None:
    def guess(key: str, address: str) -> int:
        return client.get(
            "/admin/api/stats",
            headers={"Authorization": f"Bearer {key}"},
            environ_base={"REMOTE_ADDR": address},
        ).status_code

    assert [guess(f"wrong-{n}", "10.0.0.1") for n in range(12)] == [401] * 10 + [429] * 2
    assert guess(KEY, "10.0.0.1") == 429  # a right guess looks like a wrong one
    assert guess(KEY, "10.0.0.2") == 200
    assert client.get("/admin/api/stats", environ_base={"REMOTE_ADDR": "10.0.0.3"}).status_code == 401


def test_a_key_that_is_not_text_is_wrong(client: FlaskClient) -> None:
    for odd in ("药" * 30, "\u00ff" * 30):
        headers = {"Authorization": "Bearer " + odd.encode().decode("latin-1")}
        assert client.get("/admin/api/stats", headers=headers).status_code == 401


# Conversations ------------------------------------------------------------------------------------


def test_conversations_come_newest_first_by_pages(client: FlaskClient) -> None:
    for n in range(7):
        say(client, f"u{n}", "问", f"m{n}")
    say(client, "u2", "再问", "m9")
    expected = [f"webhook-shop:u{n}" for n in (2, 6, 5, 4, 3, 1, 0)]
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        said = get(client, "conversations", limit=3, cursor=cursor).json
        assert len(said["conversations"]) <= 3
        seen += [row["id"] for row in said["conversations"]]
        cursor = said["cursor"]
    assert seen == expected
    first = get(client, "conversations", limit=1).json["conversations"][0]
    assert first.pop("updated") == pytest.approx(time.time(), abs=20)
    known = {"id": "webhook-shop:u2", "channel": "webhook-shop", "user": "u2", "turns": 4, "emergency": None}
    assert first == known


def test_conversations_with_emergencies_come_first_and_once(client: FlaskClient) -> None:
    for n in range(5):
        say(client, f"u{n}", "什么是气虚？", f"m{n}")
    for n in (1, 3, 1):
        say(client, f"u{n}", "我爸爸突然胸痛，出冷汗，喘不上气", f"e{n}{time.time_ns()}")
    for limit in (1, 2, 3, 4, 10):
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            said = get(client, "conversations", limit=limit, cursor=cursor).json
            rows, cursor = said["conversations"], said["cursor"]
            assert len(rows) <= limit
            seen += [row["user"] for row in rows]
        assert (seen[0], sorted(seen)) == ("u1", ["u0", "u1", "u2", "u3", "u4"])
    rows = get(client, "conversations").json["conversations"]
    assert [row["user"] for row in rows[:2]] == ["u1", "u3"]
    assert [bool(row["emergency"]) for row in rows] == [True, True, False, False, False]
    assert rows[0]["emergency"] == pytest.approx(time.time(), abs=20)


def test_a_users_conversations_and_no_one_elses(client: FlaskClient) -> None:
    odd = "张三/*?[a]:{}%"
    for user, hook in (("u1", "shop"), ("u1", "lab"), ("u11", "shop"), (odd, "shop")):
        say(client, user, "问", "m1", hook)
    for user, count in (("u1", 2), ("u11", 1), (odd, 1), ("u", 0), ("*", 0)):
        rows = get(client, "conversations", user=user).json["conversations"]
        assert [row["user"] for row in rows] == [user] * count
    (row,) = get(client, "conversations", user=odd).json["conversations"]
    for written in (row["id"], row["id"].replace("%", "%25")):
        assert client.get(f"/admin/api/conversations/{written}", headers=HEADERS).json["user"] == odd


def test_equal_times_are_paged_through_without_a_gap(client: FlaskClient, store: Store) -> None:
    for n in range(5):
        say(client, f"u{n}", "问", f"m{n}")
        store.client.zadd(index_of(Conversation("webhook-shop", f"u{n}")), {f"webhook-shop:u{n}": 5e9})
    seen, cursor = [], ""
    while cursor is not None:
        said = get(client, "conversations", limit=2, cursor=cursor).json
        seen += [row["id"] for row in said["conversations"]]
        cursor = said["cursor"]
    assert sorted(seen) == [f"webhook-shop:u{n}" for n in range(5)]


def listed(client: FlaskClient) -> list[str]:
    return [row["id"] for row in get(client, "conversations").json["conversations"]]


def test_the_list_is_mended(client: FlaskClient, store: Store) -> None:
    for n in range(3):
        say(client, f"u{n}", "问", f"m{n}")
    for key in INDEXES:
        store.client.delete(key)
    store.client.delete(*store.client.scan_iter("plm:{webhook-shop:u1}:*"))
    assert listed(client) == []
    ConversationList(store).mend()
    assert listed(client) == ["webhook-shop:u2", "webhook-shop:u0"]
    store.client.delete(*store.client.scan_iter("plm:{webhook-shop:u2}:*"))  # it expires
    assert listed(client) == ["webhook-shop:u0"]
    left = [name for key in INDEXES for name in store.client.zrange(key, 0, -1)]
    assert left == [b"webhook-shop:u0"]


def test_the_list_of_an_older_version_is_taken_over(client: FlaskClient, store: Store) -> None:
    """Also what it writes while both run: the newer time counts."""
    for n in range(3):
        say(client, f"u{n}", "问", f"m{n}")
    store.client.delete(index_of(Conversation("webhook-shop", "u2")))
    store.client.zadd(INDEX, {"webhook-shop:u0": 1.0, "webhook-shop:u1": 5e9, "webhook-shop:u2": 1.0})
    assert listed(client) == ["webhook-shop:u1", "webhook-shop:u0", "webhook-shop:u2"]
    assert not store.client.exists(INDEX)


def test_show_gives_every_turn(client: FlaskClient) -> None:
    say(client, "u", "桂枝汤？", "m1")
    whole = get(client, "conversations/webhook-shop:u").json
    assert [set(turn) for turn in whole["turns"]] == [{"role", "content", "time", "message_id"}] * 2
    assert [turn["content"] for turn in whole["turns"]] == ["桂枝汤？", "答案在这里。"]
    assert (whole["id"], whole["channel"], whole["user"]) == ("webhook-shop:u", "webhook-shop", "u")
    for unknown in ("webhook-shop:v", "nothing", "a:", ":a", "a:b:c", "a:%zz", "a}:{b"):
        assert get(client, f"conversations/{unknown}").status_code == 404, unknown


def test_export_gives_the_same_objects_line_by_line(client: FlaskClient) -> None:
    for user, hook in (("u1", "shop"), ("u1", "lab"), ("u2", "shop")):
        say(client, user, "问", "m1", hook)
    response = get(client, "export")
    assert response.mimetype == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["id"] for line in lines] == ["webhook-shop:u2", "webhook-lab:u1", "webhook-shop:u1"]
    assert all(line == get(client, f"conversations/{line['id']}").json for line in lines)
    assert len(get(client, "export", user="u1").text.splitlines()) == 2


@pytest.mark.parametrize(
    ("query", "param"), [({"limit": 0}, "limit"), ({"limit": "x"}, "limit"), ({"limit": 201}, "limit"),
                         ({"cursor": "!"}, "cursor"), ({"cursor": "bnVsbA=="}, "cursor")],
)  # fmt: skip
def test_wrong_questions_name_the_field(client: FlaskClient, query: dict[str, object], param: str) -> None:
    response = get(client, "conversations", **query)
    assert (response.status_code, response.json["error"]["param"]) == (400, param)


# Erasure ------------------------------------------------------------------------------------------


def everything(store: Store) -> str:
    """All keys and all that is in them."""
    readers = {
        b"string": store.client.get, b"hash": store.client.hgetall,
        b"list": lambda key: store.client.lrange(key, 0, -1),
        b"zset": lambda key: store.client.zrange(key, 0, -1), b"set": store.client.smembers,
    }  # fmt: skip
    found = [f"{key!r}={readers[store.client.type(key)](key)!r}" for key in store.client.scan_iter()]
    return "\n".join(found)


def test_nothing_of_a_forgotten_user_is_left_in_redis(client: FlaskClient, store: Store) -> None:
    user, bystander = "oForgetMe", "oStays"
    for hook in ("shop", "lab"):
        say(client, user, "我的秘密", "secret-id", hook)
    say(client, user, "/new", "secret-new")
    say(client, bystander, "别人的话", "m2")
    post(client, "quota", user=user, rate="50/minute")
    say(client, user, "我的秘密", "secret-id-2")
    post(client, "block", user=user, channel="webhook-shop")
    say(client, user, "又来", "secret-id-3")
    client.application.extensions["plm"].admin.store.add_errors(
        [{"time": 1.0, "message": f"webhook-shop:{user}: message secret-id failed", "where": "x"}]
    )
    assert user in everything(store)
    before = everything(store)
    response = client.delete("/admin/api/conversations", headers=HEADERS, query_string={"user": user})
    assert response.json == {"forgotten": ["webhook-lab:" + user, "webhook-shop:" + user]}
    left = everything(store)
    for trace in (user, "secret-id", "secret-new"):
        assert trace in before
        assert trace not in left
    assert "我的秘密".encode("unicode_escape").decode() not in left
    assert bystander in left
    # The block holds all the same, under a hash.
    assert say(client, user, "还在吗", "m7").json["reply"] in ("", dialogue.BLOCKED)
    assert user not in everything(store)


def test_one_conversation_can_be_forgotten_alone(client: FlaskClient, store: Store) -> None:
    for hook in ("shop", "lab"):
        say(client, "u1", "问", "m1", hook)
    response = client.delete("/admin/api/conversations/webhook-lab:u1", headers=HEADERS)
    assert response.json == {"forgotten": ["webhook-lab:u1"]}
    assert [row["id"] for row in get(client, "conversations").json["conversations"]] == ["webhook-shop:u1"]
    assert client.delete("/admin/api/conversations", headers=HEADERS).status_code == 400


# Blocks and quotas --------------------------------------------------------------------------------


def test_a_blocked_user_hears_it_once_and_nothing_is_kept(client: FlaskClient, store: Store) -> None:
    post(client, "block", user="u1")
    for message_id, reply in (("m1", dialogue.BLOCKED), ("m2", ""), ("m1", dialogue.BLOCKED), ("m3", "")):
        assert (
            say(client, "u1", "帮助" if message_id == "m3" else "我的话", message_id).json["reply"] == reply
        )
    assert store.client.keys("plm:{webhook-*") == []
    assert say(client, "u2", "问", "m1").json["reply"].endswith("答案在这里。")
    assert [rule["user"] for rule in get(client, "people").json["people"]] == ["u1"]
    post(client, "unblock", user="u1")
    assert get(client, "people").json["people"] == []
    assert say(client, "u1", "问", "m4").json["reply"].endswith("答案在这里。")


def test_a_block_in_one_channel_leaves_the_others(client: FlaskClient) -> None:
    post(client, "block", user="u1", channel="webhook-lab")
    assert say(client, "u1", "问", "m1", "lab").json["reply"] == dialogue.BLOCKED
    assert say(client, "u1", "问", "m1", "shop").json["reply"].endswith("答案在这里。")


def test_a_quota_of_ones_own(client: FlaskClient) -> None:
    assert post(client, "quota", user="u1", rate="1/minute").json["rate"] == "1/minute"
    assert say(client, "u1", "问", "m1").json["reply"].endswith("答案在这里。")
    assert "请过" in say(client, "u1", "问", "m2").json["reply"]
    assert say(client, "u2", "问", "m2").json["reply"].endswith("答案在这里。")
    post(client, "quota", user="u1", rate="")
    assert say(client, "u1", "问", "m3").json["reply"].endswith("答案在这里。")
    for rate in ("often", "0/minute", "1/minute;x", 5, None):
        assert post(client, "quota", user="u1", rate=rate).status_code == 400


def test_another_process_hears_of_it_within_two_seconds(
    client: FlaskClient, store: Store, engine: ScriptedEngine
) -> None:
    settings = client.application.extensions["plm"].settings
    other = create_app(settings, engine=ScriptedEngine(), store=store)
    post(client, "block", user="u1")
    rules = other.extensions["plm"].admin.rules
    wait_until(lambda: rules.blocked(Conversation("page", "u1"), "m1") is not None, 3)
    other.extensions["plm"].close(1)


# Models, the log, the numbers ---------------------------------------------------------------------


def test_a_model_is_loaded_by_every_process(
    client: FlaskClient, store: Store, engine: ScriptedEngine
) -> None:
    other = ScriptedEngine()
    app = create_app(client.application.extensions["plm"].settings, engine=other, store=store)
    names = [row["name"] for row in get(client, "models").json["models"]]
    assert {"tcm", "other"} <= set(names)
    assert post(client, "models/load", name="other").json["model"] == "other"
    assert engine.model_name == "other"
    wait_until(lambda: other.model_name == "other", 5)
    loaded = [row["name"] for row in get(client, "models").json["models"] if row["loaded"]]
    assert loaded == ["other"]
    for name in ("nothing", "../tcm", "/etc/passwd"):
        assert post(client, "models/load", name=name).status_code == 404
    app.extensions["plm"].close(1)


def test_a_process_that_starts_later_takes_up_the_model_unless_told_otherwise(
    client: FlaskClient, store: Store
) -> None:
    post(client, "models/load", name="other")
    settings = client.application.extensions["plm"].settings
    for configured, expected in (("tcm", "other"), ("pubmed", "")):
        engine = ScriptedEngine()
        app = create_app(settings.model_copy(update={"model": configured}), engine=engine, store=store)
        app.extensions["plm"].admin.refresh()
        assert engine.model_name == expected
        app.extensions["plm"].close(1)


def test_every_action_is_written_down_without_texts_and_names(client: FlaskClient, store: Store) -> None:
    say(client, "oSomebody", "我的秘密", "m1")
    quiet = {
        "/admin", "/admin/api/stats", "/admin/api/days",
        "/admin/api/models", "/admin/api/audit", "/admin/api/broadcasts",
        "/admin/api/broadcasts/<broadcast_id>",
    }  # fmt: skip
    bodies: dict[str, dict[str, object]] = {
        "block": {"user": "oSomebody"}, "unblock": {"user": "oSomebody"},
        "quota": {"user": "oSomebody", "rate": "9/minute"}, "load": {"name": "other"},
        "resend": {"all": True}, "drop": {"all": True}, "broadcasts": {"text": "停诊"},
    }  # fmt: skip
    for method, path in routes(client):
        before = int(store.client.llen("plm:{admin}:audit"))
        body = bodies.get(path.rpartition("/")[2])
        where = path.replace("page:x", "webhook-shop:oSomebody")
        client.open(where, method=method, headers=HEADERS, json=body, query_string={"user": "oSomebody"})
        grown = int(store.client.llen("plm:{admin}:audit")) - before
        assert grown == (0 if path in quiet and method == "GET" else 1), path
    text = json.dumps(store.client.lrange("plm:{admin}:audit", 0, -1), default=str)
    assert "oSomebody" not in text
    mine = get(client, "audit", user="oSomebody").json["audit"]
    assert {"block", "unblock", "quota", "show", "forget", "export"} <= {row["action"] for row in mine}
    assert all(row["target"] == pseudonym("oSomebody") and row["address"] == "127.0.0.1" for row in mine)
    newest = get(client, "audit", limit=1).json["audit"]
    assert newest == get(client, "audit").json["audit"][:1] != []


def test_the_log_is_bounded(client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.admin.MAX_AUDIT", 5)
    for _ in range(9):
        get(client, "people")
    assert store.client.llen("plm:{admin}:audit") == 5


def test_stats_count_the_last_hour(client: FlaskClient, engine: ScriptedEngine) -> None:
    for n in range(4):
        say(client, f"u{n}", "问", "m1")
    engine.faults = [RuntimeError("broken")]
    say(client, "u9", "问", "m1")
    wait_until(lambda: get(client, "stats").json["errors"], 5, "the error is handed on")
    counted = {"messages": 5, "answers": 4, "failed": 1}
    wait_until(lambda: counted.items() <= get(client, "stats").json["totals"].items(), 5, "all is counted")
    said = get(client, "stats").json
    assert said["conversations"] == 5
    assert 0 < said["latency"]["0.5"] < 5
    assert len(said["minutes"]) == 60
    assert "failed" in said["errors"][0]["message"]
    assert said["processes"]


def test_every_key_of_the_administrators_expires(client: FlaskClient, store: Store) -> None:
    post(client, "block", user="u1")
    say(client, "u1", "问", "m1")
    post(client, "models/load", name="other")
    get(client, "conversations")
    wait_until(lambda: store.client.exists("plm:{admin}:processes"), 5)
    keys = list(store.client.scan_iter("plm:*"))
    assert len(keys) >= 6
    assert [key for key in keys if store.client.ttl(key) < 0] == []
