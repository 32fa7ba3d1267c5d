"""Answers from the library and the commands about it, over HTTP as the channels send them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.store.conversations import Store
from bot.text import dialogue
from engine.library import Library
from tests import small_library
from tests.bot.admin_client import AdminClient, everything
from tests.small_library import FORMULA, HERBS, SHANGHAN, UNKNOWN
from tests.wechat_platform import REPLY_BYTES, Platform

USER = "oUser1"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return small_library.write(tmp_path / "library")


@pytest.fixture
def service(store: Store, library: Library) -> Iterator[AdminClient]:
    client = AdminClient(store, "http://127.0.0.1:9/", library=str(library.folder), wechat_token="AAAAA")
    yield client
    client.close()


def over_webhook(service: AdminClient, message_id: str, text: str) -> str:
    return str(service.say(USER, text, message_id).json["reply"])


def over_wechat(service: AdminClient, text: str) -> str:
    platform = Platform("/wechat", "AAAAA")
    message = platform.text(USER, text)
    query, body = platform.seal(message)
    reply = platform.read_reply(message, service.client.post("/wechat", query_string=query, data=body).data)
    assert reply is not None
    return reply


def test_over_a_webhook(service: AdminClient) -> None:
    assert HERBS in over_webhook(service, "m1", FORMULA)
    assert "麻黄汤主之" in over_webhook(service, "m2", "出处")
    assert HERBS in over_webhook(service, "m3", "查：麻黄汤")
    assert SHANGHAN in over_webhook(service, "m4", "/books")
    assert over_webhook(service, "m5", UNKNOWN).startswith("书里没有找到")


def test_over_wechat_long_ones_in_pieces(service: AdminClient, library: Library) -> None:
    with library.writer() as writer:
        text = "《医案》\n\n头痛\n" + "".join(
            f"第{number}案，头痛如裹，服清震汤，三剂而愈。\n" for number in range(300)
        )
        writer.add_text("医案", "", "", text, file="x.txt", kind="book")
    assert HERBS in over_wechat(service, FORMULA)
    assert "麻黄汤主之" in over_wechat(service, "出处")
    assert SHANGHAN in over_wechat(service, "目录")
    pieces = [over_wechat(service, "查：头痛 清震汤")]
    assert len(pieces[0].encode()) <= REPLY_BYTES
    while pieces[-1].endswith(dialogue.MORE_HINT):
        pieces.append(over_wechat(service, "继续"))
    assert len(pieces) > 1
    assert "".join(pieces).count("【《医案") > 1


def test_the_owner_sees_what_got_no_answer_and_who_is_forgotten_takes_it_along(
    service: AdminClient, store: Store
) -> None:
    over_webhook(service, "m1", UNKNOWN)
    (row,) = service.get("library/unanswered").json["questions"]
    assert (row["question"], row["people"]) == (UNKNOWN[:-1], 1)
    assert USER not in str(service.get("library/unanswered").data)
    assert "library.unanswered" in str(service.get("audit").json)
    service.forget(USER)
    assert service.get("library/unanswered").json["questions"] == []
    assert UNKNOWN[:-1] not in everything(store)


def test_what_is_counted(service: AdminClient) -> None:
    def counted(outcome: str) -> float:
        text = service.client.get("/metrics").text
        found = re.search(rf'plm_library_answers_total{{outcome="{outcome}"}} ([\d.]+)', text)
        return float(found[1]) if found else 0.0

    before = counted("quoted"), counted("abstained")
    over_webhook(service, "m1", FORMULA)
    over_webhook(service, "m2", UNKNOWN)
    assert (counted("quoted"), counted("abstained")) == (before[0] + 1, before[1] + 1)
    assert "plm_library_seconds_count" in service.client.get("/metrics").text
