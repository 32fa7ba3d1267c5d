"""`plm info`, `plm quantize` and `plm convert`: model files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from engine.cli.errors import one_line_errors
from engine.inference.model import Model
from engine.model.checkpoint import is_model, quantize_model, write_model
from engine.model.encoding import ENCODINGS
from engine.model.outputs import check_output
from engine.model.wygpt import read_published
from engine.training.evaluation import valid_figures


@click.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
@one_line_errors
def info(model: str, as_json: bool) -> None:
    """What a model is, what it was trained on, and how good it is."""
    facts = Model.load(model).info()
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    card = facts.pop("card")
    for key, value in _flat({**facts, **card}):
        click.echo(f"{key:<24} {value}")


@click.command()
@click.argument("model", type=click.Path())
@click.argument("out", type=click.Path())
@click.option(
    "--valid", multiple=True, type=click.Path(path_type=Path), help="Measure on this text; repeatable."
)
@one_line_errors
def quantize(model: str, out: str, valid: tuple[Path, ...]) -> None:
    """Write the int8 form of a bf16 or f32 model file; --valid puts its bits per byte into the card."""
    check_output(Path(out), [Path(model), *valid], what="model", is_one=is_model)
    # Loading quantises too, to the same numbers, so they can be measured before there is a file.
    loaded = Model.load(model, quantize=True) if valid else None
    figures = {name: bits for f in valid if loaded for name, bits in valid_figures(loaded, f).items()}
    quantize_model(model, out, {"int8_bits_per_byte": figures} if figures else {})
    for name, bits in figures.items():
        click.echo(f"{name}: {bits} bits per byte")
    before, after = (Path(path).stat().st_size for path in (model, out))
    click.echo(f"{out}: {after:,} bytes, from {before:,}")


@click.group()
def convert() -> None:
    """Import models of other programs."""


@convert.command()
@click.argument("file", type=click.Path())
@click.argument("out", type=click.Path())
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    default="utf-8",
    show_default=True,
    help="Of the texts that the model was trained on; his files do not say.",
)
@click.option("--name", help="The model's name; by default that of OUT.")
@one_line_errors
def wygpt(file: str, out: str, encoding: str, name: str | None) -> None:
    """Import a model published by the original author (wyGPT) as a model file, weights unchanged."""
    check_output(Path(out), [Path(file)], what="model", is_one=is_model)
    config, tensors, card = read_published(file, encoding)
    write_model(out, tensors, config, card, name or Path(out).stem, "bf16")
    click.echo(f"{out}: {config.parameters:,} parameters, context {config.context}, {encoding}")


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for i, item in enumerate(value):
                yield from _flat({str(i): item}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
