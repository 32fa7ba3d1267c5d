"""The same message gets the same decision in every channel. With -s the table is printed; + is a caution."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
import requests

from bot.app import create_app
from bot.chat.turn import Decision, Outcome, Turn
from bot.context import Bot
from bot.settings.config import load_settings
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from bot.web.visitor import COOKIE
from engine.emergency import Assessment, Detector, Level
from tests.bot.channels.adapter_suite import Platform
from tests.bot.channels.test_adapter import KINDS
from tests.bot.channels.test_webhook import NEW, headers
from tests.bot.expected_help import help_for
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.platform_api import PlatformApi
from tests.service import served, wait_until
from tests.wechat_platform import Platform as WechatPlatform

QUESTION = "什么是气虚？"
URGENT = "我爸爸突然胸痛，出冷汗，喘不上气"
LONG = "今天天气很好，我们去公园散步。" * 150  # 2,250 characters
PERHAPS = "也许是急症"  # what the detector is made uncertain of: see `app`
TOXIC = "砒霜怎么吃"
CHANNELS = ("wechat", *(kind.name for kind in KINDS), "webhook", "page")


@dataclass
class Channel:
    """One channel as its users see it: what `say` returns is all that they are told."""

    name: str
    tell: Callable[[str, str, str], str]  # user, text, message id
    new_user: Callable[[], str]
    conversation: str = ""

    def of(self, user: str) -> Conversation:
        return Conversation(self.conversation or self.name, user)


@dataclass
class House:
    """The application with all channels."""

    bot: Bot
    engine: ScriptedEngine
    channels: list[Channel]
    decisions: list[Decision] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)


def adapter(platform: Platform, house: House) -> Channel:
    def tell(user: str, text: str, message_id: str) -> str:
        before = len(platform.seen(user))
        response = platform.say(user, text, message_id)
        if response.status_code == 503:
            return dialogue.BUSY
        said = platform.said(response)
        if not said and house.decisions and house.decisions[-1].reply is None:
            wait_until(lambda: len(platform.seen(user)) > before, 20, "the answer is pushed")
        return said + "".join(platform.seen(user)[before:])

    return Channel(platform.name, tell, platform.user)


def wechat(url: str) -> Channel:
    platform = WechatPlatform(url + "/wechat", "AAAAA")

    def tell(user: str, text: str, message_id: str) -> str:
        return platform.deliver(platform.text(user, text, int(message_id))).reply or ""

    return Channel("wechat", tell, lambda: "o" + secrets.token_hex(8))


def webhook(url: str) -> Channel:
    def tell(user: str, text: str, message_id: str) -> str:
        body = json.dumps({"user": user, "text": text, "id": message_id}).encode()
        response = requests.post(f"{url}/webhook/shop", data=body, headers=headers(body), timeout=30)
        return str(response.json().get("reply", dialogue.BUSY))

    return Channel("webhook", tell, lambda: secrets.token_hex(8), "webhook-shop")


def page(url: str) -> Channel:
    def tell(user: str, text: str, message_id: str) -> str:
        body = {"id": f"{int(message_id):032x}", "text": text}
        response = requests.post(f"{url}/page/chat", json=body, cookies={COOKIE: user}, timeout=30)
        if response.status_code != 200:
            return str(response.json()["error"])
        parts = [json.loads(line) for line in response.text.splitlines()]
        return "".join(part.get("text", "") + part.get("note", "") + part.get("error", "") for part in parts)

    return Channel("page", tell, lambda: secrets.token_hex(16))


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def open_house(store: Store, api: PlatformApi, patch: pytest.MonkeyPatch) -> tuple[object, House]:
    settings = {name: value for kind in KINDS for name, value in kind.settings.items()}
    settings |= {f"{kind.name}_api_url": api.url for kind in KINDS}
    engine = ScriptedEngine(lambda prompt: f"答{question_of(prompt)[:20]}。")
    app = create_app(
        load_settings(
            **settings, redis_url=store.url, disclaimer="。", wechat_token="AAAAA",
            webhooks={"shop": {"secret": NEW}}, admin_key="k" * 20, retry_seconds=0.1,
        ),
        engine=engine, store=store,
    )  # fmt: skip
    house = House(app.extensions["plm"], engine, [])
    decide, hear = Turn.decide, Detector.assess

    def watched(turn: Turn, text: str | None) -> Decision:
        decision = decide(turn, text)
        house.decisions.append(decision)
        house.cautions.append(turn.caution)
        return decision

    def heard(detector: Detector, text: str) -> Assessment:
        return Assessment(Level.UNCERTAIN, "heart", 0.4) if PERHAPS in text else hear(detector, text)

    patch.setattr(Turn, "decide", watched)
    patch.setattr(Detector, "assess", heard)
    return app, house


@pytest.fixture(scope="module")
def house(redis_url: str, patched: pytest.MonkeyPatch) -> Iterator[House]:
    store, api = Store(redis_url), PlatformApi()
    app, house = open_house(store, api, patched)
    with served(app) as url:  # type: ignore[arg-type]
        house.channels += [wechat(url), *(adapter(kind(url, api), house) for kind in KINDS)]
        house.channels += [webhook(url), page(url)]
        yield house
    api.close()
    store.close()


def block(house: House, user: str) -> None:
    house.bot.admin.store.rule(user, blocked=True)  # type: ignore[union-attr]
    house.bot.admin.refresh()  # type: ignore[union-attr]


def limit(house: House, user: str) -> None:
    house.bot.admin.store.rule(user, rate="1/hour")  # type: ignore[union-attr]
    house.bot.admin.refresh()  # type: ignore[union-attr]


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    outcome: Outcome
    said: str  # is part of what the user is told; "" for nothing
    before: tuple[str, ...] = ()  # said before
    prepare: Callable[[House, str], None] | None = None
    command: str = ""
    cut: bool = False
    caution: str = ""
    on_page: tuple[Outcome, str] | None = None  # where the page, which shows the length, decides otherwise


COMMANDS = {
    "新对话": ("new", dialogue.NEW_TALK), "帮助": ("help", dialogue.HELP),
    "撤回": ("undo", dialogue.NOTHING_TO_UNDO), "模型": ("model", "模型："),
    "导出": ("export", dialogue.NOTHING_TO_EXPORT), "忘记我": ("ask-forget", dialogue.SURE_TO_FORGET),
    "确认忘记": ("forget", dialogue.NOT_ASKED_TO_FORGET), "退订": ("quiet", dialogue.QUIET),
    "订阅": ("listen", dialogue.LISTENING), "出处": ("source", dialogue.NO_SOURCE),
    "目录": ("books", dialogue.NO_LIBRARY),
}  # fmt: skip
PERHAPS_SAID, TOXIC_SAID = "如果是急症，请立即拨打 120", "警告：这是有毒的药物"
EMERGENCY, ASKED = Outcome.EMERGENCY, Outcome.QUEUED
CASES = [
    Case("a question", QUESTION, ASKED, f"答{QUESTION}。"),
    *(Case(text, text, Outcome.COMMAND, said, command=name) for text, (name, said) in COMMANDS.items()),
    Case("继续, nothing open", "继续", Outcome.MORE, dialogue.NOTHING_MORE, command="more"),
    Case("nothing readable", "\x7f", Outcome.UNREADABLE, dialogue.NOTHING_TO_READ),
    Case("an emergency", URGENT, EMERGENCY, "120"),
    Case("… before the 2,000th character", URGENT + "。" + LONG, EMERGENCY, "120"),
    Case("… behind the 2,000th character", LONG + URGENT, EMERGENCY, "120"),
    Case("… of a blocked user", URGENT, EMERGENCY, "120", prepare=block),
    Case("… over the rate", URGENT, EMERGENCY, "120", (QUESTION,), limit),
    Case("… in a search", f"查：{URGENT}", EMERGENCY, "120"),
    Case("a search", "查：桂枝汤", Outcome.COMMAND, dialogue.NO_LIBRARY, command="search"),
    Case("a search for a dose", f"查：{TOXIC}", Outcome.COMMAND, TOXIC_SAID, command="search"),
    Case(
        "an over-long question",
        LONG,
        ASKED,
        dialogue.QUESTION_CUT,
        cut=True,
        on_page=(Outcome.TOO_LONG, "超过了 2,000 个字"),
    ),
    Case("perhaps an emergency", PERHAPS, ASKED, f"答{PERHAPS}。", caution=PERHAPS_SAID),
    Case("a toxic dose", TOXIC, ASKED, f"答{TOXIC}。", caution=TOXIC_SAID),
    Case("a blocked user", QUESTION, Outcome.BLOCKED, dialogue.BLOCKED, prepare=block),
    Case("… again", QUESTION, Outcome.BLOCKED, "", (QUESTION,), block),
    Case("… with a command", "帮助", Outcome.BLOCKED, dialogue.BLOCKED, prepare=block),
    Case("over the rate", "什么是血虚？", Outcome.LIMITED, "您今天问得比较多了", (QUESTION,), limit),
    Case("… with a command", "帮助", Outcome.COMMAND, dialogue.HELP, (QUESTION,), limit, "help"),
    Case("… with 继续", "继续", Outcome.MORE, dialogue.ALREADY_TOLD[-5:], (QUESTION,), limit, "more"),
]
SEEN: dict[str, dict[str, str]] = {}


def message_id() -> str:
    return str(secrets.randbelow(10**15))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_every_channel_decides_alike(house: House, number: int) -> None:
    whole = CASES[number]
    for channel in house.channels:
        case = whole
        if whole.on_page and channel.name == "page":
            case = replace(whole, outcome=whole.on_page[0], said=whole.on_page[1], cut=False)
        user = channel.new_user()
        if case.prepare:
            case.prepare(house, user)
        for text in case.before:
            channel.tell(user, text, message_id())
        told = channel.tell(user, case.text, message_id())
        decision, caution = house.decisions[-1], house.cautions[-1]
        SEEN.setdefault(case.name + str(number), {})[channel.name] = decision.outcome + "+" * bool(caution)
        found = (decision.outcome, decision.command, decision.cut, caution[: len(case.caution)])
        assert found == (case.outcome, case.command, case.cut, case.caution), channel.name
        assert bool(decision.kind) == (case.outcome is EMERGENCY), channel.name
        if case.name != "… with 继续":  # where answers are handed out in pieces: that nothing is left
            assert case.said in told if case.said else told == "", (channel.name, told)
        if case.caution:
            assert told.index(case.caution) < told.index(case.said), (channel.name, told)
            answer = house.bot.store.turns(channel.of(user))[-1]["content"]
            assert answer.startswith(case.caution), channel.name
        if case.outcome is EMERGENCY:
            assert told == decision.reply, channel.name
            assert house.bot.store.turns(channel.of(user))[-1]["content"] == told, channel.name


def test_help_needs_neither_store_nor_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    store, api = Store("redis://127.0.0.1:1/0"), PlatformApi()
    app, house = open_house(store, api, monkeypatch)
    house.engine.gate.clear()
    with served(app) as url:  # type: ignore[arg-type]
        channels = [wechat(url), *(adapter(kind(url, api), house) for kind in KINDS), webhook(url), page(url)]
        for channel in channels:
            user = channel.new_user()
            assert channel.tell(user, URGENT, message_id()) == help_for(URGENT), channel.name
            assert "答" not in channel.tell(user, QUESTION, message_id()), channel.name
    assert house.engine.prompts == []
    api.close()
    store.close()


def test_help_is_said_while_the_engine_is_stuck(house: House) -> None:
    house.engine.gate.clear()
    try:
        for channel in house.channels:
            assert channel.tell(channel.new_user(), URGENT, message_id()) == help_for(URGENT), channel.name
    finally:
        house.engine.gate.set()


def test_the_table_is_whole(house: House) -> None:
    if len(SEEN) < len(CASES):
        pytest.skip("only some of the cases were run")
    print(f"\n{'':34}" + "".join(f"{name:11}" for name in CHANNELS))
    for name, row in SEEN.items():
        print(f"{name.rstrip('0123456789'):34}" + "".join(f"{row[channel]:11}" for channel in CHANNELS))
        others = [decided for channel, decided in row.items() if channel != "page"]
        assert len(set(others)) == 1
        assert row["page"] == others[0] or name.startswith("an over-long question")
