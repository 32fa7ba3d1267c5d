"""How much one person may ask over each channel: a polite answer, once settled for each message."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import limits
import pytest
import requests

from bot.app import create_app
from bot.chat.limits import BusyError, ConcurrencyLimiter, Limits
from bot.settings.config import load_settings
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from bot.web.visitor import COOKIE
from tests.bot.channels.test_webhook import NEW, headers
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import served
from tests.wechat_platform import Platform

TOO_MANY = "您今天问得比较多了"
RATES = tuple(limits.parse_many("2/hour"))


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    settings = load_settings(
        redis_url="redis://unused", model="tiny", rate_limit="2/hour", wechat_token="AAAAA",
        webhooks={"shop": {"secret": NEW}}, disclaimer="。",
    )  # fmt: skip
    with served(create_app(settings, engine=ScriptedEngine(), store=store)) as url:
        yield url


def test_a_wechat_user_is_told_politely_and_the_same_at_every_retry(url: str) -> None:
    platform = Platform(url + "/wechat", "AAAAA", appid="wx", mode="plain")
    for number in range(2):
        assert "好。" in platform.ask("o-1", f"问题{number}")
    message = platform.text("o-1", "再问")
    replies = [platform.request(message).reply for _ in range(3)]
    assert len(set(replies)) == 1
    assert str(replies[0]).startswith(TOO_MANY)
    assert "好。" in platform.ask("o-2", "问题")
    assert platform.ask("o-1", "帮助") == dialogue.HELP  # commands cost nothing


def test_a_retry_of_an_answered_message_is_not_counted(url: str) -> None:
    platform = Platform(url + "/wechat", "AAAAA", appid="wx", mode="plain")
    message = platform.text("o-1", "问题")
    replies = {platform.request(message).reply for _ in range(5)}
    assert len(replies) == 1
    assert "好。" in platform.ask("o-1", "第二个问题")


def test_a_webhook_user_gets_the_refusal_as_the_reply(url: str, store: Store) -> None:
    def tell(user: str, message_id: str) -> str:
        body = json.dumps({"user": user, "text": "问题", "id": message_id}).encode()
        response = requests.post(url + "/webhook/shop", data=body, headers=headers(body), timeout=10)
        assert response.status_code == 200
        return str(response.json()["reply"])

    replies = [tell("anna", str(number)) for number in range(3)]
    assert [TOO_MANY in reply for reply in replies] == [False, False, True]
    assert tell("anna", "2") == replies[2]
    assert "好。" in tell("anna", "0")
    assert "好。" in tell("bert", "0")
    assert [turn["role"] for turn in store.turns(Conversation("webhook-shop", "anna"))] == [
        "user",
        "assistant",
    ] * 2


def test_a_page_visitor_is_counted_by_address(url: str) -> None:
    def tell() -> list[dict[str, Any]]:
        cookies = {COOKIE: secrets.token_hex(16)}  # a new browser every time
        body = {"id": secrets.token_hex(16), "text": "问题"}
        response = requests.post(url + "/page/chat", json=body, cookies=cookies, timeout=10)
        return [json.loads(line) for line in response.text.splitlines()]

    answers = [tell() for _ in range(3)]
    assert [any(TOO_MANY in event.get("text", "") for event in events) for events in answers] == [
        False,
        False,
        True,
    ]
    assert answers[2][-1]["done"]


def test_each_of_several_rates_holds(store: Store) -> None:
    counted = Limits(store)
    rates = tuple(limits.parse_many("2/second;3/hour"))
    waits = [counted.hit("a", rates) for _ in range(3)]
    assert waits[:2] == [0, 0]
    assert 1 <= waits[2] <= 2
    assert counted.hit("b", rates) == 0
    assert counted.hit("a", ()) == 0


def test_without_a_store_nothing_is_let_through_uncounted() -> None:
    away = Store("redis://127.0.0.1:1/0")
    with pytest.raises(StoreDownError):
        Limits(away).hit("a", RATES)
    with pytest.raises(StoreDownError):
        Limits(away, RATES).refusal(Conversation("wechat", "o-1"), "1")
    assert Limits(away).refusal(Conversation("wechat", "o-1"), "1") is None
    away.close()


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [(1, "1 秒"), (89, "89 秒"), (90, "2 分钟"), (3600, "60 分钟"), (5400, "2 小时"), (86400, "24 小时")],
)
def test_the_wait_is_said_in_round_numbers(seconds: int, wait: str) -> None:
    assert wait in dialogue.too_many(seconds)


def test_a_gate_lets_so_many_in_and_again_when_they_leave() -> None:
    limiter = ConcurrencyLimiter(running=2, waiting=1, timeout=0.01)
    limiter.acquire()
    limiter.acquire()
    with pytest.raises(BusyError):
        limiter.acquire()
    limiter.release()
    limiter.acquire()
    limiter.release()
    limiter.release()
