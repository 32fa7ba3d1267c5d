"""Feishu: events as https://open.feishu.cn/document/server-docs/im-v1/message/events/receive shows them."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bot.channels.feishu import Feishu as Channel
from bot.cli import doctor
from bot.context import Bot
from bot.settings.config import ConfigError
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.channels.adapter_suite import DISCLAIMER, QUESTION, ChannelSuite, Platform, new_id
from tests.bot.scripted_engine import ScriptedEngine
from tests.platform_api import APP_ID, APP_SECRET, FEISHU_INFO, FEISHU_SEND, TENANT_TOKEN, PlatformApi
from tests.service import wait_until

KEY, TOKEN = "test key", "v3rification-5ecret"


def seal(text: str, key: str = KEY) -> str:
    iv, padding = secrets.token_bytes(16), 16 - len(text.encode()) % 16
    cipher = Cipher(algorithms.AES(hashlib.sha256(key.encode()).digest()), modes.CBC(iv)).encryptor()
    return base64.b64encode(iv + cipher.update(text.encode() + bytes([padding]) * padding)).decode()


def headers(body: bytes, key: str = KEY, seconds: float = 0) -> dict[str, str]:
    timestamp, nonce = str(int(time.time() + seconds)), secrets.token_hex(8)
    signature = hashlib.sha256((timestamp + nonce + key).encode() + body).hexdigest()
    return {
        "X-Lark-Request-Timestamp": timestamp,
        "X-Lark-Request-Nonce": nonce,
        "X-Lark-Signature": signature,
        "Content-Type": "application/json",
    }


class Feishu(Platform):
    name = "feishu"
    api_path = FEISHU_SEND
    limit = 4000
    repeatable = True
    asks_again = True
    fault_for_good = (400, {"code": 230013, "msg": "Bot has NO availability to this user."})
    settings = {  # noqa: RUF012
        "feishu_app_id": APP_ID,
        "feishu_app_secret": APP_SECRET,
        "feishu_encrypt_key": KEY,
        "feishu_verification_token": TOKEN,
    }

    def user(self) -> str:
        return f"ou_84aad35d084aa403a838cf73{new_id()}"

    def body(self, user: str, text: str | None, message_id: str) -> dict[str, Any]:
        return {
            "schema": "2.0",
            "header": {
                "event_id": "5e3702a84e847582be8db7fb73283c02",
                "event_type": "im.message.receive_v1",
                "create_time": "1608725989000",
                "token": TOKEN,
                "app_id": APP_ID,
                "tenant_key": "2ca1d211f64f6438",
            },
            "event": {
                "sender": {
                    "sender_id": {"union_id": "on_8ed6aa67826108097d9ee143816345", "open_id": user},
                    "sender_type": "user",
                    "tenant_key": "736588c9260f175e",
                },
                "message": {
                    "message_id": message_id,
                    "create_time": "1609073151345",
                    "chat_id": "oc_5ce6d572455d361153b7xx51da133945",
                    "chat_type": "p2p",
                    "message_type": "image" if text is None else "text",
                    "content": json.dumps({"image_key": "img_x"} if text is None else {"text": text}),
                },
            },
        }  # fmt: skip

    def deliver(self, body: dict[str, Any], key: str = KEY, seconds: float = 0) -> requests.Response:
        data = json.dumps({"encrypt": seal(json.dumps(body), key)}).encode()
        return requests.post(self.url, data=data, headers=headers(data, key, seconds), timeout=10)

    def said(self, response: requests.Response) -> str:
        assert response.json() == {}
        return ""

    def seen(self, user: str) -> list[str]:
        return self.api.texts(user)

    def forgeries(self, body: dict[str, Any]) -> Iterator[tuple[str, requests.Response]]:
        sealed = json.dumps({"encrypt": seal(json.dumps(body))}).encode()
        other = json.dumps({"encrypt": seal(json.dumps(body), "other")}).encode()
        plain = json.dumps(body).encode()
        bad_token = {**body, "header": {**body["header"], "token": "wrong"}}
        yield "not signed", requests.post(self.url, data=sealed, timeout=10)
        yield "downgraded", requests.post(self.url, data=plain, headers=headers(plain), timeout=10)
        yield "another key", self.deliver(body, "other")
        yield "another body", requests.post(self.url, data=sealed, headers=headers(b"x"), timeout=10)
        yield "another seal", requests.post(self.url, data=other, headers=headers(other), timeout=10)
        yield "old", self.deliver(body, seconds=-9 * 3600)
        yield "wrong token", self.deliver(bad_token)
        yield (
            "no seal",
            self.deliver({}) if not body else requests.post(self.url, data=b'{"encrypt":"AAAA"}', timeout=10),
        )
        check = {"challenge": "c", "token": "wrong", "type": "url_verification"}
        yield (
            "a check with a wrong token",
            requests.post(self.url, json={"encrypt": seal(json.dumps(check))}, timeout=10),
        )


class TestFeishu(ChannelSuite):
    kind = Feishu

    def test_the_check_of_the_address_is_answered(self, platform: Feishu) -> None:
        """It comes without a signature."""
        check = {"challenge": "ajls384kdjx98XX", "token": TOKEN, "type": "url_verification"}
        response = requests.post(platform.url, json={"encrypt": seal(json.dumps(check))}, timeout=10)
        assert (response.status_code, response.json()) == (200, {"challenge": "ajls384kdjx98XX"})

    def test_the_documented_ciphertext_is_opened(self, bot: Bot) -> None:
        channel = bot.channels["feishu"]
        assert isinstance(channel, Channel)
        assert channel._decrypt("P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=") == b"hello world"

    def test_a_token_that_is_too_old_is_replaced_by_one_fetch(
        self, platform: Feishu, user: str, api: PlatformApi
    ) -> None:
        platform.say(user, QUESTION)
        wait_until(lambda: platform.seen(user), 15, "the first answer")
        api.tokens += 1
        platform.say(user, "那血虚呢？")
        wait_until(lambda: len(platform.seen(user)) == 2, 15, "the second answer")
        assert api.count(TENANT_TOKEN) == 2
        assert api.count(FEISHU_SEND) == 3

    def test_a_lasting_refusal_of_the_token_is_not_asked_again_without_end(
        self, platform: Feishu, user: str, api: PlatformApi, bot: Bot
    ) -> None:
        api.faults[FEISHU_SEND] = [(400, {"code": 99991663, "msg": f"Invalid {APP_SECRET}"})] * 4
        platform.say(user, QUESTION)
        wait_until(lambda: platform.seen(user), 15, "the answer comes when that is over")
        assert api.count(FEISHU_SEND) == 5

    def test_a_reply_that_could_not_be_sent_is_made_up_for_when_the_platform_asks_again(
        self, platform: Feishu, user: str, api: PlatformApi
    ) -> None:
        api.faults[FEISHU_SEND] = [(429, {"code": 99991400, "msg": "request trigger frequency limit"})]
        assert platform.say(user, "帮助", "7").status_code == 503
        for _ in range(2):
            assert platform.say(user, "帮助", "7").status_code == 200
        assert len(platform.seen(user)) == 1
        api.faults[FEISHU_SEND] = [self.kind.fault_for_good]
        assert platform.say(user, "帮助", "8").status_code == 200  # asking again would not help

    def test_groups_are_answered_there_and_only_when_somebody_is_mentioned(
        self, platform: Feishu, user: str, api: PlatformApi, bot: Bot
    ) -> None:
        mention = {"key": "@_user_1", "id": {"open_id": "ou_bot"}, "name": "Bot", "tenant_key": "x"}
        group = platform.body(user, "@_user_1 公开", "7")
        group["event"]["message"] |= {"chat_type": "group", "chat_id": "oc_group", "mentions": [mention]}
        unmentioned = platform.body(user, "闲谈", "8")
        unmentioned["event"]["message"] |= {"chat_type": "group", "chat_id": "oc_group"}
        for body in (unmentioned, group, platform.body(user, "私下", "9")):
            assert platform.deliver(body).status_code == 200
        wait_until(lambda: len(api.sent) == 2, 15, "both are answered")
        assert dict(api.sent) == {"oc_group": f"{DISCLAIMER}\n\n答公开。", user: f"{DISCLAIMER}\n\n答私下。"}
        assert self.turns(bot, f"oc_group/{user}") == [("user", "公开"), ("assistant", "答公开。")]

    def test_a_message_for_somebody_else_in_a_group_is_none_for_the_bot(
        self, platform: Feishu, user: str, api: PlatformApi
    ) -> None:
        colleague = {"key": "@_user_1", "id": {"open_id": "ou_li"}, "name": "Li", "tenant_key": "x"}
        everybody = {"key": "@_all", "id": {"open_id": ""}, "name": "all", "tenant_key": "x"}
        own = {"key": "@_user_2", "id": {"open_id": "ou_bot"}, "name": "Bot", "tenant_key": "x"}

        def say(message_id: str, *mentions: dict[str, Any]) -> str:
            body = platform.body(user, " ".join([*(m["key"] for m in mentions), "帮助"]), message_id)
            group = {"chat_type": "group", "chat_id": "oc_group", "mentions": list(mentions)}
            body["event"]["message"] |= group
            before = len(api.sent)
            assert platform.deliver(body).json() == {}
            return "".join(text for _, text in api.sent[before:])

        api.faults[FEISHU_INFO] = [(500, {})]
        assert say("1", own) == ""  # it cannot know: silence
        assert say("2", colleague) == ""
        assert say("3", everybody) == ""
        assert say("4", own) == dialogue.HELP
        assert say("5", colleague, own) == dialogue.HELP
        assert api.count(FEISHU_INFO) == 2  # asked until it is known

    def test_the_text_of_a_post_is_read(self, platform: Feishu, user: str, bot: Bot) -> None:
        lines = [
            [
                {"tag": "text", "text": "四君子汤"},
                {"tag": "a", "href": "https://x.example", "text": "是什么"},
            ],
            [{"tag": "img", "image_key": "img_x"}],
            [{"tag": "at", "user_id": "@_user_1", "user_name": "Bot"}, {"tag": "text", "text": "？"}],
        ]
        body = platform.body(user, None, "7")
        content = json.dumps({"title": "请问", "content": lines})
        body["event"]["message"] |= {"message_type": "post", "content": content}
        assert platform.deliver(body).status_code == 200
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        assert self.turns(bot, user)[0] == ("user", "请问\n四君子汤是什么\n？")

    def test_an_answer_calls_nobody(self, platform: Feishu, user: str, engine: ScriptedEngine) -> None:
        engine.answer = lambda prompt: '<at user_id="all">所有人</at>'
        platform.say(user, QUESTION)
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        assert "<at" not in platform.seen(user)[0]

    def test_other_events_and_other_bots_are_not_answered(
        self, platform: Feishu, user: str, bot: Bot
    ) -> None:
        bots, read = platform.body(user, QUESTION, "7"), platform.body(user, QUESTION, "8")
        bots["event"]["sender"]["sender_type"] = "app"
        read["header"]["event_type"] = "im.message.message_read_v1"
        for body in (bots, read):
            assert platform.deliver(body).json() == {}
        assert bot.store.message(Conversation("feishu", user), "7").status == ""

    def test_the_doctor_fetches_a_token(self, bot: Bot, api: PlatformApi) -> None:
        assert doctor.check_platforms(bot.settings) == "feishu"
        api.faults[TENANT_TOKEN] = [(200, {"code": 10014, "msg": "app secret invalid"})]
        with pytest.raises(ConfigError, match=r"^feishu: .*error 10014: 'app secret invalid'$"):
            doctor.check_platforms(bot.settings)
