"""Tables and lines of JSON: question-answer pairs, or rows to be searched as text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from engine.library.documents.parsed import DocumentError, Parsed, assemble, clean
from engine.library.records import Pair, Quote

_QUESTION = {"q", "question", "questions", "问", "問", "问题", "問題", "提问"}
_ANSWER = {"a", "answer", "答", "答案", "回答", "回复"}
_TOPIC = {"topic", "category", "主题", "分类", "类别"}
_WORDING = ("q", "question", "wording", "问", "問", "相似问", "其他问法")
_NUMBER = re.compile("[0-9]|[一二三四五六七八九十百千]")
MAX_ANSWER_CHARACTERS = 2000
csv.field_size_limit(1_000_000)


def read_csv(title: str, text: str) -> Parsed:
    """Pairs if the first line names a question and an answer (further columns of questions are wordings).

    Else a document, one line a row, `column：value` where the first line names the columns.
    """
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:8000], ",;\t")
    except csv.Error:
        dialect = csv.excel
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), dialect) if any(map(str.strip, row))]
    except csv.Error as error:
        raise DocumentError(f"no table: {error}") from None
    if not rows:
        raise DocumentError("no text in it")
    head = [clean(name).lower() for name in rows[0]]
    question = next((i for i, name in enumerate(head) if name in _QUESTION), None)
    answer = next((i for i, name in enumerate(head) if name in _ANSWER), None)
    if question is None or answer is None:
        return assemble(title, ((0, _row(rows[0], row)) for row in rows[1:] or rows))
    topic = next((i for i, name in enumerate(head) if name in _TOPIC), None)
    wordings = [
        i for i, name in enumerate(head) if i not in (answer, question, topic) and name.startswith(_WORDING)
    ]
    return Parsed(title, kind="pairs", pairs=tuple(_csv_pairs(rows, [question, *wordings], answer, topic)))


def _row(head: Sequence[str], row: Sequence[str]) -> str:
    if head is row:
        return "，".join(map(clean, row))
    named = zip([*head, *[""] * len(row)], row, strict=False)
    return "；".join(
        f"{clean(name)}：{clean(value)}" if name else clean(value) for name, value in named if clean(value)
    )


def table_lines(rows: Sequence[Sequence[str]], headed: bool = False) -> list[str]:
    """The rows of a table within a text as lines, `column：value；…` where the first row names the columns.

    It does if it is `headed`, or has no number where most of the others have one; two columns are no table
    of that kind: 地址 | 中山路. Cells that stand in a row twice are merged ones."""
    cleaned = [[" ".join(clean(cell).split()) for cell in row] for row in rows]
    plain = [" ".join(filter(None, dict.fromkeys(row))) for row in cleaned]
    head = cleaned[0] if cleaned else []
    if len(head) < 3 or len(set(head)) < len(head) or not all(head) or len({len(row) for row in cleaned}) > 1:
        return plain
    body = cleaned[1:]
    counts = [
        0 if _NUMBER.search(head[n]) else sum(bool(_NUMBER.search(row[n])) for row in body)
        for n in range(len(head))
    ]
    figures = 2 * max(counts) > len(body)
    if not body or not (headed or (figures and not re.search("[0-9]", "".join(head)))):
        return plain
    return [_row(head, row) for row in body]


def _csv_pairs(
    rows: Sequence[Sequence[str]], questions: Sequence[int], answer: int, topic: int | None
) -> Iterator[Pair]:
    for number, row in enumerate(rows[1:], 2):
        cells = [*row, *[""] * (len(rows[0]) - len(row))]
        wordings = [clean(part) for i in questions for part in cells[i].split("|") if part.strip()]
        yield _pair(
            number, str(number), wordings, cells[answer], "" if topic is None else clean(cells[topic])
        )


def _pair(
    line: int, number: str, questions: Sequence[str], answer: str, topic: str, quotes: Sequence[Quote] = ()
) -> Pair:
    answer = clean(answer)
    if not questions or not answer:
        raise DocumentError(f"line {line}: a pair needs a question and an answer")
    if len(answer) > MAX_ANSWER_CHARACTERS:
        raise DocumentError(f"line {line}: an answer may have {MAX_ANSWER_CHARACTERS} characters")
    return Pair(number, tuple(dict.fromkeys(questions)), answer, topic, tuple(quotes))


def read_jsonl(title: str, text: str) -> Parsed:
    """Pairs, `{"questions":[…] or "question","answer"}`, or texts, `{"title"?,"text"}`, one a line."""
    pairs: list[Pair] = []
    blocks: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        record = _record(number, line)
        questions = record.get("questions", record.get("question", record.get("q")))
        answer = record.get("answer", record.get("a"))
        if questions is not None and isinstance(answer, str):
            pairs.append(_json_pair(number, record, questions, answer))
        elif isinstance(record.get("text"), str):
            blocks += [(1, str(record.get("title") or "")), (0, record["text"])]
        else:
            raise DocumentError(f'line {number}: neither "questions" with "answer" nor "text"')
    if pairs and blocks:
        raise DocumentError("pairs and texts in one file; make two of it")
    return Parsed(title, kind="pairs", pairs=tuple(pairs)) if pairs else assemble(title, blocks)


def _record(number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise DocumentError(f"line {number}: no JSON object")
    return record


def _json_pair(number: int, record: dict[str, Any], questions: object, answer: str) -> Pair:
    wordings = [questions] if isinstance(questions, str) else questions
    quotes = record.get("quotes") or []
    if not isinstance(wordings, list) or not all(isinstance(wording, str) for wording in wordings):
        raise DocumentError(f"line {number}: questions are a list of texts")
    try:
        made = [Quote(clean(str(quote["book"])), clean(str(quote["quote"]))) for quote in quotes]
    except (KeyError, TypeError):
        raise DocumentError(f'line {number}: a quote is {{"book", "quote"}}') from None
    cleaned = [clean(wording) for wording in wordings if wording.strip()]
    topic = clean(str(record.get("topic") or ""))
    return _pair(number, clean(str(record.get("id", number))), cleaned, answer, topic, made)
