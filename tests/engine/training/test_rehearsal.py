"""What a model writes for rehearsal is drawn from its own distribution, and is written once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import Model
from engine.likelihood.score import cost_bits
from engine.training.rehearsal import STREAMS, rehearsal_text, sample_freely

STEPS = 48


def streams_of(written: bytes) -> list[bytes]:
    """Each stream without the end marks around it."""
    size = len(written) // STREAMS
    return [written[i * size + 1 : (i + 1) * size - 1] for i in range(STREAMS)]


def test_it_is_as_likely_as_the_model_thinks(model: Model) -> None:
    surprise = expected = variance = 0.0
    for stream in streams_of(sample_freely(model, STREAMS * STEPS, 1))[1::2]:
        session = model.session()
        for byte in stream:
            bits = cost_bits(session.logits())
            odds = np.exp2(-bits)
            surprise += bits[byte]
            expected += float((odds * bits).sum())
            variance += float((odds * bits**2).sum() - (odds * bits).sum() ** 2)
            session.feed(bytes([byte]))
    assert abs(surprise - expected) < 5 * variance**0.5


def test_half_of_it_is_without_dialogue(model: Model) -> None:
    streams = streams_of(sample_freely(model, STREAMS * STEPS, 1))
    assert {len(stream) for stream in streams} == {STEPS}
    assert not set(b"\xfd\xfe") & set(b"".join(streams[::2]))
    assert set(b"\xfd\xfe") <= set(b"".join(streams[1::2]))  # random weights draw any byte


def test_it_is_written_once_for_each_model_size_and_seed(model: Model, tmp_path: Path) -> None:
    first = rehearsal_text(model, 4096, 1, tmp_path)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = rehearsal_text(model, 4096, 1, tmp_path)
    assert file.stat().st_mtime_ns == written
    assert (again.sha256, again.bytes.tobytes()) == (first.sha256, first.bytes.tobytes())
    assert model.hash in first.name
    assert rehearsal_text(model, 4096, 2, tmp_path).sha256 != first.sha256
    assert 4096 <= first.source_bytes < 4096 + 3 * STREAMS
