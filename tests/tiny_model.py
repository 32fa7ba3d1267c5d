"""A tiny model with random weights, for tests that need a real model but no knowledge in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.model.checkpoint import write_model
from engine.model.config import ModelConfig

TINY = ModelConfig(width=32, layers=2, state=32, hidden=64, head_width=32, head_hidden=32, head_layers=1)


def random_tensors(config: ModelConfig, seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights about as large as trained ones, with norms, biases and convolutions off their defaults."""
    random = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, shape in config.tensors.items():
        values = random.standard_normal(shape)
        if name.endswith("norm"):
            values = 1 + 0.2 * values
        elif name.endswith(".conv"):
            values = 0.5 * values + np.array([0.0, 0.0, 1.0])
        elif not (name.endswith(".bias") or "embedding" in name or "prefix" in name):
            values /= np.sqrt(shape[-1])
        tensors[name] = values.astype(np.float32)
    return tensors


def write_tiny_model(path: str | Path, seed: int = 0, dtype: str = "int8", name: str = "tiny") -> Path:
    """Write a model of about 0.2 M parameters with random weights and return its path."""
    card = {"note": "random weights, for tests"}
    write_model(path, random_tensors(TINY, seed), TINY, card, name, dtype)
    return Path(path)


def write_talkative_model(path: str | Path, seed: int = 0) -> Path:
    """A tiny model that ends its answers by itself, most of them after 5 to 200 characters.

    The first place of the head's state says whether a character begins, and the end mark's logit listens to
    it alone; every other byte is as random as in any tiny model.
    """
    tensors = random_tensors(TINY, seed)
    tensors["head.prefix_pair"][:, 0] = 0
    tensors["head.prefix_lead"][:, 0] = -6
    tensors["head.prefix_lead"][256, 0] = 6
    tensors["head.norm"][0] = 1
    tensors["head.out"][:, 0] = 0
    tensors["head.out"][255] = 0
    tensors["head.out"][255, 0] = 0.35
    card = {"note": "random weights, for tests"}
    write_model(path, tensors, TINY, card, "talkative", "int8")
    return Path(path)
