"""How well the reader finds answers in passages, beside simple rules, and in an owner's documents.

Spans: exact match and F1 over characters of the answerable questions, with the gold passage alone and with
all passages, and the area under the curve of refusals, on zh-reading.valid and tcm-reading.valid. Beside it:
the whole passage, the sentence that shares most pairs of characters with the question, and an untrained
reader. Documents: the articles of zh-reading.valid as an owner's documents, answered with the reader and
without; questions on other things (classics-qa.dev, bundled pairs) should get no answer from them. Notes:
everyday ones of a clinic, a shop, … with short questions, and such as they do not answer.

    python -m tests.bench.benchmarks.bench_reading --corpora FOLDER [--reader FILE] [--csv FILE]
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine import _train
from engine.grounding.shelf import sentences
from engine.reading import Reader
from engine.reading.examples import Example, read_examples
from engine.reading.measures import area_under_curve, exact, f1, pairs_of
from tests.bench.benchmarks.reading_documents import fit, measure_documents
from tests.bench.benchmarks.reading_notes import measure_notes

Found = tuple[str, float]  # the text found, how sure that it answers
FIELDS = ("text", "who", "passages", "measure", "value", "low", "high", "n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True, help="the folder that holds zh-reading")
    parser.add_argument("--reader", help="a reader's file [the bundled one]")
    parser.add_argument("--csv", type=Path, help="write the figures here")
    parser.add_argument("--show", action="store_true", help="print each answer on the notes")
    parser.add_argument("--fit", action="store_true", help="fit how sure answers from documents are instead")
    arguments = parser.parse_args()
    reader = Reader.load(arguments.reader)
    if arguments.fit:
        with tempfile.TemporaryDirectory() as folder:
            fit(arguments.corpora, reader, Path(folder))
        return
    rows: list[dict[str, Any]] = []
    for name in ("zh-reading", "tcm-reading"):
        examples = read_examples(arguments.corpora / f"{name}.valid.jsonl.xz")
        for who, find in {
            "reader": reads(reader.network),
            "untrained reader": reads(untrained(reader)),
            "nearest sentence": nearest_sentence,
            "whole passage": whole_passage,
        }.items():
            rows += spans(name, who, find, examples)
    speed(reader, read_examples(arguments.corpora / "tcm-reading.valid.jsonl.xz"))
    with tempfile.TemporaryDirectory() as folder:
        rows += measure_documents(arguments.corpora, reader, Path(folder) / "articles")
        rows += measure_notes(reader, Path(folder) / "notes", arguments.show)
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n", restval="")
            writer.writeheader()
            writer.writerows(rows)


def reads(network: Any) -> Callable[[Example], Found]:
    def find(example: Example) -> Found:
        passages = [(p["title"], p["text"]) for p in example.passages]
        found, answerable = network.read(example.question, passages, 1)
        passage, start, end, _ = found[0]
        return passages[passage][1][start:end], answerable

    return find


def untrained(reader: Reader) -> Any:
    rng = np.random.default_rng(1)
    tensors = {
        name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in reader.config.tensors.items()
    }
    return _train.Reader(reader.config.to_dict(), tensors)


def nearest_sentence(example: Example) -> Found:
    asked = pairs_of(example.question)
    return max(
        (
            (p["text"][a:b], len(asked & pairs_of(p["text"][a:b])) / (len(asked) + 1))
            for p in example.passages
            for a, b in sentences(p["text"], 110)
        ),
        key=lambda found: found[1],
    )


def whole_passage(example: Example) -> Found:
    asked = pairs_of(example.question)
    best = max(example.passages, key=lambda p: len(asked & pairs_of(p["text"])))
    return best["text"], len(asked & pairs_of(best["text"])) / (len(asked) + 1)


def spans(
    name: str, who: str, find: Callable[[Example], Found], examples: Sequence[Example]
) -> list[dict[str, Any]]:
    rows = []
    for kind in ("gold alone", "all"):
        given = [example for example in examples if example.answerable]
        if kind == "gold alone":
            given = [alone(example) for example in given]
        found = [find(example)[0] for example in given]
        for measure, of in (("exact", lambda t, a: float(exact(t, a))), ("f1", f1)):
            values = [
                max(of(text, answer) for answer in e.answers) for text, e in zip(found, given, strict=True)
            ]
            rows.append(row(name, who, kind, measure, values))
    scores = [find(example)[1] for example in examples]
    area = area_under_curve(scores, [example.answerable for example in examples])
    rows.append(
        {"text": name, "who": who, "passages": "all", "measure": "refusal", "value": round(area, 3),
         "n": len(examples)}
    )  # fmt: skip
    shown = "  ".join(f"{r['measure']} ({r['passages']}) {r['value']:.3f}" for r in rows)
    print(f"{name:12} {who:18} {shown}", flush=True)
    return rows


def alone(example: Example) -> Example:
    gold = next(p for p in example.passages if any(answer in p["text"] for answer in example.answers))
    return Example([gold], example.question, example.answers, True, example.source)


def row(name: str, who: str, kind: str, measure: str, values: Sequence[float]) -> dict[str, Any]:
    """A mean with its 95 % interval by resampling the questions."""
    rng = random.Random(1)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(500))
    return {
        "text": name, "who": who, "passages": kind, "measure": measure,
        "value": round(statistics.fmean(values), 3), "low": round(means[12], 3), "high": round(means[487], 3),
        "n": len(values),
    }  # fmt: skip


def speed(reader: Reader, examples: Sequence[Example]) -> None:
    """A question with three passages of some 900 bytes, one core."""
    passages = [p for example in examples for p in example.passages if 280 <= len(p["text"]) <= 320]
    seconds = []
    for i in range(30):
        begun = time.perf_counter()
        reader.read(examples[i].question, passages[3 * i : 3 * i + 3])
        seconds.append(time.perf_counter() - begun)
    print(f"three passages of 900 bytes: median {1000 * statistics.median(seconds):.0f} ms ({reader.isa})")


if __name__ == "__main__":
    main()
