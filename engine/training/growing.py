"""A trained model with a longer window of attention or larger hashed tables, to train on from there.

A row is looked up by a hash modulo the number of rows, so a table of k times as many rows that repeats the
old ones gives what the old one gave. A table that was not there begins at zero. The window grows into the
past with the bias of its oldest place.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.model.catalog import ModelFileError
from engine.model.checkpoint import ModelFile
from engine.model.config import ModelConfig

TABLES = ("bigrams", "trigrams", "pieces")  # those that a trained model may get more rows of, or at all


def check_grows(model: ModelFile, config: ModelConfig) -> None:
    """Raises ModelFileError where `model` cannot get the sizes of `config`: where others than the window and
    the tables differ, or one is smaller or no multiple of what it was."""
    if model.config == config:
        return
    old = model.config
    if not isinstance(old, ModelConfig) or old.window > config.window:
        raise ModelFileError(f"{model.path}: has other sizes than the config")
    for table in TABLES:
        before, now = getattr(old, table), getattr(config, table)
        if (now % before if before else 0) or now < before:
            raise ModelFileError(
                f"{model.path}: {table}: {now} rows; they can only be a multiple of its {before}"
            )
    if replace(old, window=config.window, **{table: getattr(config, table) for table in TABLES}) != config:
        raise ModelFileError(f"{model.path}: has other sizes than the config")


def grown(model: ModelFile, config: ModelConfig) -> ModelFile:
    """`model` with the sizes of `config`, its tensors in float32; itself where the sizes are the same.

    Raises ModelFileError as `check_grows` does.
    """
    check_grows(model, config)
    if model.config == config:
        return model
    trained = model.float_tensors()
    tensors = {name: _grown(trained.get(name), shape) for name, shape in config.tensors.items()}
    return replace(model, config=config, dtype="f32", tensors=tensors)


def _grown(tensor: NDArray[np.float32] | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if tensor is None:
        return np.zeros(shape, np.float32)
    if tensor.shape == shape:
        return tensor
    if tensor.shape[1:] == shape[1:]:  # a table
        return np.tile(tensor, (shape[0] // tensor.shape[0], 1))
    oldest = np.repeat(tensor[:, :1], shape[1] - tensor.shape[1], axis=1)
    return np.concatenate([oldest, tensor], axis=1)
