"""Questions with passages and answers, as training and measuring read them.

A JSON object a line: {"passages": [{"title", "text"}], "question", "answers": [...], "answerable"}; answers
are substrings of a passage. Plain or packed (.jsonl, .jsonl.xz).
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Span = tuple[int, int, int]  # passage, first character, end (not included)


class ExampleError(ValueError):
    """A file of examples that cannot be used; the message names file, line and field."""


@dataclass(frozen=True)
class Example:
    passages: list[dict[str, str]]
    question: str
    answers: list[str]
    answerable: bool
    source: str = ""

    def spans(self) -> list[Span]:
        """Every place of every answer in every passage; none if the question is not answerable."""
        return [span for answer in self.answers for span in _places(answer, self.passages)]


def _places(answer: str, passages: list[dict[str, str]]) -> Iterator[Span]:
    for number, passage in enumerate(passages):
        at = passage["text"].find(answer)
        while at >= 0:
            yield number, at, at + len(answer)
            at = passage["text"].find(answer, at + 1)


def read_examples(path: Path) -> list[Example]:
    opened = lzma.open if path.suffix == ".xz" else open
    examples = []
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    examples.append(_example(line, f"{path.name}, line {number}"))
    except (OSError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise ExampleError(f"{path}: cannot be read: {error}") from None
    if not examples:
        raise ExampleError(f"{path}: holds no example")
    return examples


def _example(line: str, place: str) -> Example:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ExampleError(f"{place}: is no JSON: {error}") from None
    if not isinstance(entry, dict):
        raise ExampleError(f"{place}: must be an object")
    passages = _passages(entry, place)
    question, answers = entry.get("question"), entry.get("answers", [])
    if not isinstance(question, str) or not question.strip():
        raise ExampleError(f"{place}: question must be a text")
    if not isinstance(answers, list) or not all(isinstance(a, str) and a for a in answers):
        raise ExampleError(f"{place}: answers must be a list of texts")
    for answer in answers:
        if not any(answer in passage["text"] for passage in passages):
            raise ExampleError(f"{place}: the answer {answer[:20]!r} stands in none of the passages")
    return Example(
        passages, question, answers, bool(entry.get("answerable", answers)), str(entry.get("source", ""))
    )


def _passages(entry: Mapping[str, Any], place: str) -> list[dict[str, str]]:
    passages = entry.get("passages")
    if not isinstance(passages, list) or not passages:
        raise ExampleError(f'{place}: passages must be a list of {{"title", "text"}}')
    for passage in passages:
        if not isinstance(passage, dict) or not isinstance(passage.get("text"), str) or not passage["text"]:
            raise ExampleError(f"{place}: a passage must have a text")
    return [{"title": str(p.get("title", "")), "text": p["text"]} for p in passages]
