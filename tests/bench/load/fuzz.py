"""Mutated requests on every public path.

    python -m tests.bench.load.fuzz [--requests N] [--seed N] [--only N]

They go over real connections to a web process of their own, with WeChat (compatible mode), the adapters (and
a stand-in for their platforms), a webhook, API keys, the page and the administration turned on. What is
counted against the bot: status 500 or more (but for 503 with Retry-After, which says "busy"); no answer
within ten seconds, or the connection closed without one where the request was rightly framed; a web process
that ended; its memory at the end more than a tenth above what it was after a fifth of the requests. Each
fault is printed with its number: `--only N` sends that one again.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import re
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bot.app import create_app
from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import load_settings
from tests.bench.load import fuzz_adapters
from tests.bench.load.fuzz_requests import SETTINGS, Maker, Request
from tests.bench.load.record import record, resident_mb, table
from tests.platform_api import PlatformApi
from tests.service import Service, descendants
from tests.tiny_model import write_tiny_model

PATIENCE = 10.0  # seconds
SENDERS = 8
FLAT = 1.1


class Sender:
    """Sends requests over a connection that is kept open as long as the server lets it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection: socket.socket | None = None

    def send(self, request: Request) -> tuple[str, bytes]:
        """What came of it: a status, "closed" or "hang"; and what is to be shown of a fault."""
        raw, fresh = request.raw(), self.connection is None
        try:
            connection = self.connection or socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            self.connection = connection
            if request.framing == "slow":
                for start in range(0, len(raw), max(1, len(raw) // 3)):
                    connection.sendall(raw[start : start + max(1, len(raw) // 3)])
                    time.sleep(0.2)
            else:
                connection.sendall(raw)
            if request.framing in ("short", "bad chunks"):
                connection.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(connection, method=request.method)
            response.begin()
            body = response.read()
            if response.will_close or request.framing != "length":
                self.close()
        except TimeoutError:
            self.close()
            return "hang", b""
        except (OSError, http.client.HTTPException):
            self.close()
            # A kept connection may have been closed meanwhile, which is nobody's fault.
            return ("closed", b"") if fresh else self.send(request)
        busy = response.status == 503 and "Retry-After" in response.headers
        return "503 busy" if busy else str(response.status), body[:200]

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None


def is_fault(outcome: str, request: Request) -> bool:
    if outcome == "closed":  # what is no HTTP may be hung up on
        return request.right
    return outcome == "hang" or (outcome[:1] == "5" and outcome != "503 busy")


def fuzz(directory: Path, requests: int, seed: int, only: int | None = None) -> dict[str, Any]:
    store = EmbeddedStore(directory)
    store.start()
    api = PlatformApi()
    model = write_tiny_model(directory / "tiny.safetensors")
    counts: Counter[str] = Counter()
    faults: list[str] = []
    try:
        adapters = fuzz_adapters.settings(api.url)
        settings = {**SETTINGS, **adapters, "PLM_REDIS_URL": store.url, "PLM_MODEL": model}
        with Service(directory, "web", **settings) as web:
            assert web.plm
            maker, began = Maker(paths(store.url, model), seed, api.url), time.monotonic()
            numbers = iter([only] if only is not None else range(requests))
            lock, sizes, processes = threading.Lock(), [], descendants(web.plm.process.pid)

            def work() -> None:
                sender = Sender(web.port)
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        break
                    request = maker.make(number)
                    outcome, body = sender.send(request)
                    counts[outcome] += 1
                    if is_fault(outcome, request):
                        faults.append(f"{number}: {outcome}: {request.raw()[:600]!r} → {body!r}")
                    if number and number % max(1, requests // 10) == 0:
                        sizes.append((number, resident_mb(web.plm.process.pid)))  # type: ignore[union-attr]
                sender.close()

            threads = [threading.Thread(target=work) for _ in range(SENDERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.monotonic() - began
            if descendants(web.plm.process.pid) != processes:
                faults.append("the web process ended, and was started again")
            if not web.ready():
                faults.append("it is not ready at the end")
            early = [size for number, size in sizes if number >= requests // 5][:1]
            growth = resident_mb(web.plm.process.pid) / early[0] if early else 1.0
            errors = len(re.findall("Traceback", web.output()))
    finally:
        store.stop()
        api.close()
    return {
        "requests": sum(counts.values()), "seed": seed, "seconds": round(seconds), "tracebacks": errors,
        "statuses": dict(sorted(counts.items())), "memory": round(growth, 3), "faults": faults[:30],
        "faults_in_all": len(faults),
    }  # fmt: skip


def paths(redis_url: str, model: Path) -> Any:
    """The application in this process, for its list of paths alone."""
    import os

    from tests.service import environment

    with contextlib.ExitStack() as stack:
        before = dict(os.environ)
        stack.callback(lambda: (os.environ.clear(), os.environ.update(before)))
        os.environ.update(environment({**SETTINGS, "PLM_REDIS_URL": redis_url, "PLM_MODEL": model}))
        app = create_app(load_settings())
        app.extensions["plm"].close(0)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="send this one alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plm-fuzz-") as directory:
        result = fuzz(Path(directory), options.requests, options.seed, options.only)
    if options.only is None:
        record("fuzz", result)
    rows: list[tuple[object, ...]] = [("what came", "how often"), *result["statuses"].items()]
    print(table([*rows, ("seconds", result["seconds"]), ("memory, end by a fifth", result["memory"])]))
    print(f"{result['faults_in_all']} faults, {result['tracebacks']} tracebacks in the log")
    print(*result["faults"], sep="\n")
    sys.exit(1 if result["faults"] or result["memory"] > FLAT or result["tracebacks"] else 0)


if __name__ == "__main__":
    main()
