"""The model card: what a model was made from and how, kept in the metadata of its file."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.training import Run


def describe_run(run: Run) -> dict[str, Any]:
    """The card of a finished run; if it started from another model, that one's stages come first."""
    record = run.record
    speed = record.bytes_per_second
    stage = {
        "data": [{"file": t.name, "sha256": t.sha256, "bytes": int(t.bytes.size)} for t in run.texts],
        "mix": [round(weight / sum(run.weights), 3) for weight in run.weights],
        "minutes": round(record.minutes, 1),
        "steps": record.steps,
        "bytes_read": record.bytes_read,
        "bytes_per_second": round(speed),
        "roofline_share": round(run.roofline_share(speed), 2),
        "threads": run.threads,
        "recipe": asdict(run.recipe),
        "isa": run.trainer.isa,
        **({} if run.kept is None else {"share_of_change": record.blend}),
        "valid_bits_per_byte": record.valid,
    }
    before = record.before or {}
    return {
        **{key: value for key, value in before.items() if key not in ("stages", "parameters")},
        "parameters": run.config.parameters,
        "stages": [*before.get("stages", []), stage],
        "valid_bits_per_byte": record.valid,
    }
