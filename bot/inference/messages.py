"""Requests to engines and their events, and the JSON lines of both between hosts.

A stream is pieces of text (`str`, or `Written` where likelihoods were asked for) that end in one `Finished`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import engine

JOIN = 0.02  # seconds; an event for each character would cost more than the character, so they are joined


@dataclass(frozen=True)
class Sampling:
    """How to sample; None leaves a choice to the engine's settings.

    The state that comes out stands right behind the last byte: unlike an answer to a conversation, a text
    that did not end by itself gets no end mark.
    """

    max_bytes: int
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None  # likeliest bytes reported for each written one; None: no likelihoods
    prompt_logprobs: bool = False  # also for the bytes of the prompt


@dataclass(frozen=True)
class Prompt:
    """What the model reads: `state` has read everything before `tail`; without it, `history()` then
    `tail`."""

    conversation: str
    state: bytes | None
    tail: bytes
    history: Callable[[], bytes]
    seed: int
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Token:
    """One byte, the natural logarithm of its probability under the bare model, the likeliest bytes there."""

    byte: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Read:
    """Bytes of the prompt that were read."""

    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Written:
    text: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Finished:
    state: bytes
    stop: str  # end, length, stop, cancelled
    bits: float = 0.0  # a byte, of the written text under the bare model; for answers to conversations


Event = str | Written | Read | Finished


def read_tokens(session: engine.Session, data: bytes, top: int) -> tuple[Token, ...]:
    """Read `data`, and yield the likelihood of each byte."""
    if not top:
        return tuple(
            Token(byte, -bits * np.log(2))
            for byte, bits in zip(data, session.bits(data).tolist(), strict=True)
        )
    tokens = []
    for byte in data:
        logits = session.logits().astype(np.float64)
        logits -= logits.max()
        logits -= np.log(np.exp(logits).sum())
        best = np.argsort(-logits, kind="stable")[:top].tolist()
        tokens.append(
            Token(byte, float(logits[byte]), tuple((other, float(logits[other])) for other in best))
        )
        session.feed(bytes([byte]))
    return tuple(tokens)


def to_line(event: Event) -> dict[str, Any]:
    if isinstance(event, str):
        return {"text": event}
    if isinstance(event, Written):
        return {"text": event.text, "tokens": [_to_row(token) for token in event.tokens]}
    if isinstance(event, Read):
        return {"read": [_to_row(token) for token in event.tokens]}
    return {"state": base64.b64encode(event.state).decode(), "stop": event.stop, "bits": event.bits}


def from_line(line: dict[str, Any]) -> Event:
    """The event of a line. KeyError, TypeError or ValueError if it is none."""
    if "read" in line:
        return Read(tuple(_from_row(row) for row in line["read"]))
    if "tokens" in line:
        return Written(line["text"], tuple(_from_row(row) for row in line["tokens"]))
    if "text" in line:
        return str(line["text"])
    return Finished(base64.b64decode(line["state"]), line["stop"], float(line.get("bits", 0)))


def _to_row(token: Token) -> list[Any]:
    return [token.byte, token.logprob, token.top]


def _from_row(row: list[Any]) -> Token:
    byte, logprob, top = row
    return Token(byte, logprob, tuple((other, value) for other, value in top))
