"""Whether a call that failed may have arrived all the same: then it must not be made again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from werkzeug import Request, Response

from bot.channels import client
from bot.channels.client import SendError, call_json
from tests.service import free_port
from tests.stand_in import StandIn


@pytest.fixture
def platform() -> Iterator[StandIn]:
    def answer(request: Request) -> Response | None:
        match request.path.strip("/"):
            case "hang-up":
                return None
            case "slow":
                time.sleep(0.5)
                return Response("{}")
            case "text":
                return Response("taken")
            case "list":
                return Response("[]")
            case status:
                return Response("{}", int(status))

    platform = StandIn(answer)
    yield platform
    platform.stop()


def failure(url: str) -> SendError:
    with pytest.raises(SendError) as raised:
        call_json("platform", url + "?token=hush-hush", {"text": "好"})
    assert "hush-hush" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    ("path", "maybe_delivered"),
    [("hang-up", True), ("slow", True), ("text", True), ("list", True), ("504", True), ("500", False)],
)
def test_what_reached_the_platform(
    platform: StandIn, path: str, maybe_delivered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT", (2.0, 0.2))
    assert failure(platform.url_for(path)).maybe_delivered is maybe_delivered
    assert len(platform.log) == (path != "slow")  # it is still at it


def test_what_never_left(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/x"
    assert not failure(nobody).maybe_delivered
    assert not failure("http://no-such-host.invalid/x").maybe_delivered
    monkeypatch.setenv("http_proxy", nobody)
    assert not failure("http://platform.example/x").maybe_delivered


def test_what_is_taken(platform: StandIn) -> None:
    assert call_json("platform", platform.url_for("404"), {}).status == 404
