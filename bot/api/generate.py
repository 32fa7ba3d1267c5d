"""Texts written for /v1: stateless, several choices of one prompt, ended when nobody waits any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from bot.chat.answers import MAX_ANSWER_SECONDS
from bot.inference.interface import Engine, EngineDownError
from bot.inference.messages import Event, Finished, Prompt, Sampling, Written
from bot.telemetry import metrics


def generate(
    engine: Engine, feed: bytes, sampling: Sampling, n: int, seed: int, cancel: Callable[[], bool]
) -> Iterator[tuple[int, Event]]:
    """Choices 0 … n-1 after `feed`, one after the other: events with the number of their choice.

    What was read (`sampling.prompt_logprobs`) is told with each choice. EngineDownError at any time.
    """
    began = time.monotonic()
    metrics.PROMPT.inc(len(feed))

    def should_stop() -> bool:
        return time.monotonic() - began > MAX_ANSWER_SECONDS or cancel()

    with metrics.RUNNING.track_inprogress():
        start = Prompt(None, feed, bytes, seed, sampling)
        read: list[Event] = []
        first, size = 0.0, 0
        if n > 1:  # read once, and go on from there for each
            only_read = replace(start, sampling=replace(sampling, max_bytes=0))
            *read, end = _whole(engine.stream(only_read, should_stop))
            if isinstance(end, Finished) and end.finish_reason != "cancelled":
                start = replace(
                    start, state=end.state, tail=b"", history=lambda: feed,
                    sampling=replace(sampling, prompt_logprobs=False),
                )  # fmt: skip
        for number in range(n):
            prompt = replace(start, seed=seed + number)
            for event in chain(read, _whole(engine.stream(prompt, should_stop))):
                if isinstance(event, str | Written):
                    first = first or time.monotonic()
                    text = event if isinstance(event, str) else event.text
                    metrics.GENERATED.inc(len(text.encode()))
                    size += len(text.encode())
                yield number, event
        metrics.observe_writing(began, first, time.monotonic(), size)
        metrics.LATENCY.observe(time.monotonic() - began)


def _whole(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        yield event
        if isinstance(event, Finished):
            return
    raise EngineDownError("the text broke off")
