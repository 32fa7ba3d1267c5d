"""All that only a GPU can tell, in one command and one table: python -m tests.cuda.run_on_gpu

Every operator and tensor-core primitive against its reference, a small model's training and writing against
the CPU's (the tests of this folder, with the device in the executor's place); then the time of each operator
by events, 200 steps of training and decoding, at the sizes of the bundled tcm.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuda import toolkit
from engine import Batcher, Model, TopE, _train
from engine.model.config import ModelConfig
from engine.training.recipe import Plan, load_plan

from .device import Device, MuonMatrix

HERE = Path(__file__).parent
NOT_FOR_A_DEVICE = {"test_checker", "test_estimate", "test_nvcc", "test_run_on_gpu", "test_sanitizers"}
REPEATS = 20
Row = tuple[str, str]


def problem() -> str:
    """Why nothing can be run here, in one line; empty where it can."""
    try:
        from engine import _cuda
    except ImportError as error:
        return f"engine._cuda cannot be loaded ({error}): make cuda"
    if said := str(_cuda.problem()):
        return said
    return "" if toolkit.find() else "no nvcc: make cuda"


class Outcomes:
    """Counts the tests of each file; a plugin of pytest."""

    def __init__(self) -> None:
        self.of: dict[str, Counter[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            name = Path(report.location[0]).stem.removeprefix("test_")
            self.of.setdefault(name, Counter())[report.outcome] += 1


def checks() -> Iterator[Row]:
    """The tests of this folder on the device; conftest.py reads the variable when they are collected."""
    os.environ["PLM_CUDA_BUILD"] = "device"
    files = [str(f) for f in sorted(HERE.glob("test_*.py")) if f.stem not in NOT_FOR_A_DEVICE]
    outcomes = Outcomes()
    pytest.main(["-q", "-p", "no:cacheprovider", *files], plugins=[outcomes])
    for name, counts in outcomes.of.items():
        yield f"check {name}", ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


class Events:
    """Times on the device between two places of its stream."""

    def __init__(self, device: Device) -> None:
        self.device, self.runtime = device, device.runtime
        self.pair = ctypes.c_void_p(), ctypes.c_void_p()
        for event in self.pair:
            assert self.runtime.cudaEventCreate(ctypes.byref(event)) == 0

    def seconds(self, work: Callable[[], None]) -> float:
        begin, end = self.pair
        self.runtime.cudaEventRecord(begin, None)
        work()
        self.runtime.cudaEventRecord(end, None)
        assert self.runtime.cudaEventSynchronize(end) == 0
        milliseconds = ctypes.c_float()
        assert self.runtime.cudaEventElapsedTime(ctypes.byref(milliseconds), begin, end) == 0
        return milliseconds.value / 1e3


def calls(
    device: Device, c: ModelConfig, lanes: int, length: int
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each operator of training once, at the sizes of one layer."""
    rng = np.random.default_rng(1)
    M, D, F, R, W, h, d = lanes * length, c.width, c.hidden, c.state, c.window, c.heads, c.head_size

    def x(*shape: int) -> Any:
        return device.array(rng.normal(size=shape).astype(np.float32))

    def half(*shape: int) -> Any:
        return device.array(
            (rng.normal(size=shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        )

    def call(name: str, *arguments: Any) -> tuple[str, Callable[[], None]]:
        operator = getattr(device, name)
        return name, lambda: operator(*arguments)

    rows, gates, weights = x(M, D), x(M, 2 * F), x(D)
    a, b = half(M, D), half(2 * F, D)
    yield call("to_bf16", device.array(np.zeros((M, D), np.uint16)), rows, M * D)
    yield call("matmul_bf16_forward", gates, a, b, M, 2 * F, D, False)
    yield call("matmul_bf16_backward_input", rows, half(M, 2 * F), b, M, 2 * F, D, False)
    yield call("matmul_bf16_backward_weight", x(2 * F, D), half(M, 2 * F), a, M, 2 * F, D)
    yield call("matmul_f32_forward", gates, rows, x(2 * F, D), M, 2 * F, D, False)
    yield call("rmsnorm_forward", x(M, D), x(M), rows, weights, M, D)
    yield call("rmsnorm_backward", x(M, D), x(D), x(128, D), rows, rows, x(M), weights, M, D)
    spans = -(-length // 16)
    history, taps = x(lanes, 2, D), x(D, 3)
    yield call("conv_forward", x(M, D), rows, history, taps, lanes, length, D)
    gradients = x(M, D), x(D, 3), x(lanes * spans, 3 * D)
    yield call("conv_backward", *gradients, rows, rows, history, taps, lanes, length, D)
    fvo, kept, states = x(M, 3 * R), device.array(rng.uniform(size=(M, R)).astype(np.float32)), x(M, R)
    yield call("scan_forward", x(M, R), kept, states, fvo, x(R), x(lanes, R), lanes, length, R)
    gradients, start = (x(M, 3 * R), x(R), x(lanes, R)), x(lanes, R)
    yield call("scan_backward", *gradients, x(M, R), fvo, kept, states, start, lanes, length, R)
    qkv, past, p = x(M, (h + 2) * d), x(lanes, W - 1, 2 * d), x(M, h * W)
    yield call("attention_forward", x(M, h * d), p, qkv, past, x(h, W), lanes, length, h, d, W)
    gradients = x(M, (h + 2) * d), x(h, W), x(M, h * W), x(lanes * spans, h * W)
    yield call("attention_backward", *gradients, x(M, h * d), p, qkv, past, lanes, length, h, d, W)
    yield call("swiglu_forward", x(M, F), gates, M, F)
    yield call("swiglu_backward", x(M, 2 * F), x(M, F), gates, M, F)
    logits, targets = x(M, 256), device.array(rng.integers(0, 256, M).astype(np.uint8))
    yield call("cross_entropy_forward", x(M), logits, targets, M, 256)
    yield call("cross_entropy_backward", x(M, 256), logits, targets, 1e-3, M, 256)
    matrix, space = (x(D, R), x(D, R), x(D, R)), x(2 * (D * R + min(D, R) ** 2))
    update = MuonMatrix(*(a.address for a in matrix), D, R, 0.0)
    yield call("muon_update", (MuonMatrix * 1)(update), 1, space, 0.0, 0.9, 1.0)


def operator_times(device: Device, c: ModelConfig, lanes: int, length: int, repeats: int) -> Iterator[Row]:
    events = Events(device)
    for name, work in calls(device, c, lanes, length):
        work()
        seconds = statistics.median(events.seconds(work) for _ in range(repeats))
        yield f"time {name}", f"{seconds * 1e6:,.1f} us"


def training(ops: Any, plan: Plan, steps: int) -> Iterator[Row]:
    text = np.frombuffer(("陰陽者，天地之道也，萬物之綱紀，變化之父母。" * 2000).encode(), np.uint8)
    trainer = _train.Trainer(plan.model.to_dict(), plan.recipe.trainer_settings(1), ops)
    trainer.add_source(text, 1.0)
    losses, began, count = [], time.monotonic(), 0
    for _ in range(steps):
        nats, size, *_ = trainer.step(plan.recipe.rate / 10)
        losses.append(nats / size / np.log(2))
        count += size
    seconds = time.monotonic() - began
    yield (
        f"train {steps} steps",
        f"{count / seconds:,.0f} bytes/s, {losses[0]:.3f} to {losses[-1]:.3f} bits per byte",
    )


def decoding(model: Model, batches: tuple[int, ...], size: int) -> Iterator[Row]:
    assert model.isa == "cuda"
    for batch in batches:
        batcher = Batcher(model, max_batch=batch)
        began = time.monotonic()
        streams = [
            batcher.submit("何謂陰陽？", size, TopE(), seed=i, stop_at_end=False) for i in range(batch)
        ]
        count = sum(len("".join(stream).encode()) for stream in streams)
        yield f"write, {batch} texts", f"{count / (time.monotonic() - began):,.0f} bytes/s"


def main() -> int:
    if said := problem():
        print(f"run_on_gpu: nothing can be run here: {said}")
        return 1
    from engine import _cuda

    from . import nvcc

    plan = load_plan("tcm")
    device = Device(nvcc.library(), toolkit.runtime())
    os.environ["PLM_DEVICE"] = "cuda"
    rows = [("device", _cuda.device_name()), *checks()]
    rows += operator_times(device, plan.model, plan.recipe.batch_size, plan.recipe.length, REPEATS)
    rows += training(_cuda.training_ops(), plan, 200)
    rows += decoding(Model.load("tcm"), (1, 64, 1024), 300)
    for name, figure in rows:
        print(f"{name:36} {figure}")
    return int(any("failed" in figure for _, figure in rows))


if __name__ == "__main__":
    sys.exit(main())
