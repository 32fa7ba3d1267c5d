"""Attacks that no other test tries, and bot/SECURITY.md, which names the test of each."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bot.store.conversations import Store
from bot.text.records import Conversation
from bot.web.visitor import COOKIE
from tests.bot.admin_client import KEY, SECRET, AdminClient
from tests.bot.channels.test_webhook import sent_to
from tests.bot.idle import wait_until_idle
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.bot.webhook_receiver import Receiver
from tests.service import Service, wait_until
from tests.tiny_model import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
API_KEY, TOKEN, AES_KEY = "sk-" + "a1b2" * 8, "wechat-token-hush", "A" * 43


@pytest.fixture
def admin_client(store: Store, receiver: Receiver) -> Iterator[AdminClient]:
    engine = ScriptedEngine(lambda prompt: f"答{question_of(prompt)}。")
    admin_client = AdminClient(
        store, receiver.url, engine, api_keys=f"me:{API_KEY}", wechat_token=TOKEN, wechat_appid="wx1",
        wechat_aes_key=AES_KEY,
    )  # fmt: skip
    yield admin_client
    admin_client.close()


def test_every_test_that_the_table_names_exists() -> None:
    rows = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "bot" / "SECURITY.md").read_text())
    assert len(rows) >= 30
    missing = [
        row for row in rows if not re.search(rf"^def {row[1]}\(", (ROOT / row[0]).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_every_test_of_this_file_is_in_the_table() -> None:
    table = (ROOT / "bot" / "SECURITY.md").read_text()
    own = re.findall(r"^def (test_\w+)\(", Path(__file__).read_text(), re.MULTILINE)
    assert [name for name in own if name not in table and "the_table" not in name] == []


# What comes in


def test_a_message_cannot_say_where_its_answer_goes(admin_client: AdminClient, receiver: Receiver) -> None:
    other = Receiver()
    message = {"user": "u1", "text": "问", "id": "m1", "url": other.url, "callback": other.url}
    message |= {"webhook": "lab", "reply_to": other.url}
    assert admin_client.sign_in(message, "shop").status_code == 200
    wait_until(lambda: sent_to(receiver, "u1"), 10, "it is sent to the configured address")
    wait_until_idle(admin_client.bot.store)
    assert other.received == []
    other.stop()


def test_marks_of_the_dialogue_in_a_question_are_text_or_refused(admin_client: AdminClient) -> None:
    for mark in (b"\xfd", b"\xfe", b"\xff"):
        body = b'{"user": "u1", "text": "a' + mark + b'b", "id": "m0"}'
        assert admin_client.sign_in(body, "shop").status_code in (400, 401)
    admin_client.say("u1", "ý þ ÿ \u00fd\u00fe\u00ff \\xfd 您好", "m1")
    engine = admin_client.bot.answers.engine
    (prompt,) = engine.prompts  # type: ignore[attr-defined]
    read = prompt.history() + prompt.tail
    assert (read.count(b"\xfd"), read.count(b"\xfe"), read.count(b"\xff")) == (1, 1, 0)
    chat = {"model": "tcm", "messages": [{"role": "user", "content": "ý\u00ff"}], "max_tokens": 5}
    key = {"Authorization": f"Bearer {API_KEY}"}
    admin_client.client.post("/v1/chat/completions", json=chat, headers=key)
    read = engine.prompts[-1].history() + engine.prompts[-1].tail  # type: ignore[attr-defined]
    assert (read.count(b"\xfd"), read.count(b"\xfe"), read.count(b"\xff")) == (1, 1, 0)


@pytest.mark.parametrize(
    "path", ["/v1/score", "/v1/chat/completions", "/webhook/shop", "/page/chat", "/admin/api/block"]
)
def test_deep_and_huge_bodies_are_refused(admin_client: AdminClient, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {KEY if 'admin' in path else API_KEY}"}
    admin_client.client.set_cookie(COOKIE, "0" * 32)
    for body, expected in ((b"[" * 200_000, 400), (b'{"a":' * 100_000, 400), (b" " * (1 << 20) + b"{}", 413)):
        if path.startswith("/webhook"):
            status = admin_client.sign_in(body, "shop").status_code
        else:
            status = admin_client.client.post(path, data=body, headers=headers).status_code
        assert status == expected, (path, body[:10])


def test_an_id_of_somebody_else_reads_and_ends_nothing_of_theirs(
    admin_client: AdminClient, store: Store
) -> None:
    message_id = secrets.token_hex(16)
    answers = []
    for visitor, question in (("a" * 32, "我的秘密"), ("b" * 32, "别的")):
        browser = admin_client.app.test_client()
        browser.set_cookie(COOKIE, visitor)
        for path in ("/page/stop", "/page/chat"):
            said = browser.post(path, json={"id": message_id, "text": question})
        answers.append(said.text)
        assert question in browser.get("/").text
    assert "秘密" in answers[0]
    assert "秘密" not in answers[1]
    assert admin_client.say("u1", "我的秘密", "same").json["reply"] == "答我的秘密。"
    for hook in ("shop", "lab"):
        assert "秘密" not in admin_client.say("u2", "别的", "same", hook).json["reply"]
    # Names that look like other keys are names.
    odd = "u1}:turns"
    admin_client.say(odd, "三", "m1")
    assert store.turns(Conversation("webhook-shop", "u1"))[0]["content"] == "我的秘密"
    assert len(store.turns(Conversation("webhook-shop", odd))) == 2


def test_a_cookie_that_was_not_given_out_is_no_conversation(admin_client: AdminClient) -> None:
    for cookie in ("", "x" * 32, "A" * 32, "a" * 31, "a" * 33, "../../etc", "a" * 32 + "}:turns"):
        browser = admin_client.app.test_client()
        browser.set_cookie(COOKIE, cookie)
        said = browser.post("/page/chat", json={"id": "0" * 32, "text": "问"})
        assert said.status_code == 400, cookie


# Keys


def test_secrets_are_compared_in_constant_time(
    admin_client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[Any, Any]] = []
    compare = hmac.compare_digest

    def watch(left: Any, right: Any) -> bool:
        compared.append((left, right))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", watch)
    wrong = {"Authorization": "Bearer " + "x" * 30}
    for ask in (
        lambda: admin_client.client.get("/admin/api/stats", headers=wrong),
        lambda: admin_client.client.get("/v1/models", headers=wrong),
        lambda: admin_client.client.get("/wechat?signature=0&timestamp=1&nonce=1&echostr=x"),
        lambda: admin_client.client.post(
            "/webhook/shop", data=b"{}", headers=admin_client.signature(b"{}", b"wrong" * 5)
        ),
    ):
        before = len(compared)
        assert ask().status_code in (401, 403)
        assert len(compared) > before
    # Of keys it is hashes of one length, so that not even the length is told.
    assert all(len(left) == len(right) == 32 for left, right in compared[:2])


def test_guesses_are_counted_whatever_a_caller_says_of_itself(admin_client: AdminClient) -> None:
    def guess(n: int) -> int:
        headers = {
            "Authorization": f"Bearer wrong-{n}",
            "X-Forwarded-For": f"10.0.0.{n}",
            "X-Real-IP": f"10.1.0.{n}",
        }
        return admin_client.client.get("/admin/api/stats", headers=headers).status_code

    assert [guess(n) for n in range(12)] == [401] * 10 + [429] * 2


def test_no_secret_is_in_a_repr_an_error_page_a_log_or_the_numbers(
    admin_client: AdminClient, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = [KEY, API_KEY, TOKEN, AES_KEY, SECRET, SECRET.removeprefix("whsec_"), "hush-hush"]
    caplog.set_level(logging.DEBUG)
    shown = [
        repr(admin_client.settings),
        str(admin_client.settings),
        repr(admin_client.bot),
        repr(admin_client.bot.channels),
    ]
    store.client.set("plm:{webhook-shop:u}:turns", "spoilt")
    shown.append(admin_client.say("u", "一", "m1").text)
    assert shown[-1]
    for path in (
        "/",
        "/admin",
        "/metrics",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/nowhere",
        "/wechat",
        "/v1/models",
    ):
        response = admin_client.client.get(path)
        shown.append(f"{response.headers}{response.text}")
    for path in ("stats", "audit", "people", "models", "dead-letters", "broadcasts"):
        shown.append(admin_client.get(path).text)
    assert "WRONGTYPE" in caplog.text
    for secret in hidden:
        assert [text[:80] for text in shown if secret in text] == []
        assert secret not in caplog.text


# Pages and addresses


def test_every_response_says_how_a_browser_must_take_it(admin_client: AdminClient) -> None:
    for path in ("/", "/admin", "/static/page.js", "/healthz", "/nowhere", "/v1/models", "/admin/api/stats"):
        with admin_client.client.get(path) as response:
            headers = response.headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["Referrer-Policy"] == "no-referrer", path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert "Server" not in headers or "Python" not in headers["Server"]


def test_no_address_leads_elsewhere(admin_client: AdminClient) -> None:
    for path in (
        "//evil.example", "//evil.example/admin", "/admin/", "/wechat/", "/\\evil.example", "//admin",
        "///evil.example/..", "/static//evil.example", "/?next=https://evil.example", "/admin?u=//evil",
    ):  # fmt: skip
        where, _, query = path.partition("?")
        raw = {"PATH_INFO": where, "QUERY_STRING": query}  # as they come; the client would take them apart
        response = admin_client.client.get("/", headers={"Host": "bot.example.org"}, environ_overrides=raw)
        assert "Location" not in response.headers, (path, response.headers.get("Location"))
        assert response.status_code in (200, 403, 404)  # 403: /wechat/ is /wechat, and nothing was signed


def test_static_files_are_those_of_the_folder_alone(admin_client: AdminClient) -> None:
    for path in ("../config.py", "..%2fconfig.py", "%2e%2e/config.py", "/etc/passwd", "..\\config.py", ""):
        assert admin_client.client.get(f"/static/{path}").status_code == 404, path


# The wire, with the real server


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("web")
    write_tiny_model(directory / "tiny.safetensors")
    settings = {
        "PLM_MODEL": "tiny", "PLM_MODEL_DIR": directory, "PLM_REDIS_URL": redis_url, "PLM_ADMIN_KEY": KEY,
        "PLM_WECHAT_TOKEN": TOKEN, "PLM_THREADS": 24,
    }  # fmt: skip
    with Service(directory, "web", **settings) as service:
        yield service


def exchange(service: Service, raw: bytes, seconds: float = 3.0) -> bytes:
    """What comes back until the server closes the line, or is silent for so long."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as line:
        line.sendall(raw)
        found = b""
        try:
            while piece := line.recv(65536):
                found += piece
        except (TimeoutError, ConnectionResetError):
            pass
    return found


SMUGGLED = b"GET /healthz?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        b"Content-Length: +0\r\n\r\n",
        b"Content-Length: 0\r\n X: folded\r\n\r\n",
        b"Content-Length: 0\r\nX: a\rb\r\n\r\n",
        b"Content-Length: 0\r\nX: a\x00b\r\n\r\n",
    ],
)  # fmt: skip
def test_a_request_is_not_hidden_in_another(service: Service, head: bytes) -> None:
    """Nobody in front of the server can have taken what follows for the body of the first request."""
    found = exchange(service, b"POST /healthz HTTP/1.1\r\nHost: a\r\n" + head + SMUGGLED)
    assert found.count(b"HTTP/1.1 200") == 0, found


def test_a_header_with_underscores_is_no_other_header(service: Service) -> None:
    """WSGI writes both as HTTP_X_REQUEST_ID: a proxy that overwrites the one would let the other pass."""
    ask = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX%sRequest%sId: told-by-me\r\n\r\n"
    assert b"told-by-me" in exchange(service, ask % (b"-", b"-"))
    assert b"told-by-me" not in exchange(service, ask % (b"_", b"_"))
    evil = ask % (b"-", b"-")
    evil = evil.replace(b"told-by-me", b"a\x0b\r\nSet-Cookie: x=1")
    assert b"\r\nSet-Cookie" not in exchange(service, evil)


def test_slow_bodies_do_not_keep_others_waiting(service: Service) -> None:
    address = urlsplit(service.url)
    head = b"POST /webhook/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{"
    lines = [socket.create_connection((address.hostname, address.port)) for _ in range(12)]
    try:
        for line in lines:
            line.sendall(head)
        time.sleep(0.5)
        began = time.monotonic()
        ask = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert b"200 OK" in exchange(service, ask)
        assert time.monotonic() - began < 2
    finally:
        for line in lines:
            line.close()
