"""`plm bench`: a thin layer over engine.inference.benchmark."""

from __future__ import annotations

import json
import os

import click

from engine.cli.errors import one_line_errors
from engine.inference.benchmark import bench_model, report


@click.command()
@click.option("--model", default=lambda: os.environ.get("PLM_MODEL", "tcm"), help="The model to run.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="For each figure.")
@one_line_errors
def bench(model: str, as_json: bool, seconds: float) -> None:
    """How fast a model runs here, on one core."""
    figures = bench_model(model, seconds)
    click.echo(json.dumps(figures) if as_json else report(figures))
