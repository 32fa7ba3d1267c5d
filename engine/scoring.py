"""How likely a text is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.encoding import pieces

if TYPE_CHECKING:
    from engine.model import Model

_PIECE = 1 << 16  # bytes: what one native call reads, so that an interrupt is seen within a second


@dataclass(frozen=True)
class Score:
    """The cost of a text under a model, and how long it took to find out."""

    bytes: int
    bits: float
    seconds: float

    @property
    def bits_per_byte(self) -> float:
        return self.bits / self.bytes if self.bytes else 0.0

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, int | float]:
        return {
            "bytes": self.bytes,
            "bits_per_byte": self.bits_per_byte,
            "seconds": self.seconds,
            "bytes_per_second": self.bytes_per_second,
        }


def score_text(model: Model, text: str | bytes) -> Score:
    """Score a whole text as one document, from its beginning; what Session.feed takes will do."""
    data = text.encode() if isinstance(text, str) else text
    started = time.perf_counter()
    session = model.session()
    bits = sum(session.score(piece) for piece in pieces(data, _PIECE))
    return Score(len(data), bits, time.perf_counter() - started)
