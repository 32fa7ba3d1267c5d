"""The sizes of a model: wrong ones are refused, and options are kept by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.config import ModelConfig
from tests.tiny_model import TINY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 24}, "width must be a multiple of 16"),
        ({"layers": 0}, "layers must be a whole number"),
        ({"state": True}, "state must be a whole number"),
        ({"hidden": 1 << 20}, "hidden must be a whole number"),
        ({"conv": 4}, "conv must be 3"),
        ({"colour": 1}, "unknown setting 'colour'"),
    ],
)
def test_a_wrong_config_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_dict(TINY.to_dict() | change)


def test_the_config_of_the_bundled_model_has_three_million_parameters() -> None:
    config = ModelConfig(160, 8, 160, 320, 128, 256, 1)
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert config.parameters == 3_068_064


def test_options_of_a_config_are_kept_and_named_by_the_arch() -> None:
    config = replace(TINY, patch="word", bigrams=100, views=2)
    assert config.to_dict()["arch"] == "charsync-2"
    assert TINY.to_dict()["arch"] == "charsync-gru1"
    assert ModelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="unknown setting 'bigrams'"):
        ModelConfig.from_dict(TINY.to_dict() | {"bigrams": 100})
    with pytest.raises(ValueError, match="patch must be one of"):
        replace(TINY, patch="line")
    with pytest.raises(ValueError, match="bigrams must be a whole number from 0"):
        replace(TINY, bigrams=-1)
    with pytest.raises(ValueError, match="window of attention must be a multiple of 16, not 20"):
        replace(TINY, mixers="ra", window=20)
