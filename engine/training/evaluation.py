"""Bits per byte of a file of texts or dialogues under a finished model."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from engine.inference.model import Model
from engine.likelihood.score import CHUNK, Score
from engine.model.encoding import pieces
from engine.training.dataset import answer_mask, answers_name, text_to_score


def score_answers(model: Model, framed: bytes) -> tuple[Score, Score]:
    """The score of framed dialogues, and that of the answers and their end marks, given all before them."""
    started = time.perf_counter()
    session = model.session()
    bits = np.concatenate([np.zeros(0), *(session.bits(piece) for piece in pieces(framed, CHUNK))])
    seconds = time.perf_counter() - started
    counted = answer_mask(np.frombuffer(framed, np.uint8)).astype(bool)
    answers = Score(int(counted.sum()), float(bits[counted].sum()), seconds, len(framed))
    return Score(len(framed), float(bits.sum()), seconds), answers


def valid_figures(model: Model, path: Path) -> dict[str, float]:
    """Bits per byte of a file under its name; of dialogues, also those of the answers alone."""
    whole, answers = score_answers(model, text_to_score(path))
    figures = {path.name: whole} | ({answers_name(path.name): answers} if answers.bytes else {})
    return {name: round(score.bits_per_byte, 4) for name, score in figures.items()}
