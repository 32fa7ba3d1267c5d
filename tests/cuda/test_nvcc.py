"""The kernels compile for every target, keep everything in registers and fit every target's shared memory."""

from __future__ import annotations

import ctypes

import pytest

from cuda import toolkit

from . import nvcc

needs_nvcc = pytest.mark.skipif(
    toolkit.find() is None, reason="no nvcc for the CUDA kernels here: `make cuda` brings it"
)

REPORT = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z1kPf' for 'sm_86'
ptxas info    : Function properties for _Z1kPf
    128 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 20480 bytes smem, 389 bytes cmem[0]
ptxas info    : Compiling entry function '_Z1jPf' for 'sm_90'
ptxas info    : Function properties for _Z1jPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 0 barriers, 360 bytes cmem[0]
"""


def test_the_report_is_read() -> None:
    assert nvcc.kernels(REPORT) == [
        nvcc.Kernel("_Z1kPf", "sm_86", 255, 128, 20, 20480),
        nvcc.Kernel("_Z1jPf", "sm_90", 16, 0, 0, 0),
    ]


@needs_nvcc
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_kernel_fits_every_target() -> None:
    sources = sorted(toolkit.KERNELS.glob("*.cu"))
    for source, (_, report) in zip(sources, nvcc.all_compiled(), strict=True):
        found = nvcc.kernels(report)
        assert {k.target for k in found} == set(toolkit.TARGETS), source.name
        assert len(found) == report.count("Compiling entry function"), source.name
        # A stack frame without spills is an array indexed by a variable: it lies in memory all the same.
        wrong = [k for k in found if k.stack or k.spills or k.registers > 128 or k.shared > 48 << 10]
        assert wrong == [], source.name


@needs_nvcc
@pytest.mark.slow
def test_the_module_loads_and_says_so_where_there_is_no_device() -> None:
    module = ctypes.CDLL(str(nvcc.library()))
    count = ctypes.c_int(-1)
    error = module.cudaGetDeviceCount(ctypes.byref(count))
    if error == 0 and count.value > 0:
        return  # a device: run_on_gpu.py is the test
    x = ctypes.c_void_p(None)
    assert module.to_bf16(x, x, 1, x) != 0  # an error code, and no crash
