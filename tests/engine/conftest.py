"""A small real model, written and loaded once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Model
from tests.tiny_model import write_tiny_model


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="session")
def model(model_path: Path) -> Model:
    return Model.load(model_path)
