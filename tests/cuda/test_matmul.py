"""The products of a linear layer, forward and both gradients: float32, and bf16 on tensor cores."""

from __future__ import annotations

import numpy as np
import pytest

from .device import Array, Device
from .reference import arrays, close, normal, reference

# Around the tiles of 64 by 64, with sums around 32, and rows that cp.async cannot copy in pieces of 16 bytes.
SIZES = [(1, 1, 1), (3, 5, 7), (65, 8, 40), (64, 72, 64), (33, 66, 31), (130, 16, 8)]


def bf16(x: np.ndarray) -> np.ndarray:
    """Rounded to what bf16 holds, ties to even; still float32."""
    bits = np.ascontiguousarray(x).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32)


def on_device(device: Device, kind: str, x: np.ndarray) -> Array:
    if kind == "f32":
        return device.array(x)
    out = device.empty(*x.shape, dtype=np.uint16)
    device.to_bf16(out, device.array(x), x.size)
    np.testing.assert_array_equal(out.numpy(), bf16(x).view(np.uint32) >> 16)
    return out


@pytest.mark.parametrize(("M", "N", "K"), SIZES)
@pytest.mark.parametrize("kind", ["f32", "bf16"])
def test_matmul(device: Device, kind: str, M: int, N: int, K: int, rng: np.random.Generator) -> None:
    inp, weight, dout, onto = normal(rng, M, K), normal(rng, N, K), normal(rng, M, N), normal(rng, M, N)
    x, w, g = (on_device(device, kind, a) for a in (inp, weight, dout))
    if kind == "bf16":
        inp, weight, dout = bf16(inp), bf16(weight), bf16(dout)
    forward, to_input, to_weight = (
        getattr(device, f"matmul_{kind}_{name}") for name in ("forward", "backward_input", "backward_weight")
    )
    nothing = np.empty((0, 0), np.float32)
    out, dinp, added, dweight = device.empty(M, N), device.empty(M, K), *arrays(device, onto, weight)
    forward(out, x, w, M, N, K, False)
    close(out, reference("matmul_forward", inp, weight, nothing))
    forward(added, x, w, M, N, K, True)
    close(added, reference("matmul_forward", inp, weight, onto))
    want_dinp, want_dweight = reference("matmul_backward", dout, inp, weight)
    to_input(dinp, g, w, M, N, K, False)
    close(dinp, want_dinp)
    to_weight(dweight, g, x, M, N, K)
    close(dweight, weight + want_dweight)
