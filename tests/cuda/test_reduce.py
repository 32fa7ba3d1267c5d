from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import normal


@pytest.mark.parametrize("n", [1, 255, 40_000])
def test_sum_of_squares(device: Device, n: int, rng: np.random.Generator) -> None:
    x = normal(rng, n)
    out = device.empty(1, dtype=np.float64)
    device.sum_of_squares(out, device.empty(128, dtype=np.float64), device.array(x), n)
    np.testing.assert_allclose(out.numpy()[0], (x.astype(np.float64) ** 2).sum(), rtol=1e-13)
