"""What bench_likelihood measures on: examination questions, statements made of them, blanks in books."""

from __future__ import annotations

import json
import lzma
import random
import re
from dataclasses import dataclass
from pathlib import Path

# Questions that ask for the exception, or whose words do not make a statement with an answer after them.
NO_STATEMENT = re.compile("下列|哪|以下|除|不|错误|何|什么|多少|几|谁|无关|有误|禁忌|假设|^其")
MOST_OF_A_BLANK = 4  # characters
BEFORE, AFTER, LEFT = 200, 60, 12  # characters of context, and the fewest before a blank


@dataclass(frozen=True)
class Question:
    question: str
    choices: list[str]
    answer: int


@dataclass(frozen=True)
class Statement:
    """`others`: the same question with the other choices."""

    text: str
    true: bool
    others: list[str]


@dataclass(frozen=True)
class Blank:
    before: str
    word: str
    after: str


def questions(file: Path) -> list[Question]:
    entries = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [Question(entry["question"], entry["choices"], entry["answer"]) for entry in entries]


def statements(asked: list[Question], seed: int) -> list[tuple[Statement, Statement]]:
    """Of each question that allows it, in random order: with the right answer, and with a wrong one."""
    generator = random.Random(seed)
    pairs = []
    for one in asked:
        if NO_STATEMENT.search(one.question):
            continue
        stem = re.sub(r"[（(]\s*[)）]", "", one.question.strip()).rstrip("。.：:？? ，,")
        texts = [stem + choice.rstrip("。") for choice in one.choices]
        wrong = generator.choice([i for i in range(len(texts)) if texts[i] != texts[one.answer]])
        pairs.append((_statement(texts, one.answer, True), _statement(texts, wrong, False)))
    generator.shuffle(pairs)
    return pairs


def _statement(texts: list[str], place: int, true: bool) -> Statement:
    return Statement(texts[place], true, [text for text in texts if text != texts[place]])


def blanks(file: Path, count: int, seed: int) -> list[Blank]:
    """Runs of 1 to 4 Chinese characters out of paragraphs of 40 characters or more."""
    with lzma.open(file, "rt", encoding="utf-8") as text:
        paragraphs = [line.rstrip("\n") for line in text if len(line) > 40]
    generator = random.Random(seed)
    found: list[Blank] = []
    while len(found) < count:
        line, size = generator.choice(paragraphs), generator.randint(1, MOST_OF_A_BLANK)
        begin = generator.randrange(LEFT, len(line) - size - 4)
        word = line[begin : begin + size]
        if re.fullmatch("[\u4e00-\u9fff]+", word):
            end = begin + size
            found.append(Blank(line[max(0, begin - BEFORE) : begin], word, line[end : end + AFTER]))
    return found
