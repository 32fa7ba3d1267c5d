"""Questions with passages that were another question's: what the passages of a search often are.

Without them a reader only learns to refuse passages that are about the thing asked for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from engine.reading.examples import Example
from engine.reading.measures import pairs_of

LIKE, UNLIKE = 4000, 2000  # made of each pair of sources: questions with passages of their own, of another
DRAWN, KEPT = 12, 2  # passages: of those drawn the ones kept that share most with the question


def strangers(sources: Sequence[Sequence[Example]], seed: int) -> list[Example]:
    """Examples without an answer, the same for the same seed."""
    rng = random.Random(seed)
    made = [
        example
        for number, asked in enumerate(sources)
        for other, read in enumerate(sources)
        for _ in range(LIKE if number == other else UNLIKE)
        if (example := _stranger(rng.choice(asked), read, rng)) is not None
    ]
    rng.shuffle(made)
    return made


def _stranger(example: Example, others: Sequence[Example], rng: random.Random) -> Example | None:
    titles = {passage["title"] for passage in example.passages}
    drawn = [rng.choice(rng.choice(others).passages) for _ in range(DRAWN)]
    free = [p for p in drawn if p["title"] not in titles and not any(a in p["text"] for a in example.answers)]
    pairs = pairs_of(example.question)
    free.sort(key=lambda passage: -len(pairs & pairs_of(passage["text"])))
    return Example(free[:KEPT], example.question, [], False) if len(free) >= KEPT else None
