"""Which device training runs on: PLM_DEVICE is auto (the default), cuda or cpu."""

from __future__ import annotations

import os
from typing import Any

CHOICES = ("auto", "cuda", "cpu")


class DeviceError(ValueError):
    """PLM_DEVICE is wrong, or names a device that does not answer: one line."""


def cuda_back_end() -> Any | None:
    """engine._cuda where PLM_DEVICE wants it and a device answers; None for the CPU.

    Raises DeviceError for another PLM_DEVICE, and for `cuda` where no device can be used.
    """
    wanted = os.environ.get("PLM_DEVICE") or "auto"
    if wanted not in CHOICES:
        raise DeviceError(f"PLM_DEVICE: {wanted!r} is none of {', '.join(CHOICES)}")
    if wanted == "cpu":
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
