"""What a visitor does with what is kept: earlier talks, ratings, export, erasure; over HTTP."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from bot.store.conversations import Store
from bot.store.feedback import FeedbackStore
from bot.text import dialogue
from bot.text.records import Conversation
from bot.web import talks
from bot.web.strings import STRINGS
from bot.web.visitor import COOKIE
from tests.bot.admin_client import AdminClient, everything, spelt
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import wait_until

SAYS = STRINGS["zh-CN"]


@pytest.fixture
def host(store: Store) -> Iterator[AdminClient]:
    """Its engine numbers its answers."""
    numbers = iter(range(1, 1000))
    host = AdminClient(store, "http://127.0.0.1:9/", ScriptedEngine(lambda prompt: f"答{next(numbers)}。"))
    yield host
    host.close()


class Visitor:
    def __init__(self, host: AdminClient) -> None:
        self.client: FlaskClient = host.app.test_client()
        assert self.get("/").status_code == 200
        cookie = self.client.get_cookie(COOKIE)
        assert cookie
        self.conversation = Conversation("page", cookie.value)

    def get(self, path: str) -> Any:
        return self.client.get(path)

    def post(self, path: str, message_id: str = "", **body: object) -> Any:
        return self.client.post(path, json={"id": message_id or secrets.token_hex(16), **body})

    def ask(self, text: str, message_id: str = "", **body: object) -> list[dict[str, Any]]:
        response = self.post("/page/chat", message_id, text=text, **body)
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.text.splitlines()]

    def shown(self, path: str = "/") -> str:
        return str(self.get(path).text).split("<footer", maxsplit=1)[0]

    def talks(self) -> list[tuple[int, str, bool]]:
        rows = self.get("/page/talks").json["talks"]
        return [(row["talk"], row["title"], row["current"]) for row in rows]


@pytest.fixture
def visitor(host: AdminClient) -> Visitor:
    return Visitor(host)


def test_earlier_talks_are_listed_shown_and_gone_on_with(visitor: Visitor) -> None:
    assert visitor.talks() == []
    visitor.ask("第一个问题")
    assert visitor.post("/page/new").json == {"done": True, "talk": 1}
    visitor.ask("第二个问题", talk=1)
    assert visitor.talks() == [(1, "第二个问题", True), (0, "第一个问题", False)]
    earlier = visitor.shown("/?talk=0")
    assert "第一个问题" in earlier
    assert 'data-talk="0"' in earlier
    assert "第二个问题" not in earlier
    assert "第二个问题" in visitor.shown()  # to look at one changes nothing
    visitor.ask("还有呢？", talk=0)
    assert visitor.talks() == [(0, "第一个问题", True), (1, "第二个问题", False)]
    assert "还有呢？" in visitor.shown()
    said = visitor.ask("新对话", talk=0)[-1]
    assert (said["clear"], said["talk"]) == ("talk", 2)
    for wrong in ("7", "-1", "x", "９"):
        assert 'data-talk="2"' in visitor.shown(f"/?talk={wrong}")


def test_a_talk_is_erased(visitor: Visitor, store: Store) -> None:
    visitor.ask("我的秘密")
    visitor.ask("导出")
    visitor.post("/page/new")
    visitor.ask("别的问题", talk=1)
    assert visitor.post("/page/erase", talk=0).json == {"done": True, "talk": 1}
    left = everything(store)
    assert [spelling for spelling in spelt("我的秘密") if spelling in left] == []
    assert visitor.talks() == [(1, "别的问题", True)]
    assert visitor.post("/page/erase", talk=1).json == {"done": True, "talk": 2}
    assert visitor.talks() == []
    for wrong in (None, -1, True, "x", 10**12):
        assert visitor.post("/page/erase", talk=wrong).status_code == 400


def counted(host: AdminClient) -> dict[str, int]:
    """What the page's people did today."""
    days = host.bot.answers.days.read(1)
    return dict(days[0]["channels"]["page"]) if days else {}


def test_answers_are_rated(visitor: Visitor, host: AdminClient, store: Store) -> None:
    message_id = secrets.token_hex(16)
    visitor.ask("问题", message_id)
    assert 'data-verdict=""' in visitor.shown()
    for verdict in ("down", "up", "up"):
        assert visitor.post("/page/feedback", message_id, verdict=verdict).json == {"done": True}
    assert FeedbackStore(store).of(visitor.conversation) == {message_id: "up"}
    assert 'data-verdict="up"' in visitor.shown()
    counts = {"down": 0, "people": 1, "questions": 1, "up": 1}
    wait_until(lambda: counted(host) == counts, 5, "it is counted")
    assert visitor.post("/page/feedback", verdict="up").json == {"error": SAYS["no_answer"]}
    assert Visitor(host).post("/page/feedback", message_id, verdict="down").status_code == 404
    for wrong in (None, "bad", 1, ["up"]):
        assert visitor.post("/page/feedback", message_id, verdict=wrong).status_code == 400


def test_another_answer_takes_the_place_of_the_last_one(visitor: Visitor, store: Store) -> None:
    first, second, third = (secrets.token_hex(16) for _ in range(3))
    visitor.ask("问题", first)
    visitor.post("/page/feedback", first, verdict="down")
    assert visitor.ask("问题", second, instead=first)[-1] == {"done": True}
    visitor.ask("问题", second, instead=first)  # sent again
    turns = [(turn["message_id"], turn["content"]) for turn in store.turns(visitor.conversation)]
    assert turns == [(second, "问题"), (second, "答2。")]
    assert FeedbackStore(store).marked_down(9) == []
    visitor.ask("另一个问题", third, instead=first)  # that is not the last one: nothing is taken back
    assert len(store.turns(visitor.conversation)) == 4


def test_a_refused_question_takes_nothing_back(store: Store) -> None:
    host = AdminClient(store, "http://127.0.0.1:9/", rate_limit="1/hour")
    visitor, first = Visitor(host), secrets.token_hex(16)
    visitor.ask("问题", first)
    (refusal,) = visitor.ask("问题", instead=first)
    assert refusal["command"]
    assert len(store.turns(visitor.conversation)) == 2
    counts = {"limited": 1, "people": 1, "questions": 1}
    wait_until(lambda: counted(host) == counts, 5, "both are counted")
    host.close()


def test_a_question_over_the_limit_is_refused_and_an_emergency_in_it_is_not(
    visitor: Visitor, store: Store
) -> None:
    fits = "咳" * dialogue.MAX_QUESTION
    response = visitor.post("/page/chat", text=fits + "嗽")
    assert (response.status_code, "2,000" in response.json["error"]) == (413, True)
    assert store.turns(visitor.conversation) == []
    assert visitor.ask(fits)[-1] == {"done": True}
    urgent = visitor.ask("长" * 2500 + "。我爸爸突然胸痛，出冷汗，喘不上气。")[-1]
    assert "120" in urgent["text"]
    assert "command" not in urgent
    visitor.client.set_cookie("plm_language", "en")
    assert "at most 2,000 characters" in visitor.post("/page/chat", text=fits + "!").json["error"]


def test_the_transcript_is_a_file(visitor: Visitor, host: AdminClient) -> None:
    visitor.ask("第一个")
    visitor.post("/page/new")
    visitor.ask("第二个", talk=1)
    visitor.ask("又第一个", talk=0)
    file = visitor.get("/page/export")
    assert file.headers["Content-Disposition"].startswith("attachment; filename=")
    lines = [line.split("：", 1)[1] for line in file.text.splitlines() if "：" in line]
    assert lines == ["第一个", "答1。", "又第一个", "答3。", "第二个", "答2。"]
    assert Visitor(host).get("/page/export").text.strip() == dialogue.NOTHING_TO_EXPORT


def test_forget_me_leaves_nothing_of_the_visitor(visitor: Visitor, host: AdminClient, store: Store) -> None:
    message_id = secrets.token_hex(16)
    visitor.ask("我的秘密", message_id)
    visitor.post("/page/feedback", message_id, verdict="down")
    response = visitor.post("/page/forget")
    assert response.json == {"done": True, "talk": 0}
    cookie = visitor.client.get_cookie(COOKIE)
    assert cookie
    assert cookie.value != visitor.conversation.user
    left = everything(store)
    assert message_id not in left
    assert [spelling for spelling in spelt("我的秘密") if spelling in left] == []
    assert store.turns(visitor.conversation) == []
    host.bot.erasure.erase_conversation(visitor.conversation)  # as when the minute for retries is over
    assert visitor.conversation.user not in everything(store)


@pytest.mark.parametrize("path", ["/page/feedback", "/page/erase", "/page/forget"])
def test_other_sites_cannot_speak_for_the_browser(visitor: Visitor, store: Store, path: str) -> None:
    message_id = secrets.token_hex(16)
    visitor.ask("问题", message_id)
    body = {"id": message_id, "talk": 0, "verdict": "up"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert visitor.client.post(path, json=body, headers=headers).status_code == 403
    form = visitor.client.post(path, data=json.dumps(body), headers={"Content-Type": "text/plain"})
    assert form.status_code == 415
    assert len(store.turns(visitor.conversation)) == 2
    assert FeedbackStore(store).of(visitor.conversation) == {}


def test_they_have_a_rate(visitor: Visitor) -> None:
    most = talks.RATES[0].amount
    statuses = [visitor.get("/page/talks").status_code for _ in range(most + 1)]
    assert statuses == [200] * most + [429]
    refused = visitor.get("/page/talks")
    assert refused.headers["Retry-After"].isdigit()
    assert refused.json == {"error": SAYS["slow"]}
