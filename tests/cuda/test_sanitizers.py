"""The kernels once more, built with the address and undefined-behaviour sanitizers instead of the checker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import build
from .conftest import VARIANT
from .run_on_gpu import NOT_FOR_A_DEVICE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(VARIANT != "checked", reason="runs itself with the other build"),
    pytest.mark.skipif(
        not build.SUPPORTED, reason="the executor of CUDA kernels is written for Linux on x86-64"
    ),
]

HERE = Path(__file__).parent


def sanitized(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Python with the sanitizers' libraries loaded first; its own memory is not their concern."""
    libraries = [build.run("g++", f"-print-file-name={name}.so").strip() for name in ("libasan", "libubsan")]
    options = {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PLM_CUDA_BUILD": "asan",
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, cwd=build.ROOT, env={**os.environ, **options}, capture_output=True, text=True
    )


@pytest.mark.timeout(900)  # 75 s of one core, the build from nothing among them; CI may share its own
def test_all_operators_under_the_sanitizers() -> None:
    build.library("asan")
    build.library("asan", build.PARTS)
    tests = [path for path in sorted(HERE.glob("test_*.py")) if path.stem not in NOT_FOR_A_DEVICE]
    build.back_end("asan")
    done = sanitized("-m", "pytest", "-q", "-x", "-s", "-p", "no:cacheprovider", "-m", "not slow", *tests)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


SEEDED_FAULTS = """
from tests.cuda import build
from tests.cuda.device import Device
from tests.cuda.test_checker import execute
device = Device(build.library("asan", build.SEEDED_FAULTS))
execute(device, "{name}", {fault})
print("not found")
"""


@pytest.mark.parametrize(
    ("name", "fault", "report"),
    [
        ("tree", 2, "heap-buffer-overflow"),
        ("tree", 6, "index 64 out of bounds"),
        ("wide", 1, "misaligned address"),
    ],
)
def test_they_find_seeded_faults(name: str, fault: int, report: str) -> None:
    build.library("asan", build.SEEDED_FAULTS)
    done = sanitized("-c", SEEDED_FAULTS.format(name=name, fault=fault))
    assert done.returncode != 0
    assert report in done.stderr, done.stderr[-2000:]
    assert "not found" not in done.stdout


def test_the_same_kernel_without_it_is_silent() -> None:
    done = sanitized("-c", SEEDED_FAULTS.format(name="copy", fault=0))
    assert (done.returncode, done.stdout) == (0, "not found\n"), done.stderr[-2000:]
