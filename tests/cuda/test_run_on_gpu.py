"""run_on_gpu.py says why it cannot run here; its parts work on the executor, at sizes of nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import engine
from engine.inference.model import Model
from engine.model.checkpoint import write_model
from engine.training.recipe import load_plan
from tests.tiny_model import TINY, random_tensors

from . import build, run_on_gpu
from .conftest import BackEnd
from .device import Device
from .test_inference import cuda
from .test_training import FULL


def test_one_clear_line_where_there_is_no_device() -> None:
    def fresh(*arguments: str) -> subprocess.CompletedProcess[str]:
        """A process that has not loaded the executor's form of the module: one process holds one form."""
        return subprocess.run([sys.executable, *arguments], cwd=build.ROOT, capture_output=True, text=True)

    said = fresh("-c", "from tests.cuda import run_on_gpu; print(run_on_gpu.problem())").stdout
    if not said.strip():
        pytest.skip("a device answers: run it")
    done = fresh("-m", "tests.cuda.run_on_gpu")
    assert done.returncode == 1
    assert done.stdout == f"run_on_gpu: nothing can be run here: {said}"
    assert done.stderr == ""


def test_operators_are_timed(forward: Device) -> None:
    rows = list(run_on_gpu.operator_times(forward, FULL, 2, 17, 1))
    assert len({name for name, _ in rows}) == len(rows) >= 17
    assert all(figure.endswith(" us") and float(figure[:-3].replace(",", "")) > 0 for _, figure in rows)


def test_training_and_decoding_are_timed(
    forward_back_end: BackEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = load_plan("tcm")
    plan = replace(plan, model=FULL, recipe=replace(plan.recipe, batch_size=2, shards=2, length=8))
    [(name, figure)] = run_on_gpu.training(forward_back_end.module.training_ops(), plan, 2)
    assert name == "train 2 steps"
    assert " bytes/s, " in figure
    path = tmp_path / "model.safetensors"
    write_model(path, random_tensors(TINY, 3), TINY, {}, "tiny", "int8")
    model: Model = cuda(path, forward_back_end, monkeypatch)
    rows = list(run_on_gpu.decoding(model, (1, 3), 6))
    assert [name for name, _ in rows] == ["write, 1 texts", "write, 3 texts"]
    assert engine.Model is Model
