"""`plm score`, `plm choose`, `plm fill` and `plm judge`: thin layers over engine.likelihood."""

from __future__ import annotations

import json
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from engine.cli.errors import one_line_errors
from engine.inference.model import Model
from engine.likelihood.fill import GAP
from engine.training.dataset import is_foreign, read_to_score
from engine.training.evaluation import score_answers


@click.command()
@click.argument("model")
@click.argument("file")
@click.option(
    "--answers", is_flag=True, help="Of dialogues (.jsonl), count the answers and their ends alone."
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@one_line_errors
def score(model: str, file: str, answers: bool, as_json: bool) -> None:
    """How likely the text in FILE is, in bits per byte; - reads standard input.

    .xz and .gz are unpacked; dialogues (.jsonl, .json) are read with their special bytes; a text in GB18030,
    Big5 or UTF-16 is read as what it says in UTF-8.
    """
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    data, encoding = read_to_score("standard input" if file == "-" else Path(file).name, raw)
    if is_foreign(encoding):
        click.echo(f"{file}: read as {encoding.upper()}", err=True)
    loaded = Model.load(model)
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


@click.command()
@click.argument("model")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--json", "as_json", is_flag=True, help='Only {"answer": index, "scores": [bits]}, unrounded.')
@one_line_errors
def choose(model: str, file: BinaryIO, as_json: bool) -> None:
    """Answer multiple-choice questions: JSON lines {"question", "choices"} from FILE or standard input.

    Writes a line of JSON for each: the index of the best choice from 0, and for every choice the bits in its
    favour, corrected for how likely its words are without the question.
    """
    loaded = Model.load(model)
    for number, question, choices in _questions(file):
        try:
            choice = loaded.choose(question, choices)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if as_json:
            click.echo(json.dumps(choice.to_dict()))
            continue
        shown = {"answer": choice.answer, "choice": choices[choice.answer]}
        click.echo(json.dumps({**shown, "scores": [round(s, 1) for s in choice.scores]}, ensure_ascii=False))


@click.command()
@click.argument("model")
@click.argument("text")
@click.option("--count", type=click.IntRange(1, 50), default=5, show_default=True, help="Fillings to show.")
@click.option("--max-characters", type=click.IntRange(1, 40), default=8, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@one_line_errors
def fill(model: str, text: str, count: int, max_characters: int, as_json: bool) -> None:
    """Fill the gaps of TEXT, each marked by ____ (four underscores); - reads standard input.

    Prints the likeliest fillings with their bits: what the model charges for the filling and for the
    characters after it. Fewer is likelier.
    """
    filled = Model.load(model).fill(_text(text), count, max_characters)
    if as_json:
        click.echo(json.dumps(filled.to_dict(), ensure_ascii=False))
        return
    for number, fillings in enumerate(filled.gaps, start=1):
        if len(filled.gaps) > 1:
            click.echo(f"{GAP} {number}")
        for one in fillings:
            click.echo(f"{one.bits:8.1f}  {one.text}")
    click.echo(filled.text)


@click.command()
@click.argument("model")
@click.argument("statement")
@click.option(
    "--against", multiple=True, help="What may be true instead; repeatable. Otherwise it is sought."
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@one_line_errors
def judge(model: str, statement: str, against: tuple[str, ...], as_json: bool) -> None:
    """How likely STATEMENT is against its best contrast, as a probability; - reads standard input."""
    verdict = Model.load(model).judge(_text(statement), against)
    if as_json:
        click.echo(json.dumps(verdict.to_dict(), ensure_ascii=False))
        return
    click.echo(f"{verdict.probability:.2f}  {verdict.reason}")


def _text(argument: str) -> str:
    """The argument itself, or standard input for -; ValueError if that is not UTF-8."""
    if argument != "-":
        return argument
    data: bytes = sys.stdin.buffer.read()
    try:
        return data.decode().strip("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"standard input is not UTF-8 (byte {error.start})") from None


def _questions(file: BinaryIO) -> Iterator[tuple[int, str, list[str]]]:
    """Number, question and choices of each line that is not empty. ValueError names the line."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            entry: Any = json.loads(line.removeprefix(BOM_UTF8))
            question, choices = entry["question"], entry["choices"]
        except (ValueError, KeyError, TypeError, RecursionError):
            question = choices = None
        if not (isinstance(question, str) and isinstance(choices, list)) or not all(
            isinstance(choice, str) for choice in choices
        ):
            raise ValueError(f'line {number} is not {{"question": "…", "choices": ["…", …]}}')
        yield number, question, choices
