"""`plm train`: a thin layer of options over engine.training."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import click

from engine.data import Text, load_text
from engine.training import Budget, Run, TrainingError, check_inputs, load_plan, summary

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--config", "config_name", required=True, help="Name of a bundled config (tcm, tiny) or a TOML file."
)
@click.option(
    "--data", "data", required=True, multiple=True, type=FILE, help=".txt or .jsonl, also .xz; repeatable."
)
@click.option("--mix", help="Share of each --data file, such as 1,3; the default is by size.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The model to write."
)
@click.option("--name", help="Name of the model in its card; the default is that of --out.")
@click.option("--init", "initial", type=FILE, help="Fine-tune this model (bf16 or f32).")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint, if there is one.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Length of the run, all parts together."
)
@click.option("--steps", type=click.IntRange(min=1), help="Length of the run in steps.")
@click.option("--valid", multiple=True, type=FILE, help="Text to evaluate on as it goes; repeatable.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Highest learning rate.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the start and of the order of texts.")
@click.option("--threads", type=click.IntRange(min=1), help="The default is one for each processor.")
def train(
    config_name: str,
    data: tuple[Path, ...],
    mix: str | None,
    out: Path,
    name: str | None,
    initial: Path | None,
    resume: bool,
    minutes: float | None,
    steps: int | None,
    valid: tuple[Path, ...],
    rate: float | None,
    seed: int | None,
    threads: int | None,
) -> None:
    """Train or fine-tune a model on your own text."""
    if minutes is None and steps is None:
        raise click.UsageError("say how long: --minutes or --steps")
    try:
        plan = load_plan(config_name)
        recipe = plan.recipe
        recipe = replace(recipe, rate=recipe.rate if rate is None else rate)
        recipe = replace(recipe, seed=recipe.seed if seed is None else seed)
        texts = [load_text(path) for path in data]
        weights = shares(mix, texts)
        check_inputs(plan.model, initial, weights, texts)
        run = Run(
            out=out,
            name=name or out.name.removesuffix(".safetensors").removesuffix("-bf16"),
            config=plan.model,
            recipe=recipe,
            budget=Budget(minutes, steps),
            texts=texts,
            weights=weights,
            valid=[load_text(path) for path in valid],
            threads=threads or len(os.sched_getaffinity(0)),
            initial=initial,
            notes=plan.notes,
            report=click.echo,
        )
        if resume:
            run.resume()
        click.echo(f"{plan.model.parameters:,} parameters, {run.trainer.isa}, {run.threads} threads")
        run.train()
    except (OSError, RuntimeError, ValueError) as error:  # all of the engine's own are ValueErrors
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps({"model": str(out), **summary(run.record)}, ensure_ascii=False))


def shares(mix: str | None, texts: list[Text]) -> list[float]:
    """The weight of each text: as told, or in proportion to its size."""
    if mix is None:
        return [float(text.bytes.size) for text in texts]
    try:
        return [float(share) for share in mix.split(",")]
    except ValueError:
        raise TrainingError(f"--mix: {mix!r} is not a list of numbers such as 1,3") from None
