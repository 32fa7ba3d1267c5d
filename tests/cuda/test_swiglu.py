from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import arrays, close, normal, reference


@pytest.mark.parametrize(("M", "F"), [(1, 1), (5, 33), (3, 256)])
def test_swiglu(device: Device, M: int, F: int, rng: np.random.Generator) -> None:
    inp, dout = normal(rng, M, 2 * F), normal(rng, M, F)
    out, dinp, x, g = device.empty(M, F), device.empty(M, 2 * F), *arrays(device, inp, dout)
    device.swiglu_forward(out, x, M, F)
    close(out, reference("swiglu_forward", inp))
    device.swiglu_backward(dinp, g, x, M, F)
    close(dinp, reference("swiglu_backward", dout, inp))
