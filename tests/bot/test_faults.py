"""kill -9, a dead store and SIGTERM, each in the middle of an answer, on the real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from bot.server.embedded_store import EmbeddedStore
from bot.store.connection import StoreDownError
from bot.store.conversations import COPY_MS, Store
from bot.text import dialogue
from bot.text.records import Conversation
from engine import Model
from tests.bench.load.faults import passed, suffer
from tests.bot.channels.test_webhook import NEW, post
from tests.bot.expected_answer import message_answered_in
from tests.redis_servers import Failover
from tests.service import Service, descendants, kill_all, wait_until
from tests.tiny_model import write_talkative_model
from tests.wechat_platform import Message, Platform

FIRST, QUESTION = "什么是气虚？", "那血虚呢？"
PACE_MS, MAX_BYTES = 40, 180
SHORT, LENGTH = range(1, 25), range(50, 95)  # the long ones take 2 to 3.8 seconds


@dataclass
class Scene:
    """A conversation with one finished turn, and a message whose answer will take a few seconds."""

    platform: Platform
    store: Store
    talker: Conversation
    message: Message

    @property
    def message_id(self) -> str:
        return str(self.message.fields["MsgId"])

    def being_answered(self) -> bool:
        message = self.store.message(self.talker, self.message_id)
        assert not message.finished, "the answer was done before it could be interrupted"
        return len(message.text) >= 5

    def interrupted(self) -> list[tuple[str, str]]:
        """What is kept while the answer is missing: nothing earlier is lost, the question is there."""
        turns = [(turn["role"], turn["content"]) for turn in self.store.turns(self.talker)]
        assert [role for role, _ in turns] == ["user", "assistant", "user"]
        return turns

    def answered_once(self, kept: list[tuple[str, str]], reply: str | None) -> None:
        turns = [(turn["role"], turn["content"]) for turn in self.store.turns(self.talker)]
        assert turns[:3] == kept
        assert [role for role, _ in turns[3:]] == ["assistant"]
        assert reply
        assert reply == turns[3][1] or reply.endswith(dialogue.MORE_HINT)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedStore]:
    server = EmbeddedStore(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    """A pace at which an answer can be caught in the middle."""
    return {
        "PLM_MODEL": str(write_talkative_model(tmp_path / "talkative.safetensors")),
        "PLM_WECHAT_TOKEN": "AAAAA",
        "PLM_WEBHOOK_SHOP_SECRET": NEW,
        "PLM_ENGINE_DELAY_MS": PACE_MS,
        "PLM_MAX_BYTES": MAX_BYTES,
    }


def prepare(url: str, redis_url: str, settings: dict[str, object], user: str) -> Scene:
    platform, model = Platform(url + "/wechat", "AAAAA"), Model.load(str(settings["PLM_MODEL"]))
    message, _ = message_answered_in(SHORT, platform, model, user, FIRST, b"", MAX_BYTES)
    assert platform.deliver(message).reply
    store, talker = Store(redis_url), Conversation("wechat", user)
    history = dialogue.history(store.turns(talker), before="", limit=10_000)
    message, _ = message_answered_in(LENGTH, platform, model, user, QUESTION, history, MAX_BYTES)
    return Scene(platform, store, talker, message)


def test_kill_9_of_the_web_process(redis: EmbeddedStore, settings: dict[str, object], tmp_path: Path) -> None:
    web = Service(tmp_path / "web", "web", PLM_REDIS_URL=redis.url, **settings)
    with web, ThreadPoolExecutor(1) as pool:
        scene = prepare(web.url, redis.url, settings, "o-web")
        first = pool.submit(scene.platform.request, scene.message)
        wait_until(scene.being_answered, 5, "the answer is being written")
        web.kill()
        assert first.result().status is None
        kept = scene.interrupted()
        web.start()
        scene.answered_once(kept, scene.platform.deliver(scene.message, pause=0.2).reply)


def test_kill_9_of_the_engine(redis: EmbeddedStore, settings: dict[str, object], tmp_path: Path) -> None:
    engine = Service(tmp_path / "engine", "engine", **settings)
    web = Service(
        tmp_path / "web", "web", PLM_REDIS_URL=redis.url, PLM_ENGINE_URL=engine.url,
        PLM_MODEL=settings["PLM_MODEL"], PLM_WECHAT_TOKEN="AAAAA",
    )  # fmt: skip
    with engine, web, ThreadPoolExecutor(1) as pool:
        scene = prepare(web.url, redis.url, settings, "o-engine")
        first = pool.submit(scene.platform.deliver, scene.message)
        wait_until(scene.being_answered, 5, "the answer is being written")
        engine.kill()
        kept = scene.interrupted()
        assert not web.ready()
        engine.start()
        scene.answered_once(kept, first.result().reply)
        assert web.ready()


def test_kill_9_of_the_store(redis: EmbeddedStore, settings: dict[str, object], tmp_path: Path) -> None:
    web = Service(tmp_path / "web", "web", PLM_REDIS_URL=redis.url, **settings)
    with web, ThreadPoolExecutor(1) as pool:
        scene = prepare(web.url, redis.url, settings, "o-store")
        first = pool.submit(scene.platform.deliver, scene.message)
        wait_until(scene.being_answered, 5, "the answer is being written")
        kept = scene.interrupted()
        old = redis.pid
        assert old
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: redis.pid != old and web.ready(), 10, "the store is started again")
        scene.answered_once(kept, first.result().reply)


def test_kill_9_of_everything(settings: dict[str, object], tmp_path: Path) -> None:
    serve = Service(tmp_path, "serve", **settings)
    redis_url = f"unix://{tmp_path / 'data' / 'store' / 'plm.sock'}"
    with serve, ThreadPoolExecutor(1) as pool:
        scene = prepare(serve.url, redis_url, settings, "o-all")
        first = pool.submit(scene.platform.request, scene.message)
        wait_until(scene.being_answered, 5, "the answer is being written")
        serve.kill()
        assert first.result().status is None
        serve.start()
        kept = scene.interrupted()
        scene.answered_once(kept, scene.platform.deliver(scene.message, pause=0.2).reply)


def test_serve_starts_its_parts_again(settings: dict[str, object], tmp_path: Path) -> None:
    """kill -9 of what `plm serve` started, without anybody's help afterwards."""
    with Service(tmp_path, "serve", **settings) as serve:
        assert serve.plm
        platform = Platform(serve.url + "/wechat", "AAAAA")
        parent = serve.plm.process.pid
        before = set(descendants(parent))
        kill_all(sorted(before))
        wait_until(lambda: serve.ready() and not before & set(descendants(parent)), 20, "all is back")
        assert platform.deliver(platform.text("o-serve", FIRST), pause=0.2).reply


@pytest.mark.alone
def test_redis_down_is_said_at_once_and_heals(
    redis: EmbeddedStore, settings: dict[str, object], tmp_path: Path
) -> None:
    with Service(tmp_path / "web", "web", PLM_REDIS_URL=redis.url, **settings) as web:
        platform = Platform(web.url + "/wechat", "AAAAA")
        assert platform.deliver(platform.text("o-down", FIRST)).reply
        redis.stop()
        check_that_it_is_said(web, platform)
        again = EmbeddedStore(redis.directory.parent)
        again.start()
        wait_until(web.ready, 5, "it heals by itself")
        assert dialogue.BUSY not in str(platform.deliver(platform.text("o-down", QUESTION)).reply)
        assert len(Store(again.url).turns(Conversation("wechat", "o-down"))) == 4
        # A store that hangs is no better than none.
        assert again.pid
        os.kill(again.pid, signal.SIGSTOP)
        try:
            check_that_it_is_said(web, platform)
        finally:
            os.kill(again.pid, signal.SIGCONT)
        wait_until(web.ready, 5, "it heals by itself")
        again.stop()


def check_that_it_is_said(web: Service, platform: Platform) -> None:
    attempt = platform.request(platform.text("o-down", QUESTION))
    assert attempt.reply == dialogue.BUSY == "服务繁忙，请稍后再试"
    assert attempt.seconds < 1.0
    assert requests.get(web.url + "/healthz", timeout=2).status_code == 200
    ready = requests.get(web.url + "/readyz", timeout=2)
    assert ready.status_code == 503
    assert "redis" in ready.json()["faults"]
    page = requests.get(web.url + "/", timeout=2)
    assert page.status_code == 503
    assert "服务繁忙，请稍后再试" in page.text
    webhook = post(web, {"user": "u", "text": "你好"})
    assert webhook.status_code == 503
    assert len(webhook.json()["error"]) < 100
    assert "Traceback" not in page.text + webhook.text


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["slow", "full", "failover"])
def test_redis_in_trouble_costs_nothing_that_was_acknowledged(fault: str, tmp_path: Path) -> None:
    """A small run of tests/bench/load/faults.py."""
    result = suffer(fault, tmp_path, seconds=6, rate=3, calm=2)
    assert passed(result), result
    assert result["seen"]["before"]["answered"] > 0
    assert result["seen"]["after"]["answered"] > 0
    if fault == "full":
        assert result["seen"]["during"]["busy"] > 0


@pytest.mark.alone
def test_a_master_hands_on_what_it_says_is_done(tmp_path: Path) -> None:
    trio, talker = Failover(tmp_path), Conversation("wechat", "o-copied")
    assert trio.replica.process
    try:
        store = Store(trio.url)
        store.enqueue(talker, "m1", "n", FIRST)
        trio.replica.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        store.enqueue(talker, "m2", "n", FIRST)  # not copied: it is waited for, and not for long
        assert COPY_MS / 1000 <= time.monotonic() - began < 1
        trio.replica.process.send_signal(signal.SIGCONT)
        store.enqueue(talker, "m3", "n", FIRST)
        trio.master.kill()
        wait_until(lambda: waiting(store, talker) is not None, 20, "the replica is the master")
        assert waiting(store, talker) == ["m1", "m2", "m3"]
        store.close()
    finally:
        trio.stop()


def waiting(store: Store, talker: Conversation) -> list[str] | None:
    try:
        return store.waiting(talker)
    except StoreDownError:
        return None


def test_sigterm_finishes_the_running_answer(
    redis: EmbeddedStore, settings: dict[str, object], tmp_path: Path
) -> None:
    web = Service(tmp_path / "web", "web", PLM_REDIS_URL=redis.url, **settings)
    with web, ThreadPoolExecutor(1) as pool:
        scene = prepare(web.url, redis.url, settings, "o-term")
        first = pool.submit(scene.platform.request, scene.message)
        wait_until(scene.being_answered, 5, "the answer is being written")
        kept = scene.interrupted()
        began = time.monotonic()
        assert web.stop() == 0
        assert time.monotonic() - began < 10
        scene.answered_once(kept, first.result().reply)
        with pytest.raises(requests.ConnectionError):
            requests.get(web.url + "/healthz", timeout=2)


def test_sigterm_to_serve_leaves_nothing_behind(settings: dict[str, object], tmp_path: Path) -> None:
    with Service(tmp_path, "serve", **settings) as serve:
        assert serve.plm
        started = descendants(serve.plm.process.pid)
        assert len(started) >= 2  # the store, a worker
        assert serve.stop() == 0
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), 5, "all have ended")
