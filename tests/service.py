"""The real service as separate processes, started and stopped (or killed) by the tests that talk to it."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseServer

import requests
from flask import Flask
from werkzeug.serving import make_server

ROOT = Path(__file__).resolve().parent.parent
# Patience (see Plm) under which what a killed process had in its hands is soon another's.
SOON_MISSED = (
    "bot.tasks.queue.SILENT_MS=5000",
    "bot.tasks.queue.MAINTENANCE=300_000",
    "bot.store.outbox.PUSH_LEASE_MS=6000",
)


# Below those that the kernel gives to connections, in another order in each process, and none twice: it is
# some time from the choice of a port to its use.
_ports = itertools.cycle(random.sample(range(20_000, 32_000), 12_000))


def free_port() -> int:
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


def run_in_background(server: BaseServer) -> None:
    """Until server.shutdown(), which does not wait for long then."""
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The application in this process, behind a real socket: its address. Its answers are ended with it."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    run_in_background(server)
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        if "plm" in app.extensions:
            app.extensions["plm"].close(1)


def wait_until(condition: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
    """Poll until `condition()` is true; an AssertionError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.02)


def environment(settings: dict[str, object]) -> dict[str, str]:
    """This process's environment with exactly `settings` as its PLM_ variables; no library unless they name
    one: to build it takes most of a minute."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLM_")}
    # To compile all that a service imports takes longer than to run it.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept.setdefault("PYTHONPYCACHEPREFIX", str(ROOT / "build/bytecode"))
    isa = {"PLM_ISA": os.environ["PLM_ISA"]} if "PLM_ISA" in os.environ else {}
    return kept | isa | {"PLM_LIBRARY": "none"} | {name: str(value) for name, value in settings.items()}


def descendants(pid: int) -> list[int]:
    """The processes that `pid` started, and theirs: read from /proc, before any of them is killed."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found[1:]


def proportional_mb(pid: int) -> float:
    """Its memory in MB, pages that it shares with others divided among them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def kill_all(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Plm:
    """One `plm` command running in a process group of its own, its output in a file. `patience` sets how long
    it waits for what, "bot.module.NAME=seconds": a test does not wait as long as an operator wants it to."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        settings: dict[str, object],
        prefix: Sequence[str] = (),
        patience: Sequence[str] = (),
    ) -> None:
        self.log = log
        imports = {f"import {setting.partition('=')[0].rpartition('.')[0]}" for setting in patience}
        script = "; ".join([*sorted(imports), *patience, "from bot.cli import main", "main()"])
        program = ["-c", script] if patience else ["-m", "bot.cli"]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, *program, *arguments],
                cwd=ROOT, env=environment(settings), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def wait(self, seconds: float = 20.0) -> int:
        return self.process.wait(seconds)

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM to the command itself, as systemd and a container do; its exit status."""
        self.process.terminate()
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {seconds} s:\n{self.output()[-2000:]}") from None

    def kill(self) -> None:
        """kill -9 for the command and all that it started, as when a machine loses its power."""
        kill_all([self.process.pid, *descendants(self.process.pid)])
        self.process.wait()


class Service:
    """A web front: `plm serve` or `plm web` on a its own port. As a context manager it stops at the end."""

    def __init__(
        self,
        directory: Path,
        command: str = "serve",
        *,
        port: int | None = None,
        prefix: Sequence[str] = (),
        patience: Sequence[str] = (),
        **settings: object,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / f"{command}-{self.port}.log"
        self._command, self._prefix, self._patience = command, prefix, patience
        # Sure of every answer: tests that know the answer beforehand know no remarks on it.
        own = {"PLM_PORT": self.port, "PLM_DATA_DIR": directory / "data", "PLM_UNSURE": 0}
        self._settings = {**own, **settings}
        self.plm: Plm | None = None

    def start(self, seconds: float = 90.0) -> Service:
        plm = self.plm = Plm([self._command], self._log, self._settings, self._prefix, self._patience)
        path = "/healthz" if self._command == "engine" else "/readyz"
        try:
            wait_until(lambda: self.ready(path) or not plm.running, seconds, f"{self._command} is ready")
        except AssertionError:
            plm.kill()  # nobody else will: a with statement that could not begin does not end
            raise
        if not plm.running:
            raise AssertionError(
                f"{self._command} ended with {plm.process.returncode}:\n{plm.output()[-3000:]}"
            )
        return self

    def ready(self, path: str = "/readyz") -> bool:
        try:
            return requests.get(self.url + path, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def stop(self, seconds: float = 40.0) -> int:
        assert self.plm is not None
        return self.plm.stop(seconds)

    def kill(self) -> None:
        assert self.plm is not None
        self.plm.kill()

    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def __enter__(self) -> Service:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.plm and self.plm.running:
            self.stop()
        if self.plm:
            self.plm.kill()  # whatever the command may have left behind
