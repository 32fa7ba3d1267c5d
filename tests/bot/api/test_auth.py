"""API keys: who is let in to /v1, for what and how often, and when it is open without any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from bot.app import create_app
from bot.settings.config import Settings, load_settings
from bot.store.conversations import Store
from tests.bot.scripted_engine import ScriptedEngine

SHOP, LAB, SLOW = (f"sk-{name}-0123456789abcdef" for name in ("shop", "lab", "slow"))
KEYS = f"shop:{SHOP}:chat, lab:{LAB}:likelihood, slow:{SLOW}::2/hour"
SECRET = {"webhooks": {"shop": {"secret": "whsec_" + "A" * 32}}}
Open = Callable[..., FlaskClient]


@pytest.fixture
def start(store: Store) -> Iterator[Open]:
    apps = []

    def make(**settings: Any) -> FlaskClient:
        app = create_app(
            load_settings(redis_url="redis://unused", model="tiny", **settings),
            engine=ScriptedEngine(),
            store=store,
        )
        apps.append(app)
        return app.test_client()

    yield make
    for app in apps:
        app.extensions["plm"].answers.close(1)


def ask(client: FlaskClient, key: str | None = None, address: str = "127.0.0.1", **headers: str) -> Any:
    given = headers | ({"Authorization": f"Bearer {key}"} if key else {})
    body = {"model": "tiny", "prompt": "a"}
    return client.post(
        "/v1/completions", json=body, headers=given, environ_base={"REMOTE_ADDR": address},
        base_url=f"http://{headers.get('Host', 'localhost')}",
    )  # fmt: skip


def fault(response: Any) -> tuple[int, str]:
    return response.status_code, response.json["error"]["code"]


def test_a_known_key_is_let_in_and_others_are_not(start: Open) -> None:
    client = start(api_keys=KEYS)
    assert ask(client, SHOP).status_code == 200
    for wrong in (None, "", SHOP[:-1], SHOP + "x", SHOP.upper(), "药" * 20):
        response = ask(client, wrong.encode().decode("latin-1") if wrong else wrong)
        assert fault(response) == (401, "invalid_api_key")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert fault(client.get("/v1/models")) == (401, "invalid_api_key")
    assert fault(ask(client, Authorization=f"Basic {SHOP}")) == (401, "invalid_api_key")
    assert client.get("/v1/models", headers={"Authorization": f"bearer {LAB}"}).status_code == 200


def test_a_key_is_good_for_its_scopes_alone(start: Open) -> None:
    client = start(api_keys=KEYS)
    assert fault(ask(client, LAB)) == (403, "insufficient_scope")
    assert ask(client, SLOW).status_code == 200  # none named: all


def test_every_path_of_v1_is_guarded(start: Open) -> None:
    client = start(api_keys=KEYS)
    rules = [rule for rule in client.application.url_map.iter_rules() if rule.rule.startswith("/v1/")]
    assert len(rules) >= 4
    for rule in rules:
        method = "POST" if "POST" in (rule.methods or ()) else "GET"
        path = rule.rule.replace("<path:name>", "tiny")
        assert fault(client.open(path, method=method, json={})) == (401, "invalid_api_key"), path


def test_a_key_has_a_rate_of_its_own(start: Open) -> None:
    client = start(api_keys=KEYS, rate_limit="4/hour")
    assert [ask(client, SLOW).status_code for _ in range(3)] == [200, 200, 429]
    response = ask(client, SLOW)
    assert fault(response) == (429, "rate_limit_exceeded")
    assert 0 < int(response.headers["Retry-After"]) <= 3600
    assert [ask(client, SHOP).status_code for _ in range(5)] == [200] * 4 + [429]
    assert fault(ask(client, LAB)) == (403, "insufficient_scope")  # what is not let in is not counted


def test_processes_count_together(start: Open) -> None:
    one, other = start(api_keys=KEYS), start(api_keys=KEYS)
    assert [ask(client, SLOW).status_code for client in (one, other, one, other)] == [200, 200, 429, 429]


def test_without_keys_it_is_open_to_this_machine_alone(start: Open) -> None:
    client = start()
    assert ask(client).status_code == 200
    assert ask(client, Host="127.0.0.1:8000").status_code == 200
    assert ask(client, Host="[::1]:8000", address="::1").status_code == 200
    for closed in (
        ask(client, address="192.168.1.5"),
        ask(client, address="203.0.113.9"),
        ask(client, Host="evil.example"),  # a name that was made to point here
        ask(client, **{"X-Forwarded-For": "203.0.113.9"}),
        ask(client, **{"X-Real-IP": "203.0.113.9"}),
        ask(client, Forwarded="for=203.0.113.9"),
        ask(client, Origin="https://evil.example"),
        ask(client, Origin="http://["),
        ask(client, **{"Sec-Fetch-Site": "cross-site"}),
    ):
        assert fault(closed) == (401, "invalid_api_key")
        assert "PLM_API_KEYS" in closed.json["error"]["message"]


@pytest.mark.parametrize("public", [{"wechat_token": "AAAAA"}, SECRET])
def test_without_keys_a_public_service_is_closed(start: Open, public: dict[str, Any]) -> None:
    assert fault(ask(start(**public))) == (401, "invalid_api_key")
    assert ask(start(api_keys=KEYS, **public), SHOP, address="203.0.113.9").status_code == 200


def test_without_keys_an_address_has_the_common_rate(start: Open) -> None:
    client = start(rate_limit="2/hour")
    assert [ask(client).status_code for _ in range(3)] == [200, 200, 429]


def test_behind_proxies_their_word_is_taken_for_the_address_and_no_more(start: Open) -> None:
    client = start(proxies=1)
    # The caller wrote the first entry, the proxy the last one.
    assert fault(ask(client, **{"X-Forwarded-For": "127.0.0.1, 203.0.113.9"})) == (401, "invalid_api_key")
    assert fault(ask(client, **{"X-Forwarded-For": "127.0.0.1"})) == (401, "invalid_api_key")


def test_with_limits_and_no_store_nobody_gets_in(start: Open, store: Store) -> None:
    away = Store("redis://127.0.0.1:1/0")
    app = create_app(
        Settings(api_keys=KEYS, redis_url="redis://unused", model="tiny"), engine=ScriptedEngine(), store=away
    )
    client = app.test_client()
    assert ask(client, SHOP).status_code == 200  # nothing to count
    response = ask(client, SLOW)
    assert response.status_code == 503
    assert response.json["error"]["type"] == "server_error"
    app.extensions["plm"].answers.close(1)
    away.close()


def test_no_key_is_in_the_store_or_the_settings(start: Open, store: Store) -> None:
    client = start(api_keys=KEYS)
    ask(client, SLOW)
    names = b" ".join(store.client.keys("*"))
    assert b"plm:limit" in names
    assert b"sk-" not in names
    assert b"slow" not in names
    assert all(store.client.ttl(name) > 0 for name in store.client.keys("plm:limit:*"))
