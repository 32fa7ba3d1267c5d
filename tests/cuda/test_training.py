"""The whole model trains on the executor as on the CPU: engine._cuda's host code, the checker watching."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine import _train
from engine.model.config import ModelConfig

from .conftest import BackEnd

SMALL = {"width": 16, "layers": 2, "state": 16, "hidden": 16}
SMALL |= {"head_width": 16, "head_hidden": 16, "head_layers": 1, "characters": 256}
PLAIN = ModelConfig(**SMALL)
# Everything that a config may ask for; a window of attention that is longer than one of training.
FULL = ModelConfig(
    **SMALL,
    patch="word",
    bigrams=64,
    trigrams=64,
    pieces=64,
    embedding=16,
    prefixes=64,
    views=2,
    skip=1,
    mixers="ra",
    heads=2,
    head_size=16,
    window=16,
)
TEXT = np.frombuffer(("天地玄黃 the quick brown fox 宇宙洪荒。日月盈昃，辰宿列張" * 20).encode(), np.uint8)
SETTINGS = {
    "batch_size": 2,
    "length": 8,
    "shards": 2,
    "threads": 1,
    "run_windows": 3,
    "seed": 5,
    "answer_weight": 1,
}
SETTINGS |= {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "momentum": 0.9, "decay": 0.1, "clip": 1.0}


def trainer(config: ModelConfig, where: Any = "portable") -> _train.Trainer:
    made = _train.Trainer(config.to_dict(), SETTINGS, where)
    made.add_source(TEXT, 1.0)
    return made


def losses(made: _train.Trainer, steps: int) -> np.ndarray:
    """Nats a byte, and the gradient's norm, of every step."""
    rows = [made.step(3e-3) for _ in range(steps)]
    return np.array([(nats / count, norm) for nats, count, norm, _ in rows])


def equal(back_end: BackEnd, config: ModelConfig, steps: int) -> None:
    cpu, device = trainer(config), trainer(config, back_end.module.training_ops(bf16=False))
    np.testing.assert_allclose(losses(device, steps), losses(cpu, steps), rtol=2e-4)
    for name, want in cpu.tensors().items():
        np.testing.assert_allclose(device.tensors()[name], want, rtol=0, atol=2e-3, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("config", [PLAIN, FULL], ids=["plain", "full"])
def test_ten_steps(forward_back_end: BackEnd, config: ModelConfig) -> None:
    equal(forward_back_end, config, 10)


def test_every_schedule(back_end: BackEnd) -> None:
    equal(back_end, FULL, 3)


@pytest.mark.slow
def test_ten_steps_in_bf16(forward_back_end: BackEnd) -> None:
    cpu, device = trainer(FULL), trainer(FULL, forward_back_end.module.training_ops())
    np.testing.assert_allclose(losses(device, 10)[:, 0], losses(cpu, 10)[:, 0], rtol=0.03)


def test_a_run_moves_between_the_two(forward_back_end: BackEnd) -> None:
    """With weights, moments, what readers remember, and where they are, in both directions."""
    ops = forward_back_end.module.training_ops(bf16=False)
    unbroken = trainer(FULL)
    want = losses(unbroken, 6)
    first, there, back = trainer(FULL), trainer(FULL, ops), trainer(FULL)
    got = [losses(first, 2)]
    there.set_state(first.state())
    got.append(losses(there, 2))
    back.set_state(there.state())
    got.append(losses(back, 2))
    np.testing.assert_allclose(np.concatenate(got), want, rtol=2e-4)


def test_evaluation(forward_back_end: BackEnd) -> None:
    ops = forward_back_end.module.training_ops(bf16=False)
    text, counted = TEXT[:300].copy(), (np.arange(300) % 3 == 0).astype(np.uint8)
    want = trainer(FULL).evaluate(text, counted)
    np.testing.assert_allclose(trainer(FULL, ops).evaluate(text, counted), want, rtol=1e-5)
