"""What cannot run on the device is refused with one line (PLM_DEVICE=cuda), or runs on the CPU (auto)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import engine
from engine import Model
from engine.model.checkpoint import write_model
from engine.model.config import ModelConfig
from engine.model.device import DeviceError
from engine.model.wygpt import WygptConfig
from engine.training.recipe import load_plan
from engine.training.run import Budget, Run
from tests.tiny_model import TINY, random_tensors

from .conftest import BackEnd

WYGPT = WygptConfig(context=8, width=16, layers=1, heads=1)
WYGPT_LAYER = ModelConfig(
    **{**asdict(TINY), "patch": "byte", "mixers": "w", "heads": 2, "head_size": 16, "window": 16}
)
OUT_OF_MEMORY = r"CUDA: out of memory: \d+ MB more are needed, \d+ MB of \d+ MB are free"
CPU_ALONE = "this architecture runs on the CPU alone"


@pytest.fixture
def installed(forward_back_end: BackEnd, monkeypatch: pytest.MonkeyPatch) -> BackEnd:
    """The executor as the engine's back-end."""
    monkeypatch.setitem(sys.modules, "engine._cuda", forward_back_end.module)
    monkeypatch.setattr(engine, "_cuda", forward_back_end.module, raising=False)
    return forward_back_end


def refused(make: Callable[[], str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make` says where what it made runs."""
    monkeypatch.setenv("PLM_DEVICE", "auto")
    assert not make().startswith("cuda")
    monkeypatch.setenv("PLM_DEVICE", "cuda")
    with pytest.raises(DeviceError, match=rf"^PLM_DEVICE: cuda cannot be used: {said}$"):
        make()


def loaded(place: Path, config: ModelConfig | WygptConfig) -> Callable[[], str]:
    path = place / "model.safetensors"
    if isinstance(config, ModelConfig):
        tensors, dtype = random_tensors(config, 3), "int8"
    else:
        tensors, dtype = {n: np.ones(s, np.float32) for n, s in config.tensors.items()}, "f32"
    write_model(path, tensors, config, {}, "model", dtype)
    return lambda: Model.load(path).isa


def training(place: Path, config: ModelConfig) -> Callable[[], str]:
    recipe = replace(load_plan("tiny").recipe, batch_size=2, shards=1)
    return lambda: Run(place / "m", "m", config, recipe, Budget(steps=1), [], []).trainer.isa


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ({"driver": 0}, "no NVIDIA driver answers"),
        ({"driver": 12080}, "the NVIDIA driver supports CUDA 12.8, and 13.0 is needed: update the driver"),
        ({"devices": 0}, "there is no device"),
        ({"capability": 7}, "executor has compute capability 7.1, and 8.0 is needed"),
    ],
)
@pytest.mark.parametrize("what", [loaded, training])
def test_machines(
    tmp_path: Path,
    installed: BackEnd,
    monkeypatch: pytest.MonkeyPatch,
    machine: dict[str, int],
    said: str,
    what: Callable[[Path, ModelConfig], Callable[[], str]],
) -> None:
    with installed.machine(**machine):
        refused(what(tmp_path, TINY), said, monkeypatch)
    assert what(tmp_path, TINY)().startswith("cuda")


@pytest.mark.parametrize(
    ("config", "memory", "said"),
    [
        (TINY, 1 << 12, OUT_OF_MEMORY),
        (
            replace(TINY, hidden=1024),
            None,
            r"CUDA: .* too wide for executor: 147 KB of .*, and there are 99",
        ),
        (replace(TINY, head_hidden=1024), None, r"CUDA: .* too wide .*: 179 KB of .*, and there are 99"),
        (WYGPT, None, CPU_ALONE),
    ],
    ids=["memory", "trunk", "head", "wygpt"],
)
def test_models(
    tmp_path: Path,
    installed: BackEnd,
    monkeypatch: pytest.MonkeyPatch,
    config: ModelConfig | WygptConfig,
    memory: int | None,
    said: str,
) -> None:
    with ExitStack() as stack:
        if memory is not None:
            stack.enter_context(installed.total_bytes(memory))
        refused(loaded(tmp_path, config), said, monkeypatch)


def test_training(tmp_path: Path, installed: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(training(tmp_path, WYGPT_LAYER), CPU_ALONE, monkeypatch)
    with installed.total_bytes(4 << 20):
        refused(training(tmp_path, replace(TINY, width=512)), OUT_OF_MEMORY, monkeypatch)
