"""/v1 with OpenAI's own client over real HTTP: a tiny real model in the web process, or in an engine host."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import openai
import pytest
import requests

import engine
from bot.api.schemas import ChatRequest, CompletionRequest
from bot.app import create_app
from bot.inference.interface import Engine
from bot.inference.local import LocalEngine
from bot.inference.remote import RemoteEngine
from bot.inference.server import create_engine_app
from bot.settings.config import Settings
from bot.store.conversations import Store
from bot.text import dialogue
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import Service, served, wait_until
from tests.tiny_model import write_talkative_model

SAY = [{"role": "user", "content": "桂枝汤由哪些药组成？"}]
KEY = "sk-test-0123456789abcdef"
NOWHERE = "redis://127.0.0.1:1/0"  # /v1 keeps nothing: it does not need the store


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> engine.Model:
    return engine.Model.load(write_talkative_model(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


@pytest.fixture(scope="module", params=["in process", "engine host"])
def url(request: pytest.FixtureRequest, model: engine.Model) -> Iterator[str]:
    settings = Settings(redis_url=NOWHERE, model="tiny", max_bytes=300)
    local = LocalEngine(model, engine.TopE(temperature=0.7), settings.max_bytes)
    with ExitStack() as stack:
        used: Engine = local
        if request.param == "engine host":
            used = RemoteEngine(stack.enter_context(served(create_engine_app(settings, local))))
            stack.callback(used.close)
        app = create_app(settings, engine=used, store=Store(NOWHERE))
        yield stack.enter_context(served(app))


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, timeout=30) as client:
        yield client


def chat(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": "tiny", "messages": SAY, "seed": 3, **options})


def complete(client: openai.OpenAI, **options: Any) -> Any:
    return client.completions.create(**{"model": "tiny", "prompt": "四君子汤", "seed": 3, **options})


def expected(model: engine.Model, feed: bytes, seed: int, **options: Any) -> tuple[str, str | None]:
    session = model.session()
    session.feed(feed)
    given = {"sampler": engine.TopE(temperature=0.7), "max_bytes": 300, **options}
    return "".join(session.generate(seed=seed, **given)), session.stop_reason


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [card.id for card in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4")
    assert caught.value.code == "model_not_found"


def test_a_chat_is_read_with_the_dialogue_marks(client: openai.OpenAI, model: engine.Model) -> None:
    said = [
        {"role": "system", "content": "请用中文。"},
        {"role": "user", "content": "您好"},
        {"role": "assistant", "content": "您好！"},
        {"role": "user", "content": [{"type": "text", "text": "桂枝汤？"}]},
    ]
    feed = "您好！".encode().join([b"\xfd" + "请用中文。\n您好".encode() + b"\xfe", b"\xff\xfd"])
    feed += "桂枝汤？".encode() + b"\xfe"
    text, reason = expected(model, feed, 3)
    answer = chat(client, messages=said)
    assert answer.choices[0].message.content == text
    assert answer.choices[0].finish_reason == {"end": "stop", "length": "length"}[reason or ""]
    assert answer.object == "chat.completion"
    assert answer.choices[0].logprobs is None
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(feed), len(text.encode()))
    assert usage.total_tokens == len(feed) + len(text.encode())


def test_a_stream_says_the_same(client: openai.OpenAI) -> None:
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] == whole.choices[0].finish_reason
    assert set(reasons[:-1]) == {None}
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_seed_gives_the_same_text_and_none_another(client: openai.OpenAI) -> None:
    texts = {chat(client, seed=5, temperature=1.5).choices[0].message.content for _ in range(3)}
    assert len(texts) == 1
    free = {complete(client, seed=None, temperature=1.5).choices[0].text for _ in range(3)}
    assert len(free) == 3


def test_choices_are_those_of_the_seeds_that_follow(client: openai.OpenAI) -> None:
    alone = [complete(client, seed=seed, max_tokens=60).choices[0].text for seed in (8, 9, 10)]
    together = complete(client, seed=8, n=3, max_tokens=60)
    assert [choice.text for choice in together.choices] == alone
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    streamed = ["", "", ""]
    for chunk in complete(client, seed=8, n=3, max_tokens=60, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == alone


def test_several_prompts_are_answered_in_order(client: openai.OpenAI) -> None:
    options = {"n": 2, "max_tokens": 30, "echo": True}
    both = complete(client, prompt=["四君子汤", "气虚"], **options)
    apart = [complete(client, prompt=prompt, **options) for prompt in ("四君子汤", "气虚")]
    assert [c.text for c in both.choices] == [c.text for answer in apart for c in answer.choices]
    assert both.choices[3].text.startswith("气虚")
    assert both.usage.prompt_tokens == len("四君子汤气虚".encode())


def test_temperature_and_top_p_choose_the_sampler(client: openai.OpenAI, model: engine.Model) -> None:
    feed = "四君子汤".encode()
    for options, sampler in (
        ({"temperature": 0}, engine.Greedy()),
        ({"top_p": 0}, engine.Greedy()),
        ({"temperature": 1.2}, engine.TopE(temperature=1.2)),
        ({"top_p": 0.5}, engine.TopP(0.5, temperature=0.7)),
        ({"top_p": 1, "temperature": 1}, engine.TopP(1, temperature=1)),
    ):
        text, _ = expected(model, feed, 3, sampler=sampler, max_bytes=90)
        assert complete(client, max_tokens=90, **options).choices[0].text == text, options


def test_a_token_is_a_byte(client: openai.OpenAI) -> None:
    for limit in (1, 2, 30):
        choice = complete(client, max_tokens=limit, temperature=1.5).choices[0]
        assert len(choice.text.encode()) <= limit
    newer = chat(client, max_completion_tokens=12)
    assert newer.choices[0].finish_reason == "length"
    assert 9 < newer.usage.completion_tokens <= 12
    assert chat(client, max_tokens=12).choices == newer.choices


def test_the_text_ends_before_a_stop_string(client: openai.OpenAI) -> None:
    text = complete(client).choices[0].text
    place = len(text) // 2
    for stop in (text[place : place + 2], ["\0", text[place : place + 2]]):
        choice = complete(client, stop=stop).choices[0]
        assert choice.text == text[: text.index(text[place : place + 2])]
        assert choice.finish_reason == "stop"
        streamed = "".join(chunk.choices[0].text for chunk in complete(client, stop=stop, stream=True))
        assert streamed == choice.text


def logprob_of(model: engine.Model, data: bytes) -> list[float]:
    return [-bits * math.log(2) for bits in model.session().bits(data)]


def test_logprobs_of_a_completion_are_the_models_own(client: openai.OpenAI, model: engine.Model) -> None:
    answer = complete(client, logprobs=3, echo=True, max_tokens=40).choices[0]
    logprobs = answer.logprobs
    data = answer.text.encode()
    assert answer.text.startswith("四君子汤")
    assert logprobs.token_logprobs == pytest.approx(logprob_of(model, data), abs=1e-3)
    names = [chr(byte) if byte < 128 else f"bytes:\\x{byte:02x}" for byte in data]
    assert logprobs.tokens == names
    assert all(answer.text[place].encode()[0:1] for place in logprobs.text_offset)
    starts = [len(data[:place].decode("utf-8", "ignore")) for place in range(len(data))]
    assert logprobs.text_offset == starts
    session = model.session()
    for name, logprob, top in zip(names, logprobs.token_logprobs, logprobs.top_logprobs, strict=True):
        assert top[name] == logprob
        assert 3 <= len(top) <= 4
    first = session.logits().astype(float)
    assert max(logprobs.top_logprobs[0].values()) == pytest.approx(
        first.max() - np.logaddexp.reduce(first), abs=1e-3
    )


def test_a_text_is_scored_without_writing_any(client: openai.OpenAI, model: engine.Model) -> None:
    answer = complete(client, prompt="气虚者", max_tokens=0, echo=True, logprobs=0, n=2)
    for choice in answer.choices:
        assert (choice.text, choice.finish_reason) == ("气虚者", "length")
        assert choice.logprobs.token_logprobs == pytest.approx(logprob_of(model, "气虚者".encode()), abs=1e-3)
        assert choice.logprobs.top_logprobs is None
    streamed = list(complete(client, prompt="气虚者", max_tokens=0, echo=True, logprobs=0, stream=True))
    tokens = [
        lp for chunk in streamed if chunk.choices[0].logprobs for lp in chunk.choices[0].logprobs.tokens
    ]
    assert tokens == answer.choices[0].logprobs.tokens


def test_logprobs_of_a_chat(client: openai.OpenAI, model: engine.Model) -> None:
    answer = chat(client, logprobs=True, top_logprobs=2, max_tokens=40).choices[0]
    feed = dialogue.question_bytes(SAY[0]["content"])
    said = answer.message.content.encode()
    content = answer.logprobs.content
    assert b"".join(bytes(token.bytes) for token in content) == said
    expected = logprob_of(model, feed + said)[len(feed) :]
    assert [token.logprob for token in content] == pytest.approx(expected, abs=1e-3)
    assert all(len(token.top_logprobs) == 2 for token in content)
    assert all(token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob for token in content)
    chunks = list(chat(client, logprobs=True, top_logprobs=2, max_tokens=40, stream=True))
    streamed = [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert streamed == content
    for chunk in chunks:
        if chunk.choices[0].logprobs:
            tokens = chunk.choices[0].logprobs.content
            assert b"".join(bytes(t.bytes) for t in tokens).decode() == chunk.choices[0].delta.content


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_reads_events_that_end_in_done(url: str) -> None:
    body = {"model": "tiny", "messages": SAY, "stream": True, "seed": 3}
    run = subprocess.run(
        ["curl", "-sN", "-i", url + "/v1/chat/completions", "--json", json.dumps(body)],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    head, _, events = run.stdout.replace("\r\n", "\n").partition("\n\n")
    assert "200 OK" in head
    assert "content-type: text/event-stream" in head.lower()
    lines = [line for line in events.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("chat/completions", {"messages": []}, "messages"),
        ("chat/completions", {"messages": [{"role": "assistant", "content": "好"}]}, "messages"),
        ("chat/completions", {"messages": [{"role": "robot", "content": "好"}]}, "messages.0.role"),
        ("chat/completions", {"temperature": 3}, "temperature"),
        ("chat/completions", {"temperature": "hot"}, "temperature"),
        ("chat/completions", {"n": 9}, "n"),
        ("chat/completions", {"n": True}, "n"),
        ("chat/completions", {"max_tokens": 0}, "max_tokens"),
        ("chat/completions", {"top_logprobs": 2}, "top_logprobs"),
        ("chat/completions", {"tools": [{"type": "function"}]}, "tools"),
        ("chat/completions", {"presence_penalty": 0.5}, "presence_penalty"),
        ("chat/completions", {"response_format": {"type": "json_object"}}, "response_format"),
        ("completions", {"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ("completions", {"stop": ""}, "stop"),
        ("completions", {"prompt": None}, "prompt"),
        ("completions", {"prompt": "药" * 30_000}, "prompt"),
        ("completions", {"prompt": "药" * 3000, "echo": True, "logprobs": 1}, "prompt"),
        ("completions", {"prompt": ["a"] * 9, "n": 2}, "n"),
        ("completions", {"max_tokens": 0}, "max_tokens"),
        ("completions", {"logprobs": 21}, "logprobs"),
        ("completions", {"suffix": "。"}, "suffix"),
    ],
)
def test_a_wrong_body_is_refused_with_the_fields_name(
    url: str, path: str, change: dict[str, Any], param: str
) -> None:
    good: dict[str, Any] = {"model": "tiny", "messages": SAY, "prompt": "药"}
    response = requests.post(f"{url}/v1/{path}", json=good | change, timeout=10)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)
    assert param.split(".")[0] in error["message"]


NOT_HERE = "not supported here: leave it out"
PARTS = 'must be a text, or a list of parts {"type": "text", "text": "…"}'


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("completions", {"stop": list("abcde")}, "stop: at most 4 of them, not 5"),
        ("completions", {"stop": ["a", ""]}, "stop: an empty text stops nothing: leave it out"),
        ("completions", {"stop": "a" * 201}, "stop: at most 200 characters each"),
        ("completions", {"stop": [1]}, "stop: must be a text, or a list of at most 4 texts"),
        ("completions", {"stop": 1}, "stop: must be a text, or a list of at most 4 texts"),
        ("completions", {"prompt": None}, "prompt: must be a text, or a list of 1 to 16 texts"),
        ("completions", {"prompt": []}, "prompt: an empty list: there is nothing to continue"),
        ("completions", {"prompt": ["a"] * 17}, "prompt: at most 16 texts, not 17"),
        ("completions", {"prompt": [1, 2]}, "prompt: numbers of tokens are not read here: send the text"),
        ("completions", {"prompt": [[1], [2]]}, "prompt: numbers of tokens are not read here: send the text"),
        ("completions", {"best_of": 2}, "best_of: " + NOT_HERE),
        ("completions", {"suffix": "。"}, "suffix: " + NOT_HERE),
        ("chat/completions", {"presence_penalty": 0.6}, "presence_penalty: " + NOT_HERE),
        ("chat/completions", {"presence_penalty": -0.6}, "presence_penalty: " + NOT_HERE),
        ("chat/completions", {"frequency_penalty": 0.6}, "frequency_penalty: " + NOT_HERE),
        ("chat/completions", {"logit_bias": {"1": 5}}, "logit_bias: " + NOT_HERE),
        ("chat/completions", {"tools": [{"type": "function"}]}, "tools: " + NOT_HERE),
        ("chat/completions", {"functions": [{"name": "f"}]}, "functions: " + NOT_HERE),
        ("chat/completions", {"tool_choice": {"type": "function"}}, "tool_choice: " + NOT_HERE),
        ("chat/completions", {"response_format": {"type": "json_object"}}, "response_format: " + NOT_HERE),
        ("chat/completions", {"modalities": ["audio"]}, "modalities: " + NOT_HERE),
        (
            "chat/completions",
            {"max_tokens": 0},
            "max_tokens: must be 1 or more, or -1 for as many as there may be",
        ),
    ],
)
def test_a_refusal_says_what_is_true_of_the_field(
    url: str, path: str, change: dict[str, Any], message: str
) -> None:
    good: dict[str, Any] = {"model": "tiny", "messages": SAY, "prompt": "药"}
    response = requests.post(f"{url}/v1/{path}", json=good | change, timeout=10)
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "image_url", "image_url": {"url": "x"}}], "images are not read here: send text alone"),
        (
            [{"type": "text", "text": "看"}, {"type": "input_audio", "input_audio": {}}],
            "sounds are not read here: send text alone",
        ),
        ([{"type": "video_url"}], "videos are not read here: send text alone"),
        ([{"type": "file", "file": {}}], "files are not read here: send text alone"),
        ([{"type": "thinking"}], "parts of the type 'thinking' are not read here: send text alone"),
        ([{"type": "text"}], PARTS),
        (["药"], PARTS),
        ({"text": "药"}, PARTS),
        (3, PARTS),
        (None, "must be a text, or a list of parts of text"),
    ],
)
def test_of_a_message_that_is_no_text(url: str, content: Any, message: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
    error = requests.post(f"{url}/v1/chat/completions", json=body, timeout=10).json()["error"]
    assert error["message"] == f"messages.0.content: {message}"
    assert error["param"] == "messages.0.content"


def test_a_history_with_a_call_of_a_tool_is_read(client: openai.OpenAI, model: engine.Model) -> None:
    """The assistant's turn is empty (null, or not there), the tool's result is text before the next
    question."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called: list[dict[str, Any]] = [
        {"role": "user", "content": "您好"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "晴"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "风"},
        {"role": "assistant", "content": "您好！"},
        {"role": "user", "content": "桂枝汤？"},
    ]
    feed = b"\xfd%b\xfe%b\xff\xfd%b\xfe"
    feed %= tuple(text.encode() for text in ("您好\n晴\n风", "您好！", "桂枝汤？"))
    assert chat(client, messages=called).choices[0].message.content == expected(model, feed, 3)[0]


@pytest.mark.parametrize("limit", [-1, 16_385, 10**30])
def test_a_limit_beyond_the_most_is_the_most(limit: int) -> None:
    said = {"model": "tiny", "messages": SAY, "prompt": "药", "max_tokens": limit}
    assert ChatRequest.model_validate(said).limit == 16_384
    assert CompletionRequest.model_validate(said).max_tokens == 16_384


def test_such_a_limit_is_answered(url: str) -> None:
    for path, body in (("completions", {"prompt": "药"}), ("chat/completions", {"messages": SAY})):
        said = {"model": "tiny", "max_tokens": -1, "stop": list("的一是在不了"[:4]), **body}
        assert requests.post(f"{url}/v1/{path}", json=said, timeout=30).status_code == 200


def test_a_slash_at_the_end_changes_nothing(url: str) -> None:
    for path in ("/v1/models", "/v1/models/tiny"):
        plain, slashed = (requests.get(url + path + end, timeout=10) for end in ("", "/"))
        assert (slashed.status_code, slashed.json(), slashed.history) == (200, plain.json(), [])
    body = {"model": "tiny", "prompt": "药", "max_tokens": 1}
    assert requests.post(url + "/v1/completions/", json=body, timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"{", 400), (b"[]", 400), (b"null", 400), (b'{"model": "tiny", "prompt": "\\ud800"}', 400),
        (b'{"model": "tiny", "prompt": "a", "temperature": NaN}', 400), (b"[" * 100_000, 400),
        (b'"' + b"a" * (1 << 20) + b'"', 413),
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(url: str, data: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    response = requests.post(url + "/v1/completions", data=data, headers=headers, timeout=10)
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_other_faults_have_the_same_form(url: str) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/chat/completions", 415),
    ):
        response = requests.request(method, url + path, data=b"text", timeout=10)
        assert response.status_code == status
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        chat(client, model="gpt-4")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


# What the real model does too fast to be caught at


@pytest.fixture
def scripted() -> Iterator[tuple[ScriptedEngine, str]]:
    engine = ScriptedEngine(lambda prompt: "一二三四五六")
    app = create_app(Settings(redis_url=NOWHERE, model="tiny"), engine=engine, store=Store(NOWHERE))
    with served(app) as url:
        yield engine, url
        engine.gate.set()


def running(url: str) -> float:
    text = requests.get(url + "/metrics", timeout=5).text
    return float(text.split("\nplm_num_requests_running ")[1].split("\n")[0])


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_hangs_up_ends_the_writing(scripted: tuple[ScriptedEngine, str], stream: bool) -> None:
    engine, url = scripted
    engine.gate.clear()
    body = json.dumps({"model": "tiny", "messages": SAY, "stream": stream}).encode()
    host, port = url.removeprefix("http://").split(":")
    before = running(url)
    with socket.create_connection((host, int(port))) as connection:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: running(url) == before + 1, what="the engine is asked")
    wait_until(lambda: running(url) == before, 5, what="the writing has ended")


def test_a_full_house_is_503_with_retry_after(scripted: tuple[ScriptedEngine, str]) -> None:
    engine, url = scripted
    engine.gate.clear()
    statuses: list[tuple[int, str | None]] = []

    def ask() -> None:
        body = {"model": "tiny", "messages": SAY}
        response = requests.post(url + "/v1/chat/completions", json=body, timeout=30)
        statuses.append((response.status_code, response.headers.get("Retry-After")))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(statuses) == 12, what="those without a place are sent away")
    assert set(statuses) == {(503, "1")}
    engine.gate.set()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in statuses) == [200] * 8 + [503] * 12
    assert requests.post(url + "/v1/completions", json={"model": "tiny", "prompt": "a"}, timeout=5).ok


def test_an_engine_that_is_away_is_503() -> None:
    nobody = RemoteEngine("http://127.0.0.1:1")
    app = create_app(Settings(redis_url=NOWHERE, model="tiny"), engine=nobody, store=Store(NOWHERE))
    http = app.test_client()
    for stream in (False, True):
        response = http.post(
            "/v1/completions",
            json={"model": "tiny", "prompt": "a", "stream": stream},
            base_url="http://localhost",
        )
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert response.json["error"]["code"] == "engine_down"
    app.extensions["plm"].answers.close(1)
    nobody.close()


def test_what_breaks_off_on_the_way_is_an_event(scripted: tuple[ScriptedEngine, str]) -> None:
    engine, url = scripted
    engine.faults = [RuntimeError("broken")]
    with openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0) as client:
        stream = client.chat.completions.create(model="tiny", messages=SAY, stream=True)  # type: ignore[call-overload]
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)


def test_the_document_names_every_path(url: str) -> None:
    document = requests.get(url + "/openapi.json", timeout=10).json()
    assert document["openapi"].startswith("3.1")
    assert {"/v1/models", "/v1/models/{name}", "/v1/chat/completions", "/v1/completions"} <= set(
        document["paths"]
    )


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service as it is shipped, slow enough to be caught at it: gunicorn, a real model, a host."""
    directory = tmp_path_factory.mktemp("service")
    slow = {"PLM_MODEL": "tcm", "PLM_ENGINE_DELAY_MS": 50}
    with Service(directory, "engine", **slow) as host:
        settings = {"PLM_REDIS_URL": redis_url, "PLM_ENGINE_URL": host.url, "PLM_API_KEYS": f"test:{KEY}"}
        with Service(directory, "web", **slow, **settings) as service:
            yield service


@pytest.mark.parametrize("stream", [True, False])
def test_under_gunicorn_a_caller_that_hangs_up_ends_the_writing(service: Service, stream: bool) -> None:
    body = {
        "model": "tcm",
        "prompt": "四君子汤",
        "seed": 1,
        "max_tokens": 1200,
        "stream": stream,
    }  # about 20 s
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        text = json.dumps(body).encode()
        head = f"Host: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        connection.sendall(
            f"POST /v1/completions HTTP/1.1\r\n{head}Content-Length: {len(text)}\r\n\r\n".encode() + text
        )
        wait_until(lambda: running(service.url) == 1, what="the engine is asked")
    wait_until(lambda: running(service.url) == 0, 3, what="the writing has ended")


def test_under_gunicorn_a_stream_comes_piece_by_piece(service: Service) -> None:
    with openai.OpenAI(base_url=service.url + "/v1", api_key=KEY, max_retries=0, timeout=30) as client:
        began, times, text = time.monotonic(), [], ""
        for chunk in complete(client, model="tcm", seed=1, max_tokens=60, stream=True):
            times.append(time.monotonic() - began)
            text += chunk.choices[0].text
        assert complete(client, model="tcm", seed=1, max_tokens=60).choices[0].text == text
    assert times[-1] - times[0] > 0.3
