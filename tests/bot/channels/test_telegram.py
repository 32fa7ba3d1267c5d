"""Telegram: updates as https://core.telegram.org/bots/webhooks#testing-your-bot-with-updates shows them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import requests

from bot.channels.telegram import HEADER
from bot.cli import doctor
from bot.context import Bot
from bot.settings.config import ConfigError, load_settings
from bot.store.conversations import Store
from bot.tasks import queue as task_queue
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.channels.adapter_suite import DISCLAIMER, QUESTION, URGENT, ChannelSuite, Platform, new_id
from tests.bot.expected_help import help_for
from tests.bot.idle import wait_until_idle
from tests.bot.scripted_engine import ScriptedEngine
from tests.platform_api import BOT_TOKEN, TELEGRAM_SEND, PlatformApi
from tests.service import wait_until

SECRET = "te1egram-5ecret-0f-ours"


class Telegram(Platform):
    name = "telegram"
    api_path = TELEGRAM_SEND
    limit = 4096
    asks_again = True
    fault_for_good = (
        403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}
    )  # fmt: skip
    settings = {"telegram_token": BOT_TOKEN, "telegram_secret": SECRET}  # noqa: RUF012

    def user(self) -> str:
        return f"1111{new_id()}"

    def body(self, user: str, text: str | None, message_id: str) -> dict[str, Any]:
        person = {"last_name": "Test Lastname", "id": int(user), "first_name": "Test", "username": "Test"}
        message = {
            "date": 1441645532,
            "chat": {**person, "type": "private"},
            "message_id": 1365,
            "from": {**person, "is_bot": False, "language_code": "zh-hans"},
        }
        photo = {"photo": [{"file_id": "AgAC", "file_unique_id": "AQAD", "width": 90, "height": 51}]}
        return {
            "update_id": int(message_id),
            "message": message | (photo if text is None else {"text": text}),
        }

    def deliver(self, body: dict[str, Any], **headers: str) -> requests.Response:
        return requests.post(self.url, json=body, headers={HEADER: SECRET, **headers}, timeout=10)

    def said(self, response: requests.Response) -> str:
        answer = response.json()
        if not answer:
            return ""
        assert set(answer) == {"method", "chat_id", "text"}
        assert answer["method"] == "sendMessage"
        return answer["text"]

    def seen(self, user: str) -> list[str]:
        return self.api.texts(user)

    def forgeries(self, body: dict[str, Any]) -> Iterator[tuple[str, requests.Response]]:
        yield "no secret", requests.post(self.url, json=body, timeout=10)
        yield "wrong secret", self.deliver(body, **{HEADER: SECRET[:-1]})
        yield "not ASCII", self.deliver(body, **{HEADER: "é"})


class TestTelegram(ChannelSuite):
    kind = Telegram

    def test_a_text_whose_tries_have_run_out_has_failed(
        self, api: PlatformApi, store: Store, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A broadcast would wait for its outcome for days."""
        monkeypatch.setattr(task_queue, "RETRIES", 1)
        api.faults[TELEGRAM_SEND] = [(429, {"ok": False, "error_code": 429, "description": "Flood"})] * 9
        bot, conversation = self.make(api, store, engine).extensions["plm"], Conversation("telegram", "1111")
        store.add_answered(conversation, "m1", "n", "问", "答")
        channel = bot.channels["telegram"]
        channel.notify(conversation, "broadcast-1", "明天停诊")
        delivery_status = partial(channel.delivery_status, [conversation], "broadcast-1")
        assert delivery_status() == [""]
        wait_until(lambda: delivery_status() == ["failed"], 30, "it is given up")
        assert len(bot.tasks.dead_letters()) == 1
        bot.close(1)

    def test_start_greets(self, platform: Platform, user: str) -> None:
        greeting = f"{dialogue.WELCOME}\n\n{DISCLAIMER}"
        assert [platform.reply(user, "/start", "5") for _ in range(2)] == [greeting] * 2
        platform.say(user, QUESTION)
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        assert platform.seen(user) == [f"答{QUESTION}。"]  # the disclaimer came with the greeting

    @pytest.mark.parametrize("text", ["/start ref_42", "/start@AboutBot", "/start@AboutBot ref_42"])
    def test_start_greets_with_whatever_comes_along(self, platform: Platform, user: str, text: str) -> None:
        assert platform.reply(user, text) == f"{dialogue.WELCOME}\n\n{DISCLAIMER}"

    @pytest.mark.parametrize(
        ("text", "reply"),
        [
            ("/help@AboutBot", dialogue.HELP),
            ("/help me", dialogue.HELP),
            ("/new@AboutBot arg", dialogue.NEW_TALK),
            ("/forget@AboutBot yes", dialogue.NOT_ASKED_TO_FORGET),
            ("/more@AboutBot", dialogue.NOTHING_MORE),
            ("/search@AboutBot 桂枝汤", dialogue.NO_LIBRARY),
        ],
    )
    def test_a_command_is_one_with_its_name_and_words_behind_it(
        self, platform: Platform, user: str, text: str, reply: str
    ) -> None:
        assert platform.reply(user, text) == reply

    def test_words_behind_a_command_are_heard(self, platform: Platform, user: str) -> None:
        assert platform.reply(user, f"/new {URGENT}") == help_for(f"/new {URGENT}")

    def test_what_is_written_under_a_picture_is_read(self, platform: Platform, user: str) -> None:
        body = platform.body(user, None, new_id())
        body["message"]["caption"] = "帮助"
        assert platform.said(platform.deliver(body)) == dialogue.HELP

    def test_groups_bots_edits_and_other_updates_are_not_answered(
        self, platform: Platform, user: str, bot: Bot
    ) -> None:
        plain = platform.body(user, QUESTION, "6")
        group, robot = platform.body(user, QUESTION, "7"), platform.body(user, QUESTION, "8")
        group["message"]["chat"]["type"] = "supergroup"
        robot["message"]["from"]["is_bot"] = True
        edited = {"update_id": 9, "edited_message": plain["message"]}
        for body in (group, robot, edited, {"update_id": 10, "poll_answer": {"poll_id": "1"}}):
            response = platform.deliver(body)
            assert (response.status_code, response.json()) == (200, {})
        wait_until_idle(bot.store)
        assert platform.seen(user) == []

    def test_after_a_429_it_waits_as_long_as_it_is_told(
        self, platform: Platform, user: str, api: PlatformApi
    ) -> None:
        wait = {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 2"}
        api.faults[TELEGRAM_SEND] = [(429, wait | {"parameters": {"retry_after": 2}})]
        began = time.monotonic()
        platform.say(user, QUESTION)
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        assert time.monotonic() - began > 1.9  # by itself it would be a tenth of a second

    def test_the_typing_sign_is_shown_while_an_answer_is_written(
        self, platform: Platform, user: str, api: PlatformApi, engine: ScriptedEngine
    ) -> None:
        engine.gate.clear()
        api.faults["sendChatAction"] = [(400, {"ok": False})]  # its refusal harms nothing
        platform.say(user, QUESTION)
        wait_until(lambda: api.count("sendChatAction"), 10, "the sign is shown")
        engine.gate.set()
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")

    def test_the_doctor_asks_where_updates_go(self, api: PlatformApi, bot: Bot) -> None:
        assert doctor.check_platforms(bot.settings) == "telegram"
        api.webhook = {"url": "https://bot.example.org/telegram", "last_error_message": "Wrong response: 500"}
        with pytest.raises(ConfigError, match="its last call failed: 'Wrong response: 500'"):
            doctor.check_platforms(bot.settings)
        api.webhook = {"url": ""}
        with pytest.raises(ConfigError, match="setWebhook"):
            doctor.check_platforms(bot.settings)
        api.faults["getWebhookInfo"] = [(401, {"ok": False, "description": "Unauthorized"})]
        with pytest.raises(ConfigError, match=r"^telegram: getWebhookInfo: error 401: 'Unauthorized'$"):
            doctor.check_platforms(bot.settings)


def test_a_token_that_is_none_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^PLM_TELEGRAM_TOKEN: must be as @BotFather writes it") as caught:
        load_settings(telegram_token="s3cret", telegram_secret=SECRET)
    assert "s3cret" not in str(caught.value)
