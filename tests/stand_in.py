"""One handler behind a real socket, as a stand-in for a server that somebody else runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler


class StandIn(HTTPServer):
    """Answers every request by `answer`, several at a time; None hangs up without a word.

    An assertion that fails while it answers fails the test too, in `stop`.
    """

    def __init__(self, answer: Callable[[Request], Response | None]) -> None:
        super().__init__(host="127.0.0.1", threaded=True)
        self.expect_request(re.compile("")).respond_with_handler(
            lambda request: answer(request) or _hang_up()
        )
        self.start()
        self.server.RequestHandlerClass = _Silent

    def thread_target(self) -> None:
        self.server.serve_forever(0.02)  # seconds that `stop` waits for at most

    def stop(self) -> None:
        super().stop()
        self.check()


class _Silent(WSGIRequestHandler):
    """What a test finds in the log is what the service wrote, not what it was asked with."""

    def log(self, *_: object) -> None:
        pass


def _hang_up() -> Response:
    def nothing() -> Iterator[bytes]:
        raise ConnectionAbortedError  # werkzeug takes it for a caller that is gone, and closes
        yield b""

    return Response(nothing())
