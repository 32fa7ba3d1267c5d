"""The trainer's steps equal those of the same model and optimiser written plainly in PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.training.recipe import load_plan

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[bench]'")

from tests.bench.benchmarks.torch_twin import losses  # noqa: E402

PLAN = load_plan("tiny")
TEXT = np.frombuffer((Path(__file__).parents[1] / "held_out.txt").read_bytes(), np.uint8)


TABLES = {"bigrams": 500, "trigrams": 400, "embedding": 48, "views": 3, "skip": 1}
SHIPPED = TABLES | {"layers": 5, "mixers": "rrarr", "head_size": 16, "window": 48}
WORDS = {"patch": "word", "longest": 5, "pieces": 600, "prefixes": 300}


@pytest.mark.parametrize("options", [{}, TABLES, SHIPPED, TABLES | WORDS, {"patch": "byte"}], ids=str)
@pytest.mark.parametrize(("isa", "tolerance"), [("portable", 2e-3), ("", 1e-2)])
def test_fifty_losses_agree(options: dict[str, Any], isa: str, tolerance: float) -> None:
    torch.set_num_threads(1)  # the operations are too small to share
    recipe = replace(PLAN.recipe, run_windows=4)  # sequences jump several times, and carry states in between
    ours, twin = zip(*losses(replace(PLAN.model, **options), recipe, TEXT, 50, isa), strict=True)
    assert ours[0] > ours[-1] + 1
    np.testing.assert_allclose(ours, twin, rtol=tolerance)
