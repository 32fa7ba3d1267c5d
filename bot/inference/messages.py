"""What engines are told and what they answer, and the JSON in which web processes and engine hosts say it.

A stream is pieces of text (`str`, or `Written` where likelihoods were asked for) that end in one `Finished`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Base64Encoder, ConfigDict, EncodedBytes, Field, TypeAdapter

import engine

JOIN = 0.02  # seconds; an event for each character would cost more than the character, so they are joined


class _StrictBase64(Base64Encoder):
    @classmethod
    def decode(cls, data: bytes) -> bytes:
        return base64.b64decode(data, validate=True)


Base64 = Annotated[bytes, EncodedBytes(encoder=_StrictBase64)]


@dataclass(frozen=True)
class Sampling:
    """How to sample; None leaves a choice to the engine's settings.

    The state that comes out stands right behind the last byte: unlike an answer to a conversation, a text
    that did not end by itself gets no end mark.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # none is dropped in silence

    max_bytes: int
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None  # likeliest bytes reported for each written one; None: no likelihoods
    prompt_logprobs: bool = False  # also for the bytes of the prompt


@dataclass(frozen=True)
class Prompt:
    """What the model reads: `state` has read everything before `tail`; without it, `history()` then
    `tail`. By the engine's own `model`, unless one is named."""

    state: bytes | None
    tail: bytes
    history: Callable[[], bytes]
    seed: int
    sampling: Sampling | None = None
    model: str = ""


class Token(NamedTuple):
    """One byte, the natural logarithm of its probability under the bare model, the likeliest bytes there."""

    byte: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Read:
    """Bytes of the prompt that were read."""

    tokens: Annotated[tuple[Token, ...], Field(alias="read")]


@dataclass(frozen=True)
class Written:
    text: str
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True)
class Finished:
    state: Base64
    finish_reason: Annotated[str, Field(alias="stop")]  # end, length, stop, cancelled
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


# On the wire. What is not known is skipped: the other side may be of another version.


@dataclass(frozen=True)
class StreamRequest:
    """The body of POST /stream: `feed` is what is to be read, behind `state` if there is one, by the host's
    own `model`, unless one is named."""

    state: Base64 | None
    feed: Base64
    seed: int
    sampling: Sampling | None = None
    model: str = ""


@dataclass(frozen=True)
class Failure:
    error: str


STREAM_REQUEST = TypeAdapter(StreamRequest)
_LINE: TypeAdapter[Failure | Read | Written | Finished] = TypeAdapter(
    Failure | Read | Written | Finished, config=ConfigDict(ser_json_inf_nan="constants")
)


def to_line(event: Event | Failure) -> bytes:
    line = Written(event) if isinstance(event, str) else event
    return _LINE.dump_json(line, by_alias=True, exclude_defaults=True) + b"\n"


def from_line(line: bytes) -> Event | Failure:
    """ValueError if it is none."""
    event = _LINE.validate_json(line)
    return event.text if isinstance(event, Written) and not event.tokens else event
