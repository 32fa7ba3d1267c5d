"""What processes of the service share: how they end, and the port that they listen on."""

from __future__ import annotations

import ctypes
import errno
import signal
import socket
import sys

from bot.settings.config import ConfigError, Settings

GRACE = 25  # seconds for running answers to finish on SIGTERM
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
