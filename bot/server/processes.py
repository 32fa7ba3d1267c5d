"""The processes of one machine: the web server (gunicorn, threads) and its supervisor."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from gunicorn.app.base import BaseApplication

from bot.server.direct_http import direct_session
from bot.settings.config import ConfigError, Settings

log = logging.getLogger(__name__)
GRACE = 25  # seconds for running answers to finish on SIGTERM
STALLED = 10  # seconds without a byte of a request that has begun, until it is closed
STARTUP_TIMEOUT = 60.0  # seconds that `plm serve` waits for its web server
METRICS_DIR = "plm-metrics-"  # how the name of a temporary directory for metrics.py begins
PR_SET_PDEATHSIG = 1


# Loaded before any fork: between fork and exec, a child of a process with threads must not load anything.
M_ARENA_MAX = -8  # malloc.h
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """In a child before exec: get SIGTERM when the parent is gone, for whatever reason (Linux)."""
    if _LIBC:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            name = "PLM_PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "PLM_HOST"
            reason = error.strerror or str(error)
            raise ConfigError(f"{name}: cannot listen on {settings.host}:{settings.port}: {reason}") from None


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn around an application that each worker process makes for itself."""

    def __init__(self, settings: Settings, make_app: Callable[[], Any]) -> None:
        self.settings = settings
        self.make_app = make_app
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
            "when_ready": _kill_when_stalled,
            "post_worker_init": _stop_gracefully,
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


def _share_arenas(server: Any) -> None:
    """Use few malloc arenas: glibc would give nearly every thread one, and each keeps its peak size."""
    if _LIBC and hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(M_ARENA_MAX, 2)


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


class WebChild:
    """`plm web` as a child process: restarted when it dies, stopped gracefully."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self.settings = settings
        self.environment = {**os.environ, "PLM_REDIS_URL": redis_url}
        self.process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bot.cli", "web"]
        return subprocess.Popen(command, env=self.environment, preexec_fn=die_with_parent)

    @property
    def url(self) -> str:
        return self.settings.own_url

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_until_up(self, stop: threading.Event) -> bool:
        """False if it exited instead (after printing why), was stopped, or has not answered in time."""
        end = time.monotonic() + STARTUP_TIMEOUT
        with direct_session() as http:
            while time.monotonic() < end and self.running and not stop.is_set():
                with contextlib.suppress(requests.RequestException):
                    http.get(self.url + "/healthz", timeout=1).raise_for_status()
                    return True
                time.sleep(0.05)
        return False

    def run(self, stop: threading.Event) -> None:
        """Runs until stop is set. A web server that keeps dying is restarted at growing intervals."""
        pause = 0.1
        began = time.monotonic()
        while not stop.wait(0.05):
            if self.running:
                continue
            log.error("the web server ended with status %s; starting it again", self.process.returncode)
            pause = 0.1 if time.monotonic() - began > 10 else min(2 * pause, 10.0)
            stop.wait(pause)
            self._wait_for_port(stop)
            if stop.is_set():
                break
            began = time.monotonic()
            self.process = self._launch()

    def _wait_for_port(self, stop: threading.Event) -> None:
        """Wait until orphaned workers have finished their answers and released the port."""
        end = time.monotonic() + GRACE + 10
        while time.monotonic() < end and not stop.wait(0.05):
            with contextlib.suppress(ConfigError):
                check_port(self.settings)
                return

    def stop(self) -> None:
        if self.running:
            self.process.terminate()
            try:
                self.process.wait(GRACE + 10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
