"""PLM_DEVICE: which device is taken, and one line where it cannot be."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import engine
from engine.model.device import DeviceError, cuda_back_end


class Answering(ModuleType):
    """Stands for engine._cuda: what it says of real drivers is tested in tests/cuda/test_training.py."""

    said = ""

    def problem(self) -> str:
        return self.said


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Answering:
    module = Answering("engine._cuda")
    monkeypatch.setitem(sys.modules, "engine._cuda", module)
    monkeypatch.setattr(engine, "_cuda", module, raising=False)
    return module


@pytest.mark.parametrize("wanted", [None, "", "auto", "cuda"])
def test_a_device_that_answers_is_taken(
    built: Answering, monkeypatch: pytest.MonkeyPatch, wanted: str | None
) -> None:
    monkeypatch.delenv("PLM_DEVICE", raising=False)
    if wanted is not None:
        monkeypatch.setenv("PLM_DEVICE", wanted)
    assert cuda_back_end() is built


def test_the_cpu_where_it_is_wanted(built: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_DEVICE", "cpu")
    assert cuda_back_end() is None


def test_none_answers(built: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    built.said = "no NVIDIA driver answers"
    monkeypatch.setenv("PLM_DEVICE", "auto")
    assert cuda_back_end() is None
    monkeypatch.setenv("PLM_DEVICE", "cuda")
    with pytest.raises(DeviceError, match=r"^PLM_DEVICE: cuda cannot be used: no NVIDIA driver answers$"):
        cuda_back_end()


def test_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "engine._cuda", None)
    monkeypatch.delattr(engine, "_cuda", raising=False)
    monkeypatch.setenv("PLM_DEVICE", "auto")
    assert cuda_back_end() is None
    monkeypatch.setenv("PLM_DEVICE", "cuda")
    with pytest.raises(DeviceError, match=r"it was built without CUDA \(make cuda\)$"):
        cuda_back_end()


def test_a_wrong_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_DEVICE", "tpu")
    with pytest.raises(DeviceError, match=r"^PLM_DEVICE: 'tpu' is none of auto, cuda, cpu$"):
        cuda_back_end()
