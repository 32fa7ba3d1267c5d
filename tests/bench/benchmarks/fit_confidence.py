"""Fit engine/grounding/confidence.json: logistic regression over the signals of questions written for it.

The questions stand in engine/grounding/data; a part is held out, and classics-qa only checks.

    python -m tests.bench.benchmarks.fit_confidence --library FOLDER [--corpora FOLDER] [--write]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import grounding
from engine.grounding import Answerer
from engine.grounding.confidence import Signals
from engine.library import Library

FOLDER = Path(grounding.__file__).parent
RIDGE = 0.02  # pulls weights to those of PRIOR; signals lie between 0 and 2
HELD_OUT = 4  # every fourth question
# Set by hand: some hundred questions cannot teach what a rare signal weighs, such as an order.
PRIOR = {
    "bias": -1.5, "in_field": 1.0, "exact": 3.0, "match": 2.0, "heading": 1.0, "text": 2.0, "unknown": -8.0,
    "modern": -6.0, "foreign": -6.0, "command": -8.0, "latin": -6.0, "entity": 1.0, "symptom": 0.5,
    "theory": 0.0, "short": -6.0, "loose": -5.0, "nothing": -10.0,
}  # fmt: skip
# What a signal may say: more of it never makes an answer likelier, or never less likely.
SIGNS = {
    "in_field": 1, "exact": 1, "match": 1, "heading": 1, "text": 1, "entity": 1, "unknown": -1, "modern": -1,
    "foreign": -1, "command": -1, "latin": -1, "short": -1, "loose": -1, "nothing": -1,
}  # fmt: skip


def own_questions() -> list[tuple[str, bool]]:
    out = []
    for name, answerable in (("answerable.txt", True), ("unanswerable.txt", False)):
        lines = (FOLDER / "data" / name).read_text("utf-8").splitlines()
        out += [(line, answerable) for line in lines if line.strip() and not line.startswith("#")]
    return out


def table(
    answerer: Answerer, asked: Iterable[tuple[str, Sequence[Mapping[str, str]]]]
) -> NDArray[np.float64]:
    return np.array([astuple(answerer.signals(question, history)) for question, history in asked], float)


def fit(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights and, last, the bias: projected gradient descent, classes of equal weight."""
    names = [field.name for field in fields(Signals)]
    signs = np.array([SIGNS.get(name, 0) for name in names] + [0])
    x = np.hstack([x, np.ones((len(x), 1))])
    share = np.where(y == 1, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    prior = np.array([PRIOR[name] for name in names] + [PRIOR["bias"]])
    weights = prior.copy()
    for _ in range(5_000):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (share * (p - y)) + RIDGE * (weights - prior)
        weights -= 1.0 * slope
        weights = np.where((signs > 0) & (weights < 0) | (signs < 0) & (weights > 0), 0.0, weights)
    return weights


def report(what: str, x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
    given = np.hstack([x, np.ones((len(x), 1))]) @ weights >= 0
    lost, false = np.mean(~given[y == 1]), np.mean(given[y == 0])
    print(f"{what}: needless abstention {lost:.1%} of {int(y.sum())}, ", end="")
    print(f"false answers {false:.1%} of {int((1 - y).sum())}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--corpora", type=Path, help="check on classics-qa.dev.jsonl of this folder")
    parser.add_argument("--write", action="store_true", help="write confidence.json")
    arguments = parser.parse_args()
    answerer = Answerer(Library.open(arguments.library))
    own = own_questions()
    x, y = table(answerer, [(question, []) for question, _ in own]), np.array([float(a) for _, a in own])
    kept = np.arange(len(own)) % HELD_OUT != 0
    held = fit(x[kept], y[kept])
    report("fitted", x[kept], y[kept], held)
    report("held out", x[~kept], y[~kept], held)
    weights = fit(x, y)
    if arguments.corpora:
        path = arguments.corpora / "classics-qa.dev.jsonl"
        dev: list[dict[str, Any]] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        dev = [question for question in dev if question["kind"] != "emergency"]
        asked = [(question["question"], question.get("history") or []) for question in dev]
        report(
            "classics-qa.dev",
            table(answerer, asked),
            np.array([float(q["answerable"]) for q in dev]),
            weights,
        )
    names = [field.name for field in fields(Signals)]
    out = {
        "bias": round(float(weights[-1]), 3),
        "weights": {n: round(float(w), 3) for n, w in zip(names, weights, strict=False)},
    }
    print(json.dumps(out))
    if arguments.write:
        (FOLDER / "confidence.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
