"""A text to everybody: planned first, sent once to each, at a rate, cancelled, gone on with after a kill."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from bot.admin.broadcasts import MAX_BYTES
from bot.store.broadcasts import BroadcastStore
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.admin_client import KEY, SECRET, AdminClient
from tests.bot.idle import wait_until_idle
from tests.bot.webhook_receiver import Receiver
from tests.service import SOON_MISSED, Service, environment, wait_until
from tests.tiny_model import write_tiny_model

TEXT = "明天停诊一天，后天照常。"


@pytest.fixture
def admin_client(store: Store, receiver: Receiver) -> Iterator[AdminClient]:
    admin_client = AdminClient(store, receiver.url, forbidden=["神药"])
    yield admin_client
    admin_client.close()


def told(receiver: Receiver, text: str = TEXT) -> collections.Counter[str]:
    """Who was sent the text, and how often."""
    bodies = (json.loads(body) for _, body in receiver.received)
    return collections.Counter(body["conversation"] for body in bodies if body["reply"] == text)


def greet(admin_client: AdminClient, *users: str, hook: str = "shop") -> None:
    for user in users:
        admin_client.say(user, "问", "m1", hook)


def ended(admin_client: AdminClient, broadcast_id: str) -> Any:
    wait_until(lambda: admin_client.get(f"broadcasts/{broadcast_id}").json.get("ended"), 30, "it has ended")
    return admin_client.get(f"broadcasts/{broadcast_id}").json


def test_a_plan_counts_and_sends_nothing(admin_client: AdminClient, receiver: Receiver) -> None:
    greet(admin_client, "u1", "u2", "u3")
    greet(admin_client, "u1", hook="lab")
    admin_client.post("block", user="u3")
    plan = admin_client.post("broadcasts", text=TEXT).json
    assert (plan["state"], plan["left"], plan["sent"]) == ("planned", 3, 0)
    assert plan["reached"] == {"webhook-shop": 2, "webhook-lab": 1}
    assert plan["not_reached"] == {"webhook-shop": 1, "webhook-lab": 0}
    assert admin_client.post("broadcasts", text=TEXT, channels=["webhook-lab"]).json["reached"] == {
        "webhook-lab": 1
    }
    time.sleep(1.5)
    assert told(receiver) == {}
    assert admin_client.get(f"broadcasts/{plan['id']}").json == plan
    assert len(admin_client.get("broadcasts").json["broadcasts"]) == 2


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"text": " \x00 "}, "nothing to send"), ({"text": "药" * 601}, f"{MAX_BYTES} fit"),
        ({"text": "买神药吧"}, "PLM_FORBIDDEN"), ({"text": TEXT, "channels": ["fax"]}, "no channel fax"),
        ({"text": TEXT, "rate": 0}, "rate"), ({"text": TEXT, "rate": 51}, "rate"), ({}, "text"),
        ({"text": TEXT, "to": "all"}, "to"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_not_planned(
    admin_client: AdminClient, body: dict[str, object], why: str
) -> None:
    response = admin_client.post("broadcasts", **body)
    assert (response.status_code, admin_client.get("broadcasts").json["broadcasts"]) == (400, [])
    assert why in response.json["error"]["message"]


def test_nothing_is_sent_without_the_id_of_a_plan(admin_client: AdminClient) -> None:
    for name in ("start", "0123456789abcdef", "all", "..%2Fx"):
        assert admin_client.post(f"broadcasts/{name}/start").status_code == 404
    assert admin_client.bot.tasks.counts()["broadcast"]["waiting"] == 0


def test_everybody_gets_it_once_but_those_who_must_not(
    admin_client: AdminClient, receiver: Receiver, store: Store
) -> None:
    users = [f"u{n}" for n in range(12)]
    greet(admin_client, *users, "blocked", "opted-out", "back-again", "forgotten")
    for user in ("opted-out", "back-again"):
        assert admin_client.say(user, "退订", "m2").json["reply"] == dialogue.QUIET
    assert admin_client.say("back-again", "订阅", "m3").json["reply"] == dialogue.LISTENING
    plan = admin_client.post("broadcasts", text=TEXT, rate=50).json
    assert plan["left"] == 15
    admin_client.post("block", user="blocked", channel="webhook-shop")
    admin_client.forget("forgotten")
    for _ in range(3):  # an administrator who clicks thrice
        assert admin_client.post(f"broadcasts/{plan['id']}/start").json["state"] in ("running", "done")
    done = ended(admin_client, plan["id"])
    assert (done["state"], done["sent"], done["failed"], done["left"]) == ("done", 13, 1, 0)
    expected = {Conversation("webhook-shop", user).id: 1 for user in [*users, "back-again"]}
    assert told(receiver) == expected
    assert store.client.keys(f"plm:{{broadcast}}:{plan['id']}:*") == []  # no names are kept
    assert admin_client.post(f"broadcasts/{plan['id']}/start").json["state"] == "done"
    wait_until_idle(store)
    assert told(receiver) == expected
    assert [row["action"] for row in admin_client.get("audit").json["audit"]].count("start") == 4


def test_the_rate_holds_and_a_cancelled_one_stops(admin_client: AdminClient, receiver: Receiver) -> None:
    greet(admin_client, *(f"u{n}" for n in range(30)))
    plan = admin_client.post("broadcasts", text=TEXT, rate=5).json
    admin_client.post(f"broadcasts/{plan['id']}/start")
    wait_until(lambda: told(receiver), 10, "it begins")
    began = time.monotonic()
    wait_until(lambda: sum(told(receiver).values()) >= 8, 20)
    assert time.monotonic() - began > 7 / 5 * 0.8
    admin_client.post(f"broadcasts/{plan['id']}/cancel")
    done = ended(admin_client, plan["id"])
    assert done["state"] == "cancelled"
    assert done["sent"] + done["left"] == 30
    assert done["sent"] == sum(told(receiver).values()) < 25
    assert admin_client.post(f"broadcasts/{plan['id']}/start").status_code == 404


def test_a_receiver_that_is_slow_is_not_run_ahead_of(
    admin_client: AdminClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    greet(admin_client, *(f"u{n}" for n in range(40)))
    wait_until(lambda: len(receiver.received) == 40, 20, "the answers are sent on")
    receiver.delay = 2.0
    plan = admin_client.post("broadcasts", text=TEXT, rate=10).json
    admin_client.post(f"broadcasts/{plan['id']}/start")
    reads, looks = 0, 0
    read, look = admin_client.bot.tasks.store.dead_letters, BroadcastStore.some

    def count_reads(queue: str) -> Any:
        nonlocal reads
        reads += 1
        return read(queue)

    def count_looks(store: BroadcastStore, broadcast_id: str, place: str, count: int) -> list[str]:
        nonlocal looks
        looks += place == "open"
        return look(store, broadcast_id, place, count)

    monkeypatch.setattr(admin_client.bot.tasks.store, "dead_letters", count_reads)
    monkeypatch.setattr(BroadcastStore, "some", count_looks)
    end, most = time.monotonic() + 4, 0
    while time.monotonic() < end:
        most = max(most, admin_client.get(f"broadcasts/{plan['id']}").json["on_the_way"])
        time.sleep(0.1)
    assert 5 < most <= 21
    assert 0 < reads <= looks  # not one for each of those on their way
    receiver.delay = 0
    assert ended(admin_client, plan["id"])["sent"] == 40


def test_what_a_receiver_refuses_for_good_has_failed_and_is_a_dead_letter(
    admin_client: AdminClient, receiver: Receiver
) -> None:
    greet(admin_client, "u1", "u2")
    wait_until(lambda: len(receiver.received) == 2, 10)
    receiver.says = [410]
    plan = admin_client.post("broadcasts", text=TEXT).json
    admin_client.post(f"broadcasts/{plan['id']}/start")
    done = ended(admin_client, plan["id"])
    assert (done["sent"], done["failed"]) == (1, 1)
    (letter,) = admin_client.get("dead-letters").json["dead_letters"]
    assert letter["error"] == "webhook shop says that it is gone"


def admin(service: Service, *arguments: str, given: str = "") -> str:
    env = environment({"PLM_ADMIN_KEY": KEY, "PLM_ADMIN_URL": service.url})
    command = [sys.executable, "-m", "bot.cli", "admin", *arguments]
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, input=given)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_killed_it_goes_on_and_nobody_gets_it_twice(
    receiver: Receiver, redis_url: str, tmp_path: Path
) -> None:
    """By `plm admin`, against a service that is killed in the middle."""
    write_tiny_model(tmp_path / "tiny.safetensors")
    settings = {
        "PLM_MODEL": "tiny", "PLM_MODEL_DIR": tmp_path, "PLM_REDIS_URL": redis_url, "PLM_MAX_BYTES": 30,
        "PLM_ADMIN_KEY": KEY, "PLM_WEBHOOK_SHOP_SECRET": SECRET, "PLM_WEBHOOK_SHOP_URL": receiver.url,
        "PLM_RETRY_SECONDS": 0.2,
    }  # fmt: skip
    store = Store(redis_url)
    for n in range(60):
        store.add_answered(Conversation("webhook-shop", f"u{n}"), "m1", "n", "问", "答")
    service = Service(tmp_path, "web", patience=SOON_MISSED, **settings)
    service.start()
    try:
        said = admin(service, "broadcast", "plan", "-", "--rate", "10", given=TEXT)
        assert "webhook-shop: 60 would get it, 0 cannot be reached" in said
        broadcast_id = said.split("start ")[1].split()[0]
        assert "running" in admin(service, "broadcast", "start", broadcast_id)
        wait_until(lambda: len(told(receiver)) > 10, 20, "it is being sent")
        service.kill()
        before = len(told(receiver))
        assert before < 50
        service.start()
        line = admin(service, "broadcast", "status", broadcast_id, "--watch").splitlines()[-1]
        assert line == f"{broadcast_id}  done       60 sent, 0 failed, 0 left"
        # A receiver may hear of a message twice when the sender dies while it is told; under the same id.
        sent = {(headers["webhook-id"], json.loads(body)["user"]) for headers, body in receiver.received}
        assert len(sent) == 60
        assert sum(told(receiver).values()) <= 60 + 5
        assert sorted(told(receiver)) == sorted(f"webhook-shop:u{n}" for n in range(60))
        metrics = partial(requests.get, service.url + "/metrics", timeout=5)
        assert 'plm_broadcast_messages_total{outcome="sent"}' in metrics().text
        none_left = 'plm_tasks{lane="broadcast",state="waiting"} 0.0'
        wait_until(lambda: none_left in metrics().text, 20, "no task is left")
    finally:
        service.kill()
        store.close()
