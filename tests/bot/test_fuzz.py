"""A small run of tests/bench/load/fuzz.py, and what it found."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
import requests

from bot.server.embedded_store import EmbeddedStore
from tests.bench.load.fuzz import fuzz
from tests.bench.load.fuzz_requests import SECRET
from tests.service import Service
from tests.tiny_model import write_tiny_model

STALLED = 2  # seconds
HEAD = b"POST /webhook/shop HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.slow
def test_mutated_requests_are_refused_not_failed(tmp_path: Path) -> None:
    result = fuzz(tmp_path, 800, seed=5)
    assert result["faults"] == []
    assert result["tracebacks"] == 0
    assert result["memory"] < 1.1
    assert min(result["statuses"].get(status, 0) for status in ("200", "400", "401", "404", "405")) > 5


@pytest.fixture
def web(tmp_path: Path) -> Service:
    """With two threads, and little patience."""
    model = write_tiny_model(tmp_path / "tiny.safetensors")
    settings = {"PLM_MODEL": model, "PLM_THREADS": 2, "PLM_WEBHOOK_SHOP_SECRET": SECRET}
    return Service(tmp_path, "web", patience=[f"bot.server.processes.STALLED={STALLED}"], **settings)


def test_broken_bodies_and_callers_who_stall(tmp_path: Path, web: Service) -> None:
    store = EmbeddedStore(tmp_path)
    store.start()
    web._settings["PLM_REDIS_URL"] = store.url
    with web:
        with socket.create_connection(("127.0.0.1", web.port), 5) as broken:
            broken.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n7\nno chunk\r\n")
            assert b" 400 " in broken.recv(100)
        stalled = [socket.create_connection(("127.0.0.1", web.port), 5) for _ in range(4)]
        for connection, rest in zip(
            stalled, (b"Content-Length: 9\r\n\r\nabc", b"Content-Le") * 2, strict=True
        ):
            connection.sendall(HEAD + rest)
        time.sleep(0.3)
        began = time.monotonic()
        assert requests.get(web.url + "/healthz", timeout=30).status_code == 200
        assert time.monotonic() - began < 3 * STALLED + 2
        for connection in stalled:
            connection.close()
        numbers = requests.get(web.url + "/metrics", timeout=10).text
        for method in ("SPAM", "SPAMSPAM"):
            requests.request(method, web.url + "/healthz", timeout=10)
        after = requests.get(web.url + "/metrics", timeout=10).text
        assert "SPAM" not in after
        assert 'method="(other)"' in after
        assert 'method="(other)"' not in numbers
    store.stop()
