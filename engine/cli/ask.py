"""`plm ask`: answers from the library with their sources."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from engine.cli.errors import one_line_errors
from engine.cli.library import default_folder, opened
from engine.emergency import Detector, caution
from engine.grounding.answerer import Answerer
from engine.grounding.records import Answer
from engine.grounding.rendering import place
from engine.reading import Reader


@click.command("ask")
@click.argument("model", required=False, default="")
@click.argument("question", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Questions as JSON lines in, answers out.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="The library [PLM_LIBRARY].")
@click.option(
    "--minimum", type=float, envvar="PLM_LIBRARY_MINIMUM", help="Answer from this score on, 0 to 1."
)
@one_line_errors
def ask(model: str, question: str, as_json: bool, folder: Path | None, minimum: float | None) -> None:
    """Answer QUESTION with quotations from the library.

    MODEL may be left out: answers are quotations and need none. With --json, standard input holds a
    {"id","question","history"?} a line, and a line is written for each:
    {"id","answer","sources":[{"book","heading","quote","start","end"}],"abstained","seconds"}.
    """
    answerer = Answerer(opened(folder or default_folder()), minimum, Reader.load(), Detector.load())
    if as_json:
        for number, line in enumerate(sys.stdin, start=1):
            if line.strip():
                asked = _asked(number, line)
                click.echo(json.dumps(answered(answerer, asked), ensure_ascii=False))
        return
    said = question or model
    if not said.strip():
        raise click.UsageError("say what to ask: plm ask 桂枝汤由哪些药组成")
    click.echo(_cautioned(answerer, said, _shown(answerer.answer(said))))


def _asked(number: int, line: str) -> dict[str, Any]:
    """A line of questions; ValueError names it."""
    try:
        asked: Any = json.loads(line.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict) or not isinstance(asked.get("question"), str):
        raise ValueError(f'line {number} is not {{"id": …, "question": "…"}}')
    return asked


def answered(answerer: Answerer, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one line of `plm ask --json`."""
    begun = time.perf_counter()
    answer = answerer.answer(str(asked["question"]), asked.get("history") or [])
    seconds = time.perf_counter() - begun
    return {
        "id": asked.get("id"),
        "answer": _cautioned(answerer, str(asked["question"]), answer.text),
        "sources": [
            {"book": c.book, "heading": c.heading, "quote": c.quote, "start": c.start, "end": c.end}
            for c in answer.citations
        ],
        "abstained": answer.abstained,
        "seconds": round(seconds, 4),
    }


def _cautioned(answerer: Answerer, question: str, answer: str) -> str:
    """The answer with what must be read before it: of a poison's dose, of what wants a doctor."""
    detector = answerer.detector
    warning = caution(detector.assess(question), question) if detector else ""
    return f"{warning}\n\n{answer}" if warning else answer


def _shown(answer: Answer) -> str:
    """The answer, with sources that its words do not name yet."""
    missing = [place(c) for c in answer.citations if f"《{c.book}" not in answer.text]
    return "\n".join([answer.text, *missing])
