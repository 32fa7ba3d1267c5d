"""What the store takes for many users: `python -m tests.bench.load.many_users [--users 10000 100000]`.

One user asks and is answered by the store's own scripts: as many questions as are kept, answers of 700 bytes
with a citation, and a state of the model `tcm`. The others are copies of their keys. One in ten was there
within the last hours and has a state and records of messages; of the others these have expired. Then, for
each number of users: memory for each, and the time of 忘记我, of what administrators look for, of the repair
of the list, and of a restart after kill -9; and the server's CPU for what lies in one slot. Results go to
many_users.csv. It takes 50 kB of memory and as much of disk for each user.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bot.chat.erasure import Erasure
from bot.chat.limits import Limits
from bot.server.embedded_store import EmbeddedStore
from bot.store.connection import connect
from bot.store.conversations import Store
from bot.store.days import DayStore
from bot.store.index import CHANNELS, index_of
from bot.store.listing import ConversationList
from bot.store.tasks import NOTED_SINCE
from bot.tasks.queue import TaskQueue
from bot.text.dialogue import question_bytes
from bot.text.records import Citation, Conversation, Lease
from engine import Model
from tests.bench.load.record import commit, device, parser_for
from tests.service import wait_until

RESULTS = Path(__file__).with_name("many_users.csv")
QUESTION = "头痛发热、汗出恶风、鼻鸣干呕的人，应该用哪一首方子？"
SENTENCE = "太阳中风，阳浮而阴弱，啬啬恶寒，淅淅恶风，翕翕发热，鼻鸣干呕者，桂枝汤主之。"
ANSWER = 6 * SENTENCE
CITATION = Citation("伤寒论", "辨太阳病脉证并治上", SENTENCE, 1000, 1000 + len(SENTENCE.encode()))
ACTIVE = 10  # one user of so many was there within the last hours
FORGOTTEN = 20  # users, for the median
BATCH = 100
FLUSHES, PEOPLE, TASKS = 20, 100, 1000  # of what lies in one slot


def user(number: int) -> Conversation:
    return Conversation("wechat", f"o{number:027d}")


def write_first(store: Store, answers: int) -> None:
    """The user that the others are copies of."""
    session = Model.load("tcm").session()
    session.feed(question_bytes(QUESTION))
    state = session.snapshot()
    for number in range(answers):
        name = f"{number:017d}"
        store.enqueue(user(0), name, uuid.uuid4().hex, QUESTION)
        lease = store.acquire(user(0), "me")
        assert isinstance(lease, Lease)
        assert store.finish(user(0), lease, ANSWER, "end", name, state, citations=(CITATION,))
        assert store.reply(user(0), name, name, 0, len(ANSWER.encode()), ANSWER, False)


def copies(store: Store, active: bool) -> Iterator[tuple[str, bytes, int]]:
    """What a copy is made of: the end of a key, the value, and its ms."""
    base = user(0).base
    for key in store.client.scan_iter(match=base + "*", count=1000):
        name = key.decode().removeprefix(base)
        if active or not name.startswith(("state", "job")):
            yield name, store.client.dump(key), store.client.pttl(key)


def fill(store: Store, first: int, last: int) -> None:
    """Patiently: so much at once takes longer than a message may."""
    client = connect(store.url, 30)
    kinds = {active: list(copies(store, active)) for active in (True, False)}
    now = time.time()
    for start in range(first, last, BATCH):
        pipe = client.pipeline(transaction=False)
        for number in range(start, min(start + BATCH, last)):
            one = user(number)
            for name, value, ms in kinds[number % ACTIVE == 0]:
                pipe.restore(one.base + name, ms, value, replace=True)
            pipe.zadd(index_of(one), {one.id: now - number})
        pipe.execute()
    client.close()


def ms_of(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def measure(server: EmbeddedStore, store: Store, users: int, empty: int) -> dict[str, Any]:
    people = ConversationList(store)
    erasure = Erasure(store, TaskQueue(store), Limits(store))
    info = store.client.info()
    found: dict[str, Any] = {
        "users": users,
        "keys": info["db0"]["keys"],
        "memory kB a user": round((info["used_memory"] - empty) / 1024 / users, 2),
        "resident MB": info["used_memory_rss"] >> 20,
        "append-only file MB": sum(file.stat().st_size for file in server.directory.rglob("*.aof")) >> 20,
    }
    before = cpu_ms(store)
    forgotten = [user(users // 2 + ACTIVE * number) for number in range(FORGOTTEN)]
    times = [ms_of(lambda one=one: erasure.erase_on_request(one, "f", "n", "好")) for one in forgotten]  # type: ignore[misc]
    found["忘记我 ms"] = round(statistics.median(times), 2)
    found["忘记我, server's CPU ms"] = round((cpu_ms(store) - before) / FORGOTTEN, 2)
    assert not any(store.exists(one) and store.turns(one) for one in forgotten)
    seek = [user(users // 3 + number).user for number in range(FORGOTTEN)]
    times = [ms_of(lambda name=name: people.of_user(name)) for name in seek]  # type: ignore[misc]
    found["a user's conversations ms"] = round(statistics.median(times), 2)
    found["first page of the list ms"] = round(ms_of(lambda: people.about(people.page(50, None)[0])), 1)
    found["forgotten by an administrator ms"] = round(ms_of(lambda: erasure.erase_user(seek[0])), 2)
    found["repair of the list s"] = round(ms_of(people.mend) / 1000, 2)
    return found | in_one_slot(store)


def in_one_slot(store: Store) -> dict[str, Any]:
    """The server's CPU for what no cluster spreads: figures by day of many people, a task of a queue."""
    days, done = DayStore(store), threading.Semaphore(0)
    tasks = TaskQueue(store)
    tasks.register("many", "one", lambda _: done.release())
    before = cpu_ms(store)
    for flush in range(FLUSHES):
        for number in range(PEOPLE):
            days.count(user(flush * PEOPLE + number), "questions", "quoted")
        days.flush()
    between = cpu_ms(store)
    for number in range(TASKS):
        tasks.send("many", "one", user(number), number)
    tasks.start()
    for _ in range(TASKS):
        assert done.acquire(timeout=60)
    tasks.close(10)
    return {
        f"figures by day of {PEOPLE} questions, server's CPU ms": round((between - before) / FLUSHES, 2),
        "a task, server's CPU ms": round((cpu_ms(store) - between) / TASKS, 2),
    }


def cpu_ms(store: Store) -> float:
    used = store.client.info("cpu")
    return 1000 * float(used["used_cpu_user"] + used["used_cpu_sys"])


def restart(server: EmbeddedStore, store: Store, users: int) -> float:
    """Seconds from kill -9 until it answers again with all of them."""
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    began = time.monotonic()

    def loaded() -> bool:
        try:
            return bool(store.turns(user(users - 1)))
        except Exception:
            return False

    wait_until(loaded, 600, "it has read its file")
    return round(time.monotonic() - began, 2)


def main() -> None:
    parser: argparse.ArgumentParser = parser_for(__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--answers", type=int, default=30, help="kept of each user")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="plm-users-") as directory:
        server = EmbeddedStore(Path(directory))
        server.start()
        store = Store(server.url, keep_turns=2 * options.answers)
        store.client.set(NOTED_SINCE, 1)  # as after the first days
        empty = store.client.info("memory")["used_memory"]
        write_first(store, options.answers)
        ConversationList(store).mend()
        assert store.client.exists(CHANNELS)
        there = 1
        for users in options.users:
            fill(store, there, users)
            there = users
            row = measure(server, store, users, empty)
            print(row, flush=True)
            row["restart s"] = restart(server, store, users)
            rows.append({"date": time.strftime("%Y-%m-%d"), "device": device(), "commit": commit(), **row})
            write(rows)
        store.close()
        server.stop()


def write(rows: list[dict[str, Any]]) -> None:
    """Instead of what was measured earlier for as many users."""
    measured = {str(row["users"]) for row in rows}
    if RESULTS.exists():
        with RESULTS.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["users"] not in measured] + rows
    rows.sort(key=lambda row: int(row["users"]))
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, {name: None for row in rows for name in row})
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
