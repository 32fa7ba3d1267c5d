"""Commands and questions of likelihood, in a real store and over HTTP as WeChat sends them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.chat.answers import Answers
from bot.chat.commands import Commands
from bot.chat.erasure import Erasure
from bot.chat.limits import Limits
from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import Settings
from bot.store import conversations as store_module
from bot.store.conversations import Store
from bot.store.index import index_of
from bot.tasks.queue import TaskQueue
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.expected_help import help_for
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.service import Service, wait_until
from tests.wechat_platform import Platform

URGENT = "我胸口痛得厉害，胸痛"
TALKER, OTHER = Conversation("wechat", "oUser1"), Conversation("wechat", "oUser2")


class AdminClient:
    """A store, answers of a scripted engine, and the commands, as one process has them."""

    def __init__(self, store: Store, **settings: object) -> None:
        self.engine = ScriptedEngine(lambda prompt: f"答{question_of(prompt)}。")
        self.store = store
        self.answers = Answers(store, self.engine, **settings)  # type: ignore[arg-type]
        self.commands = Commands(
            store,
            self.engine,
            Settings(redis_url="redis://x"),
            Erasure(store, TaskQueue(store), Limits(store)),
        )

    def ask(self, message_id: str, text: str, whose: Conversation = TALKER) -> str:
        if command := dialogue.command(text):
            done = self.commands.run(whose, message_id, command, text)
            return done.reply or done.text
        self.answers.enqueue(whose, message_id, text)
        return self.answers.wait(whose, message_id, time.monotonic() + 10).text

    def turns(self) -> list[str]:
        return [turn["content"] for turn in self.store.turns(TALKER)]


@pytest.fixture
def admin_client(store: Store) -> Iterator[AdminClient]:
    admin_client = AdminClient(store)
    yield admin_client
    admin_client.engine.gate.set()
    admin_client.answers.close(2)


def test_undo_takes_back_question_answer_and_state_once(admin_client: AdminClient) -> None:
    admin_client.ask("m1", "一")
    admin_client.ask("m2", "二")
    assert admin_client.ask("m3", "撤回") == dialogue.UNDONE
    assert admin_client.ask("m3", "撤回") == dialogue.UNDONE  # a retry: the first question stays
    assert admin_client.turns() == ["一", "答一。"]
    admin_client.ask("m4", "三")
    assert admin_client.engine.prompts[-1].state is None
    assert admin_client.engine.before[-1] == dialogue.turn_bytes("一", "答一。")
    assert admin_client.ask("m2", "二") == "答二。"  # its own retry gets the same reply and changes nothing
    assert admin_client.turns() == ["一", "答一。", "三", "答三。"]
    for message_id in ("m5", "m6"):
        assert admin_client.ask(message_id, "/undo") == dialogue.UNDONE
    assert admin_client.ask("m7", "/undo") == dialogue.NOTHING_TO_UNDO
    admin_client.ask("m8", "新对话")
    assert admin_client.ask("m9", "撤回") == dialogue.NOTHING_TO_UNDO


def test_undo_ends_an_answer_that_is_being_written(admin_client: AdminClient) -> None:
    admin_client.engine.gate.clear()
    admin_client.answers.enqueue(TALKER, "m1", "一")
    wait_until(lambda: admin_client.engine.prompts)
    assert admin_client.ask("m2", "撤回") == dialogue.UNDONE
    admin_client.engine.gate.set()
    wait_until(lambda: not admin_client.answers._workers)
    assert admin_client.turns() == []
    assert admin_client.store.message(TALKER, "m1").text == dialogue.TAKEN_BACK
    assert admin_client.ask("m3", "二") == "答二。"
    assert admin_client.engine.before[-1] == b""


def test_forgetting_asks_once_and_leaves_no_trace(
    admin_client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "FORGOTTEN_MS", 400)
    admin_client.ask("o1", "别人", OTHER)
    assert admin_client.ask("m0", "确认忘记") == dialogue.NOT_ASKED_TO_FORGET
    admin_client.ask("m1", "一")
    assert admin_client.ask("m2", "忘记我") == dialogue.SURE_TO_FORGET
    assert admin_client.turns()
    for _ in range(2):
        assert admin_client.ask("m3", "确认忘记。") == dialogue.FORGOTTEN
    time.sleep(0.6)
    names = [key.decode() for key in admin_client.store.client.scan_iter("*")]
    assert not [name for name in names if "oUser1" in name]
    assert admin_client.store.client.zscore(index_of(TALKER), TALKER.id) is None
    assert [turn["content"] for turn in admin_client.store.turns(OTHER)] == ["别人", "答别人。"]


def test_an_export_is_the_users_own_transcript(admin_client: AdminClient) -> None:
    assert admin_client.ask("m0", "/export") == dialogue.NOTHING_TO_EXPORT
    admin_client.ask("o1", "别人", OTHER)
    admin_client.ask("m1", "一")
    assert admin_client.ask("m2", "导出") == "我：一\n答：答一。"
    admin_client.ask("m3", "二")
    assert admin_client.ask("m2", "导出") == "我：一\n答：答一。"  # a retry


def test_forbidden_words_are_never_published(store: Store) -> None:
    admin_client = AdminClient(store, forbidden=("坏东西",))
    admin_client.engine.answer = lambda prompt: "坏东、坏东西。坏"
    admin_client.answers.enqueue(TALKER, "m1", "一")
    told = "".join(update.text for update in admin_client.answers.stream(TALKER, "m1") if not update.restart)
    assert told == "坏东、＊＊＊。坏"
    assert admin_client.turns() == ["一", told]
    admin_client.ask("m2", "二")
    assert admin_client.engine.prompts[-1].state is None  # the state has read what was not said
    admin_client.answers.close(2)


def test_a_talk_longer_than_is_kept_goes_on(store: Store) -> None:
    store.keep_turns = 10
    admin_client = AdminClient(store, context_bytes=60)
    for number in range(12):
        assert admin_client.ask(f"m{number}", f"问{number}") == f"答问{number}。"
    assert len(admin_client.turns()) in (10, 11)
    assert admin_client.engine.prompts[-1].state == b"".join(
        dialogue.turn_bytes(f"问{number}", f"答问{number}。") for number in range(11)
    )
    store.client.delete(TALKER.base + "state")
    admin_client.ask("last", "末")
    last = [dialogue.turn_bytes(f"问{number}", f"答问{number}。") for number in (9, 10, 11)]
    assert admin_client.engine.before[-1] == b"".join(last)  # 55 bytes: the whole turns that fit in 60
    admin_client.answers.close(2)


def test_over_wechat(redis_url: str, tmp_path: Path) -> None:
    settings = {"PLM_MODEL": "tcm", "PLM_WECHAT_TOKEN": "AAAAA", "PLM_UNSURE": 0.01, "PLM_FORBIDDEN": "，,的"}
    with Service(tmp_path, "web", PLM_REDIS_URL=redis_url, **settings) as service:
        platform, store = Platform(service.url + "/wechat", "AAAAA"), Store(redis_url)
        talker = Conversation("wechat", "o-commands")
        assert platform.ask(talker.user, URGENT) == help_for(URGENT)
        answer = platform.ask(talker.user, "什么是气虚？")
        assert "的" not in answer.split("\n\n")[-1].replace(dialogue.MORE_HINT, "").replace(
            dialogue.UNSURE, ""
        )
        assert store.turns(talker)[-1]["remark"] == dialogue.UNSURE
        assert dialogue.UNSURE not in store.turns(talker)[-1]["content"]
        choice = platform.ask(talker.user, "四君子汤不含哪味？\nA. 人参\nB. 白术\nC. 大黄\nD. 甘草")
        assert choice[:6] in {f"我猜是 {letter}." for letter in "ABCD"}
        assert "____" not in platform.ask(talker.user, "四君子汤由人参、白术、____、甘草组成。")
        assert "%" in platform.ask(talker.user, "判断：四君子汤主治气虚。")
        assert "比特/字节" in platform.ask(talker.user, "/model")
        assert platform.ask(talker.user, "/undo") == dialogue.UNDONE
        assert len(store.turns(talker)) == 8
        assert platform.ask(talker.user, "导出").startswith(f"我：{URGENT}")
        assert platform.ask(talker.user, "忘記我") == dialogue.SURE_TO_FORGET
        assert platform.ask(talker.user, "確認忘記") == dialogue.FORGOTTEN
        assert store.turns(talker) == []
        store.close()


def test_the_server_keeps_an_undo(server: EmbeddedStore, admin_client: AdminClient) -> None:
    """Another process, with nothing in its memory, goes on from what is left."""
    admin_client.ask("m1", "一")
    admin_client.ask("m2", "二")
    admin_client.ask("m3", "撤回")
    other = AdminClient(Store(server.url))
    assert other.ask("m3", "撤回") == dialogue.UNDONE
    other.ask("m4", "三")
    assert other.engine.before == [dialogue.turn_bytes("一", "答一。")]
    other.answers.close(2)
    other.store.close()
