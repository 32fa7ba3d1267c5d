"""Models are found by name and by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Model, ModelFileError
from tests.tiny_model import TINY, write_tiny_model


def test_a_model_is_found_by_name_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_model(tmp_path / "mine.safetensors", name="mine")
    monkeypatch.setenv("PLM_MODEL_DIR", str(tmp_path))
    model = Model.load("mine")
    assert model.name == "mine"
    assert model.path == tmp_path / "mine.safetensors"


def test_a_model_is_found_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_model(tmp_path / "here.safetensors")
    write_tiny_model(tmp_path / "bare")
    for name in ("here.safetensors", "./here.safetensors", "bare", tmp_path / "here.safetensors"):
        assert Model.load(name).config == TINY


def test_a_missing_model_names_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_model(tmp_path / "mine.safetensors")
    monkeypatch.setenv("PLM_MODEL_DIR", str(tmp_path))
    with pytest.raises(ModelFileError, match=r"no model 'yours': there is .*mine"):
        Model.load("yours")
    with pytest.raises(ModelFileError, match=r"yours\.safetensors: no such model file"):
        Model.load("yours.safetensors")
