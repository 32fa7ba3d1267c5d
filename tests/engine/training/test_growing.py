"""A model with more rows and a longer window says what it said, and goes on from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import Model
from engine.model.catalog import ModelFileError
from engine.model.checkpoint import ModelFile, read_model, write_model
from engine.model.config import ModelConfig
from engine.training.growing import grown
from tests.tiny_model import TINY, random_tensors

ATTENDING = replace(TINY, mixers="ra", window=16, bigrams=32)
TEXT = "太阳之为病，脉浮，头项强痛而恶寒。桂枝三两，芍药三两，甘草二两，生姜三两，大枣十二枚。" * 2


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    write_model(tmp_path / "m.safetensors", random_tensors(ATTENDING, 3), ATTENDING, {}, "m", "f32")
    return read_model(tmp_path / "m.safetensors")


def bits(model: ModelFile) -> float:
    return Model(model).score(TEXT).bits_per_byte


def test_tables_of_more_rows_say_the_same(model: ModelFile) -> None:
    more = grown(model, replace(ATTENDING, bigrams=96, trigrams=64))
    assert more.tensors["bigram_embedding"].shape == (96, 32)
    assert not more.tensors["trigram_embedding"].any()
    assert bits(more) == bits(model)


def test_a_longer_window_sees_further(model: ModelFile) -> None:
    longer = grown(model, replace(ATTENDING, window=32))
    before, after = model.float32("layers.1.attention.bias"), longer.tensors["layers.1.attention.bias"]
    assert np.array_equal(after[:, 16:], before)
    assert np.array_equal(after[:, :16], np.repeat(before[:, :1], 16, axis=1))
    assert 0 < abs(bits(longer) - bits(model)) < 0.1


def test_the_same_sizes_are_the_same_model(model: ModelFile) -> None:
    assert grown(model, ATTENDING) is model


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(ATTENDING, bigrams=48), "bigrams: 48 rows; they can only be a multiple of its 32"),
        (replace(ATTENDING, bigrams=0), "bigrams: 0 rows"),
        (replace(ATTENDING, bigrams=64, hidden=96), "other sizes than the config"),
        (replace(ATTENDING, window=8 * 2, layers=3), "other sizes than the config"),
    ],
)
def test_other_sizes_are_refused(model: ModelFile, config: ModelConfig, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        grown(model, config)
