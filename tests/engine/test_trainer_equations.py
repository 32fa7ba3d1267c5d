"""What is trained is what is run: the trainer's forward pass equals the equations of inference."""

from __future__ import annotations

import numpy as np

from engine import _train
from tests.engine import reference
from tests.engine.test_step import MIXED, ODD


def test_the_trainer_has_the_tensors_of_the_config() -> None:
    assert {name: tuple(shape) for name, shape, _ in _train.layout(ODD.to_dict())} == ODD.tensors


def test_the_trainer_costs_what_the_equations_say() -> None:
    weights = _train.initial_weights(ODD.to_dict(), 3).astype(np.float64)
    weights += 0.05 * np.random.default_rng(1).normal(size=weights.size)
    tensors = {
        name: weights[offset : offset + int(np.prod(shape))].reshape(shape)
        for name, shape, offset in _train.layout(ODD.to_dict())
    }
    equations = reference.Reference(tensors, ODD, round_activations=False)
    expected = reference.bits(equations.read(MIXED), MIXED)
    nats, _ = _train.network("float64", ODD.to_dict(), weights, np.frombuffer(MIXED, np.uint8), 16)
    np.testing.assert_allclose(nats / np.log(2), expected, rtol=1e-9)
