"""/v1/search, /v1/answer, and quotations in chat completions, as OpenAI's client sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from flask.testing import FlaskClient

from bot.app import create_app
from bot.context import Bot
from bot.inference.library import ServedLibrary
from bot.settings.config import Settings
from bot.store.conversations import Store
from engine.emergency import Level
from engine.library import Library
from tests import small_library
from tests.bot.expected_help import caution_for, help_for
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import served
from tests.small_library import FORMULA, HERBS, SHANGHAN, UNKNOWN

NOWHERE = "redis://127.0.0.1:1/0"
SEARCHER, WRITER = "sk-search-0123456789abcdef", "sk-writer-0123456789abcdef"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return small_library.write(tmp_path_factory.mktemp("library"))


def make(library: object, **settings: Any) -> Any:
    given = Settings(redis_url=NOWHERE, model="tiny", library=str(library), **settings)
    engine = ScriptedEngine(lambda prompt: "模型写的。")
    engine.model_name = "tiny"
    return create_app(given, engine=engine, store=Store(NOWHERE))


@pytest.fixture
def app(library: Library) -> Iterator[Any]:
    app = make(library.folder)
    yield app
    app.extensions["plm"].close(1)


@pytest.fixture
def http(app: Any) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def client(app: Any) -> Iterator[openai.OpenAI]:
    with (
        served(app) as url,
        openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, timeout=30) as client,
    ):
        yield client


def chat(client: openai.OpenAI, *texts: str, **options: Any) -> Any:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return client.chat.completions.create(**{"model": "tiny", "messages": messages, **options})


def test_search_gives_passages_with_exact_offsets(http: FlaskClient, library: Library) -> None:
    first, *more = http.post("/v1/search", json={"query": "麻黄汤"}).json
    assert list(first) == ["book", "heading", "text", "start", "end", "score", "why"]
    assert first["book"] == SHANGHAN
    assert HERBS in first["text"]
    assert first["why"]
    source = library.source(SHANGHAN)
    assert library.text(source.id, first["start"], first["end"]) == first["text"]
    assert [row["score"] for row in more] == sorted((row["score"] for row in more), reverse=True)
    assert len(http.post("/v1/search", json={"query": "麻黄", "limit": 1}).json) == 1
    within = http.post("/v1/search", json={"query": "麻黄", "book": "医方集解"}).json
    assert {row["book"] for row in within} <= {"医方集解"}
    wrong = http.post("/v1/search", json={"query": "麻黄", "book": "无此书"})
    assert (wrong.status_code, wrong.json["error"]["param"]) == (400, "book")


def test_an_answer_comes_with_its_sources(http: FlaskClient) -> None:
    body = http.post("/v1/answer", json={"question": FORMULA}).json
    (source,) = body["sources"]
    assert (source["book"], source["quote"], body["abstained"]) == (SHANGHAN, HERBS, False)
    assert HERBS in body["answer"]
    history = [{"role": "user", "content": FORMULA}, {"role": "assistant", "content": body["answer"]}]
    following = http.post("/v1/answer", json={"question": "那怎么煎？", "history": history}).json
    assert "以水九升" in following["answer"]
    nothing = http.post("/v1/answer", json={"question": UNKNOWN}).json
    assert (nothing["sources"], nothing["abstained"]) == ([], True)
    assert nothing["answer"].startswith("书里没有找到")


def test_an_emergency_comes_first(http: FlaskClient) -> None:
    said = http.post("/v1/answer", json={"question": "我爸爸突然胸口剧痛，喘不上气，怎么办"}).json["answer"]
    assert "120" in said


def test_a_chat_is_answered_with_annotations(client: openai.OpenAI) -> None:
    answer = chat(client, FORMULA, seed=1, temperature=1.5)
    choice = answer.choices[0]
    assert HERBS in choice.message.content
    assert choice.finish_reason == "stop"
    (annotation,) = choice.message.model_dump()["annotations"]
    assert annotation["type"] == "citation"
    assert (annotation["citation"]["book"], annotation["citation"]["quote"]) == (SHANGHAN, HERBS)
    assert answer.usage.completion_tokens == len(choice.message.content.encode())
    following = chat(client, FORMULA, choice.message.content, "那怎么煎？")
    assert "以水九升" in following.choices[0].message.content


def test_a_stream_ends_with_the_annotations(client: openai.OpenAI) -> None:
    chunks = list(chat(client, FORMULA, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == chat(client, FORMULA).choices[0].message.content
    with_annotations = [
        chunk.choices[0] for chunk in chunks
        if chunk.choices and "annotations" in chunk.choices[0].delta.model_dump()
    ]  # fmt: skip
    (last,) = with_annotations
    assert last.finish_reason == "stop"
    assert last.delta.model_dump()["annotations"][0]["citation"]["quote"] == HERBS
    assert chunks[-1].usage.completion_tokens == len(text.encode())


def test_stop_and_max_tokens_cut_the_answer_and_its_annotations(client: openai.OpenAI) -> None:
    cut = chat(client, FORMULA, max_tokens=40).choices[0]
    assert cut.finish_reason == "length"
    assert 36 < len(cut.message.content.encode()) <= 40
    assert cut.message.model_dump()["annotations"] == []
    ended = chat(client, FORMULA, stop="——").choices[0]
    assert ended.message.content.endswith("」")
    assert ended.finish_reason == "stop"
    assert len(ended.message.model_dump()["annotations"]) == 1


def test_who_wants_the_bare_model_gets_it(client: openai.OpenAI) -> None:
    assert len(chat(client, FORMULA, n=2).choices) == 2
    for options in ({"extra_body": {"library": False}}, {"logprobs": True}):
        answer = chat(client, FORMULA, **options)
        assert answer.choices[0].message.content == "模型写的。"
        assert answer.choices[0].message.model_dump()["annotations"] == []
    assert chat(client, "续写：夫百病").choices[0].message.content == "模型写的。"
    assert client.completions.create(model="tiny", prompt=FORMULA).choices[0].text == "模型写的。"


def test_asking_the_library_for_what_the_model_alone_has_is_an_error(http: FlaskClient) -> None:
    for field, value in (("n", 2), ("logprobs", True)):
        body = {"model": "tiny", "messages": [{"role": "user", "content": FORMULA}], "library": True}
        response = http.post("/v1/chat/completions", json=body | {field: value})
        assert (response.status_code, response.json["error"]["param"]) == (400, field)


def test_without_a_library_there_is_none_to_ask() -> None:
    app = make("none")
    http = app.test_client()
    for path, body in (("search", {"query": "麻黄"}), ("answer", {"question": "麻黄"})):
        response = http.post(f"/v1/{path}", json=body)
        assert (response.status_code, response.json["error"]["code"]) == (404, "no_library")
    messages = [{"role": "user", "content": FORMULA}]
    asked = {"model": "tiny", "messages": messages, "library": True}
    assert http.post("/v1/chat/completions", json=asked).status_code == 404
    answer = http.post("/v1/chat/completions", json=asked | {"library": None})
    assert answer.json["choices"][0]["message"]["content"] == "模型写的。"
    app.extensions["plm"].close(1)


def test_while_it_is_built_callers_are_told_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServedLibrary, "start", lambda served: None)
    app = make(tmp_path / "new")
    http = app.test_client()
    response = http.post("/v1/answer", json={"question": "麻黄"})
    assert (response.status_code, response.json["error"]["code"]) == (503, "library_down")
    assert "Retry-After" in response.headers
    bot: Bot = app.extensions["plm"]
    assert http.get("/readyz").json["faults"]["library"] == bot.library.fault()  # type: ignore[union-attr]
    bot.close(1)


def test_a_key_may_be_for_searching_alone(library: Library) -> None:
    app = make(library.folder, api_keys=f"s:{SEARCHER}:search,w:{WRITER}:chat")
    http = app.test_client()

    def ask(path: str, key: str, body: dict[str, Any]) -> int:
        return http.post(f"/v1/{path}", json=body, headers={"Authorization": f"Bearer {key}"}).status_code

    completion = {"model": "tiny", "prompt": "麻黄"}
    assert ask("search", SEARCHER, {"query": "麻黄"}) == ask("answer", SEARCHER, {"question": "麻黄"}) == 200
    assert ask("search", WRITER, {"query": "麻黄"}) == ask("completions", SEARCHER, completion) == 403
    app.extensions["plm"].close(1)


def test_an_emergency_is_answered_with_help_and_a_dose_with_a_warning(http: FlaskClient) -> None:
    urgent, toxic = "我爸爸突然胸痛，出冷汗，喘不上气", "砒霜怎么吃"
    said = http.post("/v1/answer", json={"question": urgent}).json
    assert (said["answer"], said["sources"], said["abstained"]) == (help_for(urgent), [], False)
    assert said["emergency"]["kind"]
    warned = http.post("/v1/answer", json={"question": toxic}).json
    assert warned["answer"].startswith(caution_for(toxic, Level.TOXIC_DOSE))
    assert "emergency" not in warned


def test_the_owner_of_a_bare_api_hears_no_emergencies_from_the_library(library: Library) -> None:
    http = make(library.folder, emergencies=("none",)).test_client()
    urgent = "我爸爸突然胸痛，出冷汗，喘不上气"
    assert http.post("/v1/answer", json={"question": urgent}).json["answer"] != help_for(urgent)
    body = {"model": "tiny", "messages": [{"role": "user", "content": urgent}]}
    assert help_for(urgent) not in http.post("/v1/chat/completions", json=body).text
