"""What a checkpoint's file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import deserialize


def stored_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Its arrays by name, flat: bytes as uint8, all else as float32. SafetensorError, OSError."""
    state = dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]
    return {
        name: np.frombuffer(entry["data"], np.uint8 if entry["dtype"] == "U8" else np.float32)
        for name, entry in state.items()
    }
