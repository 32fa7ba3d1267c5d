"""The float work of inference equals the CPU's, bit for bit: a conversation may move between the two."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from . import build
from .device import Device
from .reference import arrays, bf16_bits, normal

SIZES = [(1, 16), (5, 48), (3, 160)]


@pytest.fixture(scope="session")
def cpu() -> Callable[..., float]:
    """ref_NAME(arrays and numbers), row by row."""
    library = ctypes.CDLL(str(build.vector_ops_reference()))

    def call(name: str, *arguments: Any) -> float:
        function = getattr(library, f"ref_{name}")
        function.restype = ctypes.c_float
        words = [
            ctypes.c_void_p(a.ctypes.data)
            if isinstance(a, np.ndarray)
            else ctypes.c_float(a)
            if isinstance(a, float | np.floating)
            else ctypes.c_int(a)
            for a in arguments
        ]
        return float(function(*words))

    return call


def rows_for(rng: np.random.Generator, M: int, n: int) -> np.ndarray:
    """One row of zeros, one too small to divide by, the rest ordinary."""
    x = normal(rng, M, n) * np.float32(10.0) ** rng.integers(-3, 3, (M, 1)).astype(np.float32)
    if M > 2:
        x[0], x[1] = 0, 1e-32
    return x


@pytest.mark.parametrize(("M", "n"), SIZES)
def test_rows(parts: Device, cpu: Callable[..., float], M: int, n: int, rng: np.random.Generator) -> None:
    x, gain, taps = rows_for(rng, M, n), normal(rng, n), normal(rng, 3, n)
    history = bf16_bits(normal(rng, M, 2, n))
    d_x, d_gain, d_taps, d_history = arrays(parts, x, gain, taps, history)
    q, scale, row = np.empty((3, M, n), np.int8), np.empty((3, M), np.float32), np.empty(n, np.float32)
    for m in range(M):
        scale[0, m] = cpu("quantize_row", q[0, m], x[m], n)
        scale[1, m] = cpu("norm_quantize", q[1, m], row, x[m], gain, n)
        scale[2, m] = cpu("norm_conv_quantize", q[2, m], row, history[m], x[m], gain, taps, n)
    got_q = [parts.empty(M, n, dtype=np.int8) for _ in range(3)]
    got_scale = [parts.empty(M) for _ in range(3)]
    parts.quantize_row(got_q[0], got_scale[0], d_x, M, n)
    parts.norm_quantize(got_q[1], got_scale[1], d_x, d_gain, M, n)
    parts.norm_conv_quantize(got_q[2], got_scale[2], d_history, d_x, d_gain, d_taps, M, n)
    for i in range(3):
        np.testing.assert_array_equal(got_q[i].numpy(), q[i])
        np.testing.assert_array_equal(got_scale[i].numpy(), scale[i])
    np.testing.assert_array_equal(d_history.numpy(), history)


@pytest.mark.parametrize(("M", "n"), SIZES)
def test_gates(parts: Device, cpu: Callable[..., float], M: int, n: int, rng: np.random.Generator) -> None:
    inp = rng.uniform(1e-3, 1e-2, M).astype(np.float32)
    weights, bias = rng.uniform(1e-4, 1e-2, 3 * n).astype(np.float32), normal(rng, n)
    sums, state = rng.integers(-300_000, 300_000, (M, 3 * n)).astype(np.int32), normal(rng, M, n)
    ups = np.ascontiguousarray(sums[:, : 2 * n])
    d_inp, d_weights, d_bias, d_sums, d_state, d_ups = arrays(parts, inp, weights, bias, sums, state, ups)
    q, scale, row = np.empty((2, M, n), np.int8), np.empty((2, M), np.float32), np.empty(n, np.float32)
    for m in range(M):
        scale[0, m] = cpu("recurrence_quantize", q[0, m], row, state[m], sums[m], weights, inp[m], bias, n)
        scale[1, m] = cpu("swiglu_quantize", q[1, m], row, ups[m], weights, inp[m], n)
    got_q = [parts.empty(M, n, dtype=np.int8) for _ in range(2)]
    got_scale, space = [parts.empty(M) for _ in range(2)], parts.empty(M, n)
    parts.recurrence_quantize(got_q[0], got_scale[0], d_state, space, d_sums, d_inp, d_weights, d_bias, M, n)
    parts.swiglu_quantize(got_q[1], got_scale[1], space, d_ups, d_inp, d_weights, M, n)
    for i in range(2):
        np.testing.assert_array_equal(got_q[i].numpy(), q[i])
        np.testing.assert_array_equal(got_scale[i].numpy(), scale[i])
    np.testing.assert_array_equal(d_state.numpy(), state)
