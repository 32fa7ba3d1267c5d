"""An application with two webhooks whose answers are sent on, an administrator, and a receiver."""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
from typing import Any
from urllib.parse import quote

from flask import Flask
from flask.testing import FlaskClient

from bot.app import create_app
from bot.context import Bot
from bot.settings.config import load_settings
from bot.store.conversations import Store
from tests.bot.scripted_engine import ScriptedEngine

KEY = "an-administrators-key-0123456789"
SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
HEADERS = {"Authorization": f"Bearer {KEY}"}


class AdminClient:
    def __init__(self, store: Store, url: str, engine: ScriptedEngine | None = None, **settings: Any) -> None:
        hooks = {name: {"secret": SECRET, "url": url} for name in ("shop", "lab")}
        self.settings = load_settings(
            redis_url=store.url, model="tcm", admin_key=KEY, webhooks=hooks,
            **{"retry_seconds": 0.05, "disclaimer": "", **settings},
        )  # fmt: skip
        self.app: Flask = create_app(self.settings, engine=engine or ScriptedEngine(), store=store)
        self.bot: Bot = self.app.extensions["plm"]
        self.client: FlaskClient = self.app.test_client()

    def close(self) -> None:
        self.bot.close(1)

    def say(self, user: str, text: str, message_id: str, hook: str = "shop") -> Any:
        return self.sign_in({"user": user, "text": text, "id": message_id}, hook)

    def sign_in(self, message: dict[str, Any] | bytes, hook: str) -> Any:
        """Post a message, or any body, to a webhook, signed."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return self.client.post(f"/webhook/{hook}", data=body, headers=self.signature(body))

    def signature(self, body: bytes, secret: bytes = b"s" * 24) -> dict[str, str]:
        now, message_id = str(int(time.time())), uuid.uuid4().hex
        digest = hmac.digest(secret, f"{message_id}.{now}.".encode() + body, "sha256")
        signed = "v1," + base64.b64encode(digest).decode()
        return {"webhook-id": message_id, "webhook-timestamp": now, "webhook-signature": signed}

    def get(self, path: str, **query: object) -> Any:
        return self.client.get(f"/admin/api/{path}", headers=HEADERS, query_string=query)

    def post(self, path: str, **body: object) -> Any:
        return self.client.post(f"/admin/api/{path}", headers=HEADERS, json=body)

    def forget(self, user: str) -> Any:
        return self.client.delete("/admin/api/conversations", headers=HEADERS, query_string={"user": user})


def everything(store: Store) -> str:
    """All keys and all that is in them."""
    readers = {
        b"string": store.client.get, b"hash": store.client.hgetall,
        b"list": lambda key: store.client.lrange(key, 0, -1),
        b"zset": lambda key: store.client.zrange(key, 0, -1), b"set": store.client.smembers,
        b"none": lambda key: None,  # gone meanwhile
    }  # fmt: skip
    found = [f"{key!r}={readers[store.client.type(key)](key)!r}" for key in store.client.scan_iter()]
    return "\n".join(found)


def spelt(text: str) -> tuple[str, str, str]:
    """How a text may stand in `everything`: as bytes of UTF-8, escaped in JSON (twice), or in an address."""
    return repr(text.encode())[2:-1], text.encode("unicode_escape").decode(), quote(text)
