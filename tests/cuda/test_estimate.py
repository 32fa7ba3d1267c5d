"""The estimate counts every launch that an operator makes, and cuda/ESTIMATE.md is what it prints."""

from __future__ import annotations

import tomllib

import pytest

from engine import _train
from engine.model.config import ModelConfig

from . import estimate
from .build import ROOT
from .test_training import SETTINGS


def config(name: str) -> ModelConfig:
    return ModelConfig(**tomllib.loads((ROOT / f"engine/configs/{name}.toml").read_text())["model"])


def test_products_are_those_of_the_models_weights() -> None:
    """6 operations for each use of a weight, as the trainer's roofline has it."""
    c = config("tcm")
    products = [k for k in estimate.training_step(c, 4, 8) if k.unit == "bf16"]
    trunk, head = c.step_weights
    assert sum(k.ops for k in products) == 6 * 4 * 8 * (trunk + estimate.BYTES_A_PATCH * head)


@pytest.mark.parametrize("name", ["tcm", "pubmed"])
def test_an_update_has_the_launches_of_the_trainers(name: str) -> None:
    """As many as it has tensors for AdamW, and 16 for every 48 matrices for Muon."""
    c = config(name)
    stacked = _train.Trainer(c.to_dict(), SETTINGS, "portable").stacked
    launches = {k.name: k.launches for k in estimate.merged(estimate.update(c))}
    assert launches["adamw_update"] == len(c.tensors) - len(stacked)
    assert launches["muon_update"] == 16 * -(-sum(stacked.values()) // 48)


@pytest.mark.parametrize("name", ["tcm", "zh"])
def test_decoding_multiplies_every_weight_once_a_patch_or_byte(name: str) -> None:
    c = config(name)
    trunk, head = c.step_weights
    ops = sum(k.ops for k in estimate.decode_step(c, 64) if k.unit == "int8")
    assert ops == 2 * 64 * (trunk + estimate.BYTES_A_PATCH * head)


def test_the_slower_of_memory_and_arithmetic_counts() -> None:
    gpu = estimate.GPUS[0]
    assert gpu.seconds(estimate.Kernel("copy", 1, gpu.memory * 1e9, 1)) == 1
    assert gpu.seconds(estimate.Kernel("product", 1, 1, gpu.bf16 * 1e12, "bf16")) == 1
    one = estimate.Kernel("one block", 1, 1, gpu.int8 * 1e12 / gpu.processors, "int8", 1)
    assert gpu.seconds(one) == pytest.approx(1)
    assert gpu.seconds(estimate.Kernel("weights", 1, 1, 1, "int8", 2, 128 * gpu.clock * 1e9)) == 1


def test_the_file_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    estimate.main("tcm")
    kept = (ROOT / "cuda/ESTIMATE.md").read_text()
    assert capsys.readouterr().out == kept, "run: python -m tests.cuda.estimate > cuda/ESTIMATE.md"
