"""Fit engine/grounding/evidence.json on examination questions: `tcm-exam.train.jsonl`.

Choices: a softmax over the choices of a question. Statements: question and choice as one sentence, right or
wrong, by a logistic curve. Features are divided by their spread for the fit, and the weights written for the
features as they are.

    python -m tests.bench.benchmarks.fit_evidence --corpora FOLDER --library FOLDER [--write]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import Model, grounding
from engine.grounding import evidence
from engine.grounding.shelf import Shelf
from engine.library import Library
from tests.bench.studies.likelihood_data import Question, questions, statements

RIDGE = 0.1
STEPS = 400
Floats = NDArray[np.float64]
Example = tuple[Floats, int, bool]  # features of the choices, the right one, whether the question negates


def examples(shelf: Shelf, asked: list[Question], model: Model | None) -> list[Example]:
    """The features of questions, [choices, features] each."""
    out = []
    for one in asked:
        bits = model.choose(one.question, one.choices).scores if model else None
        found = evidence.weigh(shelf, one.question, one.choices, bits)
        rows = np.array([[each.features[name] for name in evidence.FEATURES] for each in found])
        out.append((rows, one.answer, bool(evidence.NEGATED.search(one.question))))
    return out


def judged(shelf: Shelf, asked: list[Question], limit: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Features of statements, whether they are true, whether they negate."""
    rows, true, negated = [], [], []
    for pair in statements(asked, seed=2)[:limit]:
        for one in pair:
            found = evidence.judge(shelf, one.text)
            rows.append([found.features[name] for name in evidence.JUDGED])
            true.append(float(one.true))
            negated.append(bool(evidence.NEGATED.search(one.text)))
    return np.array(rows), np.array(true), np.array(negated)


def descend(slope: Callable[[Floats], Floats], size: int) -> Floats:
    """Gradient descent with momentum and a ridge."""
    weights, speed = np.zeros(size), np.zeros(size)
    for _ in range(STEPS):
        speed = 0.9 * speed - 0.3 * (slope(weights) + RIDGE * weights)
        weights = weights + speed
    return weights


def fit_choices(found: list[Example]) -> Floats:
    most, size = max(len(rows) for rows, _, _ in found), found[0][0].shape[1]
    table, mask = np.zeros((len(found), most, size)), np.full((len(found), most), -1e9)
    for number, (rows, _, _) in enumerate(found):
        table[number, : len(rows)] = rows - rows.mean(0)
        mask[number, : len(rows)] = 0
    spread = table[mask == 0].std(0) + 1e-9
    table /= spread
    answers = np.array([answer for _, answer, _ in found])

    def slope(weights: Floats) -> Floats:
        odds = table @ weights + mask
        share = np.exp(odds - odds.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        share[np.arange(len(found)), answers] -= 1
        return np.einsum("nm,nmd->d", share, table) / len(found)

    return descend(slope, size) / spread


def fit_statements(rows: Floats, true: Floats) -> dict[str, float]:
    mean, spread = rows.mean(0), rows.std(0) + 1e-9
    table = (rows - mean) / spread

    def slope(weights: Floats) -> Floats:
        return table.T @ (1 / (1 + np.exp(-table @ weights)) - true) / len(true)

    weights = descend(slope, rows.shape[1]) / spread
    return _named(evidence.JUDGED, weights) | {"bias": round(float(-mean @ weights), 4)}


def _named(names: tuple[str, ...], weights: Floats) -> dict[str, float]:
    return {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument(
        "--questions", type=int, default=1000, help="so many of them, and half the statements"
    )
    parser.add_argument("--model", default="tcm", help="whose bits are a feature; none for none")
    parser.add_argument("--write", action="store_true", help="write evidence.json")
    arguments = parser.parse_args()
    shelf = Shelf(Library.open(arguments.library))
    asked = questions(arguments.corpora / "tcm-exam.train.jsonl")[: arguments.questions]
    model = None if arguments.model == "none" else Model.load(arguments.model)
    found = examples(shelf, asked, model)
    rows, true, negated = judged(shelf, asked, arguments.questions // 2)
    out = {
        "choose": _named(evidence.FEATURES, fit_choices([one for one in found if not one[2]])),
        "negated": _named(evidence.FEATURES, fit_choices([one for one in found if one[2]])),
        "judge": fit_statements(rows[~negated], true[~negated]),
    }
    print(json.dumps(out, indent=1))
    if arguments.write:
        path = Path(grounding.__file__).with_name("evidence.json")
        path.write_text(json.dumps(out, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
