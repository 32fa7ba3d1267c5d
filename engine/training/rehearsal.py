"""Text that a model writes itself, mixed into fine-tuning against forgetting.

The owner of new text rarely has the text that the model was made from. What a model writes at temperature 1
has in expectation no gradient at the model's own weights, so it counters changes that the new text does
not require (pseudo-rehearsal: Robins, 1995, "Catastrophic forgetting, rehearsal and pseudorehearsal").
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from engine import _core
from engine.inference.model import Model
from engine.model.atomic_write import write_atomically
from engine.model.special_bytes import ASSISTANT_MARK, END_MARK, USER_MARK
from engine.training.dataset import Text, cache_folder

FORMAT = "3"  # of the written texts: a change makes old ones stale
STREAMS = 64
SIZE = 1 << 20


def rehearsal_text(model: Model, size: int = SIZE, seed: int = 1, folder: Path | None = None) -> Text:
    """About `size` bytes that the model writes, framed as documents; written once, then found again."""
    prepared = (folder or cache_folder()) / f"written-{model.hash}-{size}-{seed}-{FORMAT}.bytes"
    if not prepared.exists():
        prepared.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(prepared, sample_freely(model, size, seed))
    data = np.memmap(prepared, np.uint8, mode="r")
    sha256 = hashlib.sha256(data.tobytes()).hexdigest()
    return Text(f"written by {model.name} ({model.hash})", sha256, data.size, data)


def sample_freely(model: Model, size: int, seed: int) -> bytes:
    """Streams of bytes drawn from the model's own distribution, one after the other.

    Half of the streams may draw the special bytes of dialogue. The others may not: a model that has read
    mostly short dialogues would else never rehearse its long texts.
    """
    sessions = [model.session().native for _ in range(STREAMS)]
    random = np.random.default_rng(seed)
    steps = -(-size // STREAMS)
    written = np.empty((steps, STREAMS), np.uint8)
    for step in range(steps):
        logits = _core.logits_of(sessions)
        logits[::2, [USER_MARK[0], ASSISTANT_MARK[0]]] = -np.inf
        odds = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64).cumsum(axis=1)
        draws = random.random((STREAMS, 1)) * odds[:, -1:]
        written[step] = (odds <= draws).sum(axis=1).clip(max=255)
        _core.feed_bytes(sessions, written[step].tobytes())
    return b"".join(END_MARK + stream.tobytes() + END_MARK for stream in written.T)
