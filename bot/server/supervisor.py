"""The web server as a child of `plm serve`. What this process loads it holds as long as the service runs."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

from bot.settings.config import ConfigError, Settings

log = logging.getLogger(__name__)
GRACE = 25  # seconds for running answers to finish on SIGTERM
STARTUP_TIMEOUT = 60.0  # seconds that `plm serve` waits for its web server
PR_SET_PDEATHSIG = 1

# Loaded before any fork: between fork and exec, a child of a process with threads must not load anything.
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """In a child before exec: get SIGTERM when the parent is gone, for whatever reason (Linux)."""
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


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


def _is_up(url: str) -> bool:
    """http.client asks no proxy of the environment."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


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
        while time.monotonic() < end and self.running and not stop.is_set():
            if _is_up(self.url):
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
