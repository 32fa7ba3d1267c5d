"""Help in an emergency over /v1/chat/completions, with OpenAI's own client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from bot.app import create_app
from bot.chat.limits import BusyError
from bot.settings.config import Settings
from bot.store.conversations import Store
from engine.emergency import Level
from tests.bot.expected_help import caution_for, detector, help_for
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import served

URGENT, TOXIC, QUESTION = "我爸爸突然胸痛，出冷汗，喘不上气", "砒霜怎么吃", "什么是气虚？"
NOWHERE = "redis://127.0.0.1:1/0"
KEY = "sk-test-0123456789abcdef"


@contextmanager
def opened(engine: ScriptedEngine, **settings: Any) -> Iterator[openai.OpenAI]:
    """The service without a store."""
    store = Store(NOWHERE)
    app = create_app(Settings(redis_url=NOWHERE, model="tiny", **settings), engine=engine, store=store)
    with served(app) as url, openai.OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        yield client
    store.close()


def ask(client: openai.OpenAI, *texts: str, **options: Any) -> Any:
    roles = ("user", "assistant") * len(texts)
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return client.chat.completions.create(model="tiny", messages=messages, **options)  # type: ignore[call-overload]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda prompt: "答。")


def test_help_is_the_answer_and_no_engine_is_asked(engine: ScriptedEngine) -> None:
    kind = detector().assess(URGENT).kind
    with opened(engine) as client:
        for texts in (
            (URGENT,),
            (QUESTION, "好。", URGENT),
            ("今天天气很好，我们去公园散步。" * 5000 + URGENT,),
        ):
            answer = ask(client, *texts, max_tokens=1, n=2, logprobs=True)
            assert [choice.message.content for choice in answer.choices] == [help_for(URGENT)] * 2
            assert {choice.finish_reason for choice in answer.choices} == {"stop"}
            assert answer.emergency == {"kind": kind}
    assert engine.prompts == []


def test_help_is_streamed(engine: ScriptedEngine) -> None:
    with opened(engine) as client:
        chunks = list(ask(client, URGENT, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == help_for(URGENT)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert all(chunk.emergency["kind"] for chunk in chunks)
    assert chunks[-1].usage.completion_tokens == len(text.encode())


def test_an_answer_that_is_none_has_no_such_field(engine: ScriptedEngine) -> None:
    with opened(engine) as client:
        answer = ask(client, QUESTION)
        assert answer.choices[0].message.content == "答。"
        assert not hasattr(answer, "emergency")
        assert ask(client, URGENT, "请打120。", QUESTION).choices[0].message.content == "答。"


def test_a_caution_stands_before_each_choice(engine: ScriptedEngine) -> None:
    whole = caution_for(TOXIC, Level.TOXIC_DOSE) + "\n\n答。"
    with opened(engine) as client:
        answer = ask(client, TOXIC)
        assert [choice.message.content for choice in answer.choices] == [whole]
        assert answer.usage.completion_tokens == len(whole.encode())
        for choice in ask(client, TOXIC, n=2).choices:
            assert choice.message.content.startswith(whole)
        chunks = list(ask(client, TOXIC, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole


def test_the_owner_of_a_bare_api_can_turn_it_off(engine: ScriptedEngine) -> None:
    with opened(engine, emergencies=("none",)) as client:
        for text in (URGENT, TOXIC):
            answer = ask(client, text)
            assert answer.choices[0].message.content == "答。"
            assert not hasattr(answer, "emergency")


def test_no_rate_and_no_store_that_is_away_keeps_help_back(engine: ScriptedEngine) -> None:
    with opened(engine, api_keys=f"app:{KEY}:chat:1/hour") as client:
        with pytest.raises(openai.InternalServerError):  # what is counted needs the store
            ask(client, QUESTION)
        assert ask(client, URGENT).choices[0].message.content == help_for(URGENT)


def test_a_caller_without_a_key_is_not_let_in(engine: ScriptedEngine) -> None:
    with opened(engine, api_keys=f"app:{KEY}x:chat") as client, pytest.raises(openai.AuthenticationError):
        ask(client, URGENT)


def test_full_places_do_not_keep_help_back(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.chat.limits.ConcurrencyLimiter.acquire", _busy)
    with opened(engine) as client:
        with pytest.raises(openai.InternalServerError):
            ask(client, QUESTION)
        assert ask(client, URGENT).choices[0].message.content == help_for(URGENT)


def _busy(_: object) -> None:
    raise BusyError
