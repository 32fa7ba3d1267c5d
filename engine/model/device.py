"""Which device models train and run on: PLM_DEVICE is auto (the default), cuda or cpu."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

CHOICES = ("auto", "cuda", "cpu")
T = TypeVar("T")


class DeviceError(ValueError):
    """PLM_DEVICE is wrong, or names a device that does not answer: one line."""


def _wanted(device: str | None) -> str:
    wanted = device or os.environ.get("PLM_DEVICE") or "auto"
    if wanted not in CHOICES:
        raise DeviceError(f"PLM_DEVICE: {wanted!r} is none of {', '.join(CHOICES)}")
    return wanted


def cuda_back_end(device: str | None = None) -> Any | None:
    """engine._cuda where `device` (PLM_DEVICE by default) wants it and one answers; None for the CPU.

    Raises DeviceError for another PLM_DEVICE, and for `cuda` where no device can be used.
    """
    if (wanted := _wanted(device)) == "cpu":
        return None
    try:
        from engine import _cuda
    except ImportError as error:  # not built here, or built against a runtime that is gone
        missing = isinstance(error, ModuleNotFoundError)
        problem = "it was built without CUDA (make cuda)" if missing else str(error)
    else:
        if not (problem := _cuda.problem()):
            return _cuda
    if wanted == "cuda":
        raise DeviceError(f"PLM_DEVICE: cuda cannot be used: {problem}")
    return None


def on_device(make: Callable[[Any], T], device: str | None = None) -> T | None:
    """What `make` makes of engine._cuda; None for the CPU, also where `auto` finds that `make` cannot.

    Raises DeviceError as cuda_back_end does, and in place of a RuntimeError of `make`: memory ran out, the
    model is too wide, or its architecture runs on the CPU alone.
    """
    if (cuda := cuda_back_end(device)) is None:
        return None
    try:
        return make(cuda)
    except RuntimeError as error:
        if _wanted(device) == "cuda":
            raise DeviceError(f"PLM_DEVICE: cuda cannot be used: {error}") from None
        return None
