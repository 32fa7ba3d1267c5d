"""The floor of training time: arithmetic counted from the config, and a rate that is measured."""

from __future__ import annotations

import pytest

from engine import _train
from engine.training.recipe import load_plan
from engine.training.roofline import flops_per_byte
from tests.tiny_model import TINY


def test_weights_are_counted_once_a_patch_or_once_a_byte() -> None:
    width = state = head = 32
    hidden = 64
    trunk = TINY.layers * (3 * state * width + width * state + 2 * hidden * width + width * hidden)
    per_patch = trunk + head * width
    per_byte = 2 * 32 * head + head * 32 + 256 * head
    settings = load_plan("tiny").recipe.trainer_settings(1)
    matrices = _train.Trainer(TINY.to_dict(), settings).decaying
    assert flops_per_byte(TINY, matrices, 0.25) == 6 * (per_patch / 4 + per_byte)


@pytest.mark.parametrize("isa", _train.supported())
def test_the_peak_is_above_what_a_whole_product_reaches(isa: str) -> None:
    """Far above 0.1 GFLOP/s and below what any core of today can do, for each instruction set."""
    peak = _train.peak_flops(isa, 1, 0.05)
    assert 1e8 < peak < 1e12


@pytest.mark.skipif(len(_train.supported()) == 1, reason="this processor has the portable kernels alone")
def test_vectors_have_a_higher_peak() -> None:
    """On a busy machine too, since the fastest millisecond counts."""
    best, *_, portable = (_train.peak_flops(isa, 1, 0.1) for isa in _train.supported())
    assert best > 2 * portable


def test_an_unknown_instruction_set_is_named() -> None:
    with pytest.raises(ValueError, match="unknown instruction set"):
        _train.peak_flops("avx9", 1)
