"""Everything at once: several users, two web processes, kill -9 of workers and store over and over."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from bot import dialogue
from bot.records import Conversation
from bot.store import Store
from tests.service import Service, descendants
from tests.tiny_model import write_tiny_model
from tests.wechat_platform import Platform

SECONDS, USERS = 12, 5


def kill_something(service: Service, dice: random.Random) -> None:
    """One of the workers or the store: the processes that have no children."""
    assert service.plm
    leaves = [pid for pid in descendants(service.plm.process.pid) if not descendants(pid)]
    if leaves:
        with contextlib.suppress(ProcessLookupError):
            os.kill(dice.choice(leaves), signal.SIGKILL)


@pytest.mark.slow
def test_under_constant_kills_every_message_is_one_turn_and_one_answer(tmp_path: Path) -> None:
    settings = {
        "PLM_PROCESSES": 2,
        "PLM_MAX_BYTES": 120,
        "PLM_ENGINE_DELAY_MS": 8,
        "PLM_WECHAT_TOKEN": "AAAAA",
    }
    model = write_tiny_model(tmp_path / "tiny.safetensors")
    replies: dict[str, dict[str, str | None]] = defaultdict(dict)
    with Service(tmp_path, PLM_MODEL=model, **settings) as service:
        platform, end = Platform(service.url + "/wechat", "AAAAA"), time.monotonic() + SECONDS

        def talk(user: str) -> None:
            while time.monotonic() < end:
                message = platform.text(user, f"问题{len(replies[user])}")
                delivery = platform.deliver(message, attempts=6, pause=0.3)
                replies[user][str(message.fields["MsgId"])] = delivery.reply

        users = [threading.Thread(target=talk, args=(f"o{number}",)) for number in range(USERS)]
        for user in users:
            user.start()
        dice = random.Random(1)
        while time.monotonic() < end:
            time.sleep(1.5)
            kill_something(service, dice)
        for user in users:
            user.join()
        store = Store(f"unix://{tmp_path}/data/store/plm.sock")
        for user in replies:
            check(store.turns(Conversation("wechat", user), last=2000), replies[user])
        store.close()


def check(turns: list[dict[str, str]], replies: dict[str, str | None]) -> None:
    counted = Counter((turn["role"], turn["message_id"]) for turn in turns)
    assert max(counted.values()) == 1
    for message_id, reply in replies.items():
        assert reply, "every message is answered in the end"
        if reply != dialogue.BUSY:
            assert counted["user", message_id] == counted["assistant", message_id] == 1
    answered = [int(turn["message_id"]) for turn in turns if turn["role"] == "assistant"]
    assert answered == sorted(answered)
