"""Where answers are sent to: the other end of a webhook with an address."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.service import run_in_background


class Receiver:
    """Where answers are sent to: keeps what comes, with its headers, and says `says`, then 204."""

    def __init__(self) -> None:
        self.says: list[int] = []
        self.delay = 0.0
        self.received: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.says.pop(0) if receiver.says else 204
                assert self.path == "/answers?key=hush-hush"
                receiver.received.append(
                    ({name.lower(): value for name, value in self.headers.items()}, body)
                )
                time.sleep(receiver.delay)
                self.send_response(status)
                self.send_header("Location", receiver.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a killed caller
        self.url = f"http://127.0.0.1:{self.server.server_port}/answers?key=hush-hush"
        run_in_background(self.server)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
