"""The trunk in one launch gives what its operators give one by one, bit for bit; these equal the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from .against import arrays, bf16_bits, normal
from .device import Array, Device, KernelError

Layer = dict[str, np.ndarray]


def layer_of(rng: np.random.Generator, D: int, R: int, F: int) -> Layer:
    layer: Layer = {"norm": normal(rng, D), "taps": normal(rng, 3, D), "bias": normal(rng, R)}
    for name, rows, columns in (("in", 3 * R, D), ("out", D, R), ("up", 2 * F, D), ("down", D, F)):
        if name == "up":
            layer["swiglu_norm"] = normal(rng, D)
        layer[name] = rng.integers(-127, 128, (rows, columns)).astype(np.int8)
        layer[f"{name}_scale"] = rng.uniform(1e-3, 2e-3, rows).astype(np.float32)
    return layer


def one_by_one(
    device: Device,
    w: dict[str, Array],
    x: Array,
    state: Array,
    history: Array,
    M: int,
    D: int,
    R: int,
    F: int,
) -> None:
    def product(name: str, q: Array, N: int, K: int) -> Array:
        sums = device.empty(M, N, dtype=np.int32)
        device.matmul_i8(sums, q, w[name], M, N, K)
        return sums

    q, scale = [device.empty(M, n, dtype=np.int8) for n in (D, R, D, F)], [device.empty(M) for _ in range(4)]
    device.norm_conv_quantize(q[0], scale[0], history, x, w["norm"], w["taps"], M, D)
    sums = product("in", q[0], 3 * R, D)
    device.recurrence_quantize(
        q[1], scale[1], state, device.empty(M, R), sums, scale[0], w["in_scale"], w["bias"], M, R
    )
    device.dequantize(x, product("out", q[1], D, R), scale[1], w["out_scale"], M, D, True)
    device.norm_quantize(q[2], scale[2], x, w["swiglu_norm"], M, D)
    sums = product("up", q[2], 2 * F, D)
    device.swiglu_quantize(q[3], scale[3], device.empty(M, F), sums, scale[2], w["up_scale"], M, F)
    device.dequantize(x, product("down", q[3], D, F), scale[3], w["down_scale"], M, D, True)


@pytest.mark.parametrize(("M", "D", "R", "F"), [(1, 32, 32, 32), (17, 32, 64, 96)])
def test_trunk_step(device: Device, M: int, D: int, R: int, F: int, rng: np.random.Generator) -> None:
    L, slots = 2, rng.permutation(M + 3)[:M].astype(np.int32)
    layers = [{k: device.array(v) for k, v in layer_of(rng, D, R, F).items()} for _ in range(L)]
    x, states = normal(rng, M, D), normal(rng, M + 3, L, R)
    histories = bf16_bits(normal(rng, M + 3, L, 2, D))
    whole = arrays(device, x, states, histories)
    addresses = np.array([[a.address for a in layer.values()] for layer in layers], np.uint64)
    device.trunk_step(*whole, *arrays(device, addresses, slots), M, L, D, R, F)
    apart = device.array(x)
    for i, layer in enumerate(layers):
        state, history = arrays(device, states[slots, i], histories[slots, i])
        one_by_one(device, layer, apart, state, history, M, D, R, F)
        states[slots, i], histories[slots, i] = state.numpy(), history.numpy()
    for got, want in zip(whole, (apart.numpy(), states, histories), strict=True):
        np.testing.assert_array_equal(got.numpy(), want)


def test_sizes_that_do_not_fit_are_refused(forward: Device) -> None:
    nothing = [None] * 5
    for sizes in ((1, 1, 48, 32, 32), (1, 1, 512, 512, 1024)):
        with pytest.raises(KernelError, match="error 1"):
            forward.trunk_step(*nothing, *sizes)
