"""The model card: what a model was made from and how, kept in the metadata of its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from engine.training.dataset import Text
from engine.training.history import Record
from engine.training.recipe import Recipe


def training_card(
    record: Record,
    recipe: Recipe,
    texts: Sequence[Text],
    weights: Sequence[float],
    *,
    parameters: int,
    threads: int,
    isa: str,
    roofline_share: float,
    interpolated: bool,
) -> dict[str, Any]:
    """The card of a finished run; if it started from another model, that one's stages come first.

    `interpolated`: whether only a share of the change of the weights may have been taken.
    """
    stage = {
        "data": [{"file": t.name, "sha256": t.sha256, "bytes": int(t.bytes.size)} for t in texts],
        "mix": [round(weight / sum(weights), 3) for weight in weights],
        "minutes": round(record.minutes, 1),
        "steps": record.steps,
        "bytes_read": record.bytes_read,
        "bytes_per_second": round(record.bytes_per_second),
        "roofline_share": round(roofline_share, 2),
        "threads": threads,
        "recipe": asdict(recipe),
        "isa": isa,
        **({"share_of_change": record.blend} if interpolated else {}),
        "valid_bits_per_byte": record.valid,
    }
    before = record.before or {}
    return {
        **{key: value for key, value in before.items() if key not in ("stages", "parameters")},
        "parameters": parameters,
        "stages": [*before.get("stages", []), stage],
        "valid_bits_per_byte": record.valid,
    }
