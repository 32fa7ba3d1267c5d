"""Rounding to bfloat16 and to int8 rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.model.number_formats import from_bf16, quantize_rows, to_bf16


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**120), max_value=2.0**120))
def test_bf16_rounds_to_the_nearest_and_ties_to_even(value: float) -> None:
    exact = np.float32(value)
    rounded = from_bf16(to_bf16(np.array([exact])))[0]
    below = np.array([exact]).view(np.uint32) & np.uint32(0xFFFF0000)
    neighbours = [below.view(np.float32)[0], (below + np.uint32(0x10000)).view(np.float32)[0]]
    distances = [abs(float(n) - float(exact)) for n in neighbours]
    assert abs(float(rounded) - float(exact)) == min(distances)
    if distances[0] == distances[1]:
        assert to_bf16(np.array([exact]))[0] % 2 == 0


def test_quantize_rows() -> None:
    values = np.array([[127, -63.5, 1.5, 2.5], [0, 0, 0, 0], [-1e-3, 0, 0, 5e-4]], np.float32)
    quantized, scale = quantize_rows(values)
    assert quantized[0].tolist() == [127, -64, 2, 2]
    assert quantized[2].tolist() == [-127, 0, 0, 64]
    assert scale[1] == 1
    assert not quantized[1].any()
