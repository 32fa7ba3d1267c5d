"""Kernels called from Python on arrays of device memory, real or executed on the host; they look the same."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

TO_DEVICE, FROM_DEVICE = 1, 2


class Policy(IntEnum):
    """In which order the executor runs threads and blocks."""

    FORWARD = 0
    REVERSE = 1
    RANDOM = 2
    PREEMPT = 3  # random, and threads change places in the middle of their work


SCHEDULES = [(Policy.FORWARD, 0), (Policy.REVERSE, 0), (Policy.RANDOM, 1), (Policy.PREEMPT, 2)]


class KernelError(RuntimeError):
    """A launch failed; the message is the runtime's or the checker's."""


class Array:
    """Memory of the device with a shape and a type."""

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: Any) -> None:
        self.device, self.shape, self.dtype = device, shape, np.dtype(dtype)
        self.bytes = int(np.prod(shape)) * self.dtype.itemsize
        self.address = device.allocate(self.bytes)

    def numpy(self) -> np.ndarray:
        out = np.empty(self.shape, self.dtype)
        self.device.copy(out.ctypes.data, self.address, self.bytes, FROM_DEVICE)
        return out

    def __del__(self) -> None:
        self.device.free(self.address)


class MuonMatrix(ctypes.Structure):
    """cuda/muon.h"""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "m", "grad")),
        *((name, ctypes.c_int) for name in ("rows", "columns")),
        ("decay", ctypes.c_float),
    ]


class Device:
    """The operators of one shared object, and memory for them."""

    def __init__(self, module: Path, runtime: Path | None = None) -> None:
        self.module = module
        self.library = ctypes.CDLL(str(module))
        self.runtime = ctypes.CDLL(str(runtime)) if runtime else self.library
        self.executed = runtime is None

    def allocate(self, size: int) -> int:
        address = ctypes.c_void_p()
        if self.runtime.cudaMalloc(ctypes.byref(address), ctypes.c_size_t(size)) != 0:
            raise KernelError(f"no {size} bytes of device memory")
        return address.value or 0

    def free(self, address: int) -> None:
        self.runtime.cudaFree(ctypes.c_void_p(address))

    def copy(self, to: int, source: int, size: int, kind: int) -> None:
        words = ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(size)
        if code := self.runtime.cudaMemcpy(*words, kind):
            raise KernelError(f"cudaMemcpy returned {code}: out of bounds, or read before it was written")

    def array(self, values: np.ndarray) -> Array:
        values = np.ascontiguousarray(values)
        made = Array(self, values.shape, values.dtype)
        self.copy(made.address, values.ctypes.data, made.bytes, TO_DEVICE)
        return made

    def empty(self, *shape: int, dtype: Any = np.float32) -> Array:
        """Nothing is written there: reading it before a kernel has is an error that the checker finds."""
        return Array(self, shape, dtype)

    def schedule(self, policy: Policy, seed: int = 0) -> None:
        if self.executed:
            self.library.sim_schedule(int(policy), ctypes.c_uint64(seed))

    def __getattr__(self, operator: str) -> Callable[..., None]:
        if operator.startswith("__"):
            raise AttributeError(operator)
        function = getattr(self.library, operator)

        def call(*arguments: Any) -> None:
            """Arrays (None: no array), int, float (float32), np.float64, bool, structures. Adds a stream."""
            code = function(*map(argument, arguments), ctypes.c_void_p(None))
            if code != 0:
                raise KernelError(f"{operator}: {self.report() or f'error {code}'}")

        return call

    def report(self) -> str:
        if not self.executed:
            return ""
        self.library.sim_take_error.restype = ctypes.c_char_p
        text: str = self.library.sim_take_error().decode()
        return re.sub(r"\+0x[0-9a-f]+", lambda place: source_line(self.module, place[0]), text)


def argument(value: Any) -> Any:
    match value:
        case None:
            return ctypes.c_void_p(None)
        case Array():
            return ctypes.c_void_p(value.address)
        case ctypes.Structure() | ctypes.Array():
            return ctypes.byref(value)
        case bool() | np.bool_():
            return ctypes.c_bool(value)
        case int() | np.integer():
            return ctypes.c_int(value)
        case np.float64():
            return ctypes.c_double(value)
        case float() | np.floating():
            return ctypes.c_float(value)
    raise TypeError(f"no kernel takes {value!r}")


def source_line(module: Path, place: str) -> str:
    """ "+0x1234" of a module as "file.cu:56", with the callers that it is inlined into."""
    found = subprocess.run(["addr2line", "-i", "-e", module, place[1:]], capture_output=True, text=True)
    lines = [line.rpartition("/")[2].split(" (")[0] for line in found.stdout.splitlines()]
    return " in ".join(lines) or place
