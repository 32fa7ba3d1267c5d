from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import arrays, close, normal, reference


@pytest.mark.parametrize("n", [1, 255, 257])
def test_adamw(device: Device, n: int, rng: np.random.Generator) -> None:
    weight, m, grad = (normal(rng, n) for _ in range(3))
    v = normal(rng, n) ** 2
    settings = (1e-2, 0.9, 0.95, 1e-8, 0.1, 0.5, 0.19, 0.0975)
    kept = arrays(device, weight, m, v)
    device.adamw_update(*kept, device.array(grad), n, *settings)
    single = [float(np.float32(x)) for x in settings]
    for got, want in zip(kept, reference("adamw_update", weight, m, v, grad, *single), strict=True):
        close(got, want)
