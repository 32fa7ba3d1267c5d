"""Whether the caller of a request is still there."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

LOOK_EVERY = 0.05  # seconds between two looks


def client_disconnected(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Whether the caller has closed the connection of this request.

    The web server notices only when it writes, and an answer that is not streamed is written at its end. With
    an unknown web server, callers count as connected.
    """
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    last, gone = 0.0, False

    def look() -> bool:
        nonlocal last, gone
        now = time.monotonic()
        if gone or connection is None or now - last < LOOK_EVERY:
            return gone
        last = now
        try:
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if poll.poll(0):
                gone = connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            gone = True
        return gone

    return look
