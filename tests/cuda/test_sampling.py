"""The device draws the bytes that engine/src/infer/sampling.cpp draws, from the same logits and seeds."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core import Sampler, allowed_bytes

from .against import arrays
from .device import Array, Device

METHODS = {"greedy": (0, 1.0), "top-e": (1, 1.3), "top-p": (2, 0.9), "top-k": (3, 7.0), "min-p": (4, 0.05)}
PENDINGS = [b"", b"", b"\xc3", b"\xe0", b"\xe6\xb0", b"\xed", b"\xef\xbf", b"\xf0", b"\xf4\x8f\xbf"]
# Around every bound that the rules of UTF-8 and of the mask have.
EDGES = [0x00, 0x08, 0x09, 0x0A, 0x0B, 0x1F, 0x20, 0x7E, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBD, 0xBE, 0xBF]
EDGES += [0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xEF, 0xF0, 0xF4, 0xF5, 0xFD, 0xFE, 0xFF]


def draw(
    device: Device, states: Array, logits: np.ndarray, method: str, temperature: float, ends: np.ndarray
) -> bytes:
    M = len(logits)
    pending = np.zeros((M, 4), np.uint8)
    for m in range(M):
        pending[m, : len(PENDINGS[m])] = list(PENDINGS[m])
    sizes = np.array([len(p) for p in PENDINGS[:M]], np.int32)
    out = device.empty(M, dtype=np.uint8)
    number, amount = METHODS[method]
    device.sample(
        out,
        states,
        *arrays(device, logits, pending, sizes, ends),
        M,
        number,
        np.float64(amount),
        np.float64(temperature),
    )
    return out.numpy().tobytes()


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_draws_are_those_of_the_cpu(
    device: Device, method: str, temperature: float, rng: np.random.Generator
) -> None:
    M = len(PENDINGS)
    samplers = [Sampler(method, METHODS[method][1], temperature, 1.0, 64, m) for m in range(M)]
    states = device.array(np.arange(M, dtype=np.uint64))
    for steepness in (0.0, 0.3, 1.0, 3.0, 30.0):
        logits = (rng.normal(size=(M, 256)) * steepness).astype(np.float32)
        logits[-1] = np.round(logits[-1])  # ties
        ends = rng.integers(0, 2, M).astype(np.uint8)
        want = [
            sampler.draw(row, pending, bool(end))
            for sampler, row, pending, end in zip(samplers, logits, PENDINGS, ends, strict=True)
        ]
        assert draw(device, states, logits, method, temperature, ends) == bytes(want)


@pytest.mark.parametrize("pending", sorted(set(PENDINGS)))
@pytest.mark.parametrize("end", [False, True])
def test_the_mask_is_that_of_the_cpu(forward: Device, pending: bytes, end: bool) -> None:
    """The likeliest byte, one after the other made so, is drawn exactly if the CPU allows it."""
    M = len(EDGES)
    logits = np.zeros((M, 256), np.float32)
    logits[np.arange(M), EDGES] = 1
    rows = np.zeros((M, 4), np.uint8)
    rows[:, : len(pending)] = list(pending)
    sizes, ends = np.full(M, len(pending), np.int32), np.full(M, end, np.uint8)
    out, states = forward.empty(M, dtype=np.uint8), forward.array(np.zeros(M, np.uint64))
    forward.sample(
        out, states, *arrays(forward, logits, rows, sizes, ends), M, 0, np.float64(1), np.float64(1)
    )
    lowest = min(allowed_bytes(pending, end))  # what wins where the favourite is masked and all others tie
    want = [b if b in allowed_bytes(pending, end) else lowest for b in EDGES]
    assert out.numpy().tolist() == want
