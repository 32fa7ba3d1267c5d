"""An owner's documents: articles as uploads, questions on them, and questions on anything else."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import engine.library
from engine.grounding import Answerer
from engine.grounding.documents import find, log_odds
from engine.grounding.shelf import Shelf
from engine.library import Library
from engine.reading import Reader
from engine.reading.examples import Example, read_examples
from engine.reading.measures import holds
from tests.bench.benchmarks.reading_notes import note_libraries, shares

QUESTIONS = 250
PAIRS = 100
BUNDLED_PAIRS = Path(engine.library.__file__).parent / "pairs"


def measure_documents(corpora: Path, reader: Reader, folder: Path) -> list[dict[str, Any]]:
    examples = read_examples(corpora / "zh-reading.valid.jsonl.xz")
    library = documents(examples, folder)
    asked = [example for example in examples if example.answerable]
    random.Random(1).shuffle(asked)
    others = other_questions(corpora)
    rows: list[dict[str, Any]] = []
    for who, answerer in {"rules": Answerer(library), "reader": Answerer(library, reader=reader)}.items():
        answers = [answerer.answer(example.question) for example in asked[:QUESTIONS]]
        right = [
            not answer.abstained and any(holds(answer.text, wanted) for wanted in example.answers)
            for answer, example in zip(answers, asked, strict=False)
        ]
        false = [not (a := answerer.answer(question)).abstained and bool(a.citations) for question in others]
        abstained = [answer.abstained for answer in answers]
        rows += shares("documents", who, {"right": right, "abstained": abstained, "false": false})
    return rows


def fit(corpora: Path, reader: Reader, folder: Path) -> None:
    """Print READER, COVERED and BIAS of engine/grounding/documents.py: a logistic regression on questions
    that the documents and notes answer, and questions on other things."""
    examples = read_examples(corpora / "zh-reading.valid.jsonl.xz")
    asked = [example.question for example in examples if example.answerable]
    random.Random(1).shuffle(asked)
    shelf = Shelf(documents(examples, folder / "articles"))
    asking = [(shelf, asked[:QUESTIONS], 1.0), (shelf, other_questions(corpora), 0.0)]
    for note, library in note_libraries(folder / "notes"):
        asking.append((Shelf(library), [question for question, _ in note["questions"]], 1.0))
        asking.append((Shelf(library), note["absent"], 0.0))
    rows, wanted = [], []
    for shelf, questions, label in asking:
        for question in questions:
            if (found := find(question, shelf, reader)) is not None:
                rows.append((log_odds(found[2]), found[3], 1.0))
                wanted.append(label)
    inputs, labels = np.array(rows), np.array(wanted)
    weights = np.zeros(3)
    for _ in range(5000):
        error = 1 / (1 + np.exp(-inputs @ weights)) - labels
        weights -= 0.5 * (inputs.T @ error / len(labels) + 1e-4 * weights)
    print("READER, COVERED, BIAS =", ", ".join(f"{weight:.2f}" for weight in weights))


def documents(examples: Sequence[Example], folder: Path) -> Library:
    """A document for each article, of all its passages."""
    texts: dict[str, dict[str, None]] = {}
    for example in examples:
        for passage in example.passages:
            texts.setdefault(passage["title"], {})[passage["text"]] = None
    library = Library.open(folder)
    with library.writer() as writer:
        for title, passages in texts.items():
            writer.add_text(title, "", "", "\n\n".join(passages), file=f"{title}.txt", kind="document")
    return library


def other_questions(corpora: Path) -> list[str]:
    """On things that the articles do not tell."""
    lines = (corpora / "classics-qa.dev.jsonl").read_text("utf-8").splitlines()
    pairs = [
        json.loads(line)["questions"][0]
        for path in sorted(BUNDLED_PAIRS.glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    random.Random(5).shuffle(pairs)
    return [json.loads(line)["question"] for line in lines] + pairs[:PAIRS]
