"""DingTalk: a robot's message as https://open.dingtalk.com/document/orgapp/receive-message shows it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from bot.context import Bot
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.channels.adapter_suite import DISCLAIMER, QUESTION, ChannelSuite, Platform, new_id
from tests.bot.idle import wait_until_idle
from tests.bot.scripted_engine import ScriptedEngine
from tests.platform_api import APP_SECRET, DINGTALK_SEND, PlatformApi
from tests.service import wait_until

NOW = 0.0  # seconds from now


def signed(secret: str = APP_SECRET, seconds: float = NOW) -> dict[str, str]:
    timestamp = str(int((time.time() + seconds) * 1000))
    digest = hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256).digest()
    return {"timestamp": timestamp, "sign": base64.b64encode(digest).decode()}


class Dingtalk(Platform):
    name = "dingtalk"
    api_path = DINGTALK_SEND
    limit = 4000
    fault_for_good = (200, {"errcode": 300001, "errmsg": "session is not exist"})
    settings = {"dingtalk_app_secret": APP_SECRET}  # noqa: RUF012

    def user(self) -> str:
        return f"manager{new_id()}"

    def body(self, user: str, text: str | None, message_id: str) -> dict[str, Any]:
        picture = {"msgtype": "picture", "content": {"downloadCode": "mIof", "pictureDownloadCode": "d5g"}}
        return {
            "conversationId": "cidk4sOYpSJsyOkMDQwYg==",
            "chatbotCorpId": "dinge8a565xxxx",
            "chatbotUserId": "$:LWCP_v1:$Cxxxxx",
            "msgId": message_id,
            "senderNick": "杨xx",
            "isAdmin": True,
            "senderStaffId": user,
            "sessionWebhookExpiredTime": int((time.time() + 5400) * 1000),
            "createAt": int(time.time() * 1000),
            "senderCorpId": "dinge8a565xxxx",
            "conversationType": "1",
            "senderId": f"$:LWCP_v1:$Ff09{user}",
            "sessionWebhook": f"{self.api.url}{DINGTALK_SEND}?session={user}",
            "robotCode": "dingxxxx",
            **(picture if text is None else {"msgtype": "text", "text": {"content": " " + text}}),
        }

    def deliver(self, body: dict[str, Any], **headers: str) -> requests.Response:
        return requests.post(self.url, json=body, headers={**signed(), **headers}, timeout=10)

    def said(self, response: requests.Response) -> str:
        answer = response.json()
        if answer == {"msgtype": "empty"}:
            return ""
        assert set(answer) == {"msgtype", "text"}
        assert answer["msgtype"] == "text"
        return answer["text"]["content"]

    def seen(self, user: str) -> list[str]:
        return self.api.texts(user)

    def forgeries(self, body: dict[str, Any]) -> Iterator[tuple[str, requests.Response]]:
        yield "no headers", requests.post(self.url, json=body, timeout=10)
        yield "another secret", self.deliver(body, **signed("another"))
        yield "an hour old", self.deliver(body, **signed(seconds=-3700))
        yield "of the future", self.deliver(body, **signed(seconds=3700))
        yield "another time", self.deliver(body, timestamp=str(int(time.time() * 1000) - 1))
        yield "no time", self.deliver(body, **(signed() | {"timestamp": ""}))


class TestDingtalk(ChannelSuite):
    kind = Dingtalk

    # The platform's session is a window: what it refuses is kept for 继续, as with WeChat.
    test_what_is_refused_for_good_is_a_dead_letter_that_can_be_sent_again = None  # type: ignore[assignment]

    def test_what_a_session_refuses_is_kept_for_continue(
        self, platform: Dingtalk, user: str, api: PlatformApi, bot: Bot
    ) -> None:
        body = platform.body(user, QUESTION, "7")
        platform.deliver(body | {"sessionWebhook": f"{api.url}{DINGTALK_SEND}?session=ended"})
        conversation = Conversation("dingtalk", user)
        wait_until(lambda: bot.outbox.push_state(conversation, "7") == "kept", 15, "it was tried")
        assert platform.reply(user, "继续") == f"答{QUESTION}。"

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "http://127.0.0.1:9/robot/sendBySession?session=x",
            "{api}.evil.example/robot/sendBySession?session=x",
            "{api}@evil.example/robot/sendBySession?session=x",
            "{api}/robot/send?access_token=x",
            "{api}/robot/../admin/sendBySession",
            "file:///robot/sendBySession",
            "http://[::1/robot/sendBySession",
        ],
    )
    def test_an_address_that_is_not_dingtalk_s_is_never_called(
        self, platform: Dingtalk, user: str, api: PlatformApi, address: str, bot: Bot
    ) -> None:
        """Then the answer is in the response."""
        body = platform.body(user, QUESTION, "7") | {"sessionWebhook": address.format(api=api.url)}
        for _ in range(2):
            assert platform.said(platform.deliver(body)) == f"{DISCLAIMER}\n\n答{QUESTION}。"
        wait_until_idle(bot.store)
        assert api.calls == []

    def test_what_is_not_finished_in_time_is_brought_by_continue(
        self, platform: Dingtalk, user: str, engine: ScriptedEngine
    ) -> None:
        engine.gate.clear()
        body = platform.body(user, QUESTION, "7") | {"sessionWebhookExpiredTime": 1}
        assert platform.said(platform.deliver(body)) == f"{DISCLAIMER}\n\n{dialogue.STILL_THINKING}"
        engine.gate.set()
        assert platform.reply(user, "继续") == f"答{QUESTION}。"

    def test_an_end_beyond_what_the_store_can_count(self, platform: Dingtalk, user: str) -> None:
        body = platform.body(user, QUESTION, "8") | {"sessionWebhookExpiredTime": 2**63}
        assert platform.deliver(body).status_code == 200
        wait_until(lambda: platform.seen(user) == [f"{DISCLAIMER}\n\n答{QUESTION}。"], 15, "it is pushed")

    def test_an_address_put_into_the_store_is_not_called_either(
        self, platform: Dingtalk, user: str, bot: Bot, engine: ScriptedEngine, api: PlatformApi
    ) -> None:
        engine.gate.clear()
        platform.say(user, QUESTION, "7")
        conversation = Conversation("dingtalk", user)
        bot.store.client.hset(conversation.base + "sends", "address", f"{api.url}/robot/send?access_token=x")
        engine.gate.set()
        wait_until(lambda: bot.outbox.push_state(conversation, "7") == "kept", 15, "it was tried")
        assert api.calls == []

    def test_what_is_said_in_a_group_is_no_part_of_the_private_talk(
        self, platform: Dingtalk, user: str, api: PlatformApi, bot: Bot
    ) -> None:
        group = {"conversationType": "2", "conversationId": "cidGroup==", "isInAtList": True}
        group["sessionWebhook"] = f"{api.url}{DINGTALK_SEND}?session=group"
        platform.deliver(platform.body(user, "公开", "7") | group)
        platform.deliver(platform.body(user, "私下", "8"))
        wait_until(lambda: len(api.sent) == 2, 15, "both are answered")
        assert dict(api.sent) == {"group": f"{DISCLAIMER}\n\n答公开。", user: f"{DISCLAIMER}\n\n答私下。"}
        assert self.turns(bot, f"cidGroup==/{user}") == [("user", "公开"), ("assistant", "答公开。")]
        assert self.turns(bot, user) == [("user", "私下"), ("assistant", "答私下。")]

    def test_what_the_platform_has_understood_of_a_voice_message_is_read(
        self, platform: Dingtalk, user: str
    ) -> None:
        voice = {
            "msgtype": "audio",
            "content": {"duration": 4000, "recognition": "帮助", "downloadCode": "x"},
        }
        body = platform.body(user, None, "7") | voice
        assert platform.said(platform.deliver(body)) == dialogue.HELP

    def test_the_text_of_a_rich_message_is_read(self, platform: Dingtalk, user: str, bot: Bot) -> None:
        pieces = [{"text": "四君子汤"}, {"type": "picture", "downloadCode": "x"}, {"text": "是什么？"}]
        rich = {"msgtype": "richText", "content": {"richText": pieces}}
        platform.deliver(platform.body(user, None, "7") | rich)
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        assert self.turns(bot, user)[0] == ("user", "四君子汤是什么？")
        rich["content"] = {"richText": pieces[1:2]}
        assert platform.said(platform.deliver(platform.body(user, None, "8") | rich)) == dialogue.TEXT_ONLY
