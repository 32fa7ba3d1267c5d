"""Answers from the library in the bot: what answers which question, and what is kept of it for how long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.chat.answers import Answers
from bot.chat.commands import Commands
from bot.chat.erasure import Erasure
from bot.chat.limits import Limits
from bot.inference import library as library_module
from bot.inference.library import ServedLibrary
from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import ConfigError, Settings
from bot.store.conversations import Store
from bot.tasks.queue import TaskQueue
from bot.text import dialogue
from bot.text.records import Citation, Conversation, Message
from engine.library import Library
from tests import small_library
from tests.bot.admin_client import everything
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.service import wait_until
from tests.small_library import FORMULA, HERB, HERBS, SHANGHAN, UNKNOWN

TALKER = Conversation("wechat", "oUser1")


class WeighingEngine(ScriptedEngine):
    def likelihood(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        if kind == "fill":
            own = [{"text": "无", "bits": 30.0}]
            books = [{"text": one, "bits": 20.0} for one in fields.get("among", ())]
            return {"text": fields["text"].replace("____", "无"), "gaps": [books + own]}
        return {"scores": [-9.0, -1.0], "answer": 1}


class Bot:
    """One process's answers and commands over a store and a library that others may share."""

    def __init__(self, store: Store, folder: Path, **settings: Any) -> None:
        self.engine = WeighingEngine(lambda prompt: "模型写的。")
        self.store = store
        self.served = ServedLibrary(folder)
        self.served.start()
        self.answers = Answers(store, self.engine, library=self.served, **settings)
        self.erasure = Erasure(store, TaskQueue(store), Limits(store))
        forbidden = settings.get("forbidden", ())
        self.commands = Commands(
            store,
            self.engine,
            Settings(redis_url="redis://x", forbidden=forbidden),
            self.erasure,
            self.served,
        )

    def ask(self, message_id: str, text: str, whose: Conversation = TALKER) -> Message:
        self.answers.enqueue(whose, message_id, text)
        message = self.answers.wait(whose, message_id, time.monotonic() + 20)
        wait_until(lambda: not self.answers._workers)
        return message

    def command(self, message_id: str, text: str) -> str:
        name = dialogue.command(text)
        assert name is not None
        done = self.commands.run(TALKER, message_id, name, text)
        return done.reply or done.text

    def close(self) -> None:
        self.engine.gate.set()
        self.answers.close(2)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return small_library.write(tmp_path / "library")


@pytest.fixture
def bot(store: Store, library: Library) -> Iterator[Bot]:
    bot = Bot(store, library.folder)
    yield bot
    bot.close()


def test_an_answer_is_a_quotation_kept_with_its_place_and_the_model_is_not_asked(
    bot: Bot, store: Store, library: Library
) -> None:
    message = bot.ask("m1", FORMULA)
    assert f"「{HERBS}」——《{SHANGHAN}·辨太阳病脉证并治中》" in message.text
    assert bot.engine.prompts == []
    (kept,) = store.turns(TALKER)[-1]["citations"]
    assert message.citations == (Citation(**kept),)
    source = library.source(SHANGHAN)
    assert library.text(source.id, kept["start"], kept["end"]) == kept["quote"] == HERBS
    assert store.message(TALKER, "m1").citations == message.citations
    assert [update.citations for update in bot.answers.stream(TALKER, "m1")][-1] == message.citations


def test_a_follow_up_carries_the_topic_on_within_its_talk(bot: Bot) -> None:
    bot.ask("m1", FORMULA)
    assert "以水九升" in bot.ask("m2", "那怎么煎？").text
    bot.command("m3", "新对话")
    assert "以水九升" not in bot.ask("m4", "那怎么煎？").text


def test_what_stands_nowhere_is_said_and_listed_once_a_person(bot: Bot) -> None:
    for number, user in enumerate(("oUser1", "oUser1", "oUser2")):
        message = bot.ask(f"m{number}", UNKNOWN, Conversation("wechat", user))
        assert message.text.startswith("书里没有找到")
    bot.ask("m9", "彩票号码怎么选？")
    rows = bot.answers.unanswered.list()
    assert [(row.question, row.people) for row in rows] == [(UNKNOWN[:-1], 2), ("彩票号码怎么选", 1)]


def test_only_the_newest_unanswered_questions_are_kept(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.unanswered.MOST", 2)
    for text in ("甲是什么", "乙是什么", "丙是什么"):
        bot.answers.unanswered.note(TALKER, text)
    assert bot.answers.unanswered.list() == []  # of a conversation that nobody knows
    bot.store.enqueue(TALKER, "m1", "n", "问")
    for text in ("甲是什么", "乙是什么", "丙是什么"):
        bot.answers.unanswered.note(TALKER, text)
    assert [row.question for row in bot.answers.unanswered.list()] == ["丙是什么", "乙是什么"]


def test_greetings_and_the_owners_own_answers_need_no_model(bot: Bot) -> None:
    assert bot.ask("m1", "你好").text.startswith("您好")
    assert bot.ask("m2", "几点开门？").text == small_library.OPEN
    assert bot.engine.prompts == []


@pytest.mark.parametrize(
    ("text", "read", "shown"),
    [
        ("续写：夫百病之生也", "夫百病之生也", ""),
        ("續寫: 夫百病之生也", "夫百病之生也", ""),
        ("写：论桂枝", "论桂枝\n", "桂枝者，"),
        ("写：論桂枝", "論桂枝\n", "桂枝者，"),
        ("写：一篇关于失眠的文章。", "一篇关于失眠的文章。\n", "失眠者，"),
        ("写：论语", "论语\n", "论语者，"),
        ("写：春夜的诗", "春夜的诗\n", ""),
        ("写：春天到了燕子从南方飞回来了", "春天到了燕子从南方飞回来了\n", ""),
    ],
)
def test_who_asks_for_writing_gets_the_models_own_words_marked_so(
    bot: Bot, store: Store, text: str, read: str, shown: str
) -> None:
    bot.ask("m0", FORMULA)
    message = bot.ask("m1", text)
    assert message.text == dialogue.OWN_WORDS + shown + "模型写的。"
    (prompt,) = bot.engine.prompts
    assert (prompt.tail, prompt.state, bot.engine.before[0]) == ((read + shown).encode(), None, b"")
    assert store.client.exists(TALKER.base + "state") == 0


def test_choices_are_weighed(bot: Bot) -> None:
    message = bot.ask("m1", "阳明之为病是？ A. 脾胃虚 B. 胃家实")
    assert message.text.startswith("我猜是 B. 胃家实")
    assert "「180．阳明之为病，胃家实（一作寒）是也。」——《伤寒论·辨阳明病脉证并治》" in message.text
    assert [one.book for one in message.citations] == [SHANGHAN]
    assert bot.engine.prompts == []


def test_a_gap_is_filled_out_of_a_book(bot: Bot) -> None:
    message = bot.ask("m1", "益气强阴，____，强筋力，疏痰气")
    assert message.text.startswith("益气强阴，通血脉，强筋力，疏痰气\n")
    assert "——《本草备要·天麻》" in message.text


def test_a_statement_is_judged_by_a_book(bot: Bot) -> None:
    message = bot.ask("m1", "判断：天麻辛温，入肝经气分。")
    assert message.text.startswith("这句话像是")
    assert "《本草备要·天麻》" in message.text


def test_without_a_library_the_model_answers_as_ever(store: Store) -> None:
    answers = Answers(store, ScriptedEngine(lambda prompt: f"答{question_of(prompt)}"))
    answers.enqueue(TALKER, "m1", FORMULA)
    assert answers.wait(TALKER, "m1", time.monotonic() + 10).text == "答" + FORMULA
    answers.close(2)


def test_a_model_that_answers_later_reads_no_quotation(bot: Bot, store: Store) -> None:
    """Nor does its state: what is quoted may be removed from the library."""
    bot.ask("m1", FORMULA)
    bot.ask("m2", "你好")
    model = ScriptedEngine(lambda prompt: "好。")
    answers = Answers(store, model)
    answers.enqueue(TALKER, "m3", "三")
    answers.wait(TALKER, "m3", time.monotonic() + 10)
    answers.close(2)
    assert model.prompts[0].state is None
    assert "你好".encode() in model.before[0]
    assert HERBS.encode() not in model.before[0]


def test_another_process_takes_over_and_says_the_same(bot: Bot, store: Store) -> None:
    expected = bot.ask("m1", FORMULA).text
    other = Conversation("wechat", "oUser2")
    store.enqueue(other, "m1", "nonce", FORMULA)
    store.acquire(other, "killed")
    message = bot.answers.wait(other, "m1", time.monotonic() + 20)
    assert (message.text, message.starts) == (expected, 2)
    assert bot.ask("m1", FORMULA).text == expected  # the platform's retry
    assert len(store.turns(TALKER)) == 2


def test_the_passage_behind_an_answer_with_its_neighbours(bot: Bot) -> None:
    assert bot.command("m0", "出处") == dialogue.NO_SOURCE
    bot.ask("m1", HERB)
    bot.ask("m2", FORMULA)
    shown = bot.command("m3", "出處")
    assert shown.startswith(f"【《{SHANGHAN}·")
    assert HERBS in shown
    assert "麻黄汤主之" in shown
    assert "天麻" not in shown
    assert "阳明之为病" not in shown  # of the next chapter
    bot.ask("m4", "你好")
    assert bot.command("m5", "/source") == dialogue.NO_SOURCE


def test_searching_and_the_list_of_books(bot: Bot, library: Library) -> None:
    assert HERBS in bot.command("m1", "查：麻黄汤")
    assert "白附子" in bot.command("m2", "/search 牵正散")
    assert bot.command("m3", "查:qqqq") == dialogue.NOTHING_FOUND.format("qqqq")
    assert bot.command("m4", "目录").splitlines()[0] == f"《{SHANGHAN}》东汉 张仲景"
    with library.writer() as writer:
        writer.set_enabled(library.source(SHANGHAN).id, False)
    assert SHANGHAN not in bot.command("m5", "/books")
    assert HERBS not in bot.command("m6", "查：麻黄汤")


def test_a_removed_book_is_quoted_no_more_in_a_talk_that_quoted_it(bot: Bot, library: Library) -> None:
    bot.ask("m1", FORMULA)
    small_library.remove(library, SHANGHAN)
    assert bot.command("m2", "出处") == f"——《{SHANGHAN}》{dialogue.SOURCE_GONE}"
    for number, text in enumerate((FORMULA, "那怎么煎？", "查：麻黄汤", "阳明之为病，下一句是什么？"), 3):
        is_command = dialogue.command(text) is not None
        said = bot.command(f"m{number}", text) if is_command else bot.ask(f"m{number}", text).text
        for words in (HERBS, "以水九升", "胃家实"):
            assert words not in said


def test_another_text_under_the_same_title_is_not_taken_for_it(bot: Bot, library: Library) -> None:
    bot.ask("m1", FORMULA)
    small_library.remove(library, SHANGHAN)
    with library.writer() as writer:
        writer.add_text(SHANGHAN, "", "", "别的话。" * 500, file="x.txt", kind="document")
    assert dialogue.SOURCE_GONE in bot.command("m2", "出处")


def test_forgetting_takes_citations_and_unanswered_questions(bot: Bot, store: Store) -> None:
    bot.ask("m1", FORMULA)
    bot.ask("m2", UNKNOWN)
    bot.ask("m3", UNKNOWN, Conversation("wechat", "oUser2"))
    bot.command("m4", "忘记我")
    bot.command("m5", "确认忘记")
    assert HERBS not in everything(store)
    assert [row.people for row in bot.answers.unanswered.list()] == [1]
    bot.erasure.erase_user("oUser2")
    assert UNKNOWN[:-1] not in everything(store)


def test_answers_of_older_versions_are_read_without_citations(bot: Bot, store: Store) -> None:
    row = {"role": "assistant", "content": "旧", "time": 1.0, "message_id": "m0", "talk": 0}
    bot.ask("m0", "你好")
    store.client.rpush(TALKER.base + "turns", json.dumps(row))
    store.client.hdel(TALKER.base + "job:m0", "citations")
    assert store.message(TALKER, "m0").citations == ()
    assert bot.command("m1", "出处") == dialogue.NO_SOURCE
    assert bot.ask("m2", FORMULA).citations


def test_forbidden_words_are_masked_in_quotations_too(store: Store, library: Library) -> None:
    bot = Bot(store, library.folder, forbidden=("杏仁",))
    message = bot.ask("m1", FORMULA)
    said = (
        message.text,
        message.citations[0].quote,
        bot.command("m2", "出处"),
        bot.command("m3", "查：麻黄汤"),
    )
    for text in said:
        assert "杏仁" not in text
        assert "＊＊（去皮尖" in text
    bot.close()


# Building


def test_one_process_builds_and_the_others_wait(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, builds, go = tmp_path / "new", list[Path](), threading.Event()

    def build(served: ServedLibrary) -> None:
        builds.append(served.folder)
        go.wait(10)
        small_library.write(served.folder)

    monkeypatch.setattr(ServedLibrary, "_run_build", build)
    served = [ServedLibrary(folder) for _ in range(3)]
    for one in served:
        one.start()
    answers = Answers(store, ScriptedEngine(), library=served[0])
    answers.enqueue(TALKER, "m1", FORMULA)
    assert answers.wait(TALKER, "m1", time.monotonic() + 10).text == dialogue.PREPARING
    assert [one.fault() for one in served] == ["the library is being built"] * 3
    go.set()
    assert all(one.wait(20) for one in served)
    assert builds == [folder]
    answers.enqueue(TALKER, "m2", FORMULA)
    assert HERBS in answers.wait(TALKER, "m2", time.monotonic() + 10).text
    answers.close(2)


def test_an_older_library_answers_while_the_new_one_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(ServedLibrary, "_is_stale", lambda served: not go.is_set())
    monkeypatch.setattr(ServedLibrary, "_run_build", lambda served: go.wait(10))
    small_library.write(tmp_path)
    served = ServedLibrary(tmp_path)
    served.start()
    assert served.answerer is not None
    assert HERBS in served.answerer.answer(FORMULA).text
    go.set()


def test_a_build_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(served: ServedLibrary) -> None:
        raise ConfigError("PLM_LIBRARY: the disk is full")

    monkeypatch.setattr(ServedLibrary, "_run_build", build)
    served = ServedLibrary(tmp_path / "new")
    served.start()
    wait_until(lambda: served.fault() == "PLM_LIBRARY: the disk is full")
    assert served.answerer is None


def test_the_texts_of_one_file(tmp_path: Path) -> None:
    file = tmp_path / "hours.txt"
    file.write_text("营业时间\n\n" + small_library.OPEN * 3, "utf-8")
    served = ServedLibrary(tmp_path / "library", file)
    served.build()
    assert [source.title for source in served.library.sources()] == ["hours"]
    assert not served._is_stale()
    file.write_text("营业时间\n\n我们每天九点开门。", "utf-8")
    assert served._is_stale()


def test_a_library_of_ones_own_texts_alone_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "is_built", lambda folder: False)
    small_library.write(tmp_path)
    assert not ServedLibrary(tmp_path)._is_stale()


def test_processes_see_what_another_changes(bot: Bot, server: EmbeddedStore, library: Library) -> None:
    other = Bot(Store(server.url), library.folder)
    assert HERBS in other.ask("m1", FORMULA).text
    small_library.remove(library, SHANGHAN)
    assert HERBS not in other.ask("m2", FORMULA).text
    other.close()
    other.store.close()
