from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import arrays, close, normal, reference


@pytest.mark.parametrize(("rows", "M", "D"), [(1, 1, 1), (7, 3, 33), (5, 40, 160)])
def test_embedding(device: Device, rows: int, M: int, D: int, rng: np.random.Generator) -> None:
    table, dout, before = normal(rng, rows, D), normal(rng, M, D), normal(rng, rows, D)
    ids = rng.integers(0, rows, M).astype(np.int32)
    out, t, g, dtable, i = device.empty(M, D), *arrays(device, table, dout, before, ids)
    device.embedding_forward(out, t, i, M, D, False)
    np.testing.assert_array_equal(out.numpy(), table[ids])
    device.embedding_forward(out, t, i, M, D, True)
    np.testing.assert_array_equal(out.numpy(), 2 * table[ids])
    order = np.argsort(ids, kind="stable").astype(np.int32)
    starts = np.searchsorted(ids[order], np.arange(rows + 1)).astype(np.int32)
    device.embedding_backward(dtable, g, *arrays(device, order, starts), rows, D)
    close(dtable, before + reference("embedding_backward", dout, ids, rows))
