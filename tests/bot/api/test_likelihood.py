"""/v1/score, /v1/choose, /v1/fill, /v1/judge: the answers are the model's, wherever the engine is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

import engine
from bot.app import create_app
from bot.inference.local import LocalEngine
from bot.inference.remote import RemoteEngine
from bot.inference.server import create_engine_app
from bot.settings.config import Settings
from bot.store.conversations import Store
from tests.service import run_in_background
from tests.tiny_model import write_tiny_model

CHOOSE = {"question": "甘草的药性是", "choices": ["甘平", "苦寒"]}
FILL = {"text": "味____，无____。", "count": 2, "max_characters": 3}
JUDGE = {"statement": "甘草味甘", "against": ["甘草味苦"]}
BODIES = {"score": {"text": "甘草味甘平"}, "choose": CHOOSE, "fill": FILL, "judge": JUDGE}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    model = engine.Model.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors"))
    return LocalEngine(model, engine.TopE(), 90)


@pytest.fixture(scope="module")
def remote(local: LocalEngine) -> Iterator[RemoteEngine]:
    server = make_server("127.0.0.1", 0, create_engine_app(Settings(), local), threaded=True)
    run_in_background(server)
    engine = RemoteEngine(f"http://127.0.0.1:{server.server_port}")
    yield engine
    engine.close()
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["local", "remote"])
def client(request: pytest.FixtureRequest, store: Store) -> FlaskClient:
    return _app(store, request.getfixturevalue(request.param)).test_client()


def _app(store: Store, engine: Any, **settings: Any) -> Flask:
    return create_app(Settings(**settings), engine=engine, store=store)


def refused(response: TestResponse, status: int, *words: str, param: str | None = None) -> None:
    assert response.status_code == status
    error = response.get_json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["param"] == param
    for word in words:
        assert word in error["message"]


@pytest.mark.parametrize("kind", ["choose", "fill", "judge"])
def test_the_answers_are_those_of_the_model(client: FlaskClient, local: LocalEngine, kind: str) -> None:
    response = client.post(f"/v1/{kind}", json=BODIES[kind] | {"model": "tcm"})
    assert response.status_code == 200
    assert response.get_json() == getattr(local.model, kind)(**BODIES[kind]).to_dict()


def test_a_score_has_bits_and_seconds(client: FlaskClient, local: LocalEngine) -> None:
    score = client.post("/v1/score", json=BODIES["score"]).get_json()
    expected = local.model.score(BODIES["score"]["text"])
    assert score.keys() == expected.to_dict().keys()
    assert (score["bytes"], score["bits_per_byte"]) == (expected.bytes, expected.bits_per_byte)
    assert client.post("/v1/score", json={"text": ""}).get_json()["bits_per_byte"] == 0


@pytest.mark.parametrize(
    ("kind", "change", "param"),
    [
        ("score", {"text": 3}, "text"),
        ("score", {"text": "a" * 50_001}, "text"),
        ("score", {"texts": "a"}, "texts"),
        ("choose", {"choices": ["甘"]}, "choices"),
        ("choose", {"choices": ["甘"] * 27}, "choices"),
        ("choose", {"choices": ["甘", ""]}, "choices.1"),
        ("choose", {"question": None}, "question"),
        ("fill", {"text": "____，" * 9}, "text"),
        ("fill", {"count": 0}, "count"),
        ("fill", {"max_characters": 17}, "max_characters"),
        ("judge", {"statement": ""}, "statement"),
        ("judge", {"statement": "甘" * 1001}, "statement"),
        ("judge", {"against": ["甘"] * 21}, "against"),
    ],
)
def test_a_field_that_is_wrong_is_named(
    store: Store, local: LocalEngine, kind: str, change: dict[str, object], param: str
) -> None:
    response = _app(store, local).test_client().post(f"/v1/{kind}", json=BODIES[kind] | change)
    refused(response, 400, param, param=param)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("choose", {"question": "甲", "choices": ["乙", " "]}, "choice 2 is empty"),
        ("fill", {"text": "味甘"}, "the text has no gap"),
        ("judge", {"statement": "。"}, "the statement is empty"),
        ("judge", {"statement": "甲", "against": ["甲"]}, "the statement itself"),
    ],
)
def test_what_makes_no_sense_is_refused_in_the_engines_words(
    client: FlaskClient, kind: str, body: dict[str, object], message: str
) -> None:
    refused(client.post(f"/v1/{kind}", json=body), 400, message)


def test_another_model_than_this_services_is_not_found(store: Store, local: LocalEngine) -> None:
    client = _app(store, local).test_client()
    refused(client.post("/v1/choose", json=CHOOSE | {"model": "gpt"}), 404, "'gpt'", param="model")


def test_only_callers_with_a_key_for_it_are_let_in(store: Store, local: LocalEngine) -> None:
    keys = "reader:reader-key-0123456789:likelihood writer:writer-key-0123456789:chat"
    client = _app(store, local, api_keys=keys).test_client()
    for kind, body in BODIES.items():
        refused(client.post(f"/v1/{kind}", json=body), 401)
        for key, status in (("reader-key-0123456789", 200), ("writer-key-0123456789", 403)):
            headers = {"Authorization": f"Bearer {key}"}
            assert client.post(f"/v1/{kind}", json=body, headers=headers).status_code == status


def test_without_an_engine_there_is_503(store: Store) -> None:
    gone = RemoteEngine("http://127.0.0.1:1")
    response = _app(store, gone).test_client().post("/v1/judge", json=JUDGE)
    refused(response, 503, "127.0.0.1:1")
    assert response.headers["Retry-After"]
    gone.close()


def test_a_busy_engine_says_so_instead_of_piling_up(
    store: Store, local: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.inference.local.LIKELIHOOD_TIMEOUT", 0.05)
    busy = LocalEngine(local.model, local.sampler, 90)
    while busy._likelihood_slots.acquire(blocking=False):
        pass
    refused(_app(store, busy).test_client().post("/v1/fill", json=FILL), 503, "busy")
    host = create_engine_app(Settings(), busy).test_client()
    assert host.post("/likelihood", json={"kind": "fill", "fields": FILL}).status_code == 503
    busy._likelihood_slots.release()
    assert host.post("/likelihood", json={"kind": "fill", "fields": FILL}).status_code == 200
    assert busy.likelihood("score", {"text": "甲"})["bytes"] == 3  # its turn was given back


@pytest.mark.parametrize(
    "body", [{}, [], {"kind": "feed", "fields": {}}, {"kind": "fill"}, {"kind": "fill", "fields": {"x": 1}}]
)
def test_a_host_refuses_what_it_cannot_read(local: LocalEngine, body: object) -> None:
    response = create_engine_app(Settings(), local).test_client().post("/likelihood", json=body)
    assert response.status_code == 400
    assert response.get_json()["error"]
