"""`plm train --config reader`: the options of `plm train` over engine.reading.training."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from engine.model.checkpoint import is_model, read_model
from engine.model.outputs import check_output
from engine.reading.reader import reader_of
from engine.reading.training import ReaderPlan, ReaderRun

OPTIONS = ("rate", "seed")


def reader_run(
    plan: ReaderPlan,
    *,
    data: Sequence[Path],
    valid: Sequence[Path],
    mix: str | None,
    out: Path | None,
    name: str | None,
    initial_name: str | None,
    minutes: float | None,
    steps: int | None,
    threads: int | None,
    settings: dict[str, Any],
) -> ReaderRun:
    """The run that the options describe. click.UsageError for one that a reader has not."""
    if minutes is None and steps is None:
        raise click.UsageError("say how long: --minutes or --steps")
    given = {key: value for key, value in settings.items() if value is not None}
    if unknown := sorted(given.keys() - set(OPTIONS)):
        raise click.UsageError(f"--{unknown[0].replace('_', '-')} is not for readers")
    place = out or Path("reader.safetensors")
    check_output(place, [*data, *valid], what="model", is_one=is_model)
    weights = [float(share) for share in mix.split(",")] if mix else [float(p.stat().st_size) for p in data]
    if len(weights) != len(data) or any(not weight > 0 for weight in weights):
        raise click.UsageError("--mix needs one share above 0 for each --data file")
    return ReaderRun(
        out=place,
        name=name or place.name.removesuffix(".safetensors"),
        plan=replace(plan, recipe=replace(plan.recipe, **given)),
        data=data,
        weights=weights,
        valid=valid,
        minutes=minutes,
        steps=steps,
        threads=threads or len(os.sched_getaffinity(0)),
        initial=read_model(reader_of(initial_name)) if initial_name else None,
        report=click.echo,
    )


def report_run(run: ReaderRun) -> None:
    done = run.progress
    figures = {"model": str(run.out), "steps": done.steps, "minutes": round(done.minutes, 1)}
    click.echo(json.dumps(figures | {"valid": done.valid}, ensure_ascii=False))
    click.echo(f"next: plm read {run.out} --json", err=True)
