"""The executor under several schedules, built once a session."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuda import toolkit

from . import build, nvcc
from .device import SCHEDULES, Device, Policy

# test_sanitizers.py runs the tests of the operators again with the other build, once each; run_on_gpu.py with
# "device", which is no executor.
VARIANT = os.environ.get("PLM_CUDA_BUILD", "checked")


def opened(path: Path, policy: Policy, seed: int = 0) -> Device:
    made = Device(path, toolkit.runtime() if VARIANT == "device" else None)
    made.schedule(policy, seed)
    return made


def module(folder: Path) -> Path:
    """The kernels of a folder as a shared object, for what the tests run on."""
    if VARIANT == "device":
        return nvcc.library(sorted(folder.glob("*.cu")))
    if not build.SUPPORTED:
        pytest.skip("the executor of CUDA kernels is written for Linux on x86-64")
    return build.library(VARIANT, folder)


@pytest.fixture(scope="session")
def kernels() -> Path:
    return module(build.KERNELS)


EVERY_SCHEDULE = pytest.fixture(
    params=SCHEDULES if VARIANT == "checked" else SCHEDULES[2:3],
    ids=lambda schedule: schedule[0].name.lower(),
)


@EVERY_SCHEDULE
def device(request: pytest.FixtureRequest, kernels: Path) -> Device:
    """Every test that takes it runs once a schedule, with the checker watching."""
    return opened(kernels, *request.param)


@pytest.fixture
def forward(kernels: Path) -> Device:
    """One schedule, for what does not depend on it."""
    return opened(kernels, Policy.FORWARD)


@pytest.fixture(scope="session")
def part_kernels() -> Path:
    return module(build.PARTS)


@EVERY_SCHEDULE
def parts(request: pytest.FixtureRequest, part_kernels: Path) -> Device:
    """As `device`, with the kernels of parts/."""
    return opened(part_kernels, *request.param)


@pytest.fixture
def forward_parts(part_kernels: Path) -> Device:
    return opened(part_kernels, Policy.FORWARD)


class BackEnd:
    """engine._cuda on the executor, or (no path) on a device."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is None:
            self.module: Any = import_module("engine._cuda")
            return
        loader = ExtensionFileLoader("_cuda", str(path))
        spec = spec_from_loader("_cuda", loader)
        assert spec is not None
        self.module = module_from_spec(spec)
        loader.exec_module(self.module)

    @property
    def executor(self) -> ctypes.CDLL:
        if self.path is None:
            pytest.skip("only the executor can be told what to be")
        return ctypes.CDLL(str(self.path))

    def schedule(self, policy: Policy, seed: int = 0) -> None:
        if self.path is not None:
            self.executor.sim_schedule(int(policy), ctypes.c_uint64(seed))

    @contextmanager
    def total_bytes(self, count: int) -> Iterator[None]:
        self.executor.sim_total_bytes(ctypes.c_size_t(count))
        try:
            yield
        finally:
            self.executor.sim_total_bytes(ctypes.c_size_t(8 << 30))

    @contextmanager
    def machine(self, driver: int = 13000, devices: int = 1, capability: int = 8) -> Iterator[None]:
        self.executor.sim_machine(driver, devices, capability)
        try:
            yield
        finally:
            self.executor.sim_machine(13000, 1, 8)


@pytest.fixture(scope="session")
def loaded_back_end() -> BackEnd:
    if VARIANT == "device":
        return BackEnd(None)
    if not build.SUPPORTED:
        pytest.skip("the executor of CUDA kernels is written for Linux on x86-64")
    return BackEnd(build.back_end(VARIANT))


@EVERY_SCHEDULE
def back_end(request: pytest.FixtureRequest, loaded_back_end: BackEnd) -> BackEnd:
    """Every test that takes it runs once a schedule."""
    loaded_back_end.schedule(*request.param)
    return loaded_back_end


@pytest.fixture
def forward_back_end(loaded_back_end: BackEnd) -> BackEnd:
    loaded_back_end.schedule(Policy.FORWARD)
    return loaded_back_end


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
