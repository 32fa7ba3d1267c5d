"""Which number lies where in the lanes' registers: the tables of the PTX ISA against the executor's gathers.

The formulas are those of the PTX ISA 8.8, "Matrix fragments for mma.m16n8k16" (bf16), "... mma.m16n8k32" (s8)
and "ldmatrix", one number at a time; the executor and the kernels state them by registers.
"""

from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import bf16_bits


def a_place(lane: int, i: int, per: int) -> tuple[int, int]:
    """Row and column in A of number i of a lane; `per` numbers fill a register."""
    group, thread = divmod(lane, 4)
    row = group if i < per or 2 * per <= i < 3 * per else group + 8
    column = thread * per + i % per + (4 * per if i >= 2 * per else 0)
    return row, column


def b_place(lane: int, i: int, per: int) -> tuple[int, int]:
    group, thread = divmod(lane, 4)
    return thread * per + i % per + (4 * per if i >= per else 0), group


def d_place(lane: int, i: int) -> tuple[int, int]:
    group, thread = divmod(lane, 4)
    return (group if i < 2 else group + 8), thread * 2 + i % 2


@pytest.mark.parametrize("kind", ["bf16", "s8"])
def test_mma(parts: Device, kind: str, rng: np.random.Generator) -> None:
    per, k = (2, 16) if kind == "bf16" else (4, 32)
    low, high = (-8, 9) if kind == "bf16" else (-128, 128)
    a, b = rng.integers(low, high, (16, k)), rng.integers(low, high, (k, 8))
    start = rng.integers(-100, 100, (16, 8))
    number = bf16_bits if kind == "bf16" else (lambda x: x.astype(np.int8))
    lanes = range(32)
    a_numbers = np.array([[a[a_place(lane, i, per)] for i in range(4 * per)] for lane in lanes])
    b_numbers = np.array([[b[b_place(lane, i, per)] for i in range(2 * per)] for lane in lanes])
    d_numbers = np.array([[start[d_place(lane, i)] for i in range(4)] for lane in lanes])
    d = parts.array(d_numbers.astype(np.float32 if kind == "bf16" else np.int32))
    operands = [parts.array(number(x).view(np.uint32)) for x in (a_numbers, b_numbers)]
    getattr(parts, f"primitive_mma_{kind}")(d, *operands)
    want = start + a @ b
    got = d.numpy()
    for lane in lanes:
        assert [got[lane, i] for i in range(4)] == [want[d_place(lane, i)] for i in range(4)]


@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix_and_zeros_from_cp_async(parts: Device, transposed: bool) -> None:
    rows = np.arange(1, 257, dtype=np.uint16).reshape(32, 8)
    out = parts.empty(32, 4, dtype=np.uint32)
    words = parts.array(rows.view(np.uint32))
    (parts.primitive_ldmatrix_trans if transposed else parts.primitive_ldmatrix)(out, words)
    rows[31] = 0
    got = out.numpy().view(np.uint16).reshape(32, 4, 2)
    for lane in range(32):
        for matrix in range(4):
            for i in range(2):
                row, column = lane // 4, lane % 4 * 2 + i
                place = (column, row) if transposed else (row, column)
                assert got[lane, matrix, i] == rows[8 * matrix + place[0], place[1]]
