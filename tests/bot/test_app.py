"""The application: settings, errors, health, the signed webhook, and what /wechat lets in."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks.webhooks import Webhook as Signer
from werkzeug.test import TestResponse

from bot.app import create_app
from bot.channels import reply as channel_reply
from bot.channels import webhook
from bot.channels.wechat import crypto
from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import ConfigError, Settings
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.expected_help import help_for
from tests.bot.idle import wait_until_idle
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.bot.webhook_receiver import Receiver
from tests.message_ids import message_number
from tests.service import wait_until
from tests.wechat_platform import Message, Platform

OLD, NEW = ("whsec_" + base64.b64encode(os.urandom(24)).decode() for _ in range(2))
KEY, OTHER_KEY = "A" * 43, "B" * 42 + "A"
APPID = "wxba5fad812f8e6fb9"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda prompt: f"答{question_of(prompt)}。")


def make(store: Store, engine: ScriptedEngine, **settings: Any) -> Flask:
    return create_app(Settings(**settings), engine=engine, store=store)


@pytest.fixture
def app(store: Store, engine: ScriptedEngine) -> Iterator[Flask]:
    webhooks = {"forms": {"secret": [NEW, OLD]}}
    app = make(store, engine, wechat_token="AAAAA", webhooks=webhooks, disclaimer="仅供参考。")
    yield app
    app.extensions["plm"].answers.close(2)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_without_a_store_there_is_no_application() -> None:
    with pytest.raises(ConfigError, match="PLM_REDIS_URL"):
        create_app(Settings(), engine=ScriptedEngine())


def test_health_and_readiness(client: FlaskClient, engine: ScriptedEngine) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").status_code == 200
    engine.fault = "no engine host answers"
    response = client.get("/readyz")
    assert (response.status_code, response.json["faults"]) == (503, {"engine": "no engine host answers"})


def test_the_operator_sees_what_happens(client: FlaskClient, engine: ScriptedEngine) -> None:
    def numbers() -> dict[str, float]:
        lines = client.get("/metrics").text.splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("plm_")}

    before = numbers()
    for message_id in ("1", "1", "2"):
        post(client, {"user": "u", "text": "一", "id": message_id})
    engine.faults = [RuntimeError("broken")]
    post(client, {"user": "u", "text": "三", "id": "3"})
    after = numbers()
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert grown['plm_messages_total{channel="webhook-forms"}'] == 3
    assert grown['plm_retries_seen_total{channel="webhook-forms"}'] == 1
    assert grown["plm_requests_failed_total"] == 1
    assert grown["plm_generation_tokens_total"] == 2 * len("答一。".encode())
    assert grown["plm_e2e_request_latency_seconds_count"] == 2
    assert grown["plm_prompt_tokens_total"] > 0
    for name in ("request_queue_time", "time_to_first_token", "inter_token_latency", "e2e_request_latency"):
        assert grown[f"plm_{name}_seconds_count"] >= 2, name
    assert after["plm_num_requests_running"] == 0
    assert {"plm_deadline_misses_total", "plm_pushes_left_count"} <= set(after)
    assert grown['plm_duplicates_dropped_total{channel="webhook-forms"}'] == 1


def test_an_unknown_address_is_one_plain_sentence(client: FlaskClient) -> None:
    response = client.get("/nowhere")
    assert (response.status_code, response.mimetype) == (404, "text/plain")
    assert response.text.count("\n") == 1
    assert "<" not in response.text
    assert client.get("/webhook/forms").status_code == 405


def test_a_fault_is_in_the_log_and_not_on_the_page(
    client: FlaskClient, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.client.set("plm:{webhook-forms:u}:turns", "spoilt")
    response = post(client, {"user": "u", "text": "一"})
    assert response.status_code == 500
    assert "WRONGTYPE" in caplog.text
    assert "WRONGTYPE" not in response.text


# The signed webhook


def signed(body: bytes, secret: str = NEW, message_id: str = "", at: float = 0.0) -> dict[str, str]:
    message_id = message_id or f"msg_{message_number()}"
    when = datetime.datetime.fromtimestamp(at or time.time(), tz=datetime.UTC)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": Signer(secret).sign(message_id, when, body.decode()),
    }


def post(client: FlaskClient, message: Any, name: str = "forms", **how: Any) -> TestResponse:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return client.post(f"/webhook/{name}", data=body, headers=signed(body, **how))


def test_a_signed_message_is_answered_and_the_disclaimer_said_once(client: FlaskClient) -> None:
    first = post(client, {"user": "王五", "text": "一"})
    assert first.json == {"reply": "仅供参考。\n\n答一。", "conversation": "webhook-forms:%E7%8E%8B%E4%BA%94"}
    assert post(client, {"user": "王五", "text": "二"}).json["reply"] == "答二。"


@pytest.mark.parametrize("by", ["id", "header"])
def test_the_same_id_is_asked_once(
    client: FlaskClient, store: Store, engine: ScriptedEngine, by: str
) -> None:
    message = {"user": "u", "text": "一", **({"id": "7"} if by == "id" else {})}
    replies = {
        post(client, message, message_id="" if by == "id" else "msg_7").json["reply"] for _ in range(3)
    }
    assert replies == {"仅供参考。\n\n答一。"}
    assert len(engine.prompts) == 1
    assert len(store.turns(Conversation("webhook-forms", "u"))) == 2


def test_both_secrets_are_valid_while_one_is_changed_and_no_other(client: FlaskClient) -> None:
    message = {"user": "u", "text": "一"}
    assert post(client, message, secret=OLD).status_code == 200
    assert post(client, message, secret="whsec_" + base64.b64encode(b"x" * 24).decode()).status_code == 401
    assert post(client, message, at=time.time() - 301).status_code == 401
    assert post(client, message, at=time.time() + 301).status_code == 401
    body = json.dumps(message).encode()
    for spoilt in (
        {},
        {**signed(body), "webhook-signature": "v1,!"},
        {**signed(body), "webhook-id": "other"},
    ):
        assert client.post("/webhook/forms", data=body, headers=spoilt).status_code == 401
    assert client.post("/webhook/forms", data=body + b" ", headers=signed(body)).status_code == 401


@pytest.mark.parametrize(
    "message",
    [b"{", b"\xff\xfe", b"[]", {"user": "u"}, {"text": "t"}, {"user": "", "text": "t"},
     {"user": 1, "text": "t"}, {"user": "u", "text": "t", "id": {}}, {"user": "u" * 201, "text": "t"}],
)  # fmt: skip
def test_a_message_that_cannot_be_read_is_refused(client: FlaskClient, message: Any) -> None:
    if message == b"\xff\xfe":  # cannot be signed as text
        assert client.post("/webhook/forms", data=message).status_code == 401
        return
    response = post(client, message)
    assert response.status_code == 400
    assert set(response.json) == {"error"}


def test_an_unknown_webhook_is_not_there(client: FlaskClient) -> None:
    assert post(client, {"user": "u", "text": "一"}, name="other").status_code == 404


def test_commands_work_there_too(client: FlaskClient, engine: ScriptedEngine) -> None:
    post(client, {"user": "u", "text": "一"})
    assert post(client, {"user": "u", "text": "/new"}).json["reply"] == dialogue.NEW_TALK
    post(client, {"user": "u", "text": "二"})
    assert engine.before == [b"", b""]
    assert post(client, {"user": "u", "text": "帮助"}).json["reply"] == dialogue.HELP


def test_odd_texts_pass_through_whole(client: FlaskClient, engine: ScriptedEngine) -> None:
    for text in ("👩‍⚕️𠮷", "\ud800药", "]]>&lt;<b>", "a\x00b"):
        assert post(client, {"user": "u\udfff", "text": text}).status_code == 200
    assert question_of(engine.prompts[0]) == "👩‍⚕️𠮷"


def test_a_failing_engine_is_503_and_the_same_id_is_tried_again(
    client: FlaskClient, engine: ScriptedEngine
) -> None:
    engine.faults = [RuntimeError("broken")]
    response = post(client, {"user": "u", "text": "一", "id": "7"})
    assert (response.status_code, dialogue.BUSY in response.json["error"]) == (503, True)
    assert post(client, {"user": "u", "text": "一", "id": "7"}).json["reply"].endswith("答一。")


def test_one_webhook_is_one_conversation_however_its_name_is_written(
    store: Store, engine: ScriptedEngine
) -> None:
    client = make(store, engine, webhooks={"my_shop": {"secret": [NEW]}}, disclaimer="").test_client()
    for name in ("my-shop", "my_shop", "My-Shop"):
        response = post(client, {"user": "u", "text": "一", "id": "7"}, name=name)
        assert response.json == {"reply": "答一。", "conversation": "webhook-my_shop:u"}
    assert len(engine.prompts) == 1
    assert "PLM_WEBHOOK_NO_SHOP_SECRET" in post(client, {"user": "u", "text": "一"}, name="no-shop").text


def test_an_answer_that_nobody_waits_for_any_more_is_still_sent_on(
    store: Store, engine: ScriptedEngine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "REPLY_TIMEOUT", 0.1)
    hook = {"secret": [NEW], "url": receiver.url}
    app = make(store, engine, webhooks={"forms": hook}, disclaimer="提示。")
    engine.gate.clear()
    response = post(app.test_client(), {"user": "u", "text": "一", "id": "7"})
    assert (response.status_code, receiver.received) == (503, [])
    engine.gate.set()
    wait_until(lambda: receiver.received, what="the answer is sent on")
    sent = {"user": "u", "id": "7", "reply": "提示。\n\n答一。", "conversation": "webhook-forms:u"}
    assert json.loads(receiver.received[0][1]) == sent
    app.extensions["plm"].answers.close(2)


def test_an_answer_that_failed_is_not_sent_on_but_found_again(
    store: Store, engine: ScriptedEngine, receiver: Receiver
) -> None:
    """What goes to the configured address is the answer, once, and never the failure before it."""
    hook = {"secret": [NEW], "url": receiver.url}
    app = make(store, engine, webhooks={"forms": hook}, disclaimer="", retry_seconds=0.2)
    engine.faults = [RuntimeError("broken")]
    response = post(app.test_client(), {"user": "u", "text": "一", "id": "7"})
    assert response.status_code in (200, 503)  # 200 where the task asked again before the request gave up
    wait_until(lambda: receiver.received, what="the answer is sent on")
    wait_until_idle(store)
    sent = {"user": "u", "id": "7", "reply": "答一。", "conversation": "webhook-forms:u"}
    assert [json.loads(body) for _, body in receiver.received] == [sent]
    app.extensions["plm"].answers.close(2)


# The store is away


@pytest.mark.alone
def test_without_the_store_everyone_is_told_within_a_second_and_it_heals(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    server = EmbeddedStore(tmp_path)
    server.start()
    webhooks = {"forms": {"secret": [NEW]}}
    app = make(Store(server.url), engine, wechat_token="AAAAA", webhooks=webhooks, disclaimer="")
    client, platform = app.test_client(), Platform("/wechat", "AAAAA")
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert say(client, platform, platform.text("o1", "一")) == dialogue.BUSY
    assert time.monotonic() - began < 1
    assert say(client, platform, platform.text("o1", "我胸痛")) == help_for("我胸痛")
    assert post(client, {"user": "u", "text": "我胸痛"}).json["reply"] == help_for("我胸痛")
    assert post(client, {"user": "u", "text": "一"}).status_code == 503
    response = client.get("/readyz")
    assert (response.status_code, list(response.json["faults"])) == (503, ["redis"])
    assert client.get("/healthz").status_code == 200
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: client.get("/readyz").status_code == 200, what="healed")
    assert say(client, platform, platform.text("o1", "二")) == "答二。"
    app.extensions["plm"].answers.close(2)
    app.extensions["plm"].store.close()
    server.stop()


# WeChat: what is let in. The protocol's course over time is tested against the running service.


def send(client: FlaskClient, platform: Platform, message: Message | bytes, **query: str) -> TestResponse:
    sealed, body = platform.seal(message)
    return client.post("/wechat", query_string={**sealed, **query}, data=body)


def say(client: FlaskClient, platform: Platform, message: Message) -> str | None:
    response = send(client, platform, message)
    assert response.status_code == 200, response.text
    return platform.read_reply(message, response.data)


def test_without_a_token_wechat_is_off(store: Store, engine: ScriptedEngine) -> None:
    client = make(store, engine).test_client()
    response = client.get("/wechat")
    assert (response.status_code, "PLM_WECHAT_TOKEN" in response.text) == (404, True)


def keyed(store: Store, engine: ScriptedEngine, **settings: Any) -> FlaskClient:
    settings = {"wechat_aes_key": KEY, "wechat_appid": APPID, "wechat_token": "AAAAA"} | settings
    return make(store, engine, disclaimer="", **settings).test_client()


def test_safe_mode_lets_nothing_in_that_is_not_encrypted(store: Store, engine: ScriptedEngine) -> None:
    client = keyed(store, engine)
    safe = Platform("/wechat", "AAAAA", aes_key=KEY, mode="safe")
    plain = Platform("/wechat", "AAAAA")
    assert say(client, safe, safe.text("o1", "一")) == "答一。"
    assert send(client, plain, plain.text("o1", "二")).status_code == 403
    query, body = safe.seal(safe.text("o1", "三"))
    del query["encrypt_type"]
    assert client.post("/wechat", query_string=query, data=body).status_code == 403
    # `signature` covers neither the body nor the encrypted text: it is no substitute for msg_signature.
    query, body = safe.seal(safe.text("o1", "四"))
    query["msg_signature"] = query["signature"]
    assert client.post("/wechat", query_string=query, data=body).status_code == 403
    assert len(engine.prompts) == 1


def test_compatible_mode_takes_both_and_answers_each_in_kind(store: Store, engine: ScriptedEngine) -> None:
    client = keyed(store, engine, wechat_mode="compatible")
    for mode in ("plain", "compatible", "safe"):
        platform = Platform("/wechat", "AAAAA", aes_key=KEY, mode=mode)
        assert say(client, platform, platform.text("o1", mode)) == f"答{mode}。"


def test_the_previous_key_still_opens_and_the_reply_is_sealed_with_it(
    store: Store, engine: ScriptedEngine
) -> None:
    client = keyed(store, engine, wechat_aes_key=OTHER_KEY, wechat_aes_key_previous=KEY)
    for key in (KEY, OTHER_KEY):
        platform = Platform("/wechat", "AAAAA", aes_key=key, mode="safe")
        assert say(client, platform, platform.text("o1", key[0])) == f"答{key[0]}。"
    stranger = Platform("/wechat", "AAAAA", aes_key="C" * 42 + "A", mode="safe")
    assert send(client, stranger, stranger.text("o1", "一")).status_code == 403
    elsewhere = Platform("/wechat", "AAAAA", appid="wxother", aes_key=KEY, mode="safe")
    assert send(client, elsewhere, elsewhere.text("o1", "一")).status_code == 403


def test_old_requests_are_refused_unless_that_is_turned_off(
    client: FlaskClient,
    store: Store,
    engine: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    platform = Platform("/wechat", "AAAAA")
    query, body = platform.seal(platform.text("o1", "一"))
    for _ in range(2):  # a retry of the platform, or a replay: the same answer, one turn
        assert client.post("/wechat", query_string=query, data=body).status_code == 200
    assert len(store.turns(Conversation("wechat", "o1"))) == 2
    sent = int(query["timestamp"])
    for shift in (301, -301):
        monkeypatch.setattr(crypto.time, "time", lambda shift=shift: sent + shift)
        assert client.post("/wechat", query_string=query, data=body).status_code == 403
    # A clock that is wrong refuses everyone: the log says by how much.
    assert re.search(r"-30\d s off the clock here", caplog.messages[-2])
    assert re.search(r"\+30\d s off the clock here", caplog.messages[-1])
    lenient = make(store, engine, wechat_token="AAAAA", wechat_replay_window=0).test_client()
    assert lenient.post("/wechat", query_string=query, data=body).status_code == 200


BOMB = b'<!DOCTYPE xml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><xml><Content>&b;</Content></xml>'


@pytest.mark.parametrize(
    "body",
    [b"", b"<xml>", b"<xml></xml>", b"not xml", b"\xff\xfe\x00", BOMB, b"<html></html>", b'{"ToUserName": 1}',
     b"<xml><ToUserName>a</ToUserName><FromUserName>b</FromUserName><CreateTime>x</CreateTime>"
     b"<MsgType>text</MsgType><MsgId>1</MsgId></xml>",
     b"<xml><ToUserName>a</ToUserName><FromUserName>b</FromUserName><CreateTime>1</CreateTime>"
     b"<MsgType>text</MsgType></xml>"],
)  # fmt: skip
def test_what_is_no_message_is_refused(client: FlaskClient, body: bytes) -> None:
    response = send(client, Platform("/wechat", "AAAAA"), body)
    assert (response.status_code, response.mimetype) == (400, "text/plain")


def test_every_kind_of_message_gets_an_answer(client: FlaskClient) -> None:
    platform = Platform("/wechat", "AAAAA")
    for message in (platform.image("o1"), platform.voice("o1"), platform.location("o1"), platform.link("o1")):
        assert say(client, platform, message) == dialogue.TEXT_ONLY
    welcome = dialogue.WELCOME + "\n\n仅供参考。"
    assert say(client, platform, platform.event("o1", "subscribe")) == welcome
    assert (
        say(client, platform, platform.event("o2", "subscribe", EventKey="qrscene_1", Ticket="t")) == welcome
    )
    assert say(client, platform, platform.event("o1", "CLICK", EventKey="k")) == dialogue.HELP
    for name in ("unsubscribe", "LOCATION", "VIEW", "something_new"):
        assert say(client, platform, platform.event("o1", name, EventKey="k")) is None
    assert say(client, platform, platform.text("o1", " \u0007 ")) == dialogue.NOTHING_TO_READ
    # Greeted by the welcome, not again by the first answer.
    assert say(client, platform, platform.text("o1", "一")) == "答一。"
    assert say(client, platform, platform.text("o3", "一")) == "仅供参考。\n\n答一。"


def test_a_voice_message_that_was_recognised_is_a_question(client: FlaskClient) -> None:
    platform = Platform("/wechat", "AAAAA")
    message = platform.voice("o1")
    message.fields["Recognition"] = "桂枝汤"
    assert (say(client, platform, message) or "").endswith("答桂枝汤。")


def test_nothing_in_a_question_can_break_out_of_the_reply(client: FlaskClient) -> None:
    platform = Platform("/wechat", "AAAAA")
    for text in ("]]>", "]]]]>><b>&amp;", "<xml>&bomb;</xml>", "👩‍⚕️𠮷\u202e"):
        assert (say(client, platform, platform.text("o1", text)) or "").endswith(f"答{text}。")


def test_an_answer_longer_than_a_message_comes_in_pieces_bound_to_it(
    client: FlaskClient, engine: ScriptedEngine, store: Store
) -> None:
    long = "".join(f"第{number}句，桂枝三两去皮芍药三两甘草二两炙。" for number in range(120))
    engine.answer = lambda prompt: long if question_of(prompt) == "长" else "短。"
    platform = Platform("/wechat", "AAAAA")
    told = (say(client, platform, platform.text("o1", "长")) or "").removeprefix("仅供参考。\n\n")
    pieces = [told]
    assert say(client, platform, platform.text("o1", "短")) == "短。"
    while pieces[-1].endswith(dialogue.MORE_HINT):
        wish = platform.text("o1", "继续")
        reply = say(client, platform, wish) or ""
        assert say(client, platform, wish) == reply  # its retry
        assert reply.startswith(dialogue.label("长"))  # not the latest question's
        pieces.append(reply.removeprefix(dialogue.label("长")))
    assert "".join(piece.removesuffix("\n" + dialogue.MORE_HINT) for piece in pieces) == long
    assert say(client, platform, platform.text("o1", "继续")) == dialogue.NOTHING_MORE
    assert [turn["content"] for turn in store.turns(Conversation("wechat", "o1"))] == [
        "长",
        long,
        "短",
        "短。",
    ]


def test_the_third_request_tells_what_there_is(
    client: FlaskClient, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_reply, "ANSWER_BY", 0.3)
    monkeypatch.setattr(channel_reply, "HOLD", 0.4)
    engine.answer = lambda prompt: "甲。乙。"
    platform = Platform("/wechat", "AAAAA")
    client.get("/healthz")
    greeted = say(client, platform, platform.event("o1", "subscribe"))
    assert greeted
    engine.gate.clear()
    first, second = platform.text("o1", "一"), platform.text("o1", "二")
    assert [send(client, platform, first).status_code for _ in range(2)] == [504, 504]
    assert say(client, platform, first) == dialogue.STILL_THINKING
    assert send(client, platform, second).status_code == 504
    engine.gate.set()
    assert say(client, platform, second) == "甲。乙。"
    assert say(client, platform, first) == dialogue.STILL_THINKING  # what was said stays said
    assert say(client, platform, platform.text("o1", "继续")) == dialogue.label("一") + "甲。乙。"
    assert len(engine.prompts) == 2
