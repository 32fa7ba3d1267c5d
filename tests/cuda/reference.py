"""What the tests of operators share: the float64 table of engine/src/train/ops is the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import _ops

from .device import Array, Device


def reference(operator: str, *arguments: Any) -> Any:
    """The operator in float64, on the float32 numbers that the kernel gets."""
    words = [
        a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a for a in arguments
    ]
    return getattr(_ops, operator)("float64", *words)


def close(got: Array, want: np.ndarray, rtol: float = 2e-5) -> None:
    """Within rtol of each number, or of the largest: sums lose what their largest terms lose."""
    scale = np.abs(want).max() if want.size else 0.0
    np.testing.assert_allclose(got.numpy(), want, rtol=rtol, atol=rtol * max(scale, 1e-30))


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def bf16_bits(x: np.ndarray) -> np.ndarray:
    """The upper halves of floats: bf16, cut off where it does not hold them."""
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def arrays(device: Device, *values: np.ndarray) -> list[Array]:
    return [device.array(value) for value in values]
