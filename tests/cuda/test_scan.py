from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import arrays, close, normal, reference


@pytest.mark.parametrize(("B", "length", "R"), [(1, 1, 1), (2, 15, 33), (1, 16, 32), (3, 37, 5), (1, 100, 3)])
def test_scan(device: Device, B: int, length: int, R: int, rng: np.random.Generator) -> None:
    fvo, bias, s0 = normal(rng, B, length, 3 * R), normal(rng, R), normal(rng, B, R)
    dy = normal(rng, B, length, R)
    f, b, start, g, dbias = arrays(device, fvo, bias, s0, dy, bias)
    y, a, s = (device.empty(B, length, R) for _ in range(3))
    device.scan_forward(y, a, s, f, b, start, B, length, R)
    for got, want in zip((y, a, s), reference("scan_forward", fvo, bias, s0), strict=True):
        close(got, want)
    dfvo = device.empty(B, length, 3 * R)
    device.scan_backward(dfvo, dbias, device.empty(B, R), g, f, a, s, start, B, length, R)
    want_dfvo, want_dbias = reference("scan_backward", dy, fvo, a.numpy(), s.numpy(), s0)
    close(dfvo, want_dfvo)
    close(dbias, bias + want_dbias)
