"""`plm generate` and `plm chat`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import click

from engine.cli.conversation import talk
from engine.cli.errors import one_line_errors
from engine.inference.model import Model
from engine.inference.samplers import CHAT, SAMPLERS, Sampler, chat_sampler


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


@click.command()
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


@click.command()
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
