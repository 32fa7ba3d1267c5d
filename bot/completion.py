"""Texts written for /v1: stateless, several choices of one prompt, ended when nobody waits any more."""

from __future__ import annotations

import select
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from bot import metrics
from bot.engines import Engine, EngineDownError
from bot.events import Event, Finished, Prompt, Sampling, Written, joined
from bot.jobs import LONGEST

LOOK_EVERY = 0.05  # seconds between two looks at whether the caller is still there


def write(
    engine: Engine, feed: bytes, sampling: Sampling, n: int, seed: int, cancel: Callable[[], bool]
) -> Iterator[tuple[int, Event]]:
    """Choices 0 … n-1 after `feed`, one after the other: events with the number of their choice.

    What was read (`sampling.prompt_logprobs`) is told with each choice. EngineDownError at any time.
    """
    began = time.monotonic()

    def enough() -> bool:
        return time.monotonic() - began > LONGEST or cancel()

    with metrics.RUNNING.track_inprogress():
        start = Prompt(uuid.uuid4().hex, None, feed, bytes, seed, sampling)
        read: list[Event] = []
        begun = False
        if n > 1:  # read once, and go on from there for each
            only_read = replace(start, sampling=replace(sampling, max_bytes=0))
            *read, end = _whole(engine.stream(only_read, enough))
            if isinstance(end, Finished) and end.stop != "cancelled":
                start = replace(
                    start, state=end.state, tail=b"", history=lambda: feed,
                    sampling=replace(sampling, prompt_logprobs=False),
                )  # fmt: skip
        for number in range(n):
            prompt = replace(start, seed=seed + number)
            for event in chain(read, joined(_whole(engine.stream(prompt, enough)))):
                if isinstance(event, str | Written):
                    if not begun:
                        metrics.FIRST_TOKEN.observe(time.monotonic() - began)
                    begun = True
                    text = event if isinstance(event, str) else event.text
                    metrics.GENERATED.inc(len(text.encode()))
                yield number, event
        metrics.LATENCY.observe(time.monotonic() - began)


def _whole(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        yield event
        if isinstance(event, Finished):
            return
    raise EngineDownError("the text broke off")


def hung_up(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Says whether the caller has closed the connection that this request came on.

    The web server notices only when it writes, and an answer that is not streamed is written at its end. An
    unknown web server's callers count as still there.
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
