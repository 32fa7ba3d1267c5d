"""What owners read to make the bot better: search, marks, what readers think, figures by day; over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.admin import transcripts
from bot.inference.messages import Finished
from bot.store.conversations import Store
from bot.text.names import WORDS, visitor_name
from bot.text.records import Conversation
from tests import small_library
from tests.bot.admin_client import HEADERS, AdminClient
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.service import wait_until

ADDRESS = "http://127.0.0.1:9/"
VISITOR = Conversation("page", "0123456789abcdef" * 2)


@pytest.fixture
def host(store: Store) -> Iterator[AdminClient]:
    engine = ScriptedEngine(lambda prompt: f"回答{question_of(prompt)}。")
    host = AdminClient(store, ADDRESS, engine)
    yield host
    host.close()


def ask(host: AdminClient, reader: Conversation, text: str, message_id: str) -> None:
    answers = host.bot.answers
    answers.enqueue(reader, message_id, text)
    assert list(answers.stream(reader, message_id, 10))[-1].done


def found(host: AdminClient, **query: object) -> list[tuple[str, list[str]]]:
    rows = host.get("conversations", **query).json["conversations"]
    return [(row["user"], [one["text"] for one in row["found"]]) for row in rows]


def test_texts_are_searched(host: AdminClient, store: Store) -> None:
    for user, text in (
        ("u1", "桂枝汤怎么煎？"),
        ("u2", "ＧＵＩＺＨＩ Tang"),
        ("u3", "别的"),
        ("u4", "长" * 100 + "桂枝汤"),
    ):
        ask(host, Conversation("webhook-shop", user), text, f"m-{user}")
    assert found(host, text="guizhi") == [("u2", ["ＧＵＩＺＨＩ Tang", "回答ＧＵＩＺＨＩ Tang。"])]
    last, first = found(host, text="桂枝汤")
    assert first == ("u1", ["桂枝汤怎么煎？", "回答桂枝汤怎么煎？。"])
    assert last[0] == "u4"
    assert [text.startswith("…长") for text in last[1]] == [True, True]
    assert found(host, text="没有人说过") == []
    assert host.get("conversations", text="长" * 201).status_code == 400
    assert "桂枝" not in str(host.get("audit").json)


def test_a_search_goes_on_where_it_ended(
    host: AdminClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "LOOKED_AT", 3)
    for number in range(8):
        ask(host, Conversation("webhook-shop", f"u{number}"), "有" if number % 2 else "无", f"m{number}")
    users: list[str] = []
    cursor, pages = "", 0
    while cursor is not None:
        page = host.get("conversations", text="有", limit=1, cursor=cursor).json
        users += [row["user"] for row in page["conversations"]]
        cursor, pages = page["cursor"], pages + 1
    assert users == ["u7", "u5", "u3", "u1"]
    assert pages >= 4
    monkeypatch.setattr(transcripts, "PATIENCE", -1.0)
    page = host.get("conversations", text="u0", limit=1).json
    assert (page["conversations"], page["cursor"] is not None) == ([], True)


def test_visitors_of_the_page_have_names(host: AdminClient) -> None:
    ask(host, VISITOR, "问题", "0" * 32)
    ask(host, Conversation("webhook-shop", "u1"), "问题", "m1")
    rows = {row["channel"]: row for row in host.get("conversations").json["conversations"]}
    assert rows["page"]["name"] == visitor_name(VISITOR.user)
    assert "name" not in rows["webhook-shop"]
    assert host.get(f"conversations/{VISITOR.id}").json["name"]["zh-CN"].startswith("访客")
    assert len(set(WORDS)) == len({english for _, english in WORDS}) == 64
    assert len({visitor_name(f"{number:032x}")["en"] for number in range(500)}) > 400


def test_transcripts_say_what_was_thought_of_answers(host: AdminClient, store: Store) -> None:
    ask(host, VISITOR, "第一个", "a" * 32)
    ask(host, VISITOR, "第二个", "b" * 32)
    host.bot.erasure.feedback.mark(VISITOR, "a" * 32, "down")
    host.bot.erasure.feedback.mark(VISITOR, "b" * 32, "up")
    turns = host.get(f"conversations/{VISITOR.id}").json["turns"]
    assert [turn.get("feedback") for turn in turns] == [None, "down", None, "up"]
    assert '"feedback":"down"' in host.get("export", user=VISITOR.user).text
    (row,) = host.get("marked-down").json["answers"]
    assert (row["question"], row["answer"], row["conversation"]) == ("第一个", "回答第一个。", VISITOR.id)
    assert row["name"] == visitor_name(VISITOR.user)


def marks(host: AdminClient, reader: Conversation) -> list[Any]:
    turns = host.get(f"conversations/{reader.id}").json["turns"]
    return [turn.get("marks") for turn in turns if turn["role"] == "assistant"]


def test_transcripts_mark_answers(store: Store, tmp_path: Path) -> None:
    library = small_library.write(tmp_path / "library")
    host = AdminClient(store, ADDRESS, library=library.folder, forbidden=("桂枝",))
    assert host.bot.library
    assert host.bot.library.wait(20)
    shop = Conversation("webhook-shop", "u1")
    for number, text in enumerate(
        (small_library.HERB, small_library.UNKNOWN, small_library.FORMULA, "我爸爸突然胸痛，出冷汗，喘不上气")
    ):
        host.say("u1", text, f"m{number}")
    assert marks(host, shop) == [None, ["abstained"], ["censored"], ["emergency"]]
    day = {"abstained": 1, "emergencies": 1, "people": 1, "questions": 4, "quoted": 2}
    counted = lambda: host.get("days").json["days"][0]["channels"]["webhook-shop"]  # noqa: E731
    wait_until(lambda: counted() == day, 5, "all are counted")
    host.close()
    again = AdminClient(store, ADDRESS)
    assert again.get("days", days=1).json["days"][0]["channels"]["webhook-shop"] == day
    assert again.get("days", days=401).status_code == 400
    again.close()


def test_an_unsure_answer_is_marked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unsure(ScriptedEngine):
        def stream(self, prompt: Any, cancel: Any) -> Iterator[Any]:
            for event in super().stream(prompt, cancel):
                ended = isinstance(event, Finished)
                yield Finished(event.state, event.finish_reason, bits=9.0) if ended else event

    host = AdminClient(store, ADDRESS, Unsure())
    host.say("u1", "今天怎么样", "m1")
    assert marks(host, Conversation("webhook-shop", "u1")) == [["unsure"]]
    host.close()


def test_reasons_are_in_the_language_of_the_page(host: AdminClient) -> None:
    for language, reason in (
        ("zh-CN", "没有要发的文字"),
        ("en", "there is nothing to send"),
        ("", "there is nothing to send"),
    ):
        headers = HEADERS | ({"Accept-Language": language} if language else {})
        said = host.client.post("/admin/api/broadcasts", headers=headers, json={"text": " "})
        assert said.json["error"]["message"] == reason
    chinese = HEADERS | {"Accept-Language": "zh-CN"}
    said = host.client.get("/admin/api/stats?minutes=x", headers=chinese).json["error"]["message"]
    assert said.startswith("没有成功：minutes must be")
