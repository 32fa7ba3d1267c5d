"""What every adapter must do, run on each of them by test_channel_<name>.py: the real application and store,
over real HTTP on both sides, with the stand-in of the platforms' APIs."""

from __future__ import annotations

import itertools
import os
import re
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bot.app import create_app
from bot.context import Bot
from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import load_settings
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from tests.bot.expected_help import help_for
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.platform_api import HANG_UP, PlatformApi
from tests.service import served, wait_until

QUESTION = "什么是气虚？"
URGENT = "我爸爸突然胸痛，出冷汗"
DISCLAIMER = "提示。"
SECRETS = ("5ecre", "t0k3n", "AAHdqTcvCH1vGWJx")
_numbers = itertools.count(1)


class Platform(ABC):
    """One platform as its users and its servers see it, for one running application."""

    name: str
    api_path: str  # of the call that sends a message
    limit: int
    repeatable = False
    asks_again = False
    fault_for_good: tuple[int, dict[str, Any]]
    settings: dict[str, Any]

    def __init__(self, url: str, api: PlatformApi) -> None:
        self.url = f"{url}/{self.name}"
        self.api = api

    @abstractmethod
    def user(self) -> str:
        """A new one."""

    @abstractmethod
    def body(self, user: str, text: str | None, message_id: str) -> dict[str, Any]:
        """What the platform sends; text None: a picture."""

    @abstractmethod
    def deliver(self, body: dict[str, Any]) -> requests.Response:
        """As the platform does it, signed."""

    @abstractmethod
    def said(self, response: requests.Response) -> str:
        """The reply in the response; "" if it says nothing to the user."""

    @abstractmethod
    def seen(self, user: str) -> list[str]:
        """What was sent to a user beside responses."""

    @abstractmethod
    def forgeries(self, body: dict[str, Any]) -> Iterator[tuple[str, requests.Response]]:
        """Requests that are not the platform's."""

    def say(self, user: str, text: str | None, message_id: str = "") -> requests.Response:
        return self.deliver(self.body(user, text, message_id or new_id()))

    def reply(self, user: str, text: str | None, message_id: str = "") -> str:
        """What the user is told at once."""
        before = len(self.seen(user))
        response = self.say(user, text, message_id)
        assert response.status_code == 200, response.text
        return "".join([self.said(response), *self.seen(user)[before:]])


def new_id() -> str:
    return str(next(_numbers))


class ChannelSuite:
    kind: type[Platform]

    @pytest.fixture
    def api(self) -> Iterator[PlatformApi]:
        api = PlatformApi()
        yield api
        api.close()

    @pytest.fixture
    def engine(self) -> ScriptedEngine:
        return ScriptedEngine(lambda prompt: f"答{question_of(prompt)}。")

    @pytest.fixture
    def bot(self, app: Any) -> Bot:
        return app.extensions["plm"]

    @pytest.fixture
    def app(self, api: PlatformApi, store: Store, engine: ScriptedEngine) -> Any:
        return self.make(api, store, engine)

    def make(self, api: PlatformApi, store: Store, engine: ScriptedEngine) -> Any:
        settings = load_settings(
            **self.kind.settings,
            **{f"{self.kind.name}_api_url": api.url},
            redis_url=store.url,
            retry_seconds=0.1,
            disclaimer=DISCLAIMER,
        )
        for secret in SECRETS:
            assert secret not in repr(settings)
        return create_app(settings, engine=engine, store=store)

    @pytest.fixture
    def platform(self, app: Any, api: PlatformApi) -> Iterator[Platform]:
        with served(app) as url:
            yield self.kind(url, api)

    @pytest.fixture
    def user(self, platform: Platform) -> str:
        return platform.user()

    def turns(self, bot: Bot, user: str) -> list[tuple[str, str]]:
        return [
            (turn["role"], turn["content"]) for turn in bot.store.turns(Conversation(self.kind.name, user))
        ]

    def test_an_answer_comes_once_however_often_it_was_asked_for(
        self, platform: Platform, user: str, bot: Bot, api: PlatformApi
    ) -> None:
        for _ in range(3):
            response = platform.say(user, QUESTION, "7")
            assert (response.status_code, platform.said(response)) == (200, "")
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        platform.say(user, QUESTION, "7")
        assert platform.reply(user, "继续") == dialogue.NOTHING_MORE
        sent = [text for text in platform.seen(user) if text != dialogue.NOTHING_MORE]
        assert sent == [f"{DISCLAIMER}\n\n答{QUESTION}。"]
        assert self.turns(bot, user) == [("user", QUESTION), ("assistant", f"答{QUESTION}。")]

    def test_commands_emergencies_and_pictures_are_replied_to_at_once(
        self, platform: Platform, user: str, engine: ScriptedEngine
    ) -> None:
        assert platform.reply(user, "帮助") == dialogue.HELP
        assert platform.reply(user, URGENT) == help_for(URGENT)
        assert platform.reply(user, None) == dialogue.TEXT_ONLY
        assert platform.reply(user, "\x00") == dialogue.NOTHING_TO_READ
        assert engine.prompts == []

    def test_a_command_runs_once_however_often_it_was_sent(
        self, platform: Platform, user: str, bot: Bot
    ) -> None:
        for _ in range(2):
            platform.say(user, "新对话", "9")
        assert bot.store.talk(Conversation(self.kind.name, user)) == 1

    def test_long_answers_are_cut_at_sentences(
        self, platform: Platform, user: str, engine: ScriptedEngine
    ) -> None:
        whole = "".join(f"这是第{number}句话，说的是同一件事𠮷。" for number in range(300))
        engine.answer = lambda prompt: whole
        platform.say(user, QUESTION)
        wait_until(lambda: "第299句" in "".join(platform.seen(user)), 20, "all of it is sent")
        pieces = platform.seen(user)
        assert "".join(pieces).removeprefix(DISCLAIMER + "\n\n") == whole
        assert len(pieces) > 2
        assert all(len(piece.encode()) <= platform.limit for piece in pieces)
        assert all(piece.endswith("。") for piece in pieces)

    def test_what_is_not_the_platform_s_is_refused(self, platform: Platform, user: str, bot: Bot) -> None:
        for name, response in platform.forgeries(platform.body(user, QUESTION, "7")):
            assert response.status_code in (400, 401, 403), name
        assert self.turns(bot, user) == []
        assert bot.store.client.keys("plm:{*:*}:*") == []

    def test_bodies_that_are_not_as_documented_are_refused(self, platform: Platform, user: str) -> None:
        good = platform.body(user, QUESTION, "7")
        for body in ({}, {"x": 1}, *(good | {name: value} for name in good for value in (None, [], 7.5))):
            assert platform.deliver(body).status_code in (200, 400, 403), body

    def test_the_platform_s_troubles_pass(self, platform: Platform, user: str, api: PlatformApi) -> None:
        api.faults[platform.api_path] = [(503, {}), (500, {})]
        platform.say(user, QUESTION)
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        assert platform.seen(user) == [f"{DISCLAIMER}\n\n答{QUESTION}。"]

    def test_what_is_refused_for_good_is_a_dead_letter_that_can_be_sent_again(
        self, platform: Platform, user: str, api: PlatformApi, bot: Bot, caplog: pytest.LogCaptureFixture
    ) -> None:
        api.faults[platform.api_path] = [platform.fault_for_good]
        platform.say(user, QUESTION, "7")
        wait_until(bot.tasks.dead_letters, 15, "it is a dead letter")
        (letter,) = bot.tasks.dead_letters()
        assert (letter.queue, letter.args) == (platform.name, (user, "7"))
        assert platform.seen(user) == []
        bot.tasks.requeue(letter)
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        assert bot.tasks.dead_letters() == []
        assert not re.search("|".join(SECRETS), caplog.text + letter.error)

    def test_what_may_have_arrived_is_repeated_only_where_the_platform_can_tell(
        self, platform: Platform, user: str, api: PlatformApi, bot: Bot
    ) -> None:
        api.faults[platform.api_path] = [HANG_UP]
        platform.say(user, QUESTION, "7")
        state = "told" if platform.repeatable else "unsure"
        conversation = Conversation(platform.name, user)
        wait_until(lambda: bot.outbox.push_state(conversation, "7") == state, 15, state)
        assert platform.seen(user) == [f"{DISCLAIMER}\n\n答{QUESTION}。"]
        rest = dialogue.NOTHING_MORE if platform.repeatable else f"答{QUESTION}。"
        assert platform.reply(user, "继续") == rest

    def test_somebody_can_be_told_something_once(self, platform: Platform, user: str, bot: Bot) -> None:
        platform.say(user, QUESTION)
        wait_until(lambda: platform.seen(user), 15, "the answer is sent")
        conversation, channel = Conversation(platform.name, user), bot.channels[platform.name]
        assert channel.can_reach(conversation)
        for _ in range(2):
            channel.notify(conversation, "notice", "明天停诊。")
        wait_until(lambda: len(platform.seen(user)) == 2, 15, "it is sent")
        channel.notify(conversation, "notice", "明天停诊。")
        channel.notify(conversation, "notice-2", "后天停诊。")
        wait_until(lambda: len(platform.seen(user)) > 2, 15, "the next is sent")
        assert platform.seen(user)[1:] == ["明天停诊。", "后天停诊。"]

    def test_without_the_store_nothing_is_acknowledged_that_could_be_lost(
        self, api: PlatformApi, engine: ScriptedEngine, tmp_path: Path
    ) -> None:
        server = EmbeddedStore(tmp_path)
        server.start()
        app = self.make(api, Store(server.url), engine)
        with served(app) as url:
            platform = self.kind(url, api)
            user = platform.user()
            platform.reply(user, "帮助")  # the token is there
            assert server.pid
            os.kill(server.pid, signal.SIGSTOP)
            response = platform.say(user, QUESTION, "7")
            assert platform.reply(user, URGENT) == help_for(URGENT)
            os.kill(server.pid, signal.SIGCONT)
            if platform.asks_again:
                assert response.status_code == 503
                assert platform.say(user, QUESTION, "7").status_code == 200
                wait_until(lambda: f"答{QUESTION}。" in "".join(platform.seen(user)), 15, "it is answered")
            else:
                assert platform.said(response) == dialogue.BUSY
        app.extensions["plm"].store.close()
        server.stop()
