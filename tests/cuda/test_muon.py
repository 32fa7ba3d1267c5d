from __future__ import annotations

import numpy as np
import pytest

from .against import arrays, close, normal, reference
from .device import Device


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (9, 33), (70, 17), (20, 20)])
def test_muon(device: Device, rows: int, columns: int, rng: np.random.Generator) -> None:
    weight, m, grad = (normal(rng, rows, columns) for _ in range(3))
    settings = (1e-2, 0.95, 0.1, 0.5)
    kept = arrays(device, weight, m)
    space = device.empty(2 * (rows * columns + min(rows, columns) ** 2))
    device.muon_update(*kept, device.array(grad), space, rows, columns, *settings)
    single = [float(np.float32(x)) for x in settings]
    for got, want in zip(kept, reference("muon_update", weight, m, grad, *single), strict=True):
        close(got, want, rtol=1e-4)
