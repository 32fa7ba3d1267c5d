"""Dead letters in the hands of administrators, over /admin/api and by `plm admin`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from bot.cli.admin import admin
from bot.store.conversations import Store
from tests.bot.admin_client import KEY, AdminClient
from tests.bot.channels.test_webhook import sent_to
from tests.bot.webhook_receiver import Receiver
from tests.service import served, wait_until


@pytest.fixture
def admin_client(store: Store, receiver: Receiver) -> Iterator[AdminClient]:
    """With three letters whose receiver said that it was gone."""
    receiver.says = [410] * 3
    admin_client = AdminClient(store, receiver.url)
    for user in ("u1", "u2", "u3"):
        admin_client.say(user, "我的秘密", "m1")
    wait_until(lambda: len(admin_client.bot.tasks.dead_letters()) == 3, 15, "all are dead letters")
    yield admin_client
    admin_client.close()


def test_they_are_listed_without_texts_sent_again_and_dropped(
    admin_client: AdminClient, receiver: Receiver
) -> None:
    letters = admin_client.get("dead-letters").json["dead_letters"]
    assert {letter["conversation"] for letter in letters} == {f"webhook-shop:u{n}" for n in (1, 2, 3)}
    assert {(letter["lane"], letter["task"], letter["error"]) for letter in letters} == {
        ("webhook", "send_on", "webhook shop says that it is gone")
    }
    assert "秘密" not in json.dumps(letters, ensure_ascii=False)
    one, other, last = letters
    assert admin_client.post("dead-letters/resend", id=one["id"]).json == {"resent": [one["id"]]}
    again = one["conversation"].partition(":")[2]
    wait_until(lambda: len(sent_to(receiver, again)) == 2, 10, "it is sent again")
    assert admin_client.post("dead-letters/drop", id=other["id"]).json == {"dropped": [other["id"]]}
    assert admin_client.get("dead-letters").json["dead_letters"] == [last]
    assert admin_client.post("dead-letters/resend", all=True).json == {"resent": [last["id"]]}
    assert admin_client.get("dead-letters").json["dead_letters"] == []
    for body in ({}, {"id": "x", "all": True}, {"all": False}, {"id": 5}, {"ids": []}):
        assert admin_client.post("dead-letters/drop", **body).status_code == 400
    assert admin_client.post("dead-letters/drop", id=one["id"]).status_code == 404
    done = [row["action"] for row in admin_client.get("audit").json["audit"]]
    assert (done.count("resend"), done.count("drop")) == (2, 1)


def plm(url: str, *arguments: str, say: str = "") -> Result:
    env = {"PLM_ADMIN_KEY": KEY, "PLM_ADMIN_URL": url}
    return CliRunner().invoke(admin, list(arguments), env=env, input=say)


def test_by_plm_admin(admin_client: AdminClient, receiver: Receiver) -> None:
    with served(admin_client.app) as url:
        listed = plm(url, "dead-letters", "list").output.splitlines()
        assert len(listed) == 3
        assert all("send_on: webhook shop says that it is gone" in line for line in listed)
        letter = listed[0].split()[2]
        assert plm(url, "dead-letters", "resend", letter).output == "sent again: 1\n"
        assert plm(url, "dead-letters", "drop", "--all", say="n\n").exit_code == 1
        assert len(plm(url, "dead-letters", "list", "--json").output.splitlines()) == 2
        assert plm(url, "dead-letters", "drop", "--all", "--yes").output == "dropped: 2\n"
        assert plm(url, "dead-letters", "resend").exit_code == 2
        assert "there is no such dead letter" in plm(url, "dead-letters", "resend", letter).output
