"""How likely a text is."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.likelihood.protocol import LanguageModel
from engine.model.encoding import pieces

CHUNK = 1 << 16  # bytes: what one native call reads, so that an interrupt is seen within a second


@dataclass(frozen=True)
class Score:
    """The cost of a text under a model, and how long it took to find out."""

    bytes: int
    bits: float
    seconds: float
    read: int = 0  # bytes read, where not all were counted

    @property
    def bits_per_byte(self) -> float:
        return self.bits / self.bytes if self.bytes else 0.0

    @property
    def bytes_per_second(self) -> float:
        return (self.read or self.bytes) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, int | float]:
        return {
            "bytes": self.bytes,
            "bits_per_byte": self.bits_per_byte,
            "seconds": self.seconds,
            "bytes_per_second": self.bytes_per_second,
        }


def score_text(model: LanguageModel, text: str | bytes) -> Score:
    """Score a whole text as one document, from its beginning; what Session.feed takes will do."""
    data = text.encode() if isinstance(text, str) else text
    started = time.perf_counter()
    session = model.session()
    bits = sum(session.score(piece) for piece in pieces(data, CHUNK))
    return Score(len(data), bits, time.perf_counter() - started)


def cost_bits(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cost in bits of each byte, [..., 256], under the softmax of its logits."""
    nats = logits.astype(np.float64)
    nats -= nats.max(axis=-1, keepdims=True)
    bits: NDArray[np.float64] = (np.log(np.exp(nats).sum(axis=-1, keepdims=True)) - nats) / np.log(2)
    return bits
