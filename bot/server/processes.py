"""The web server: gunicorn, whose workers answer in threads.

Its first process imports the program, forks the workers and starts them again when they die. They share what
it has loaded; under `plm serve` it keeps the embedded store, too.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from bot.server.supervisor import GRACE, LIBC
from bot.settings.config import Settings

log = logging.getLogger(__name__)
STALLED = 10  # seconds without a byte of a request that has begun, until it is closed
M_ARENA_MAX = -8  # malloc.h
METRICS_DIR = "plm-metrics-"  # how the name of a temporary directory for metrics.py begins


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn around an application that each worker process makes for itself."""

    def __init__(
        self,
        settings: Settings,
        make_app: Callable[[], Any],
        when_up: Callable[[], None] | None = None,
        stop_on_hangup: bool = False,
    ) -> None:
        """`when_up` is called once, in the first worker that is ready to answer. With `stop_on_hangup` the
        service ends with its terminal; gunicorn alone would start the workers anew."""
        self.settings = settings
        self.make_app = make_app
        self.when_up = when_up
        self.stop_on_hangup = stop_on_hangup
        super().__init__()

    def load_config(self) -> None:
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        options = {
            "bind": f"{host}:{self.settings.port}",
            "worker_class": "gthread",
            "workers": self.settings.processes,
            "threads": self.settings.threads,
            "timeout": 60,
            "graceful_timeout": GRACE + 5,
            "keepalive": 15,
            "loglevel": self.settings.log_level.lower(),
            "on_starting": _share_arenas,
            "when_ready": self._listens,
            "pre_fork": _share_memory,
            "post_worker_init": self._worker_is_up,
            "worker_exit": _finish_answers,
            "child_exit": _forget_metrics,
            "on_exit": _remove_metrics,
            "control_socket_disable": True,
            "proc_name": "plm",
            "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        return self.make_app()

    def _listens(self, server: Any) -> None:
        _kill_when_stalled(server)
        if self.stop_on_hangup and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # not under nohup
            signal.signal(signal.SIGHUP, lambda *_: server.signal(signal.SIGTERM, None))

    def _worker_is_up(self, worker: Any) -> None:
        _stop_gracefully(worker)
        if self.when_up and worker.age == 1:
            self.when_up()


def _share_arenas(server: Any) -> None:
    """Use few malloc arenas: glibc would give nearly every thread one, and each keeps its peak size."""
    if LIBC and hasattr(LIBC, "mallopt"):
        LIBC.mallopt(M_ARENA_MAX, 2)


def _share_memory(server: Any, worker: Any) -> None:
    """Keep the garbage collector off what was loaded before: to mark it would copy it in each worker."""
    gc.collect()
    gc.freeze()


def _kill_when_stalled(server: Any) -> None:
    """Time out stalled requests: gunicorn waits for ever. Connections inherit this from the listener."""
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALLED, 0))


def _stop_gracefully(worker: Any) -> None:
    """Ctrl-C reaches every process of the terminal, and gunicorn forwards it too: two signals at once end a
    worker in the middle of a lock. Handle one, and finish the answers as on SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, worker.handle_exit)


def _finish_answers(server: Any, worker: Any) -> None:
    app = getattr(worker, "wsgi", None)
    bot = getattr(app, "extensions", {}).get("plm")
    if bot:
        bot.close(GRACE)


def _forget_metrics(server: Any, worker: Any) -> None:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _remove_metrics(server: Any) -> None:
    place = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))
    if place.name.startswith(METRICS_DIR):
        shutil.rmtree(place, ignore_errors=True)
