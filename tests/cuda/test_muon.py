from __future__ import annotations

import ctypes

import numpy as np

from .against import arrays, close, normal, reference
from .device import Device

SHAPES = [(1, 1), (9, 33), (70, 17), (20, 20)]


class MuonMatrix(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "m", "grad")),
        *((name, ctypes.c_int) for name in ("rows", "columns")),
        ("decay", ctypes.c_float),
    ]


def test_muon(device: Device, rng: np.random.Generator) -> None:
    """Matrices of all shapes in the same launches."""
    rate, momentum, clip = (float(np.float32(x)) for x in (1e-2, 0.95, 0.5))
    decays = [float(np.float32(x)) for x in (0.1, 0.0, 0.2, 0.3)]
    given = [[normal(rng, *shape) for _ in range(3)] for shape in SHAPES]
    kept = [arrays(device, *one) for one in given]
    matrices = (MuonMatrix * len(SHAPES))(
        *(
            MuonMatrix(*(a.address for a in one), *shape, decay)
            for one, shape, decay in zip(kept, SHAPES, decays, strict=True)
        )
    )
    space = device.empty(sum(2 * (r * c + min(r, c) ** 2) for r, c in SHAPES))
    device.muon_update_all(matrices, len(SHAPES), space, rate, momentum, clip)
    for one, got, decay in zip(given, kept, decays, strict=True):
        want = reference("muon_update", *one, rate, momentum, decay, clip)
        for a, b in zip(got, want, strict=False):
            close(a, b, rtol=1e-4)
