"""Everything at once, for long: `python -m tests.bench.load.soak [--messages N] [--kills N] [--library]`.

Users of the stand-in platform write to three web processes, which ask two engine processes behind Envoy (one,
where there is no Envoy) and share one Redis with an append-only file. A tenth of all deliveries is repeated,
one in a hundred is forged or malformed, bodies come slowly, and every few seconds a process stands still for
a while (SIGSTOP: longer than a lease at times). Meanwhile each kind of process is killed with SIGKILL
`--kills` times and started again, and Redis `--redis-kills` times. load_users.py says what is counted and
what the words mean; the platform chooses a web process for each request blindly, so that one which is down
costs an attempt. With `--library` answers come from a library that is changed meanwhile (soak_library.py);
without it the model writes them all.

**Memory.** The first web and the first engine process are spared from kills in the second half. Their
resident memory, and the memory that Redis uses for each message it keeps (it keeps all of them for days, by
design, so its total grows), are compared: the median of the last tenth of the run by the median of the first
tenth of its second half. At most 1.1 passes.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.server.embedded_store import EmbeddedStore
from bot.store.connection import StoreDownError, connect
from bot.store.servers import totals
from engine import Model
from tests import small_library
from tests.bench.load.load_judge import count
from tests.bench.load.load_users import LONGEST, SETTINGS, LoadUsers
from tests.bench.load.record import record, resident_mb, table
from tests.bench.load.soak_cluster import ClusterTroubles
from tests.bench.load.soak_library import ADMIN_KEY, CHANGES, GRACE, QUESTIONS, LibraryChanges
from tests.envoy import Envoy, find_envoy
from tests.redis_cluster import ClusterServer
from tests.service import Service, descendants
from tests.tiny_model import write_talkative_model

MAX_BYTES = 180
PACE_MS = 5  # before each character of an answer: up to a third of a second for each of them
FLAT = 1.1


@dataclass
class Cast:
    """The processes, and what happens to them."""

    store: EmbeddedStore | ClusterServer
    envoy: Envoy | None
    engines: list[Service]
    webs: list[Service]
    dice: random.Random
    kills: dict[str, int] = field(default_factory=lambda: {"web": 0, "engine": 0, "redis": 0})
    pauses: int = 0
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)  # progress, MB of each
    empty: float = 0.0  # bytes that Redis used at the beginning
    _lock: threading.Lock = field(default_factory=threading.Lock)
    no_pause: threading.Lock = field(default_factory=threading.Lock)  # held while nothing may stand still
    troubles: ClusterTroubles | None = None

    @classmethod
    def start(cls, directory: Path, options: argparse.Namespace) -> Cast:
        store: EmbeddedStore | ClusterServer = (
            ClusterServer() if options.cluster else EmbeddedStore(directory)
        )
        if isinstance(store, EmbeddedStore):
            store.start()
        model = write_talkative_model(directory / "talkative.safetensors")
        own = {"PLM_MODEL": model, "PLM_MAX_BYTES": MAX_BYTES, "PLM_ENGINE_DELAY_MS": PACE_MS}
        engines = options.engines if find_envoy() else 1
        hosts = [Service(directory / f"engine{n}", "engine", **own) for n in range(engines)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda service: service.start(60), hosts))
        envoy = Envoy(directory, [host.port for host in hosts]).__enter__() if engines > 1 else None
        url = envoy.url if envoy else hosts[0].url
        common = {**SETTINGS, "PLM_REDIS_URL": store.url, "PLM_ENGINE_URL": url, "PLM_MODEL": model}
        folders = [directory / f"web{n}" for n in range(options.webs)]
        places: list[dict[str, Any]] = [{} for _ in folders]
        if options.library:
            made = [small_library.write(folder / "library") for folder in folders]
            places = [{"PLM_LIBRARY": one.folder, "PLM_ADMIN_KEY": ADMIN_KEY} for one in made]
        fronts = [
            Service(folder, "web", **common, **place) for folder, place in zip(folders, places, strict=True)
        ]
        cast = cls(store, envoy, hosts, fronts, random.Random(options.seed))
        if isinstance(store, ClusterServer):
            cast.troubles = ClusterTroubles(store, options.seed)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda service: service.start(60), fronts))
        return cast

    def stop(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda service: service.__exit__(), [*self.webs, *self.engines]))
        if self.envoy:
            self.envoy.__exit__()
        self.store.stop()

    def kill(self, kind: str, spare_first: bool) -> None:
        """SIGKILL to one of the kind and all that it started; it is started again a moment later."""
        self.kills[kind] += 1
        if self.troubles and kind == "redis":
            self.troubles.kill_master()
            return
        if kind == "redis":
            assert isinstance(self.store, EmbeddedStore)
            assert self.store.pid
            os.kill(self.store.pid, signal.SIGKILL)  # who watches over it starts it again
            return
        services = self.webs if kind == "web" else self.engines
        victim = self.dice.choice(services[1:] if spare_first and len(services) > 1 else services)
        with self._lock:  # no pause begins now
            victim.kill()
        time.sleep(self.dice.uniform(0, 1.5))
        victim.start(60)

    def pause(self) -> None:
        """One process stands still, as on a machine that swaps or is moved: Redis for less long."""
        service = self.dice.choice([*self.webs, *self.engines, None])
        with self.no_pause:
            self._pause(service)

    def _pause(self, service: Service | None) -> None:
        with self._lock:
            if service is None:
                assert isinstance(self.store, EmbeddedStore)
                pids = [self.store.pid]
            else:
                assert service.plm
                pids = [service.plm.process.pid, *descendants(service.plm.process.pid)]
            self._signal(pids, signal.SIGSTOP)
        time.sleep(self.dice.uniform(0.05, 0.8 if service is None else 3.5))
        self._signal(pids, signal.SIGCONT)
        self.pauses += 1

    @staticmethod
    def _signal(pids: list[int | None], number: int) -> None:
        for pid in pids:
            try:
                os.kill(pid or 0, number) if pid else None
            except ProcessLookupError:
                continue

    def sample(self, progress: float, messages: int) -> None:
        sizes = {
            f"{s.directory.name}": resident_mb(s.plm.process.pid)
            for s in (*self.webs, *self.engines)
            if s.plm
        }
        try:
            used = totals(connect(self.store.url, 1))["used_memory"]
            self.empty = self.empty or used
            sizes["redis, kB a message"] = (used - self.empty) / 1024 / max(1, messages)
        except StoreDownError:
            pass
        self.samples.append((progress, sizes))

    def growth(self) -> dict[str, float]:
        """Memory at the end of the run by memory at its middle, of those that lived as long."""

        def middle(name: str, low: float, high: float) -> float:
            found = [
                sizes[name] for progress, sizes in self.samples if low <= progress <= high and sizes.get(name)
            ]
            return statistics.median(found) if found else float("nan")

        names = ("web0", "engine0", "redis, kB a message")
        return {name: round(middle(name, 0.9, 1.0) / middle(name, 0.5, 0.6), 3) for name in names}


def soak(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    each = options.messages // options.users
    if not 2 <= each <= LONGEST:
        raise SystemExit(f"soak: 2 to {LONGEST} messages a user, not {each}")
    cast = Cast.start(directory, options)
    began = time.monotonic()
    try:
        urls = [web.url for web in cast.webs]
        changes = LibraryChanges(urls, directory / "states") if options.library else None
        users = LoadUsers(urls, options.seed, questions=QUESTIONS if changes else ())
        users.slow(0.02)
        live(users, cast, options, each, changes)
        last_words(users)
        seconds = time.monotonic() - began
        model = Model.load(str(directory / "talkative.safetensors"))
        breaches = count(users, cast.store.url, model, MAX_BYTES, changes)
    finally:
        cast.stop()
    return {
        "messages": sum(map(len, users.sent.values())), "users": options.users, "webs": options.webs,
        "engines": options.engines, "seconds": round(seconds), "kills": cast.kills, "pauses": cast.pauses,
        "outcomes": outcomes(users), "requests": dict(sorted(users.counts.items())), "breaches": breaches,
        "growth": cast.growth(), "faults": users.faults[:20],
        "accounts": [*users.mixed_up[:20], *(changes.wrong[:200] if changes else ())],
        "cluster": cast.troubles.judge(users) if cast.troubles else None,
        "library": {"changes": len(changes.made), **changes.kinds} if changes else None,
    }  # fmt: skip


def live(
    users: LoadUsers, cast: Cast, options: argparse.Namespace, each: int, changes: LibraryChanges | None
) -> None:
    """All users write all but their last message, while the processes are killed and paused, and the library
    is changed."""
    over, total = threading.Event(), options.users * (each - 1)
    sent = lambda: sum(map(len, list(users.sent.values())))  # noqa: E731

    def user(number: int) -> None:
        dice, name = random.Random(f"{options.seed}:{number}"), f"o{number:04d}"
        pause = options.users / options.rate
        time.sleep(dice.uniform(0, pause))
        left = each - 1
        while left:
            began = time.monotonic()
            burst = [
                threading.Thread(target=users.write, args=(name,))
                for _ in range(min(left, dice.choice((1,) * 7 + (2,))))
            ]
            for thread in burst:  # the second before the first is answered, at times
                thread.start()
                time.sleep(dice.uniform(0.05, 1) if len(burst) > 1 else 0)
            for thread in burst:
                thread.join()
            left -= len(burst)
            time.sleep(max(0.0, dice.expovariate(1 / (pause * len(burst))) - (time.monotonic() - began)))

    def chaos() -> None:
        plan = ["web"] * options.kills + ["engine"] * options.kills + ["redis"] * options.redis_kills
        cast.dice.shuffle(plan)
        for number, kind in enumerate(plan):
            while sent() < total * (number + 0.5) / len(plan) * 0.97 and not over.is_set():
                time.sleep(0.1)
            cast.kill(kind, spare_first=sent() > total * 0.45)

    def change() -> None:
        for number in range(len(CHANGES) if changes else 0):
            while sent() < total * (number + 0.7) / len(CHANGES) * 0.97 and not over.is_set():
                time.sleep(0.1)
            with cast.no_pause:
                try:
                    changes.make()
                except AssertionError as error:
                    users.faults.append(str(error))
                    return
                time.sleep(GRACE)

    def pauses() -> None:
        if cast.troubles:  # what users see is to be its doing
            cast.troubles.move_slots(users, over)
            return
        while not over.wait(cast.dice.uniform(2, 6)):
            cast.pause()

    def watch() -> None:
        while not over.wait(1):
            cast.sample(sent() / total, sent())

    helpers = [threading.Thread(target=work) for work in (chaos, change, pauses, watch)]
    threads = [threading.Thread(target=user, args=(number,)) for number in range(options.users)]
    for thread in (*helpers, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    for thread in helpers[:2]:
        thread.join()
    over.set()
    for thread in helpers:
        thread.join()


def last_words(users: LoadUsers) -> None:
    """Everybody writes once more, with nothing going wrong: what waits in a queue is answered before it."""
    users.slow(0)
    with ThreadPoolExecutor(8) as pool:
        for sent in pool.map(lambda user: users.write(user, repeat=False), sorted(users.sent)):
            if sent.outcome not in ("answered", "in part"):
                users.faults.append(f"{sent.id}: {sent.outcome}, with all well")


def outcomes(users: LoadUsers) -> dict[str, int]:
    found: dict[str, int] = {}
    for sent in (sent for messages in users.sent.values() for sent in messages):
        found[sent.outcome] = found.get(sent.outcome, 0) + 1
    return found


def passed(result: dict[str, Any]) -> bool:
    flat = all(not ratio > FLAT for ratio in result["growth"].values())
    here = not (result["cluster"] or {}).get("elsewhere")
    return not any(result["breaches"].values()) and not result["faults"] and flat and here


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = {
        "messages": 20_000,
        "users": 200,
        "kills": 20,
        "redis-kills": 2,
        "webs": 3,
        "engines": 2,
        "seed": 1,
    }
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rate", type=float, default=25, help="messages a second, all users together")
    parser.add_argument("--cluster", action="store_true", help="a cluster as the store: soak_cluster.py")
    parser.add_argument("--library", action="store_true", help="answers from a library that is changed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plm-soak-") as directory:
        result = soak(Path(directory), options)
    record("soak", {name: value for name, value in result.items() if name != "accounts"})
    rows = [("what", "how many"), ("messages", result["messages"]), ("seconds", result["seconds"])]
    rows += [("kill -9 of " + kind, n) for kind, n in result["kills"].items()] + [
        ("pauses", result["pauses"])
    ]
    rows += [*result["requests"].items(), *result["outcomes"].items()]
    rows += [(f"**{name}**", n) for name, n in result["breaches"].items()]
    rows += [(f"cluster: {name}", n) for name, n in (result["cluster"] or {}).items()]
    rows += [(f"library: {name}", n) for name, n in (result["library"] or {}).items()]
    rows += [(f"memory of {name}, end by middle", ratio) for name, ratio in result["growth"].items()]
    print(table(rows))
    print(*result["faults"], *result["accounts"], sep="\n")
    sys.exit(0 if passed(result) else 1)


if __name__ == "__main__":
    main()
