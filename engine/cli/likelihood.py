"""`plm score`, `plm choose`, `plm fill` and `plm judge`: thin layers over engine.likelihood.

The last three ask a library too where one is named (engine.grounding.weighing), as the bot does.
"""

from __future__ import annotations

import json
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from math import log
from pathlib import Path
from typing import Any, BinaryIO

import click

from engine.cli.errors import one_line_errors
from engine.cli.library import opened
from engine.grounding.shelf import Shelf
from engine.grounding.weighing import Weighed, weigh_question
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


_library = click.option(
    "--library",
    "folder",
    envvar="PLM_LIBRARY",
    show_envvar=True,
    help="Let the books of the library in this folder decide too; none: the model alone.",
)


@click.command()
@click.argument("model")
@click.argument("file", type=click.File("rb"), default="-")
@_library
@click.option("--json", "as_json", is_flag=True, help='Only {"answer": index, "scores": [bits]}, unrounded.')
@one_line_errors
def choose(model: str, file: BinaryIO, folder: str | None, as_json: bool) -> None:
    """Answer multiple-choice questions: JSON lines {"question", "choices"} from FILE or standard input.

    Writes a line of JSON for each: the index of the best choice from 0, and for every choice the bits in its
    favour, corrected for how likely its words are without the question; with a library, by how far the books
    bear it out as well.
    """
    loaded = Model.load(model)
    weigh = _weigher(loaded, folder)
    for number, question, choices in _questions(file):
        try:
            weighed = weigh("choose", {"question": question, "choices": choices})
            answer = weighed.answer if weighed else loaded.choose(question, choices).to_dict()
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        best, scores = answer["answer"], answer["scores"]
        if weighed:
            scores = [score / log(2) for score in scores]
        if as_json:
            click.echo(json.dumps({"answer": best, "scores": scores}))
            continue
        scores = [round(score, 2 if weighed else 1) for score in scores]
        shown = {"answer": best, "choice": choices[best], "scores": scores}
        if weighed:
            shown["quotation"] = weighed.quotation
        click.echo(json.dumps(shown, ensure_ascii=False))


@click.command()
@click.argument("model")
@click.argument("text")
@click.option("--count", type=click.IntRange(1, 50), default=5, show_default=True, help="Fillings to show.")
@click.option("--max-characters", type=click.IntRange(1, 40), default=8, show_default=True)
@_library
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@one_line_errors
def fill(model: str, text: str, count: int, max_characters: int, folder: str | None, as_json: bool) -> None:
    """Fill the gaps of TEXT, each marked by ____ (four underscores); - reads standard input.

    Prints the likeliest fillings with their bits: what the model charges for the filling and for the
    characters after it. Fewer is likelier. With a library, fillings of a single gap that stand between the
    same words in books cost less.
    """
    loaded, text = Model.load(model), _text(text)
    own = {"count": count, "max_characters": max_characters}
    weighed = _weigher(loaded, folder, own)("fill", {"text": text})
    filled = weighed.answer if weighed else loaded.fill(text, count, max_characters).to_dict()
    gaps = [gap[:count] for gap in filled["gaps"]]
    if as_json:
        click.echo(json.dumps({"text": filled["text"], "gaps": gaps}, ensure_ascii=False))
        return
    for number, fillings in enumerate(gaps, start=1):
        if len(gaps) > 1:
            click.echo(f"{GAP} {number}")
        for one in fillings:
            click.echo(f"{one['bits']:8.1f}  {one['text']}")
    click.echo(filled["text"])
    if weighed:
        click.echo(weighed.quotation)


@click.command()
@click.argument("model")
@click.argument("statement")
@click.option(
    "--against", multiple=True, help="What may be true instead; repeatable. Otherwise it is sought."
)
@_library
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@one_line_errors
def judge(model: str, statement: str, against: tuple[str, ...], folder: str | None, as_json: bool) -> None:
    """How likely STATEMENT is against its best contrast, as a probability; - reads standard input.

    With a library, and no contrast given, the books decide: how far they bear the statement out.
    """
    loaded, statement = Model.load(model), _text(statement)
    weighed = None if against else _weigher(loaded, folder)("judge", {"statement": statement})
    if weighed:
        probability = weighed.answer["probability"]
        said = {"probability": probability, "statement": statement, "reason": weighed.quotation}
        plain = f"{probability:.2f}  {weighed.quotation}"
        click.echo(json.dumps(said, ensure_ascii=False) if as_json else plain)
        return
    verdict = loaded.judge(statement, against)
    if as_json:
        click.echo(json.dumps(verdict.to_dict(), ensure_ascii=False))
        return
    click.echo(f"{verdict.probability:.2f}  {verdict.reason}")


def _weigher(
    model: Model, folder: str | None, own: Mapping[str, Any] | None = None
) -> Callable[[str, Mapping[str, Any]], Weighed | None]:
    """Weighs a question by the library in a folder and the model; None where the library has nothing to say,
    or none is named. `own` are more fields of what the model is asked."""
    if not folder or folder == "none":
        return lambda kind, fields: None
    shelf = Shelf(opened(Path(folder)))

    def ask(kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = getattr(model, kind)(**{**fields, **(own or {})}).to_dict()
        return answer

    return lambda kind, fields: weigh_question(shelf, kind, fields, ask)


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
