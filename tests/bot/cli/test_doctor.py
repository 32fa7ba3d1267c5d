"""What `plm doctor` finds out about the store, the clocks and the way in, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask

from bot.app import create_app
from bot.cli import doctor, main
from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import ConfigError, load_settings
from bot.store.conversations import Store
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import served, wait_until


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Store]:
    server = EmbeddedStore(tmp_path)
    server.start()
    store = Store(server.url)
    yield store
    writing = "aof_rewrite_in_progress"  # it does not end before that
    wait_until(lambda: not store.client.info("persistence")[writing])
    store.close()
    server.stop()


def test_the_store_that_comes_along_is_fit(own: Store) -> None:
    assert "append-only file, noeviction" in doctor.check_store(own)
    assert "the store" in doctor.check_clock(own, None)


def test_a_store_that_may_lose_conversations_is_named(own: Store) -> None:
    own.client.config_set("appendonly", "no")
    own.client.config_set("save", "60 1")
    assert "snapshots alone" in doctor.check_store(own)
    own.client.config_set("save", "")
    with pytest.raises(ConfigError, match="keeps nothing on disk"):
        doctor.check_store(own)
    own.client.config_set("appendonly", "yes")
    own.client.config_set("maxmemory", "1gb")
    own.client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigError, match="allkeys-lru"):
        doctor.check_store(own)


def test_the_way_in_is_tried_as_the_platform_does(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(redis_url="redis://unused", wechat_token="AAAAA")
    with served(create_app(settings, engine=ScriptedEngine(), store=store)) as url:
        assert "passes" in doctor.check_way_in(settings, url)
        monkeypatch.setenv("PLM_WECHAT_TOKEN", "AAAAA")
        asked = CliRunner().invoke(main, ["doctor", "--url", url])
        assert f"ok    way in: {url}/wechat passes the platform's check" in asked.output
        other = load_settings(redis_url="redis://unused", wechat_token="BBBBB")
        with pytest.raises(ConfigError, match="answers the platform's check with 403"):
            doctor.check_way_in(other, url)
        assert "127.0.0.1" in doctor.check_clock(None, url)
    with pytest.raises(ConfigError, match="does not answer"):
        doctor.check_way_in(settings, "http://127.0.0.1:1")


def test_a_wall_that_answers_everything_is_found_out() -> None:
    wall = Flask("wall")
    wall.add_url_rule("/wechat", view_func=lambda: __import__("flask").request.args["echostr"])
    settings = load_settings(wechat_token="AAAAA")
    with served(wall) as url, pytest.raises(ConfigError, match="wrong signature"):
        doctor.check_way_in(settings, url)


def test_clocks_that_differ_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "clock", lambda _: 1e9)
    with pytest.raises(ConfigError, match="the clock of the store is"):
        doctor.check_clock(store, None)
