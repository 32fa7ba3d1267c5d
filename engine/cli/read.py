"""`plm read`: the spans of given passages that answer a question."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from engine.cli.errors import one_line_errors
from engine.reading import Reader


@click.command("read")
@click.argument("model", default="reader")
@click.option("--json", "as_json", is_flag=True, help="JSON lines in and out; the only form there is.")
@one_line_errors
def read(model: str, as_json: bool) -> None:
    """Find the spans of passages that answer a question.

    Standard input holds a {"passages":[{"title","text"}],"question"} a line; for each a line
    {"answer","spans":[{"passage","start","end"}],"answerable"} is written: places count characters, `end` is
    not included, `answerable` is how likely it is that the passages answer, from 0 to 1. MODEL is a reader,
    or a language model whose reader is used.
    """
    if not as_json:
        raise click.UsageError("passages are read as JSON lines: plm read tcm --json <FILE")
    reader = Reader.load(model)
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            click.echo(json.dumps(_answered(reader, _parsed(line, number)), ensure_ascii=False))


def _parsed(line: str, number: int) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: is no JSON: {error}") from None
    passages = entry.get("passages") if isinstance(entry, dict) else None
    good = isinstance(passages, list) and all(
        isinstance(p, dict) and isinstance(p.get("text"), str) and isinstance(p.get("title", ""), str)
        for p in passages
    )
    if not good or not isinstance(entry.get("question"), str):
        raise ValueError(f'line {number}: must be {{"passages":[{{"title","text"}}],"question"}}')
    return {"question": entry["question"], "passages": list(passages or [])}


def _answered(reader: Reader, asked: dict[str, Any]) -> dict[str, Any]:
    passages = asked["passages"]
    reading = reader.read(asked["question"], passages)
    spans = [{"passage": s.passage, "start": s.start, "end": s.end} for s in reading.spans]
    answer = "".join(passages[s.passage]["text"][s.start : s.end] for s in reading.spans)
    return {"answer": answer, "spans": spans, "answerable": round(reading.answerable, 6)}
