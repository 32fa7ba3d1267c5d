"""A small reader with weights of no meaning, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.model.checkpoint import write_model
from engine.model.reader import ReaderConfig

TINY = ReaderConfig(
    width=16, layers=4, hidden=32, embedding=16, keys=16, characters=256, bigrams=256, longest=12
)


def tensors(config: ReaderConfig = TINY, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in config.tensors.items()}


@pytest.fixture(scope="session")
def reader_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reader") / "small.safetensors"
    write_model(path, tensors(), TINY, {}, "small", "f32")
    return path
