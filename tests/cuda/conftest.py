"""The executor under several schedules, built once a session."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from . import build
from .device import SCHEDULES, Device, Policy

# test_sanitizers.py runs the tests of the operators again with the other build, once each.
VARIANT = os.environ.get("PLM_CUDA_BUILD", "checked")


@pytest.fixture(scope="session")
def kernels() -> Path:
    if not build.SUPPORTED:
        pytest.skip("the executor of CUDA kernels is written for Linux on x86-64")
    return build.library(VARIANT)


@pytest.fixture(
    params=SCHEDULES if VARIANT == "checked" else SCHEDULES[2:3],
    ids=lambda schedule: schedule[0].name.lower(),
)
def device(request: pytest.FixtureRequest, kernels: Path) -> Device:
    """Every test that takes it runs once a schedule, with the checker watching."""
    made = Device(kernels)
    made.schedule(*request.param)
    return made


@pytest.fixture
def forward(kernels: Path) -> Device:
    """One schedule, for what does not depend on it."""
    made = Device(kernels)
    made.schedule(Policy.FORWARD)
    return made


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
