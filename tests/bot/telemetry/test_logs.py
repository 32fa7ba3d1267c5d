"""Log lines of the real service: the request's id all the way, JSON, no texts unless asked for."""

from __future__ import annotations

import base64
import datetime
import json
import logging
import sys
from pathlib import Path

import requests
from standardwebhooks.webhooks import Webhook as Signer

from bot.telemetry import logs
from tests.service import Service
from tests.tiny_model import write_tiny_model

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


def ask(service: Service, text: str, message_id: str, request_id: str) -> requests.Response:
    body = json.dumps({"user": "u", "text": text, "id": message_id}).encode()
    now = datetime.datetime.now(datetime.UTC)
    headers = {
        "webhook-id": message_id, "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(SECRET).sign(message_id, now, body.decode()),
        logs.HEADER: request_id,
    }  # fmt: skip
    return requests.post(service.url + "/webhook/forms", body, headers=headers, timeout=30)


def test_a_requests_id_goes_from_the_web_to_the_engine_host_and_no_text_does(
    tmp_path: Path, redis_url: str
) -> None:
    model = str(write_tiny_model(tmp_path / "tiny.safetensors"))
    common = {"PLM_MODEL": model, "PLM_LOG_FORMAT": "json", "PLM_MAX_BYTES": 40}
    with Service(tmp_path / "e", "engine", **common) as host:
        settings = {"PLM_REDIS_URL": redis_url, "PLM_ENGINE_URL": host.url, **common}
        with Service(tmp_path / "w", "web", PLM_WEBHOOK_FORMS_SECRET=SECRET, **settings) as web:
            response = ask(web, "我的秘密", "m1", "abc-123")
            assert response.status_code == 200
            assert response.headers[logs.HEADER] == "abc-123"
            odd = ask(web, "我的秘密", "m2", "x" * 100)
            assert logs.GIVEN.fullmatch(odd.headers[logs.HEADER])
            said = web.output()
        heard = host.output()
    for output, needle in ((said, "answered"), (said, "/webhook/<name>"), (heard, "/stream")):
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert [line for line in lines if needle in line["message"] and line.get("request") == "abc-123"]
    assert "我的秘密" not in said + heard
    assert response.json()["reply"][:6] not in said


def test_texts_are_in_the_log_where_they_are_asked_for(tmp_path: Path, redis_url: str) -> None:
    model = str(write_tiny_model(tmp_path / "tiny.safetensors"))
    settings = {"PLM_MODEL": model, "PLM_REDIS_URL": redis_url, "PLM_LOG_TEXT": 1, "PLM_MAX_BYTES": 40}
    with Service(tmp_path / "w", "web", PLM_WEBHOOK_FORMS_SECRET=SECRET, **settings) as web:
        ask(web, "第一行\n2026 ERROR 伪造", "m9", "abc")
        lines = [line for line in web.output().splitlines() if "第一行" in line]
    assert len(lines) == 1
    assert "[abc]" in lines[0]
    assert "伪造" in lines[0]


def test_a_line_of_json_says_all_that_is_known() -> None:
    record = logging.LogRecord("bot.app", logging.WARNING, "", 0, "%s", ("桂枝\n汤",), None)
    record.created, record.msecs, record.where = 1.25, 250.0, {"set": {1}}
    own = logs.request_id.set("abc-123")
    try:
        logs._mark(record)
        raise ValueError("out of order")
    except ValueError:
        record.exc_info = sys.exc_info()
    finally:
        logs.request_id.reset(own)
    line = logs._Json().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said.pop("traceback").endswith("ValueError: out of order")
    assert said.pop("where")["set"]
    assert said == {
        "time": "1970-01-01T00:00:01.250Z", "level": "WARNING", "logger": "bot.app",
        "message": "桂枝\n汤", "request": "abc-123",
    }  # fmt: skip


def test_nobody_writes_a_line_of_their_own() -> None:
    record = logging.LogRecord("bot", logging.INFO, "", 0, "%s", ("a\nb\x1b[31m\u2028c",), None)
    line = logs._Plain("%(message)s").format(record)
    assert line == "a\\nb\\x1b[31m\\u2028c"
