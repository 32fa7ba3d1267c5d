"""An application with two webhooks whose answers are sent on, an administrator, and a receiver."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks.webhooks import Webhook as Signer

from bot import Bot, create_app
from bot.config import load_settings
from bot.store import Store
from tests.bot.scripted import ScriptedEngine

KEY = "an-administrators-key-0123456789"
SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
HEADERS = {"Authorization": f"Bearer {KEY}"}


class Desk:
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
        body = json.dumps({"user": user, "text": text, "id": message_id}).encode()
        now = datetime.datetime.now(datetime.UTC)
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Signer(SECRET).sign(message_id, now, body.decode()),
        }
        return self.client.post(f"/webhook/{hook}", data=body, headers=headers)

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
    from urllib.parse import quote

    return repr(text.encode())[2:-1], text.encode("unicode_escape").decode(), quote(text)
