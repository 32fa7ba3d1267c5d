"""Likelihoods: they are a distribution, finite for any bytes, and do not depend on how the text is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Model
from engine.likelihood.score import CHUNK


@pytest.mark.parametrize(
    "prefix", [b"", "中".encode(), b"a\xe4", b"\xe4\xb8", b"\xf0\x9f\x98", b"\xff\xfd\xc0"]
)
def test_the_probabilities_of_all_bytes_sum_to_one(model: Model, prefix: bytes) -> None:
    session = model.session()
    session.feed(prefix)
    snapshot = session.snapshot()
    total = math.fsum(2 ** -model.session(snapshot).score(bytes([byte])) for byte in range(256))
    assert total == pytest.approx(1, abs=1e-9)


def test_bits_are_the_softmax_of_the_logits(model: Model) -> None:
    session = model.session()
    session.feed("問曰")
    logits = session.logits().astype(np.float64)
    log_total = np.log(np.exp(logits - logits.max()).sum()) + logits.max()
    expected = (log_total - logits[ord("?")]) / np.log(2)
    assert session.score("?") == pytest.approx(expected, abs=1e-9)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_have_finite_bits_wherever_they_are_cut(model: Model, data: bytes, cut: int) -> None:
    whole, parts = model.session(), model.session()
    bits = whole.bits(data)
    assert np.isfinite(bits).all()
    assert (bits > 0).all()
    assert np.array_equal(np.concatenate([parts.bits(data[:cut]), parts.bits(data[cut:])]), bits)
    assert parts.snapshot() == whole.snapshot()


def test_a_long_text_is_scored_as_one(model: Model) -> None:
    text = "上古之人，其知道者，法於陰陽。" * (CHUNK // 40)
    score = model.score(text)
    assert score.bytes == len(text.encode()) > CHUNK
    assert score.bits == pytest.approx(model.session().bits(text).sum(), rel=1e-12)
    assert score.bits_per_byte == score.bits / score.bytes
    assert score.bytes_per_second == pytest.approx(score.bytes / score.seconds)


def test_nothing_costs_nothing(model: Model) -> None:
    score = model.score("")
    assert (score.bytes, score.bits, score.bits_per_byte) == (0, 0, 0)
    assert model.session().bits(b"").shape == (0,)
