"""What the tests of sampling share: any logits there are, and the model's own distribution in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine._core import allowed_bytes
from engine.inference.samplers import Greedy, MinP, Sampler, TopE, TopK, TopP, Typical

Logits = NDArray[np.float32]
TINY = 1e-300  # below this, NumPy goes on with subnormal numbers and the sampler says 0
WHOLE = TopP(1.0)  # keeps everything: the model's own distribution

samplers = st.one_of(
    st.builds(TopE, factor=st.floats(0.01, 300)),
    st.builds(TopP, p=st.floats(0.001, 1)),
    st.builds(TopK, k=st.integers(1, 300)),
    st.builds(MinP, p=st.floats(0.001, 1)),
    st.builds(Typical, p=st.floats(0.001, 1)),
    st.builds(Greedy),
)
pendings = st.sampled_from(
    [b"", b"\xc3", b"\xe0", b"\xe6\xb0", b"\xed", b"\xef\xbf", b"\xf0", b"\xf4\x8f\xbf"]
)


@st.composite
def any_logits(draw: Callable[..., Any]) -> Logits:
    """From flat to steep, with ties, and now and then with the extremes of float32."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = rng.normal(size=256) * draw(st.sampled_from([0.0, 0.1, 1.0, 4.0, 30.0, 1e4, 1e38 / 6]))
    if draw(st.booleans()):
        logits = np.round(logits)
    return np.clip(logits, -3.4e38, 3.4e38).astype(np.float32)


def probabilities(logits: Logits, pending: bytes = b"", end_allowed: bool = True) -> NDArray[np.float64]:
    """Softmax over the allowed bytes, 0 elsewhere."""
    allowed = list(allowed_bytes(pending, end_allowed))
    z = logits[allowed].astype(np.float64)
    out = np.zeros(256)
    out[allowed] = np.exp(z - z.max())
    out[out < TINY] = 0
    return out / out.sum()


def by_likelihood(logits: Logits, allowed: bytes) -> list[int]:
    return sorted(allowed, key=lambda b: (-float(logits[b]), b))


def drawn_from(sampler: Sampler, logits: Logits, pending: bytes = b"", end: bool = True) -> NDArray[Any]:
    return np.asarray(sampler.start(0).probabilities(logits, pending, end))


def kept_by(sampler: Sampler, logits: Logits, pending: bytes = b"", end: bool = True) -> set[int]:
    return set(np.flatnonzero(drawn_from(sampler, logits, pending, end) > TINY).tolist())
