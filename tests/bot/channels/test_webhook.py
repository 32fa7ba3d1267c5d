"""The signed webhook of the running service, spoken to as the Standard Webhooks specification says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import DISCLAIMER
from bot.store.conversations import Store
from bot.tasks.queue import TaskQueue
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.idle import wait_until_idle
from tests.bot.webhook_receiver import Receiver
from tests.message_ids import message_number
from tests.service import SOON_MISSED, Plm, Service, wait_until

OLD, NEW = ("whsec_" + base64.b64encode(seed * 24).decode() for seed in (b"o", b"n"))


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(body: bytes, secret: str = NEW, age: int = 0, message_id: str = "") -> dict[str, str]:
    message_id, timestamp = message_id or f"msg_{message_number()}", str(int(time.time()) - age)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = Store(redis_url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def service(
    redis_url: str, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("web")
    settings = {
        "PLM_WEBHOOK_SHOP_SECRET": f"{NEW} {OLD}",
        "PLM_WEBHOOK_CLINIC_SECRET": f"{NEW} {OLD}",
        "PLM_RETRY_SECONDS": 0.1,
        "PLM_WEBHOOK_CLINIC_URL": receiver.url,
        "PLM_REDIS_URL": redis_url,
        "PLM_MODEL": "tcm",
    }
    with Service(directory, "web", **settings) as service:
        yield service


def post(service: Service, message: object, name: str = "shop", **signing: Any) -> requests.Response:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    url = f"{service.url}/webhook/{name}"
    return requests.post(url, data=body, headers=headers(body, **signing), timeout=30)


def test_the_specification_s_own_vector() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signed_question_is_answered_and_kept(service: Service, store: Store) -> None:
    response = post(service, {"user": "客户1", "text": "什么是气虚？"})
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"reply", "conversation"}
    turns = store.turns(Conversation("webhook-shop", "客户1"))
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    said = answer["reply"].removesuffix(dialogue.MORE_HINT).rstrip()  # some reach the limit of bytes
    assert said == f"{DISCLAIMER}\n\n{turns[1]['content']}"
    again = post(service, {"user": "客户1", "text": "怎样调养？"}, secret=OLD)  # while it is being changed
    assert again.json()["conversation"] == answer["conversation"]
    assert len(store.turns(Conversation("webhook-shop", "客户1"))) == 4


def test_one_id_is_one_question(service: Service, store: Store) -> None:
    message = {"user": "u2", "text": "什么是气虚？", "id": "order-7"}
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: post(service, message).json()["reply"], range(4)))
    assert len(set(replies)) == 1
    other = post(service, {"user": "u2", "text": "什么是血虚？", "id": "order-7"})
    assert other.status_code == 409
    assert "the id 'order-7' came before with another text" in other.text
    command = {"user": "u2", "text": "帮助", "id": "order-8"}
    assert post(service, command).json() == post(service, command).json()
    assert post(service, command | {"text": "模型"}).status_code == 409
    assert post(service, message | {"user": "u9"}).status_code == 200  # another user's ids are others
    # Without an id of its own, the delivery's counts.
    replies = [post(service, {"user": "u2", "text": "又如何？"}, message_id="msg_1").json() for _ in range(2)]
    assert replies[0] == replies[1]
    assert len(store.turns(Conversation("webhook-shop", "u2"))) == 4


def test_what_is_not_signed_is_not_read(service: Service, store: Store) -> None:
    body = json.dumps({"user": "u3", "text": "你好"}).encode()
    good = headers(body)
    wrong = [
        {**good, "webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()},
        {**good, "webhook-signature": ""},
        {**good, "webhook-signature": "v1,é".encode().decode("latin-1")},
        {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        {**good, "webhook-id": "another"},
        {**good, "webhook-timestamp": "soon"},
        headers(body, age=3600),
        headers(body, age=-3600),
        headers(body, secret="whsec_" + base64.b64encode(b"x" * 24).decode()),
        headers(body + b" "),
        {"Content-Type": "application/json"},
    ]
    for case in wrong:
        response = requests.post(service.url + "/webhook/shop", data=body, headers=case, timeout=5)
        assert response.status_code == 401, case
        assert list(response.json()) == ["error"]
    assert store.turns(Conversation("webhook-shop", "u3")) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"[" * 50_000, b'{"user": "u"}', b'{"user": "", "text": "a"}',
        b'{"user": 1, "text": "a"}', b'{"user": "u", "text": " "}', b'{"user": "u", "text": ["a"]}',
        b'{"user": "u", "text": "a", "id": {}}', json.dumps({"user": "u" * 300, "text": "a"}).encode(),
    ],
)  # fmt: skip
def test_a_signed_body_that_is_no_message_is_an_error_in_one_sentence(service: Service, body: bytes) -> None:
    response = post(service, body)
    assert response.status_code == 400
    assert len(response.json()["error"]) < 200


def test_unknown_names_and_methods(service: Service) -> None:
    assert post(service, {"user": "u", "text": "a"}, "nobody").status_code == 404
    assert requests.get(service.url + "/webhook/shop", timeout=5).status_code == 405


def test_commands_and_odd_texts(service: Service, store: Store) -> None:
    talker = Conversation("webhook-shop", "u4")
    assert post(service, {"user": "u4", "text": "帮助"}).json()["reply"] == dialogue.HELP
    assert post(service, {"user": "u4", "text": "/new"}).json()["reply"] == dialogue.NEW_TALK
    assert store.talk(talker) == 1
    assert post(service, {"user": "u4", "text": "\ud800 lone \x00"}).status_code == 200
    assert post(service, {"user": "u4", "text": "\x00\x01"}).json()["reply"] == dialogue.NOTHING_TO_READ
    assert dialogue.QUESTION_CUT in post(service, {"user": "u4", "text": "咳" * 20_000}).json()["reply"]
    assert len(store.turns(talker)) == 4


def sent_to(receiver: Receiver, user: str) -> list[dict[str, str]]:
    """The headers of what was sent on for a user."""
    return [sent for sent, body in receiver.received if json.loads(body)["user"] == user]


def test_the_answer_is_also_sent_signed_to_the_configured_address(
    service: Service, receiver: Receiver, store: Store
) -> None:
    reply = post(service, {"user": "u5", "text": "什么是气虚？", "id": 42}, "clinic").json()
    wait_until(lambda: receiver.received, 10, "the answer is sent on")
    sent, body = receiver.received[-1]
    assert json.loads(body) == {**reply, "user": "u5", "id": "42"}
    signed = [signature(key, sent["webhook-id"], sent["webhook-timestamp"], body) for key in (NEW, OLD)]
    assert sent["webhook-signature"].split(" ") == signed  # the receiver may know either
    assert abs(int(sent["webhook-timestamp"]) - time.time()) < 60
    # The same question again is not sent on again; another one is.
    post(service, {"user": "u5", "text": "什么是气虚？", "id": 42}, "clinic")
    post(service, {"user": "u5", "text": "帮助", "id": 43}, "clinic")
    wait_until(lambda: len(receiver.received) > 1, 10, "the next is sent on")
    wait_until_idle(store)
    assert [json.loads(body)["id"] for _, body in receiver.received] == ["42", "43"]


def test_what_is_not_taken_is_sent_again_under_the_same_id(
    service: Service, receiver: Receiver, store: Store
) -> None:
    receiver.says = [500, 302, 404, 429]
    assert post(service, {"user": "u7", "text": "什么是气虚？"}, "clinic").status_code == 200
    wait_until(lambda: len(sent_to(receiver, "u7")) == 5, 30, "it is taken at last")
    wait_until_idle(store)
    assert len({sent["webhook-id"] for sent in sent_to(receiver, "u7")}) == 1
    assert len(sent_to(receiver, "u7")) == 5  # the redirection was not followed, either
    assert "could not be sent to webhook clinic: it says 302" in service.output()
    assert "hush-hush" not in service.output()


def test_what_is_refused_for_good_is_a_dead_letter_that_can_be_sent_again(
    service: Service, receiver: Receiver, store: Store
) -> None:
    receiver.says = [410]
    post(service, {"user": "u8", "text": "什么是气虚？", "id": "e"}, "clinic")
    tasks = TaskQueue(store)
    tasks.register("webhook", "send_on", print)
    wait_until(tasks.dead_letters, 10, "it is a dead letter")
    (letter,) = tasks.dead_letters()
    assert (letter.queue, letter.task, letter.args[:3]) == ("webhook", "send_on", ("clinic", "u8", "e"))
    assert letter.error == "webhook clinic says that it is gone"
    tasks.requeue(letter)
    assert tasks.dead_letters() == []
    wait_until(lambda: len(sent_to(receiver, "u8")) == 2, 10, "it is sent again")
    receiver.says = [410]
    post(service, {"user": "u9", "text": "什么是气虚？"}, "clinic")
    wait_until(tasks.dead_letters, 10, "another dead letter")
    tasks.erase(Conversation("webhook-shop", "u9"))
    assert len(tasks.dead_letters()) == 1
    tasks.erase(Conversation("webhook-clinic", "u9"))
    assert tasks.dead_letters() == []


@pytest.mark.slow
def test_a_killed_process_loses_no_answer_that_was_to_be_sent_on(receiver: Receiver, tmp_path: Path) -> None:
    settings = {
        "PLM_WEBHOOK_SHOP_SECRET": NEW,
        "PLM_WEBHOOK_SHOP_URL": receiver.url,
        "PLM_RETRY_SECONDS": 0.2,
        "PLM_MODEL": "tcm",
    }
    server = EmbeddedStore(tmp_path / "own")
    server.start()
    patience = (*SOON_MISSED, "bot.channels.webhook.SEND_TIMEOUT=3")
    service = Service(tmp_path, "web", patience=patience, PLM_REDIS_URL=server.url, **settings)
    service.start()
    receiver.delay = 5.0
    assert post(service, {"user": "u10", "text": "什么是气虚？"}).status_code == 200
    wait_until(lambda: sent_to(receiver, "u10"), 10, "it is being sent")
    service.kill()
    receiver.delay = 0.0
    own = {"PLM_REDIS_URL": server.url, **settings}
    worker = Plm(["worker"], tmp_path / "worker.log", own, patience=patience)
    try:
        wait_until(lambda: len(sent_to(receiver, "u10")) == 2, 60, "a worker sends it")
        assert len({sent["webhook-id"] for sent in sent_to(receiver, "u10")}) == 1
        assert worker.stop() == 0
    finally:
        worker.kill()
        server.stop()


def test_the_answer_comes_though_the_configured_address_is_dead(tmp_path: Path) -> None:
    settings = {
        "PLM_WEBHOOK_SHOP_SECRET": NEW,
        "PLM_WEBHOOK_SHOP_URL": "http://127.0.0.1:9/nobody",
        "PLM_MODEL": "tcm",
    }
    with Service(tmp_path, **settings) as service:
        assert post(service, {"user": "u6", "text": "什么是气虚？"}).status_code == 200
        wait_until(lambda: "could not be sent" in service.output(), 10, "the log names it")
