"""How many messages the bot carries: `python -m tests.bench.load.bot_load [--seconds N] [--only stub|model]`.

Messages arrive at random times fixed beforehand (a Poisson process), whatever became of those before: a slow
service gets no relief by its own slowness, and every time is counted from when the message was due. All are
encrypted (safe mode), from 200 users, over connections that are kept open, as from a proxy.

- **stub**: one web process on one core, an engine that answers at once with the state of a real model; Redis
  and the senders on another core. The highest rate at which 99 % are answered within half a second, and at a
  low rate the median from request to answer: the bot's own cost, since the engine takes no time.
- **model**: the bundled `tcm`, two web processes, Redis and the senders on two cores: the highest rate at
  which 99 % of questions of 200 bytes are answered whole within 4.5 seconds of when they were due.
"""

from __future__ import annotations

import argparse
import http.client
import os
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from bot.app import create_app
from bot.inference.messages import Event, Finished, Prompt
from bot.server.embedded_store import EmbeddedStore
from bot.server.processes import Server
from bot.settings.config import load_settings
from bot.text import dialogue
from tests.bench.load.load_users import APPID, KEY, SETTINGS, TOKEN
from tests.bench.load.record import record, table
from tests.bot.test_latency import question
from tests.service import Service, descendants, environment, free_port, kill_all, wait_until
from tests.wechat_platform import Message, Platform, ProtocolError

USERS, SENDERS = 200, 300
IN_TIME, AT_ONCE = 4.5, 0.5  # seconds
LOW = 20.0  # messages a second: nothing waits for anything


class StubEngine:
    """Answers at once, and hands on as large a state as a real model's."""

    model_name = "stub"

    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        yield "四君子汤由人参、白术、茯苓、甘草组成，功能益气健脾。"
        yield Finished(bytes(4000), "end")

    def ready(self) -> str | None:
        return None


@dataclass(frozen=True)
class Run:
    """One rate: `share` of the messages were answered within the limit; times in seconds."""

    rate: float
    share: float
    median: float
    p99: float


class Senders:
    """Threads that send messages when they are due, over connections of their own."""

    def __init__(self, url: str) -> None:
        self.platform = Platform(url + "/wechat", TOKEN, appid=APPID, aes_key=KEY, mode="safe")
        self.address = urlsplit(url).netloc
        self.number = 0

    def run(self, rate: float, seconds: float, limit: float, dice: random.Random) -> Run:
        """Messages at this rate for so long, and how many were answered within the limit."""
        due, plan = 0.0, []
        while due < seconds:
            due += dice.expovariate(rate)
            self.number += 1
            message = self.platform.text(f"o{dice.randrange(USERS):03d}", question(self.number))
            plan.append((due, message, *self.platform.seal(message)))
        todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
        done: list[tuple[float, Message, bytes]] = []
        threads = [
            threading.Thread(target=self._send, args=(todo, done)) for _ in range(min(SENDERS, len(plan)))
        ]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        for due, *request in plan:
            time.sleep(max(0.0, began + due - time.monotonic()))
            todo.put((began + due, *request))
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join()
        taken = sorted(seconds if self._answered(message, body) else 99.0 for seconds, message, body in done)
        share = sum(seconds <= limit for seconds in taken) / len(taken)
        return Run(rate, round(share, 4), statistics.median(taken), taken[int(0.99 * (len(taken) - 1))])

    def _send(self, todo: queue.SimpleQueue[Any], done: list[tuple[float, Message, bytes]]) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        while work := todo.get():
            due, message, query, body = work
            path = "/wechat?" + urlencode(query)
            try:
                answer = self._post(connection, path, body)
            except ConnectionError:  # closed while it was idle: as a proxy does, once more over a new one
                answer = self._post(connection, path, body)
            done.append((time.monotonic() - due, message, answer))
        connection.close()

    def _post(self, connection: http.client.HTTPConnection, path: str, body: bytes) -> bytes:
        """Nothing for what is no answer; ConnectionError where there was none on a connection used before."""
        used = connection.sock is not None
        try:
            connection.request("POST", path, body, {"Content-Type": "text/xml"})
            response = connection.getresponse()
            answer = response.read()
            return answer if response.status == 200 else b""
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if used and isinstance(error, ConnectionError):
                raise
            return b""

    def _answered(self, message: Message, body: bytes) -> bool:
        try:
            reply = self.platform.read_reply(message, body)
        except ProtocolError:
            return False
        return reply is not None and reply != dialogue.BUSY and not reply.endswith(dialogue.STILL_THINKING)


def highest(senders: Senders, seconds: float, limit: float, first: float, finest: float) -> list[Run]:
    """Runs at rates that close in on the highest one that holds: doubled, then halved between."""
    runs, low, high = [], 0.0, float("inf")
    dice = random.Random(1)
    rate = first
    while high - low > max(finest, 0.06 * low):
        runs.append(senders.run(rate, seconds, limit, dice))
        if runs[-1].share >= 0.99:
            low = rate
        else:
            high = rate
        rate = 2 * rate if high == float("inf") else (low + high) / 2
        time.sleep(2)
    return runs


@contextmanager
def stub_service(directory: Path, core: str | None) -> Iterator[tuple[str, int]]:
    """One web process with the stub for an engine: its address and the process that works."""
    store, port = EmbeddedStore(directory), free_port()
    store.start()
    settings: dict[str, object] = {
        **SETTINGS, "PLM_REDIS_URL": store.url, "PLM_PORT": port,
        "PLM_CONTEXT_BYTES": 6000,
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.bench.load.bot_load", "--serve-stub"]
    prefix = ["taskset", "-c", core] if core else []
    with (directory / "web.log").open("wb") as log:
        own = environment(settings)
        web = subprocess.Popen([*prefix, *command], env=own, stderr=log, start_new_session=True)
    try:
        senders = Senders(f"http://127.0.0.1:{port}")
        wait_until(lambda: _up(senders), 30, "the web process answers")
        yield f"http://127.0.0.1:{port}", descendants(web.pid)[0]
    finally:
        kill_all([*descendants(web.pid), web.pid])
        web.wait()
        store.stop()


def _up(senders: Senders) -> bool:
    try:
        return senders.platform.check().status_code == 200
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_stub(seconds: float) -> dict[str, Any]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[1]})
    with tempfile.TemporaryDirectory() as place, stub_service(Path(place), str(cores[0])) as (url, pid):
        senders = Senders(url)
        senders.run(LOW, 2, AT_ONCE, random.Random(0))  # warm
        before, number = cpu_seconds(pid), senders.number
        alone = senders.run(LOW, seconds, AT_ONCE, random.Random(2))
        cpu = (cpu_seconds(pid) - before) / (senders.number - number)
        runs = highest(senders, seconds, AT_ONCE, 100, 10)
    os.sched_setaffinity(0, cores)
    return {
        "engine": "stub", "median_ms": round(alone.median * 1000, 2), "p99_ms": round(alone.p99 * 1000, 2),
        "cpu_ms": round(cpu * 1000, 2), "rate": held(runs), "runs": [vars(run) for run in runs],
    }  # fmt: skip


def held(runs: list[Run]) -> float:
    """The highest rate at which 99 % were in time."""
    return max((run.rate for run in runs if run.share >= 0.99), default=0.0)


def measure_model(seconds: float, processes: int) -> dict[str, Any]:
    settings = {**SETTINGS, "PLM_CONTEXT_BYTES": 6000, "PLM_PROCESSES": processes}
    with tempfile.TemporaryDirectory() as place, Service(Path(place), "serve", **settings) as serve:
        senders = Senders(serve.url)
        senders.run(2, 3, IN_TIME, random.Random(0))
        runs = highest(senders, seconds, IN_TIME, 4, 0.5)
    return {"engine": "tcm", "processes": processes, "rate": held(runs), "runs": [vars(run) for run in runs]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30, help="of each rate")
    parser.add_argument("--processes", type=int, default=2, help="web processes beside the model")
    parser.add_argument("--only", choices=["stub", "model"])
    parser.add_argument("--serve-stub", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_stub:
        settings = load_settings()
        Server(settings, lambda: create_app(settings, engine=StubEngine())).run()  # type: ignore[arg-type]
        return
    results = []
    if options.only != "model":
        results.append(measure_stub(options.seconds))
    if options.only != "stub":
        results.append(measure_model(options.seconds, options.processes))
    rows: list[tuple[object, ...]] = [("engine", "messages/s", "answered in time", "median ms", "p99 ms")]
    for result in results:
        record("bot-load", result)
        for run in result["runs"]:
            share, median, p99 = run["share"], run["median"], run["p99"]
            rows.append(
                (result["engine"], run["rate"], f"{share:.1%}", f"{median * 1000:.0f}", f"{p99 * 1000:.0f}")
            )
    print(table(rows))
    for result in results:
        print({name: value for name, value in result.items() if name != "runs"})


if __name__ == "__main__":
    main()
