"""The number formats of stored weights: bfloat16 as uint16 bits, and int8 rows with a scale each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """float32 to bfloat16 bits, nearest, ties to even. NaN is not handled: writing a model refuses it."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16 bits to float32, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def quantize_rows(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """[N, K] to int8 [N, K] and a scale per row [N]: absmax / 127, ties to even; 1 for a row of zeros."""
    scale = np.abs(values).max(axis=1) / np.float32(127)
    scale[scale == 0] = 1
    quantized = np.clip(np.rint(values / scale[:, None]), -127, 127).astype(np.int8)
    return quantized, scale
