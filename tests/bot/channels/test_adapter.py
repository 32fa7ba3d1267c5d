"""All platforms in one application: their users stay apart, and what is not set up is not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from bot.app import create_app
from bot.channels.adapter import NAMES
from bot.settings.config import ADAPTERS, load_settings
from bot.store.conversations import Store
from bot.text.records import Conversation
from tests.bot.channels.adapter_suite import QUESTION, Platform
from tests.bot.channels.test_dingtalk import Dingtalk
from tests.bot.channels.test_feishu import Feishu
from tests.bot.channels.test_telegram import Telegram
from tests.bot.channels.test_wecom import Wecom
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.platform_api import PlatformApi
from tests.service import served, wait_until

KINDS: tuple[type[Platform], ...] = (Wecom, Feishu, Dingtalk, Telegram)


@pytest.fixture
def api() -> Iterator[PlatformApi]:
    api = PlatformApi()
    yield api
    api.close()


def test_people_with_one_name_on_all_platforms_never_mix(api: PlatformApi, store: Store) -> None:
    settings = {name: value for kind in KINDS for name, value in kind.settings.items()}
    urls = {f"{kind.name}_api_url": api.url for kind in KINDS}
    engine = ScriptedEngine(lambda prompt: f"答{question_of(prompt)}。")
    app = create_app(
        load_settings(**settings, **urls, redis_url=store.url, disclaimer="。"), engine=engine, store=store
    )
    bot = app.extensions["plm"]
    assert list(bot.channels) == [kind.name for kind in KINDS]
    # Feishu's ids have a beginning of their own, and Telegram's are numbers.
    names = {"feishu": "ou_42"}
    with served(app) as url:
        platforms = [kind(url, api) for kind in KINDS]
        for platform in platforms:
            platform.say(names.get(platform.name, "42"), f"{platform.name}的问题", "7")
        wait_until(lambda: len(api.sent) == len(KINDS), 20, "all are answered")
        for platform in platforms:
            user = names.get(platform.name, "42")
            turns = bot.store.turns(Conversation(platform.name, user))
            assert [turn["content"] for turn in turns] == [
                f"{platform.name}的问题",
                f"答{platform.name}的问题。",
            ]
            # Each platform's answer went by its own call.
            (call,) = [call for call in api.calls if call.path == platform.api_path]
            assert f"{platform.name}的问题" in str(call.body)
    assert all(not before for before in engine.before)  # nobody's answer has read another's talk


def test_what_is_not_set_up_is_not_there(store: Store) -> None:
    app = create_app(load_settings(redis_url=store.url), engine=ScriptedEngine(), store=store)
    with served(app) as url:
        for name in NAMES:
            response = requests.post(f"{url}/{name}", json={"text": QUESTION}, timeout=5)
            assert response.status_code == 404
            assert f"PLM_{name.upper()}_" in response.text
    assert set(NAMES) == set(ADAPTERS)


def test_a_platform_makes_the_service_a_public_one(api: PlatformApi, store: Store) -> None:
    """So /v1 without keys is closed: the internet reaches this service."""
    settings = load_settings(**Dingtalk.settings, redis_url=store.url)
    with served(create_app(settings, engine=ScriptedEngine(), store=store)) as url:
        assert requests.get(f"{url}/v1/models", timeout=5).status_code == 401
