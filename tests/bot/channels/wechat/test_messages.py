"""Messages of every kind, over HTTP, from the stand-in platform to the running service, in all modes."""

from __future__ import annotations

import threading
import time
import unicodedata
import xml.sax.saxutils
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from bot.settings.config import DISCLAIMER
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from engine import Model
from tests.bot.expected_answer import message_answered_in
from tests.service import Service
from tests.tiny_model import write_tiny_model
from tests.wechat_platform import Message, Platform, sign, to_xml

TOKEN, KEY, APPID = "AAAAA", "A" * 43, "wxba5fad812f8e6fb9"
# Messages that would be let in but for their DTD.
WHOLE = b"""<xml><ToUserName>a</ToUserName><FromUserName>o-dtd</FromUserName><CreateTime>170000</CreateTime>
<MsgType>text</MsgType><Content>%s</Content><MsgId>1</MsgId></xml>"""
BOMB = (
    b'<!DOCTYPE xml [<!ENTITY a "' + b"a" * 1000 + b'">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b"]>" + WHOLE % b"&j;"
)  # fmt: skip
ENTITY = b'<!DOCTYPE xml [<!ENTITY a "a">]>' + WHOLE % b"&a;"
FILE = b'<!DOCTYPE xml [<!ENTITY f SYSTEM "file:///etc/hostname">]>' + WHOLE % b"&f;"
DTD = b'<!DOCTYPE xml SYSTEM "http://127.0.0.1:9/x.dtd">' + WHOLE % b"a"


@dataclass
class Front:
    """A running web process in one mode, the platform that talks to it, and the store behind it."""

    service: Service
    platform: Platform
    store: Store

    def turns(self, user: str) -> list[tuple[str, str]]:
        turns = self.store.turns(Conversation("wechat", user))
        return [(turn["role"], turn["content"]) for turn in turns]


@pytest.fixture(scope="module", params=["plain", "safe", "compatible"])
def front(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    mode, directory = request.param, tmp_path_factory.mktemp("web")
    sealed = {"PLM_WECHAT_AES_KEY": KEY, "PLM_WECHAT_APPID": APPID} if mode != "plain" else {}
    settings = {"PLM_WECHAT_TOKEN": TOKEN, "PLM_WECHAT_MODE": mode, "PLM_MODEL": "tcm"}
    service = Service(directory, "web", PLM_REDIS_URL=redis_url, **settings, **sealed)
    with service:
        platform = Platform(
            service.url + "/wechat", TOKEN, appid=APPID, aes_key=KEY if sealed else None, mode=mode
        )
        store = Store(redis_url)
        yield Front(service, platform, store)
        store.close()


@pytest.fixture
def user(request: pytest.FixtureRequest, front: Front) -> str:
    """An openid that no other test uses."""
    return f"o-{front.platform.mode}-{abs(hash(request.node.name)) % 10**10}"


def test_the_address_check_returns_echostr_to_the_platform_alone(front: Front) -> None:
    response = front.platform.check("4375120948345356249")
    assert (response.status_code, response.text) == (200, "4375120948345356249")
    for wrong in ({"signature": "0" * 40}, {"signature": ""}, {"signature": "é"}, {"nonce": "1"}):
        response = front.platform.check("4375120948345356249", **wrong)
        assert response.status_code in (401, 403)
        assert "4375120948345356249" not in response.text


def test_a_question_is_answered_once_and_kept(front: Front, user: str) -> None:
    reply = front.platform.ask(user, "什么是气虚？")
    turns = front.turns(user)
    assert [role for role, _ in turns] == ["user", "assistant"]
    assert turns[0][1] == "什么是气虚？"
    assert reply.startswith(DISCLAIMER)
    assert reply == f"{DISCLAIMER}\n\n{turns[1][1]}" or dialogue.MORE_HINT in reply
    second = front.platform.ask(user, "怎样调养？")
    assert not second.startswith(DISCLAIMER)
    assert len(front.turns(user)) == 4


def test_unsigned_and_wrongly_signed_messages_get_no_reply(front: Front, user: str) -> None:
    message = front.platform.text(user, "什么是气虚？")
    other = Platform(front.platform.url, "BBBBB", appid=APPID, aes_key=KEY, mode=front.platform.mode)
    requests_ = [other.seal(message)]
    query, body = front.platform.seal(message)
    signed_by = "msg_signature" if "msg_signature" in query else "signature"
    for wrong in ("0" * 40, "", query[signed_by][:-1], query[signed_by].upper() + "é"):
        requests_.append(({**query, signed_by: wrong}, body))
    requests_.append(({name: value for name, value in query.items() if name != signed_by}, body))
    requests_.append(({**query, "timestamp": str(int(query["timestamp"]) + 1)}, body))
    for query, body in requests_:
        response = front.platform.post(query, body)
        assert response.status_code in (401, 403), query
        assert "xml" not in response.text
    assert front.turns(user) == []


def test_the_mode_cannot_be_talked_down(front: Front, user: str) -> None:
    plain = Platform(front.platform.url, TOKEN)
    query, body = plain.seal(plain.text(user, "什么是气虚？"))
    response = plain.post(query, body)
    assert response.status_code == (200 if front.platform.mode != "safe" else 403)
    if front.platform.mode == "plain":
        sealed = Platform(front.platform.url, TOKEN, appid=APPID, aes_key=KEY, mode="safe")
        assert sealed.post(*sealed.seal(sealed.text(user, "…"))).status_code == 403
    else:
        for appid, key in ((APPID, "B" * 43), ("wx0000", KEY)):
            foreign = Platform(front.platform.url, TOKEN, appid=appid, aes_key=key, mode="safe")
            assert foreign.post(*foreign.seal(foreign.text(user, "…"))).status_code in (401, 403)


def test_a_replayed_request_says_nothing_new(front: Front, user: str) -> None:
    message = front.platform.text(user, "什么是气虚？")
    query, body = front.platform.seal(message)
    first = front.platform.read_reply(message, front.platform.post(query, body).content)
    again = front.platform.read_reply(message, front.platform.post(query, body).content)
    assert first == again
    assert len(front.turns(user)) == 2


def test_an_old_recording_is_refused(front: Front, user: str) -> None:
    query, body = front.platform.seal(front.platform.text(user, "什么是气虚？"))
    for age in (3600, -3600):
        old = {**query, "timestamp": str(int(query["timestamp"]) - age)}
        old["signature"] = sign(TOKEN, old["timestamp"], old["nonce"])
        if front.platform.crypt and "msg_signature" in query:
            encrypted = body.decode().split("<Encrypt><![CDATA[")[1].split("]]>")[0]
            old["msg_signature"] = front.platform.crypt.signature(old["timestamp"], old["nonce"], encrypted)
        assert front.platform.post(old, body).status_code in (401, 403)
    assert front.turns(user) == []


WHOLE = (
    b"<xml><ToUserName>a</ToUserName><FromUserName>b</FromUserName><CreateTime>1</CreateTime>"
    b"<MsgType>text</MsgType><Content>c</Content><MsgId>1</MsgId></xml>"
)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<xml>", b"<xml></xml>", b"not xml", b'{"MsgType": "text"}', b"\xff\xfe\x00", b"<html></html>",
        b"<?xml version='1.0' encoding='utf-32'?><xml/>", b"<xml>" + b"<a>" * 20_000, BOMB, ENTITY, FILE, DTD,
        b"<xml><ToUserName>a</ToUserName><FromUserName>b</FromUserName><MsgType>text</MsgType></xml>",
        WHOLE.replace(b">a<", b"> <"), WHOLE.replace(b">b<", b">b<i/><"),
        WHOLE.replace(b">c<", b"><c>c</c><"),
        WHOLE.replace(b"<xml>", b"<xml><FromUserName>x</FromUserName>"),
    ],
    ids=[
        "empty", "open", "hollow", "words", "json", "raw", "html", "utf32", "deep", "bomb", "entity", "file",
        "dtd", "partial", "blank", "in parts", "nested", "twice",
    ],
)  # fmt: skip
def test_malformed_xml_is_refused_at_once(front: Front, body: bytes) -> None:
    query, sealed = front.platform.seal(body)
    response = front.platform.post(query, sealed, timeout=1)
    assert response.status_code == 400
    assert "xml" not in response.headers["Content-Type"]
    query, _ = front.platform.seal(body)
    assert front.platform.post(query, body, timeout=1).status_code in (400, 401, 403)
    assert front.turns("o-dtd") == []


def test_text_that_breaks_cdata_is_kept_and_answered(front: Front, user: str) -> None:
    text = "]]><MsgType>event</MsgType>]]]]>&lt;<![CDATA["
    assert front.platform.ask(user, text)
    assert front.turns(user)[0] == ("user", text)
    # The same in a body without CDATA.
    message = front.platform.text(user, "]]>&<b>")
    xml = "<xml>" + "".join(
        f"<{name}>{xml_escaped(value)}</{name}>" for name, value in message.fields.items()
    )  # fmt: skip
    query, body = front.platform.seal((xml + "</xml>").encode())
    assert front.platform.read_reply(message, front.platform.post(query, body).content)
    assert front.turns(user)[2] == ("user", "]]>&<b>")


def xml_escaped(value: str | int) -> str:
    return xml.sax.saxutils.escape(str(value))


def test_a_message_of_20000_characters_gets_one_answer(front: Front, user: str) -> None:
    reply = front.platform.deliver(front.platform.text(user, "头痛发热" * 5000)).reply
    assert dialogue.QUESTION_CUT in str(reply)
    turns = front.turns(user)
    assert [role for role, _ in turns] == ["user", "assistant"]
    assert turns[0][1] == "头痛发热" * (dialogue.MAX_QUESTION // 4)


@pytest.mark.parametrize(
    "text", ["😀👩‍👩‍👧‍👦🏳️‍🌈", "𠮷龘𪚥㐂", "Ａ１ﬁ\u0301é", "ع\u200fب\u200d", "\ufffd�¿", "行\n二\t三"]
)
def test_emoji_and_rare_characters_survive(front: Front, user: str, text: str) -> None:
    assert front.platform.ask(user, text)
    assert front.turns(user)[0] == ("user", unicodedata.normalize("NFC", text))


@pytest.mark.parametrize("text", ["", " \n\t", "\u0085\u0080"])
def test_a_message_without_characters_gets_a_kind_answer(front: Front, user: str, text: str) -> None:
    assert front.platform.ask(user, text) == dialogue.NOTHING_TO_READ
    assert front.turns(user) == []


def test_users_at_once_do_not_mix(front: Front, user: str) -> None:
    users = [f"{user}-{number}" for number in range(6)]

    def talk(name: str) -> list[str]:
        return [front.platform.ask(name, f"{name}的第{turn}问") for turn in range(3)]

    with ThreadPoolExecutor(len(users)) as pool:
        list(pool.map(talk, users))
    for name in users:
        turns = front.turns(name)
        assert [content for role, content in turns if role == "user"] == [
            f"{name}的第{i}问" for i in range(3)
        ]
        assert [role for role, _ in turns] == ["user", "assistant"] * 3


def test_messages_of_one_user_at_once_are_each_answered_once(front: Front, user: str) -> None:
    messages = [front.platform.text(user, f"第{number}问") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda message: front.platform.deliver(message).reply, messages))
    assert all(replies)
    turns = front.store.turns(Conversation("wechat", user))
    asked = [turn["message_id"] for turn in turns if turn["role"] == "user"]
    answered = [turn["message_id"] for turn in turns if turn["role"] == "assistant"]
    assert sorted(asked) == sorted(str(message.fields["MsgId"]) for message in messages)
    assert answered == asked  # in the order in which they came in


def test_the_same_message_on_two_connections_is_one_message(front: Front, user: str) -> None:
    message = front.platform.text(user, "什么是气虚？")
    barrier = threading.Barrier(4)

    def send(_: int) -> str | None:
        barrier.wait()
        return front.platform.request(message).reply

    with ThreadPoolExecutor(4) as pool:
        replies = set(pool.map(send, range(4)))
    assert len(replies) == 1
    assert len(front.turns(user)) == 2


def test_a_new_follower_is_welcomed_once_with_the_disclaimer(front: Front, user: str) -> None:
    event = front.platform.event(user, "subscribe", EventKey="")
    replies = [front.platform.request(event).reply for _ in range(3)]
    assert replies == [f"{dialogue.WELCOME}\n\n{DISCLAIMER}"] * 3
    assert front.turns(user) == []
    assert not front.platform.ask(user, "什么是气虚？").startswith(DISCLAIMER)  # it was in the welcome


def test_events_that_nobody_waits_for_are_taken_in_silence(front: Front, user: str) -> None:
    for name in ("unsubscribe", "LOCATION", "VIEW", "TEMPLATESENDJOBFINISH"):
        attempt = front.platform.request(front.platform.event(user, name))
        assert (attempt.status, attempt.reply) == (200, None), name
    assert front.platform.request(front.platform.event(user, "CLICK", EventKey="help")).reply


def test_what_a_user_does_in_the_menu_or_by_a_code_is_answered(front: Front, user: str) -> None:
    ticket = {"EventKey": "qrscene_7", "Ticket": "gQH47joAAAAAAAAAASxodHRw"}
    welcome = front.platform.request(front.platform.event(user, "subscribe", **ticket)).reply
    assert str(welcome).startswith(dialogue.WELCOME)  # followed by scanning a code
    code = {"ScanType": "qrcode", "ScanResult": "https://example.com/"}
    for number, (name, fields) in enumerate(
        [
            ("SCAN", {"EventKey": "7", "Ticket": ticket["Ticket"]}),
            ("CLICK", {"EventKey": "MENU_HELP"}),
            ("scancode_waitmsg", {"EventKey": "k", **code}),
        ]
    ):
        event = front.platform.event(user, name, int(time.time()) - number, **fields)
        replies = [front.platform.request(event).reply for _ in range(2)]
        assert replies == [dialogue.HELP] * 2, name
    assert front.turns(user) == []


def test_a_spoken_question_is_answered_as_it_was_understood(front: Front, user: str) -> None:
    message = front.platform.voice(user, "什么是气虚？")
    reply = front.platform.request(message).reply
    assert front.turns(user)[0] == ("user", "什么是气虚？")
    assert front.platform.request(message).reply == reply
    assert len(front.turns(user)) == 2
    silence = front.platform.voice(user, "")
    assert front.platform.request(silence).reply == dialogue.TEXT_ONLY
    assert front.platform.request(front.platform.voice(user, "帮助。")).reply == dialogue.HELP


@pytest.mark.parametrize("kind", ["image", "voice", "location", "link"])
def test_other_kinds_get_a_kind_short_answer(front: Front, user: str, kind: str) -> None:
    message: Message = getattr(front.platform, kind)(user)
    assert front.platform.request(message).reply == dialogue.TEXT_ONLY
    assert front.turns(user) == []


@pytest.mark.parametrize("text", ["【收到不支持的消息类型，暂无法显示】", "[Unsupported Message]"])
def test_what_stands_for_a_sticker_is_no_question(front: Front, user: str, text: str) -> None:
    assert front.platform.request(front.platform.text(user, text)).reply == dialogue.TEXT_ONLY
    assert front.turns(user) == []


def test_help_and_new_talk(front: Front, user: str) -> None:
    assert front.platform.ask(user, "帮助") == front.platform.ask(user, "/help") == dialogue.HELP
    front.platform.ask(user, "什么是气虚？")
    new = front.platform.text(user, "新对话")
    assert [front.platform.request(new).reply for _ in range(2)] == [dialogue.NEW_TALK] * 2
    assert front.store.talk(Conversation("wechat", user)) == 1  # once, though it came twice
    assert front.platform.ask(user, "/new") == dialogue.NEW_TALK
    assert front.store.talk(Conversation("wechat", user)) == 2
    assert front.platform.ask(user, "继续") == dialogue.NOTHING_MORE
    assert len(front.turns(user)) == 2


def test_what_is_not_a_message_does_not_harm_the_service(front: Front) -> None:
    url = front.platform.url
    for response in (
        requests.get(url, timeout=5),
        requests.post(url, timeout=5),
        requests.put(url, timeout=5),
        requests.post(url, data=b"x" * (2 << 20), timeout=5),
        requests.post(url, params={"timestamp": "9" * 5000, "nonce": "\x00"}, data=b"<xml/>", timeout=5),
        front.platform.post(front.platform.seal(b"x")[0], to_xml({"Encrypt": "AAAA"}).encode()),
        front.platform.post(front.platform.seal(b"x")[0], to_xml({"Encrypt": "好"}).encode()),
    ):
        assert 400 <= response.status_code < 500
    assert front.service.ready()


def test_a_long_answer_comes_in_pieces_that_fit(redis_url: str, tmp_path: Path) -> None:
    model = str(write_tiny_model(tmp_path / "tiny.safetensors"))  # which seldom ends by itself
    settings = {
        "PLM_MODEL": model,
        "PLM_MAX_BYTES": 6000,
        "PLM_WECHAT_TOKEN": TOKEN,
        "PLM_REDIS_URL": redis_url,
    }
    with Service(tmp_path, "web", **settings) as service:
        platform, store = Platform(service.url + "/wechat", TOKEN), Store(redis_url)
        said, tiny, long = "", Model.load(model), range(1500, 6001)
        while len(said.encode()) <= 2 * 1800:  # characters of one byte may go into two replies
            message, said = message_answered_in(long, platform, tiny, "o-long", "什么是气虚？", b"", 6000)
        replies = [str(platform.deliver(message).reply)]
        service.kill()  # what is owed outlives the process
        service.start()
        while replies[-1].endswith(dialogue.MORE_HINT):
            assert len(replies) < 10
            replies.append(platform.ask("o-long", "继续"))
        assert platform.ask("o-long", "继续") == dialogue.NOTHING_MORE
        answer = store.turns(Conversation("wechat", "o-long"))[-1]["content"]
        store.close()
    assert len(replies) >= 3
    assert all(len(reply.encode()) > 900 for reply in replies[:-1])  # whole pieces, not crumbs
    text = "".join(reply.removesuffix(dialogue.MORE_HINT) for reply in replies).removeprefix(DISCLAIMER)
    assert "".join(text.split()) == "".join(answer.split())
