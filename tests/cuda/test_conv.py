from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import arrays, close, normal, reference


@pytest.mark.parametrize(("B", "length", "D"), [(1, 1, 1), (2, 2, 65), (3, 17, 5), (2, 16, 64)])
def test_conv(device: Device, B: int, length: int, D: int, rng: np.random.Generator) -> None:
    inp, history, weight = normal(rng, B, length, D), normal(rng, B, 2, D), normal(rng, D, 3)
    dout = normal(rng, B, length, D)
    out, dinp = device.empty(B, length, D), device.empty(B, length, D)
    x, h, w, g, dweight = arrays(device, inp, history, weight, dout, weight)
    device.conv_forward(out, x, h, w, B, length, D)
    close(out, reference("conv_forward", inp, history, weight))
    space = device.empty(B * -(-length // 16), 3 * D)
    device.conv_backward(dinp, dweight, space, g, x, h, w, B, length, D)
    want_dinp, want_dweight = reference("conv_backward", dout, inp, history, weight)
    close(dinp, want_dinp)
    close(dweight, weight + want_dweight)
