"""What is trained is what is run: the trainer's forward pass equals the equations of inference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine import _ops
from engine.model.config import ModelConfig
from tests.engine import reference, wygpt_reference
from tests.engine.inference.test_step import MIXED, ODD

TABLES = {"characters": 300, "bigrams": 50, "trigrams": 40, "embedding": 16, "views": 3, "skip": 1}
WORDS = {"patch": "word", "longest": 5, "pieces": 60, "prefixes": 30}
ENGLISH = (
    b"It was, as (p < 0.05) shown,\n\n  much longer than 12mm. \xe4B \xff\x00" + "naïve “quotes” ".encode()
)
WYGPT = {"mixers": "w", "patch": "byte", "width": 48, "heads": 3, "window": 10}
ATTENTION = {"mixers": "ra", "heads": 3, "head_size": 16, "window": 16}
OPTIONS = (TABLES, WORDS, TABLES | WORDS, {"patch": "byte"}, ATTENTION)
CONFIGS = [ODD, *(replace(ODD, **options) for options in OPTIONS)]


@pytest.mark.parametrize("config", [*CONFIGS, replace(ODD, **WYGPT)])
def test_the_trainer_has_the_tensors_of_the_config(config: ModelConfig) -> None:
    layout = _ops.layout(config.to_dict())
    assert {name: tuple(shape) for name, shape, _ in layout} == config.tensors


@pytest.mark.parametrize("text", [MIXED, ENGLISH], ids=["mixed", "english"])
@pytest.mark.parametrize("config", CONFIGS)
def test_the_trainer_costs_what_the_equations_say(config: ModelConfig, text: bytes) -> None:
    weights = _ops.initial_weights(config.to_dict(), 3).astype(np.float64)
    weights += 0.05 * np.random.default_rng(1).normal(size=weights.size)
    tensors = {
        name: weights[offset : offset + int(np.prod(shape))].reshape(shape)
        for name, shape, offset in _ops.layout(config.to_dict())
    }
    equations = reference.Reference(tensors, config, round_activations=False)
    expected = reference.bits(equations.read(text), text)
    nats, _ = _ops.network("float64", config.to_dict(), weights, np.frombuffer(text, np.uint8), 16)
    np.testing.assert_allclose(nats / np.log(2), expected, rtol=1e-9)


def test_the_layer_of_wygpt_costs_what_its_equations_say() -> None:
    """Texts go past the window: keys and values are carried as his inference does."""
    config = replace(ODD, **WYGPT)
    R, heads, layers = config.width, config.heads, config.layers
    layout = _ops.layout(config.to_dict())
    published = [np.array([config.window, R, layers, heads, 256], "<u4").tobytes()]
    weights, rng = [], np.random.default_rng(1)
    for name, shape, _ in layout:
        bits = (rng.normal(size=shape).astype("<f4").view("<u4") >> 16).astype("<u2")
        values = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        bias = name.endswith("bias")  # ours has the oldest first, his the nearest
        published.append((bits[:, ::-1] if bias else bits).tobytes())
        weights.append(values.ravel() / (1 if bias else np.sqrt(R)))
    his_order = [f"layers.{i}.{n}" for i in range(layers) for n in HIS_LAYER]
    assert [name for name, _, _ in layout] == [*his_order, "out"]
    equations = wygpt_reference.Reference(b"".join(published))
    text = MIXED[:80]
    expected = [-equations.read(before)[byte] for before, byte in zip(b"\xff" + text, text, strict=False)]
    nats, _ = _ops.network(
        "float64", config.to_dict(), np.concatenate(weights), np.frombuffer(text, np.uint8), 7
    )
    np.testing.assert_allclose(nats, expected, rtol=1e-8)


HIS_LAYER = (
    *("first.in", "first.out", "attention.bias"),
    *("attention.in", "attention.out", "second.in", "second.out"),
)
