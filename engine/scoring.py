"""How likely a text is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data import answers_name, answers_of, text_to_score
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


def score_text(model: Model, text: str | bytes) -> Score:
    """Score a whole text as one document, from its beginning; what Session.feed takes will do."""
    data = text.encode() if isinstance(text, str) else text
    started = time.perf_counter()
    session = model.session()
    bits = sum(session.score(piece) for piece in pieces(data, _PIECE))
    return Score(len(data), bits, time.perf_counter() - started)


def score_answers(model: Model, framed: bytes) -> tuple[Score, Score]:
    """The score of framed dialogues, and that of the answers and their end marks, given all before them."""
    started = time.perf_counter()
    session = model.session()
    bits = np.concatenate([np.zeros(0), *(session.bits(piece) for piece in pieces(framed, _PIECE))])
    seconds = time.perf_counter() - started
    counted = answers_of(np.frombuffer(framed, np.uint8)).astype(bool)
    answers = Score(int(counted.sum()), float(bits[counted].sum()), seconds, len(framed))
    return Score(len(framed), float(bits.sum()), seconds), answers


def valid_figures(model: Model, path: Path) -> dict[str, float]:
    """Bits per byte of a file under its name; of dialogues, also those of the answers alone."""
    whole, answers = score_answers(model, text_to_score(path))
    figures = {path.name: whole} | ({answers_name(path.name): answers} if answers.bytes else {})
    return {name: round(score.bits_per_byte, 4) for name, score in figures.items()}
