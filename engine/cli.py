"""The engine's part of the command `plm`.

Exit codes: 0 done, 1 failed with one line on stderr, 2 wrong usage.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import click

from engine.bench import bench_model, report
from engine.chat import talk
from engine.checkpoint import quantize_model, write_model
from engine.command_errors import one_line_errors
from engine.data import text_to_score
from engine.encoding import ENCODINGS
from engine.likelihood_commands import choose, fill, judge
from engine.model import Model
from engine.sampling import CHAT, SAMPLERS, Sampler, chat_sampler
from engine.scoring import score_answers, valid_figures
from engine.train_command import train
from engine.wygpt import read_published


@click.group()
def main() -> None:
    """Use and make models."""


for command in (train, choose, fill, judge):
    main.add_command(command)


def sampler_options(command: Callable[..., None]) -> Callable[..., None]:
    """--sampler, --temperature, --seed; the command gets `sampler` and `seed`."""

    @click.option(
        "--sampler", "name", type=click.Choice(list(SAMPLERS)), default=CHAT.name, show_default=True
    )
    @click.option("--temperature", type=float, default=CHAT.temperature, show_default=True)
    @click.option("--seed", type=int, help="The same seed writes the same text.")
    @wraps(command)
    def wrapper(*args: Any, name: str, temperature: float, **kwargs: Any) -> None:
        try:
            sampler = chat_sampler(name, temperature=temperature)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        command(*args, sampler=sampler, **kwargs)

    return wrapper


@main.command()
@click.argument("model")
@click.option("--prompt", required=True, help="The text to continue.")
@click.option("--max-bytes", type=click.IntRange(min=0), default=600, show_default=True)
@sampler_options
@one_line_errors
def generate(model: str, prompt: str, max_bytes: int, sampler: Sampler, seed: int | None) -> None:
    """Continue a text; prints what comes after --prompt."""
    session = Model.load(model).session()
    session.feed(prompt)
    _stream(session.generate(max_bytes, sampler, seed))


@main.command()
@click.argument("model")
@click.argument("file")
@click.option(
    "--answers", is_flag=True, help="Of dialogues (.jsonl), count the answers and their ends alone."
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@one_line_errors
def score(model: str, file: str, answers: bool, as_json: bool) -> None:
    """How likely the text in FILE is, in bits per byte; - reads standard input.

    .xz is unpacked; dialogues (.jsonl) are read with their marks.
    """
    loaded = Model.load(model)
    data = sys.stdin.buffer.read() if file == "-" else text_to_score(Path(file))
    result = score_answers(loaded, data)[1] if answers else loaded.score(data)
    if answers and not result.bytes:
        raise ValueError(f"{file}: has no answers; --answers is for dialogues (.jsonl)")
    if as_json:
        click.echo(json.dumps(result.to_dict()))
        return
    click.echo(
        f"{result.bits_per_byte:.4f} bits per byte over {result.bytes:,} bytes"
        f" ({result.bytes_per_second:,.0f} bytes/s)"
    )


@main.command()
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


@main.command()
@click.argument("model", type=click.Path())
@click.argument("out", type=click.Path())
@click.option(
    "--valid", multiple=True, type=click.Path(path_type=Path), help="Measure on this text; repeatable."
)
@one_line_errors
def quantize(model: str, out: str, valid: tuple[Path, ...]) -> None:
    """Write the int8 form of a bf16 or f32 model file; --valid puts its bits per byte into the card."""
    # Loading quantises too, to the same numbers, so they can be measured before there is a file.
    loaded = Model.load(model, quantize=True) if valid else None
    figures = {name: bits for f in valid if loaded for name, bits in valid_figures(loaded, f).items()}
    quantize_model(model, out, {"int8_bits_per_byte": figures} if figures else {})
    for name, bits in figures.items():
        click.echo(f"{name}: {bits} bits per byte")
    before, after = (Path(path).stat().st_size for path in (model, out))
    click.echo(f"{out}: {after:,} bytes, from {before:,}")


@main.group()
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
    config, tensors, card = read_published(file, encoding)
    write_model(out, tensors, config, card, name or Path(out).stem, "bf16")
    click.echo(f"{out}: {config.parameters:,} parameters, context {config.context}, {encoding}")


@main.command()
@click.option("--model", default=lambda: os.environ.get("PLM_MODEL", "tcm"), help="The model to run.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="For each figure.")
@one_line_errors
def bench(model: str, as_json: bool, seconds: float) -> None:
    """How fast a model runs here, on one core."""
    figures = bench_model(model, seconds)
    click.echo(json.dumps(figures) if as_json else report(figures))


@main.command()
@click.argument("model", default=lambda: os.environ.get("PLM_MODEL", "tcm"))
@click.option("--max-bytes", type=click.IntRange(min=1), default=1200, show_default=True)
@sampler_options
@one_line_errors
def chat(model: str, max_bytes: int, sampler: Sampler, seed: int | None) -> None:
    """Talk with a model in the terminal."""
    talk(Model.load(model), sampler, seed, max_bytes)


def _stream(pieces: Iterator[str]) -> None:
    for piece in pieces:
        click.echo(piece, nl=False)
        sys.stdout.flush()
    click.echo()


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for i, item in enumerate(value):
                yield from _flat({str(i): item}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


if __name__ == "__main__":
    main()
