"""A proxy in the environment is no business of this service's own addresses."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from werkzeug import Request, Response

from bot.channels import webhook
from bot.channels.client import SendError, call_json
from bot.cli import doctor
from bot.cli.admin_api import Api
from bot.inference.remote import RemoteEngine
from bot.server.direct_http import direct_session, is_here, session_for
from bot.settings.values import Webhook
from tests.bot.admin_client import KEY, SECRET
from tests.stand_in import StandIn


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """The environment's proxy; its `log` is what it was asked. ~/.netrc has a password for every machine."""
    proxy = StandIn(lambda request: Response("the proxy", 502))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url_for("/"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    yield proxy
    proxy.stop()


@pytest.fixture
def service() -> Iterator[StandIn]:
    def answer(request: Request) -> Response:
        if request.path.startswith("/admin/api/"):
            assert request.headers["Authorization"] == f"Bearer {KEY}"
        return Response("{}", content_type="application/json")

    service = StandIn(answer)
    yield service
    service.stop()


def test_the_proxy_is_one(proxy: StandIn, service: StandIn) -> None:
    assert requests.get(service.url_for("/healthz"), timeout=5).text == "the proxy"


def test_own_addresses_are_asked_past_the_proxy(proxy: StandIn, service: StandIn) -> None:
    url = service.url_for("").rstrip("/")
    assert Api(url, KEY).get("stats") == {}
    remote = RemoteEngine(url)
    assert remote.ready() is None
    remote.close()
    assert doctor.check_clock(None, url).startswith("127.0.0.1")
    webhook._deliver("shop", Webhook(secret=SECRET, url=url + "/answers"), "msg_1", {"reply": "好"})
    assert [request.path for request, _ in service.log] == [
        "/admin/api/stats", "/about", "/healthz", "/answers",
    ]  # fmt: skip
    assert not proxy.log


def test_a_callback_elsewhere_goes_through_the_proxy(proxy: StandIn) -> None:
    with session_for("http://shop.example/answers") as http:
        assert http.get("http://shop.example/answers", timeout=5).text == "the proxy"


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8000/x", True), ("http://127.9.9.9", True), ("http://[::1]:1/", True),
        ("https://LOCALHOST", True), ("http://bot.localhost/", True), ("http://192.0.2.1", False),
        ("http://127.0.0.1.example", False), ("http://localhost.example", False), ("", False),
        ("http://0.0.0.0:8000", True), ("http://[::]:8000", True), ("http://[::ffff:127.0.0.1]", True),
        ("http://127.1:8000", True), ("http://2130706433", True), ("http://localhost.:1", True),
        (f"http://{socket.gethostname()}:9", True), ("http://[2001:db8::1]", False),
    ],
)  # fmt: skip
def test_only_this_machine_is_this_machine(url: str, own: bool) -> None:
    assert is_here(url) is own


def test_an_address_of_an_interface_is_this_machine() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; says by which address it would
        except OSError:
            pytest.skip("there is no network")
        assert is_here(f"http://{probe.getsockname()[0]}:8000/answers")


def test_a_relay_of_a_platform_on_this_machine_is_asked_past_the_proxy(
    proxy: StandIn, service: StandIn
) -> None:
    assert call_json("sendMessage", service.url_for("/bot/sendMessage"), {"text": "好"}).status == 200
    assert not proxy.log
    with pytest.raises(SendError):
        call_json(
            "sendMessage", "http://api.example/bot/sendMessage", {"text": "好"}, {"Authorization": "own"}
        )
    ((request, _),) = proxy.log
    assert request.headers["Authorization"] == "own"  # not what ~/.netrc has


def test_the_image_s_health_check_asks_past_the_proxy(proxy: StandIn, service: StandIn) -> None:
    dockerfile = (Path(__file__).resolve().parents[3] / "deploy/Dockerfile").read_text("utf-8")
    command = json.loads(re.findall(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", dockerfile)[0])
    code = command[2].replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0
    assert [request.path for request, _ in service.log] == ["/readyz"]
    assert not proxy.log


def test_an_authority_of_one_s_own_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/somewhere/ca.pem")
    assert direct_session().verify == "/somewhere/ca.pem"
