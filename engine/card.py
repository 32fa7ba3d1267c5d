"""The model card: what a model was made from and how, kept in the metadata of its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.config import ModelConfig
from engine.data import Text
from engine.training_record import Record

if TYPE_CHECKING:
    from engine.training import Recipe


def describe_run(
    record: Record, texts: Sequence[Text], recipe: Recipe, config: ModelConfig, isa: str
) -> dict[str, Any]:
    """The card of a finished run; if it started from another model, that one's stages come first."""
    stage = {
        "data": [{"file": t.name, "sha256": t.sha256, "bytes": int(t.bytes.size)} for t in texts],
        "minutes": round(record.minutes, 1),
        "steps": record.steps,
        "bytes_read": record.bytes_read,
        "recipe": asdict(recipe),
        "isa": isa,
        "valid_bits_per_byte": record.valid,
    }
    before = record.before or {}
    return {
        **{key: value for key, value in before.items() if key not in ("stages", "parameters")},
        "parameters": config.parameters,
        "stages": [*before.get("stages", []), stage],
        "valid_bits_per_byte": record.valid,
    }
