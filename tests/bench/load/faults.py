"""What users see while Redis is in trouble.

    python -m tests.bench.load.faults [NAME…] [--seconds N] [--rate N]

Each fault has a web process, a Redis and users of its own: ten seconds with all well, the fault for
--seconds, ten seconds after it. The faults, on real servers:

- down: kill -9, and nobody starts it again for so long;
- slow: every answer of the server comes 200 ms late;
- full: maxmemory is reached, and nothing may be evicted;
- failover: the master is killed for good, and a sentinel makes its replica the master.

The table says what became of the messages by when they were sent: answered; in part (继续 brings the rest);
"busy" (told at once to try again); no answer in three requests of five seconds. What counts as
acknowledged, and what is counted against the bot, is in load_users.py.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import Model
from tests.bench.load.load_judge import count
from tests.bench.load.load_users import SETTINGS, LoadUsers, Sent
from tests.bench.load.record import record, table
from tests.redis_servers import Failover, Server, SlowLine
from tests.service import Service
from tests.tiny_model import write_talkative_model

DELAY = 0.2  # seconds a call
CALM = 10.0  # seconds before the fault, and after it
MAX_BYTES, PACE_MS, USERS = 180, 5, 20
OUTCOMES = ("answered", "in part", "busy", "no answer")


@dataclass
class Trouble:
    """`url` is what the bot is told; `truth()` the server that has all there is, at the end."""

    url: str
    begin: Callable[[], object]
    end: Callable[[], object]
    truth: Callable[[], str]
    stop: Callable[[], object]


def down(directory: Path) -> Trouble:
    server = Server(directory).start()
    return Trouble(server.url, server.kill, server.start, lambda: server.url, server.kill)


def slow(directory: Path) -> Trouble:
    server = Server(directory).start()
    line = SlowLine(server.port)

    def stop() -> None:
        line.close()
        server.kill()

    begin, end = (lambda delay=delay: setattr(line, "delay", delay) for delay in (DELAY, 0.0))
    return Trouble(line.url, begin, end, lambda: server.url, stop)


def full(directory: Path) -> Trouble:
    server = Server(directory, "maxmemory-policy noeviction").start()

    def allow(size: str) -> None:
        with server.client() as client:
            client.config_set("maxmemory", size)

    return Trouble(server.url, lambda: allow("1mb"), lambda: allow("0"), lambda: server.url, server.kill)


def failover(directory: Path) -> Trouble:
    trio = Failover(directory)
    return Trouble(trio.url, trio.master.kill, lambda: None, lambda: trio.replica.url, trio.stop)


TROUBLES = {"down": down, "slow": slow, "full": full, "failover": failover}


def suffer(
    name: str, directory: Path, seconds: float, rate: float, calm: float = CALM, seed: int = 1
) -> dict[str, Any]:
    """One fault, from its beginning to the count of what it cost."""
    trouble = TROUBLES[name](directory / name)
    model = write_talkative_model(directory / "talkative.safetensors")
    settings = {**SETTINGS, "PLM_REDIS_URL": trouble.url, "PLM_MODEL": model}
    pace = {"PLM_MAX_BYTES": MAX_BYTES, "PLM_ENGINE_DELAY_MS": PACE_MS}
    try:
        with Service(directory / name, "web", **settings, **pace) as web:
            users = LoadUsers([web.url], seed, forged=0)
            with ThreadPoolExecutor(100) as pool:
                write(users, pool, calm, rate)
                began = time.monotonic()
                trouble.begin()
                write(users, pool, seconds, rate)
                trouble.end()
                ended = time.monotonic()
                write(users, pool, calm, rate)
                lasts = list(pool.map(users.write, map(user, range(USERS))))
            for last in lasts:
                if last.outcome not in ("answered", "in part"):
                    users.faults.append(f"{last.id}: {last.outcome}, with all well again")
            breaches = count(users, trouble.truth(), Model.load(str(model)), MAX_BYTES)
    finally:
        trouble.stop()
    messages = [sent for one in users.sent.values() for sent in one]
    phases = {
        "before": [sent for sent in messages if sent.began < began],
        "during": [sent for sent in messages if began <= sent.began < ended],
        "after": [sent for sent in messages if sent.began >= ended],
    }
    seen = {phase: told(sent) for phase, sent in phases.items()}
    return {"fault": name, "seconds": seconds, "seen": seen, "breaches": breaches, "faults": users.faults[:9]}


def user(number: int) -> str:
    return f"o{number:03d}"


def write(users: LoadUsers, pool: ThreadPoolExecutor, seconds: float, rate: float) -> None:
    """Messages come at random, whatever became of those before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pool.submit(users.write, user(random.randrange(USERS)))
        time.sleep(random.expovariate(rate))


def told(messages: list[Sent]) -> dict[str, Any]:
    outcomes = Counter(sent.outcome for sent in messages)
    seconds = sorted(sent.seconds for sent in messages) or [0.0]
    figures = {"median": round(statistics.median(seconds), 2), "slowest": round(seconds[-1], 2)}
    return {outcome: outcomes[outcome] for outcome in OUTCOMES} | figures


def passed(result: dict[str, Any]) -> bool:
    return not any(result["breaches"].values()) and not result["faults"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*TROUBLES, []], default=[])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=5, help="messages a second")
    options = parser.parse_args()
    results = []
    for name in options.names or TROUBLES:
        with tempfile.TemporaryDirectory(prefix="plm-faults-") as directory:
            results.append(suffer(name, Path(directory), options.seconds, options.rate))
        record("faults", results[-1])
    rows: list[tuple[object, ...]] = [("fault", "sent", *OUTCOMES, "median s", "slowest s")]
    for result in results:
        rows += [(result["fault"], phase, *seen.values()) for phase, seen in result["seen"].items()]
    print(table(rows))
    names = list(results[0]["breaches"])
    print(table([("fault", *names), *((one["fault"], *one["breaches"].values()) for one in results)]))
    print(*(fault for result in results for fault in result["faults"]), sep="\n")
    sys.exit(0 if all(map(passed, results)) else 1)


if __name__ == "__main__":
    main()
