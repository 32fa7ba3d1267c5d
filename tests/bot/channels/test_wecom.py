"""WeCom: messages as https://developer.work.weixin.qq.com/document/path/90239 shows them, and the vectors of
the platform's own sample code (https://developer.work.weixin.qq.com/document/path/90307)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from bot.app import create_app
from bot.channels.wechat import crypto
from bot.cli import doctor
from bot.context import Bot
from bot.settings.config import ConfigError, load_settings
from bot.store.conversations import Store
from bot.text import dialogue
from tests.bot.channels.adapter_suite import DISCLAIMER, QUESTION, ChannelSuite, Platform, new_id
from tests.bot.scripted_engine import ScriptedEngine
from tests.platform_api import AGENTID, CORP_SECRET, CORPID, GETTOKEN, WECOM_SEND, PlatformApi
from tests.service import wait_until
from tests.wechat_platform import Crypt, sign, to_xml

TOKEN, KEY = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
PREVIOUS = "B" * 42 + "A"
CRYPT = Crypt(TOKEN, KEY, CORPID)
# From the sample code.
ECHO = {
    "msg_signature": "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3",
    "timestamp": "1409659589",
    "nonce": "263014780",
    "echostr": "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ==",
}
MESSAGE = {
    "msg_signature": "477715d11cdb4164915debcba66cb864d751f3e6",
    "timestamp": "1409659813",
    "nonce": "1372623149",
}
MESSAGE_BODY = (
    "<xml><ToUserName><![CDATA[wx5823bf96d3bd56c7]]></ToUserName><Encrypt><![CDATA["
    "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/s"
    "YYvuJTs3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJ"
    "YuR+LtwGc2hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGU"
    "callcrw8V2t9EL4EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDY"
    "A5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q==]]></Encrypt>"
    "<AgentID><![CDATA[218]]></AgentID></xml>"
)


class Wecom(Platform):
    name = "wecom"
    api_path = WECOM_SEND
    limit = 2000
    fault_for_good = (200, {"errcode": 81013, "errmsg": "user & party & tag all invalid"})
    settings = {  # noqa: RUF012
        "wecom_corpid": CORPID,
        "wecom_agentid": AGENTID,
        "wecom_secret": CORP_SECRET,
        "wecom_token": TOKEN,
        "wecom_aes_key": KEY,
        "wecom_aes_key_previous": PREVIOUS,
    }

    def user(self) -> str:
        return f"mycreate{new_id()}"

    def body(self, user: str, text: str | None, message_id: str) -> dict[str, Any]:
        picture = {"MsgType": "image", "PicUrl": "https://p.example/x", "MediaId": "media_id"}
        return {
            "ToUserName": CORPID,
            "FromUserName": user,
            "CreateTime": 1348831860,
            "MsgId": message_id,
            "AgentID": AGENTID,
            **(picture if text is None else {"MsgType": "text", "Content": text}),
        }

    def deliver(
        self, body: dict[str, Any], crypt: Crypt = CRYPT, seconds: float = 0, **query: str
    ) -> requests.Response:
        fields = {name: value if isinstance(value, int | str) else str(value) for name, value in body.items()}
        encrypted = crypt.encrypt(to_xml(fields).encode())
        sealed = to_xml({"ToUserName": CORPID, "AgentID": str(AGENTID), "Encrypt": encrypted})
        timestamp, nonce = str(int(time.time() + seconds)), secrets.token_hex(8)
        signature = crypt.signature(timestamp, nonce, encrypted)
        query = {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce, **query}
        return requests.post(self.url, params=query, data=sealed.encode(), timeout=10)

    def said(self, response: requests.Response) -> str:
        if not response.content:
            return ""
        sealed = {child.tag: child.text or "" for child in ElementTree.fromstring(response.content)}
        signature = CRYPT.signature(sealed["TimeStamp"], sealed["Nonce"], sealed["Encrypt"])
        assert sealed["MsgSignature"] == signature
        reply = ElementTree.fromstring(CRYPT.decrypt(sealed["Encrypt"]))
        fields = {child.tag: child.text or "" for child in reply}
        assert (fields["FromUserName"], fields["MsgType"]) == (CORPID, "text")
        return fields["Content"]

    def seen(self, user: str) -> list[str]:
        return self.api.texts(user)

    def forgeries(self, body: dict[str, Any]) -> Iterator[tuple[str, requests.Response]]:
        plain, now = to_xml(body).encode(), str(int(time.time()))
        official = {"signature": sign(TOKEN, now, "n"), "timestamp": now, "nonce": "n"}
        yield "unsigned", requests.post(self.url, data=plain, timeout=10)
        yield "plain, signed as WeChat does", requests.post(self.url, params=official, data=plain, timeout=10)
        yield "wrong signature", self.deliver(body, msg_signature="0" * 40)
        yield "not ASCII", self.deliver(body, msg_signature="é")
        yield "old", self.deliver(body, seconds=-400)
        yield "another token", self.deliver(body, Crypt("other", KEY, CORPID))
        yield "another key", self.deliver(body, Crypt(TOKEN, "C" * 42 + "A", CORPID))
        yield "another corporation", self.deliver(body, Crypt(TOKEN, KEY, "wx0000000000000000"))
        yield "no signed echo", requests.get(self.url, params={"echostr": "x"}, timeout=10)


class TestWecom(ChannelSuite):
    kind = Wecom

    def test_the_check_of_the_address_of_the_sample_code(
        self, platform: Wecom, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert requests.get(platform.url, params=ECHO, timeout=10).status_code == 403  # it is of 2014
        monkeypatch.setattr(crypto.time, "time", lambda: 1409659600.0)
        response = requests.get(platform.url, params=ECHO, timeout=10)
        assert (response.status_code, response.text) == (200, "1616140317555161061")
        wrong = ECHO | {"nonce": "263014781"}
        assert requests.get(platform.url, params=wrong, timeout=10).status_code == 403

    def test_the_message_of_the_sample_code(
        self, platform: Wecom, bot: Bot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(crypto.time, "time", lambda: 1409659900.0)
        response = requests.post(platform.url, params=MESSAGE, data=MESSAGE_BODY, timeout=10)
        assert (response.status_code, response.content) == (200, b"")
        wait_until(lambda: platform.seen("mycreate"), 15, "the answer is sent")
        assert self.turns(bot, "mycreate")[0] == ("user", "hello")

    def test_what_the_previous_key_sealed_is_opened(self, platform: Wecom, user: str) -> None:
        assert platform.deliver(platform.body(user, QUESTION, "7"), Crypt(TOKEN, PREVIOUS, CORPID)).ok
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")

    def test_of_the_events_only_a_new_user_is_answered(self, platform: Wecom, user: str) -> None:
        event = platform.body(user, None, "") | {"MsgType": "event", "EventKey": ""}
        del event["MsgId"]
        for name, reply in (
            ("enter_agent", ""),
            ("LOCATION", ""),
            ("subscribe", f"{dialogue.WELCOME}\n\n{DISCLAIMER}"),
        ):
            assert platform.said(platform.deliver(event | {"Event": name})) == reply
        del event["FromUserName"]  # of customer service
        for name in ("kf_msg_or_event", "subscribe"):
            assert platform.said(platform.deliver(event | {"Event": name})) == ""

    def test_one_token_serves_all_processes_and_is_replaced_by_one_fetch(
        self, platform: Wecom, user: str, api: PlatformApi, store: Store, bot: Bot
    ) -> None:
        second = create_app(bot.settings, engine=ScriptedEngine(), store=Store(store.url)).extensions["plm"]
        users = [platform.user() for _ in range(4)]
        for number in (1, 2):
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda user: platform.say(user, QUESTION), users))
            wait_until(lambda number=number: len(api.sent) == 4 * number, 20, "all are answered")
            assert [len(platform.seen(user)) for user in users] == [number] * 4
            assert api.count(GETTOKEN) == number
            api.tokens += 1  # 42001 from now on
        second.close(1)

    def test_an_address_that_is_not_trusted_is_named(
        self, platform: Wecom, user: str, api: PlatformApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        api.faults[WECOM_SEND] = [
            (200, {"errcode": 60020, "errmsg": f"not allow, from ip 1.2.3.4 {CORP_SECRET}"})
        ]
        platform.say(user, QUESTION)
        wait_until(lambda: platform.seen(user), 15, "it comes when that is mended")
        assert "trusted IPs" in caplog.text
        assert CORP_SECRET not in caplog.text

    def test_the_doctor_fetches_a_token(self, bot: Bot, api: PlatformApi) -> None:
        assert doctor.check_platforms(bot.settings) == "wecom"
        api.faults[GETTOKEN] = [(200, {"errcode": 40001, "errmsg": "invalid credential"})]
        with pytest.raises(ConfigError, match=r"^wecom: gettoken: error 40001: 'invalid credential'$"):
            doctor.check_platforms(bot.settings)


def test_a_markup_in_an_answer_stays_in_its_place() -> None:
    xml = crypto.render(CORPID, "user", "a]]><Content>b</Content>")
    assert ElementTree.fromstring(xml).findtext("Content") == "a]]><Content>b</Content>"


@pytest.mark.parametrize("missing", ["corpid", "agentid", "secret", "token", "aes_key"])
def test_what_is_missing_is_named(missing: str) -> None:
    settings = {name: value for name, value in Wecom.settings.items() if name != f"wecom_{missing}"}
    with pytest.raises(ConfigError, match=f"^PLM_WECOM_{missing.upper()}: missing, and PLM_WECOM_"):
        load_settings(**settings)
