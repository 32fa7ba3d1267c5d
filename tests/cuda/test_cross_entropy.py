from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import arrays, close, normal, reference


@pytest.mark.parametrize(("M", "V"), [(1, 1), (5, 33), (7, 256)])
def test_cross_entropy(device: Device, M: int, V: int, rng: np.random.Generator) -> None:
    logits = 30 * normal(rng, M, V)  # far past what exp could take without the largest being subtracted
    targets = rng.integers(0, V, M).astype(np.uint8)
    losses, z, t = device.empty(M), *arrays(device, logits, targets)
    device.cross_entropy_forward(losses, z, t, M, V)
    close(losses, reference("cross_entropy_forward", logits, targets))
    device.cross_entropy_backward(z, z, t, 0.25, M, V)  # in place
    close(z, reference("cross_entropy_backward", logits, targets, 0.25))
