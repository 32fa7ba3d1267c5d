"""The checker finds the faults in seeded_faults.cu, under every schedule, and is silent without them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from . import build
from .device import TO_DEVICE, Array, Device, KernelError, Policy

SEEDS = [(Policy.FORWARD, 0), (Policy.REVERSE, 0), *((Policy.RANDOM, seed) for seed in range(5))]
SEEDS += [(Policy.PREEMPT, seed) for seed in range(5)]

# kernel, mistake, what the report must say: the first thing found depends on the schedule
FAULTS = [
    ("tree", 1, "nobody wrote"),  # uninitialised shared memory
    ("tree", 2, "out of bounds"),  # one past an input
    ("tree", 3, "race|nobody wrote"),  # no barrier before use
    ("tree", 4, "deadlock.*has ended"),  # a barrier that some threads never reach
    ("tree", 5, "barrier divergence"),
    ("tree", 6, "out of bounds"),  # one past a shared array
    ("reuse", 1, "race"),  # no barrier between read and next write
    ("warp", 1, "race|nobody wrote"),  # no __syncwarp: shuffles order nothing
    ("warp", 2, "not in its own mask|deadlock"),  # lanes disagree about the mask
    ("shape", 1, "nobody wrote|out of bounds"),  # the padding of a tile
    ("shape", 2, "deadlock|barrier divergence|race|nobody wrote"),  # a barrier for a part of the block
    ("shape", 3, "race|nobody wrote"),  # neighbours write each other's columns
    ("shape", 4, "race|out of bounds"),  # global memory, blocks' own
    ("shape", 5, "not in the mask"),  # a source lane past the warp
    ("wide", 1, "misaligned"),
    ("fragment", 1, "race|nobody wrote"),  # ldmatrix before the rows are there
    ("fragment", 2, "misaligned row of ldmatrix"),
    ("copy", 1, "before it was waited for"),  # waits for one group too few
    ("copy", 2, "before it was waited for|never waited for"),
    ("copy", 3, "race|nobody wrote|waited"),  # waits, but no barrier
    ("copy", 4, "race|waited"),  # the next copy overtakes readers
    ("scatter", 1, "race"),  # += by two threads, not atomic
]

ARGUMENTS: dict[str, Callable[[Device], tuple[Array | int, ...]]] = {
    "tree": lambda d: (d.empty(1), ones(d, 64), 64),
    "reuse": lambda d: (d.empty(128), ones(d, 128)),
    "warp": lambda d: (d.empty(32), ones(d, 32)),
    "shape": lambda d: (d.empty(64), ones(d, 64)),
    "wide": lambda d: (d.empty(8), ones(d, 36)),
    "fragment": lambda d: (d.empty(128), ones(d, 256)),
    "copy": lambda d: (d.empty(32), ones(d, 512), 4),
    "scatter": lambda d: (
        d.array(np.zeros(5, np.float32)),
        d.array(np.arange(70, dtype=np.int32) % 5),
        70,
    ),
}


def ones(device: Device, n: int) -> Array:
    return device.array(np.ones(n, np.float32))


@pytest.fixture(scope="module")
def seeded_faults() -> Device:
    if not build.SUPPORTED:
        pytest.skip("the executor of CUDA kernels is written for Linux on x86-64")
    return Device(build.library("checked", build.SEEDED_FAULTS))


def execute(device: Device, name: str, fault: int) -> None:
    getattr(device, f"seeded_{name}_{fault}")(*ARGUMENTS[name](device))


@pytest.mark.parametrize(("name", "fault", "report"), FAULTS)
def test_a_seeded_fault_is_found_by_every_schedule(
    seeded_faults: Device, name: str, fault: int, report: str
) -> None:
    for schedule in SEEDS:
        seeded_faults.schedule(*schedule)
        with pytest.raises(KernelError, match=report) as caught:
            execute(seeded_faults, name, fault)
        assert "deadlock" in str(caught.value) or "seeded_faults.cu:" in str(caught.value)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_same_kernel_without_it_is_silent(seeded_faults: Device, name: str) -> None:
    for schedule in SEEDS:
        seeded_faults.schedule(*schedule)
        execute(seeded_faults, name, 0)


def test_what_correct_kernels_compute(seeded_faults: Device) -> None:
    out = seeded_faults.empty(1)
    seeded_faults.seeded_tree_0(out, seeded_faults.array(np.arange(64, dtype=np.float32)), 64)
    assert out.numpy() == 2016
    counts = seeded_faults.array(np.zeros(5, np.float32))
    seeded_faults.seeded_scatter_0(counts, seeded_faults.array(np.arange(70, dtype=np.int32) % 5), 70)
    np.testing.assert_array_equal(counts.numpy(), [14] * 5)


def test_the_host_may_not_read_what_no_kernel_wrote_nor_past_the_end(seeded_faults: Device) -> None:
    with pytest.raises(KernelError, match="before it was written"):
        seeded_faults.empty(4).numpy()
    words = np.zeros(5, np.float32)
    with pytest.raises(KernelError, match="out of bounds"):
        seeded_faults.copy(seeded_faults.empty(4).address, words.ctypes.data, 20, TO_DEVICE)


def test_one_mistake_does_not_hide_the_next(seeded_faults: Device) -> None:
    for _ in range(2):
        with pytest.raises(KernelError, match="out of bounds"):
            execute(seeded_faults, "tree", 2)
    execute(seeded_faults, "tree", 0)
