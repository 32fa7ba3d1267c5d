from __future__ import annotations

import numpy as np

from .device import Device, MuonMatrix
from .reference import arrays, close, normal, reference

SHAPES = [(1, 1), (9, 33), (70, 17), (20, 20)]


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
    device.muon_update(matrices, len(SHAPES), space, rate, momentum, clip)
    for one, got, decay in zip(given, kept, decays, strict=True):
        want = reference("muon_update", *one, rate, momentum, decay, clip)
        for a, b in zip(got, want, strict=False):
            close(a, b, rtol=1e-4)
