"""Where answers are sent to: the other end of a webhook with an address."""

from __future__ import annotations

import time

from werkzeug import Request, Response

from tests.stand_in import StandIn


class Receiver(StandIn):
    """Keeps what comes, with its headers, and says `says`, then 204."""

    def __init__(self) -> None:
        self.says: list[int] = []
        self.delay = 0.0
        self.received: list[tuple[dict[str, str], bytes]] = []
        super().__init__(self._answer)
        self.url = self.url_for("/answers?key=hush-hush")

    def _answer(self, request: Request) -> Response:
        assert request.full_path == "/answers?key=hush-hush"
        status = self.says.pop(0) if self.says else 204
        self.received.append(({name.lower(): value for name, value in request.headers.items()}, request.data))
        time.sleep(self.delay)
        return Response(status=status, headers={"Location": self.url + "/elsewhere"})
