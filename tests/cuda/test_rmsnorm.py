from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import arrays, close, normal, reference


@pytest.mark.parametrize(("M", "D"), [(1, 1), (3, 31), (5, 33), (9, 160)])
def test_rmsnorm(device: Device, M: int, D: int, rng: np.random.Generator) -> None:
    inp, weight, dout, before = normal(rng, M, D), normal(rng, D), normal(rng, M, D), normal(rng, M, D)
    out, rinv = device.empty(M, D), device.empty(M)
    x, w, g = arrays(device, inp, weight, dout)
    device.rmsnorm_forward(out, rinv, x, w, M, D)
    want, want_rinv = reference("rmsnorm_forward", inp, weight)
    close(out, want)
    close(rinv, want_rinv)
    dinp, dweight = arrays(device, before, weight)  # added to what is there
    device.rmsnorm_backward(dinp, dweight, device.empty(128, D), g, x, rinv, w, M, D)
    want_dinp, want_dweight = reference("rmsnorm_backward", dout, inp, rinv.numpy(), weight)
    close(dinp, before + want_dinp)
    close(dweight, weight + want_dweight)
