"""Answers as customer-service messages: the real service between the two sides of the stand-in platform."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.app import create_app
from bot.channels import client as client_module
from bot.channels.client import SendError
from bot.channels.wechat.client import WechatApi
from bot.cli import doctor
from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import DISCLAIMER, ConfigError, load_settings
from bot.store.conversations import Store
from bot.store.outbox import Outbox
from bot.text import dialogue
from bot.text.records import Conversation
from engine import Model
from tests.bot.expected_answer import message_answered_in
from tests.bot.expected_help import help_for
from tests.bot.idle import wait_until_idle
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import SOON_MISSED, Service, served, wait_until
from tests.tiny_model import write_tiny_model
from tests.wechat_api import APPID, HANG_UP, SECRET, WechatApiServer
from tests.wechat_platform import Attempt, Message, Platform

QUESTION = "什么是气虚？"
SEND, TYPING, TOKEN = "message/custom/send", "message/custom/typing", "stable_token"
_users = itertools.count()


@dataclass
class Front:
    service: Service
    platform: Platform
    api: WechatApiServer
    store: Store

    def say(self, user: str, text: str | Message) -> Attempt:
        """What a user writes opens a window for five messages."""
        self.api.left[user] = 5
        message = self.platform.text(user, text) if isinstance(text, str) else text
        return self.platform.request(message)

    def answers(self, user: str) -> list[str]:
        turns = self.store.turns(Conversation("wechat", user))
        return [turn["content"] for turn in turns if turn["role"] == "assistant"]

    def texts(self, user: str) -> list[str]:
        """What was pushed, without the hint behind an answer that ended at the limit."""
        return [text.removesuffix("\n" + dialogue.MORE_HINT) for text in self.api.texts(user)]

    def question(self, user: str) -> Message:
        """A first question whose answer ends before the limit: 继续 then has nothing more to bring."""
        return message_answered_in(range(5, 250), self.platform, Model.load("tcm"), user, QUESTION)[0]

    def push_state(self, message: Message) -> str:
        """How the push of a message stands."""
        name = f"{Conversation('wechat', message.user).base}job:{message.fields['MsgId']}"
        return (self.store.client.hget(name, "push") or b"").decode()


def settings(api: WechatApiServer, redis_url: str, **more: object) -> dict[str, object]:
    return {
        "PLM_WECHAT_TOKEN": "AAAAA",
        "PLM_WECHAT_APPID": APPID,
        "PLM_WECHAT_SECRET": SECRET,
        "PLM_WECHAT_PUSH": 1,
        "PLM_WECHAT_API_URL": api.url,
        "PLM_RETRY_SECONDS": 0.2,
        "PLM_REDIS_URL": redis_url,
        "PLM_MODEL": "tcm",
        **more,
    }


def own_settings(api: WechatApiServer, store: Store) -> dict[str, object]:
    """The same for an application in this process."""
    named = settings(api, store.url).items()
    return {name.removeprefix("PLM_").lower(): value for name, value in named}


@pytest.fixture
def api() -> Iterator[WechatApiServer]:
    api = WechatApiServer()
    yield api
    api.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[str]:
    """For a service that no other may help with its queue."""
    server = EmbeddedStore(tmp_path / "own")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def shared(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    api = WechatApiServer()
    with Service(tmp_path_factory.mktemp("web"), "web", **settings(api, redis_url)) as service:
        store = Store(redis_url)
        yield Front(service, Platform(service.url + "/wechat", "AAAAA"), api, store)
        store.close()
    api.close()


@pytest.fixture
def front(shared: Front) -> Front:
    """The shared service, with a platform that has forgotten the faults of the test before."""
    shared.api.faults.clear()
    shared.api.delay.clear()
    return shared


@pytest.fixture
def user() -> str:
    return f"o-push-{next(_users)}"


def test_an_answer_is_pushed_once_however_often_it_was_asked_for(front: Front, user: str) -> None:
    message = front.question(user)
    attempts = [front.say(user, message) for _ in range(3)]
    assert [(attempt.status, attempt.body) for attempt in attempts] == [(200, b"success")] * 3
    wait_until(lambda: front.push_state(message) == "told", 15, "the answer is pushed")
    (answer,) = front.answers(user)
    assert front.texts(user) == [f"{DISCLAIMER}\n\n{answer}"]
    assert front.platform.ask(user, "继续") == dialogue.NOTHING_MORE
    front.say(user, message)
    wait_until_idle(front.store)
    assert len(front.texts(user)) == 1


def test_answers_of_one_user_come_in_order(front: Front, user: str) -> None:
    front.api.delay[SEND] = 0.3
    messages = [front.platform.text(user, f"第{number}问：{QUESTION}") for number in range(4)]
    for message in messages:
        front.say(user, message)
    wait_until(lambda: front.push_state(messages[-1]) == "told", 30, "all are pushed")
    answers = front.answers(user)
    assert len(answers) == 4
    assert front.texts(user) == [f"{DISCLAIMER}\n\n{answers[0]}", *answers[1:]]


def test_commands_are_replied_to_at_once_and_cost_no_send(front: Front, user: str) -> None:
    assert front.say(user, "帮助").reply == dialogue.HELP
    assert front.say(user, front.platform.image(user)).reply == dialogue.TEXT_ONLY
    assert front.say(user, front.platform.event(user, "subscribe", EventKey="")).reply
    assert front.texts(user) == []


@pytest.mark.parametrize("code", [45002, 45015, 45047, 48001])
def test_what_the_platform_does_not_take_is_kept_for_continue(front: Front, user: str, code: int) -> None:
    front.api.faults[SEND] = [code]
    message = front.question(user)
    front.say(user, message)
    wait_until(lambda: front.push_state(message) == "kept", 15, "it was tried")
    (answer,) = front.answers(user)
    assert front.platform.ask(user, "继续") == answer
    assert front.platform.ask(user, "继续") == dialogue.NOTHING_MORE
    assert front.texts(user) == []
    front.say(user, "那血虚呢？")  # and the next answer is pushed again
    wait_until(lambda: front.texts(user), 15, "the next answer is pushed")


def test_the_platform_s_troubles_pass(front: Front, user: str) -> None:
    front.api.faults[SEND] = [-1, 503, 45009]
    message = front.question(user)
    front.say(user, message)
    wait_until(lambda: front.push_state(message) == "told", 20, "the answer is pushed")
    (answer,) = front.answers(user)
    assert front.texts(user) == [f"{DISCLAIMER}\n\n{answer}"]
    assert front.api.faults[SEND] == []
    budget = front.store.client.hget(Conversation("wechat", user).base + "sends", "left")
    assert budget == b"4"  # what was not taken was not counted


def test_a_push_that_may_have_arrived_is_not_repeated_but_can_be_had(front: Front, user: str) -> None:
    front.api.faults[SEND] = [HANG_UP]
    message = front.question(user)
    front.say(user, message)
    wait_until(lambda: front.push_state(message) == "unsure", 15, "it was tried")
    wait_until_idle(front.store)
    assert len(front.texts(user)) == 1
    assert front.platform.ask(user, "继续") == front.answers(user)[0]


def test_a_token_that_is_too_old_is_replaced_by_one_fetch(front: Front) -> None:
    front.say("o-token-0", QUESTION)
    wait_until(lambda: front.texts("o-token-0"), 15, "the first is pushed")
    before = front.api.count(TOKEN)
    front.api.expire_token()
    users = [f"o-token-{number}" for number in range(1, 7)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda user: front.say(user, QUESTION), users))
    wait_until(lambda: all(front.texts(user) for user in users), 30, "all are pushed")
    assert all(len(front.texts(user)) == 1 for user in users)
    assert front.api.count(TOKEN) == before + 1
    assert front.api.calls[-1][1].get("force_refresh", False) is False
    # The platform says of a token that it gives out again that it is wrong: one by force.
    front.api.faults[SEND] = [40001]
    front.say(users[0], "那血虚呢？")
    wait_until(lambda: len(front.texts(users[0])) == 2, 15, "the next is pushed")
    forced = [body["force_refresh"] for path, body in front.api.calls if path == TOKEN]
    assert forced[-2:] == [False, True]


def test_a_lasting_40001_is_not_asked_again_without_end(front: Front, user: str) -> None:
    front.api.faults[SEND] = [40001] * 1000
    before = front.api.count(SEND)
    message = front.question(user)
    front.say(user, message)
    wait_until(lambda: front.api.count(SEND) >= before + 4, 20, "it was tried twice")
    assert front.api.count(SEND) <= before + 8
    assert front.platform.ask(user, "继续") == front.answers(user)[0]
    front.api.faults[SEND] = []
    wait_until(lambda: front.push_state(message) == "told", 30, "the task is over")
    assert front.texts(user) == []  # 继续 had brought it


@pytest.mark.parametrize("code", [40001, 40014, 42001])
def test_a_refused_token_leads_to_one_other_and_one_more_try(
    api: WechatApiServer, store: Store, code: int
) -> None:
    own, api.left["o1"] = client(api, store), 5
    api.faults[SEND] = [code]
    own.send_text("o1", "好")
    assert (api.texts("o1"), api.count(SEND)) == (["好"], 2)
    api.faults[SEND] = [code] * 9
    with pytest.raises(SendError, match=f"error {code}"):
        own.send_text("o1", "坏")
    assert api.count(SEND) == 4


def test_a_token_that_does_not_come_is_not_waited_for(
    api: WechatApiServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT", (1.0, 0.2))
    own, api.left["o1"], api.delay[TOKEN] = client(api, store), 5, 1.0
    with pytest.raises(SendError, match=r"^stable_token: ReadTimeout$") as refused:
        own.send_text("o1", "好")
    assert refused.value.retryable
    assert not refused.value.maybe_delivered  # it is tried again: nothing was sent yet
    api.delay[TOKEN] = 0
    own.send_text("o1", "好")
    assert api.texts("o1") == ["好"]


def client(api: WechatApiServer, store: Store) -> WechatApi:
    return WechatApi(load_settings(**own_settings(api, store)), Outbox(store))


def test_an_address_that_is_not_on_the_list_is_named_in_the_log_and_no_secret_is(front: Front) -> None:
    front.api.faults[SEND] = [40164]
    front.say("o-ip", QUESTION)
    wait_until(lambda: front.texts("o-ip"), 20, "the answer is pushed at last")
    log = front.service.output()
    assert "error 40164" in log
    assert "IP whitelist" in log
    assert SECRET not in log
    assert "t0k3n" not in log.replace("'t0k3n-'", "")


def test_help_in_an_emergency_needs_no_store(api: WechatApiServer) -> None:
    away = Store("redis://127.0.0.1:1/0")
    own = create_app(load_settings(**own_settings(api, away)), engine=ScriptedEngine(), store=away)
    with served(own) as url:
        platform = Platform(url + "/wechat", "AAAAA")
        assert platform.ask("o-help", QUESTION) == dialogue.BUSY
        assert platform.ask("o-help", "我胸痛") == help_for("我胸痛")
    away.close()


def test_the_doctor_asks_for_a_token(api: WechatApiServer, store: Store) -> None:
    settings = load_settings(**own_settings(api, store))
    assert doctor.check_wechat(settings) == "plain mode, answers are pushed, the platform gives a token"
    api.faults[TOKEN] = [40164]
    with pytest.raises(ConfigError, match=r"PLM_WECHAT_PUSH: stable_token: error 40164: .* IP whitelist"):
        doctor.check_wechat(settings)


def test_a_long_answer_is_five_messages_and_continue(
    api: WechatApiServer, own_redis: str, tmp_path: Path
) -> None:
    file = str(write_tiny_model(tmp_path / "tiny.safetensors"))
    more = {"PLM_MODEL": file, "PLM_MAX_BYTES": 16_000}
    with Service(tmp_path, "web", **settings(api, own_redis, **more)) as service:
        store, user = Store(own_redis), "o-long"
        front = Front(service, Platform(service.url + "/wechat", "AAAAA"), api, store)
        answer, model = "", Model.load(file)
        while len(answer.encode()) <= 5 * 1800:  # thousands of characters of one byte may go into five
            message, answer = message_answered_in(
                range(5000, 16_001), front.platform, model, user, QUESTION, b"", 16_000
            )
        front.say(user, message)
        wait_until(lambda: front.push_state(message) == "kept", 60, "what the platform takes is pushed")
        pushed = api.texts(user)
        assert len(pushed) == 5
        assert all(900 < len(text.encode()) <= 1800 for text in pushed)
        assert [text.endswith(dialogue.MORE_HINT) for text in pushed] == [False] * 4 + [True]
        rest = [front.platform.ask(user, "继续")]
        while rest[-1].endswith(dialogue.MORE_HINT):
            rest.append(front.platform.ask(user, "继续"))
        said = "".join(text.removesuffix(dialogue.MORE_HINT) for text in [*pushed, *rest])
        answer = front.answers(user)[0]
        store.close()
    assert "".join(said.removeprefix(DISCLAIMER).split()) == "".join(answer.split())
    assert len(api.texts(user)) == 5


@pytest.mark.alone
def test_the_typing_sign_is_shown_while_an_answer_is_written(
    api: WechatApiServer, own_redis: str, tmp_path: Path
) -> None:
    with Service(tmp_path, "web", **settings(api, own_redis, PLM_ENGINE_DELAY_MS=20)) as service:
        front = Front(service, Platform(service.url + "/wechat", "AAAAA"), api, Store(own_redis))
        api.faults[TYPING] = [45081]
        assert front.say("o-typing", QUESTION).seconds < 1.0
        wait_until(lambda: api.count(TYPING), 5, "the sign is asked for")
        assert front.say("o-typing-2", QUESTION).body == b"success"
        wait_until(lambda: "o-typing-2" in api.typing, 5, "the sign is shown")
        for user in ("o-typing", "o-typing-2"):  # and its refusal harms nothing
            wait_until(lambda user=user: api.texts(user), 60, "the answer is pushed")
        front.store.close()


def test_a_user_is_told_something_once_while_the_platform_takes_it(
    api: WechatApiServer, store: Store, user: str
) -> None:
    app = create_app(load_settings(**own_settings(api, store)), engine=ScriptedEngine(), store=store)
    bot, conversation = app.extensions["plm"], Conversation("wechat", user)
    channel = bot.channels["wechat"]
    with served(app) as url:
        platform = Platform(url + "/wechat", "AAAAA")
        channel.notify(conversation, "notice-1", "明天停诊。")
        assert not channel.can_reach(conversation)
        api.left[user] = 5
        platform.request(platform.text(user, QUESTION))
        assert channel.can_reach(conversation)
        for _ in range(2):
            channel.notify(conversation, "notice-2", "后天停诊。")
        wait_until(lambda: len(api.texts(user)) == 2, 15, "both are pushed")
        assert api.texts(user) == [f"{DISCLAIMER}\n\n好。", "后天停诊。"]
        store.client.hset(conversation.base + "sends", "left", 0)
        assert not channel.can_reach(conversation)
        channel.notify(conversation, "notice-3", "大后天停诊。")
        wait_until(lambda: bot.outbox.push_state(conversation, "notice-3") == "kept", 15, "no send is left")
        assert platform.ask(user, "继续") == "大后天停诊。"


@pytest.mark.slow
def test_a_killed_process_neither_loses_nor_repeats_an_answer(
    api: WechatApiServer, own_redis: str, tmp_path: Path
) -> None:
    """Killed while one answer is being written, and another is being taken by the platform."""
    own = settings(api, own_redis, PLM_ENGINE_DELAY_MS=30)
    service = Service(tmp_path, "web", patience=SOON_MISSED, **own)
    service.start()
    front = Front(service, Platform(service.url + "/wechat", "AAAAA"), api, Store(own_redis))
    sent, written = "o-kill-sent", "o-kill-written"
    api.delay[SEND] = 2.0
    front.say(sent, first := front.question(sent))
    wait_until(lambda: SEND in api.arriving, 60, "the platform is being told")
    front.say(written, second := front.question(written))
    service.kill()
    api.delay[SEND] = 0
    wait_until(lambda: api.texts(sent), 10, "the platform has taken what the killed process told it")
    service.start()
    try:
        wait_until(lambda: front.push_state(second) == "told", 60, "the one that was being written")
        wait_until(lambda: front.push_state(first) == "unsure", 60, "the one that was cut off")
        assert len(api.texts(written)) == 1
        assert front.texts(sent) == [f"{DISCLAIMER}\n\n{front.answers(sent)[0]}"]
        assert front.platform.ask(sent, "继续") == front.answers(sent)[0]
        assert front.platform.ask(written, "继续") == dialogue.NOTHING_MORE
    finally:
        service.kill()
        front.store.close()
