"""How well a model chooses, fills and judges: `make bench-likelihood CORPORA=FOLDER`.

Rules of choosing are compared on tcm-exam.train by five-fold cross-validation (what a rule fits, it fits on
the other four folds); tcm-exam.dev is asked once, with the rule and the constants that the engine has. The
dialogues that the model was trained on hold nearly all questions of tcm-exam.train, in the form in which
choose.py lists them, and none of tcm-exam.dev: hence the rule may look better on train than it is.

Prints Markdown; --csv writes every figure. One core, a few minutes.
"""

from __future__ import annotations

import argparse
import csv
import lzma
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import numpy as np

from engine import ASSISTANT_MARK, USER_MARK, Model
from engine.likelihood import choose, judge
from tests.bench.studies.bm25 import Index
from tests.bench.studies.likelihood_data import Question, blanks, questions, statements
from tests.bench.studies.likelihood_statistics import (
    Floats,
    area_under_curve,
    bootstrap,
    fit_choice,
    fit_logistic,
    wilson,
)

FOLDS = 5
SHIPPED = "listed, less a part of the answer alone, plus an allowance a byte"
# name, columns of `costs`, and their weights; None: fitted
RULES: list[tuple[str, list[str], list[float] | None]] = [
    ("sum of bits", ["asked"], [-1]),
    ("bits per byte", ["asked/byte"], [-1]),
    ("bits per character", ["asked/character"], [-1]),
    ("less the answer alone (PMI)", ["asked", "alone"], [-1, 1]),
    ("PMI per byte", ["asked/byte", "alone/byte"], [-1, 1]),
    ("PMI and length, fitted", ["asked", "alone", "bytes"], None),
    ("listed, the letter alone", ["letter"], [-1]),
    ("listed, sum of bits", ["listed"], [-1]),
    ("listed, bits per byte", ["listed/byte"], [-1]),
    ("listed, PMI", ["listed", "alone"], [-1, 1]),
    (SHIPPED + ", fitted", ["listed", "alone", "bytes"], None),
]
Row = tuple[str, str, float, float, float, int]  # part, what, value, low, high, of how many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--model", default="tcm")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--parts", default="choose,fill,judge")
    parser.add_argument(
        "--limit", type=int, default=10**9, help="questions, blanks and statements, for a try"
    )
    options = parser.parse_args()
    model, rows = Model.load(options.model), []
    measure = {"choose": bench_choose, "fill": bench_fill, "judge": bench_judge}
    for part in options.parts.split(","):
        started = time.process_time()
        rows += measure[part](model, options.corpora, options.limit)
        print(f"\n({part}: {time.process_time() - started:.0f} s of one core)\n")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["model", "part", "what", "value", "low", "high", "count"])
            writer.writerows([model.hash, *row] for row in rows)


def table(title: str, rows: Sequence[Row]) -> None:
    print(f"| {title} | | 95 % |\n|---|---|---|")
    for _, what, value, low, high, _ in rows:
        print(f"| {what} | {value:.3f} | {low:.3f}–{high:.3f} |")


def share(part: str, what: str, hits: int, count: int) -> Row:
    return (part, what, hits / count, *wilson(hits, count), count)


# choose


def columns(model: Model, one: Question) -> dict[str, Floats]:
    """Everything that the rules weigh, for each choice."""
    costs = choose.costs_of_choices(model, one.question, one.choices)
    asked = model.session()
    asked.feed(USER_MARK + one.question.encode() + ASSISTANT_MARK + choose.PROMPT.encode())
    lines = [one.question, *(f"{chr(65 + i)}. {choice}" for i, choice in enumerate(one.choices))]
    listed = model.session()
    listed.feed(USER_MARK + "\n".join(lines).encode() + ASSISTANT_MARK + choose.PROMPT.encode())
    found = {
        "listed": np.array(costs.listed),
        "alone": np.array(costs.alone),
        "bytes": np.array(costs.sizes, float),
        "asked": np.array([bits.sum() for bits in asked.bits_each(one.choices)]),
        "letter": np.array(
            [b.sum() for b in listed.bits_each([chr(65 + i) for i in range(len(one.choices))])]
        ),
    }
    characters = np.array([len(choice) for choice in one.choices], float)
    found["asked/character"] = found["asked"] / characters
    for name in ("asked", "alone", "listed"):
        found[f"{name}/byte"] = found[name] / found["bytes"]
    return found


def bench_choose(model: Model, corpora: Path, limit: int) -> list[Row]:
    train = questions(corpora / "tcm-exam.train.jsonl")[:limit]
    known = [columns(model, one) for one in train]
    answers = [one.answer for one in train]
    print("Rules of choosing on tcm-exam.train, cross-validated:\n")
    rows = [rule_accuracy(known, answers, *rule) for rule in RULES]
    table("rule", rows)
    fitted = fit_choice([_stack(k, ["listed", "alone", "bytes"]) for k in known], answers)
    print(
        f"\nFitted on all of train: {-fitted[1] / fitted[0]:.2f} of the answer alone and"
        f" {-fitted[2] / fitted[0]:.2f} bits a byte; the engine has {choose.WITHOUT_QUESTION} and"
        f" {choose.ALLOWANCE}.\n\ntcm-exam.dev:\n"
    )
    dev = questions(corpora / "tcm-exam.dev.jsonl")[:limit]
    chosen = [model.choose(one.question, one.choices).answer for one in dev]
    longest = [max(range(len(one.choices)), key=lambda i: len(one.choices[i])) for one in dev]
    chance = sum(1 / len(one.choices) for one in dev)
    on_dev = [
        ("choose dev", "random", chance / len(dev), *wilson(round(chance), len(dev)), len(dev)),
        share("choose dev", "longest answer", _hits(longest, dev), len(dev)),
        share(
            "choose dev", "retrieval, BM25 over tcm-books.train", _hits(retrieve(corpora, dev), dev), len(dev)
        ),
        share("choose dev", f"`plm choose` ({SHIPPED})", _hits(chosen, dev), len(dev)),
    ]
    table("answered by", on_dev)
    return rows + on_dev


def rule_accuracy(
    known: list[dict[str, Floats]], answers: list[int], name: str, names: list[str], given: list[float] | None
) -> Row:
    features = [_stack(k, names) for k in known]
    fold = np.random.default_rng(0).integers(0, FOLDS, len(known))
    hits = 0
    for number in range(FOLDS):
        rest = np.flatnonzero(fold != number)
        weights = np.array(
            given or fit_choice([features[i] for i in rest], [answers[i] for i in rest]), float
        )
        hits += sum(
            int(np.argmax(features[i] @ weights) == answers[i]) for i in np.flatnonzero(fold == number)
        )
    return share("choose train", name, hits, len(known))


def retrieve(corpora: Path, asked: Sequence[Question]) -> list[int]:
    """The choice that, together with the question, has the highest score in any paragraph of the books."""
    queries = [one.question + "\n" + "\n".join(one.choices) for one in asked]
    with lzma.open(corpora / "tcm-books.train.txt.xz", "rt", encoding="utf-8") as text:
        index = Index(text.read(), queries)
    found = []
    for one in asked:
        base = index.scores(one.question)
        best = [float((base + index.scores(choice)).max()) for choice in one.choices]
        found.append(int(np.argmax(best)))
    return found


def _hits(chosen: Sequence[int], asked: Sequence[Question]) -> int:
    return sum(place == one.answer for place, one in zip(chosen, asked, strict=True))


def _stack(known: dict[str, Floats], names: list[str]) -> Floats:
    return np.stack([known[name] for name in names], axis=1)


# fill


def bench_fill(model: Model, corpora: Path, limit: int) -> list[Row]:
    cut = blanks(corpora / "tcm-books.valid.txt.xz", min(500, limit), seed=1)
    found = [[one.text for one in model.fill(b.before + "____" + b.after).gaps[0]] for b in cut]
    pairs = list(zip(cut, found, strict=True))
    print("Blanks of 1 to 4 characters cut from tcm-books.valid:\n")
    print("| blanks | first right | one of the first five |\n|---|---|---|")
    rows: list[Row] = []
    for size in (0, 1, 2, 3, 4):
        those = [(b, texts) for b, texts in pairs if size in (0, len(b.word))]
        if not those:
            continue
        name = f"of {size} characters" if size else "all"
        first = sum(texts[0] == b.word for b, texts in those)
        five = sum(b.word in texts[:5] for b, texts in those)
        rows.append(share("fill", f"{name}, first", first, len(those)))
        rows.append(share("fill", f"{name}, first five", five, len(those)))
        shown = [f"{r[2]:.3f} ({r[3]:.3f}–{r[4]:.3f})" for r in rows[-2:]]
        print(f"| {name} ({len(those)}) | {shown[0]} | {shown[1]} |")
    return rows


# judge


def bench_judge(model: Model, corpora: Path, limit: int) -> list[Row]:
    train = statements(questions(corpora / "tcm-exam.train.jsonl"), seed=2)[: min(250, limit)]
    dev = statements(questions(corpora / "tcm-exam.dev.jsonl"), seed=2)[: min(400, limit)]
    ahead = _ahead(model, train, lambda one: [])
    flat, truth = ahead.ravel(), np.tile([True, False], len(train))
    offset, slope = (value / np.log(2) for value in fit_logistic(flat, truth))
    print(
        f"\nCalibrated on {len(flat)} statements of tcm-exam.train: offset {offset:.3f}, slope {slope:.4f};"
        f" the engine has {judge.OFFSET} and {judge.LOG_ODDS_A_BIT}."
        f"\n\nStatements of tcm-exam.dev, right and wrong,"
        f" area under the curve:\n"
    )
    rows = []
    for what, against in (
        ("contrasts found by the engine", lambda one: []),
        ("the other answers given as contrasts", lambda one: one.others),
    ):
        found = _ahead(model, dev, against)

        def area(drawn: np.ndarray, found: Floats = found) -> float:
            return area_under_curve(found[drawn, 0], found[drawn, 1])

        rows.append(("judge dev", what, area(np.arange(len(dev))), *bootstrap(area, len(dev)), 2 * len(dev)))
    table("`plm judge`", rows)
    return rows


def _ahead(model: Model, pairs: Sequence[tuple], against: Callable) -> Floats:
    """Bits by which the statements of each pair are ahead of their best contrasts, [pairs, 2]."""
    judged = [[model.judge(one.text, against(one)) for one in pair] for pair in pairs]
    return np.array([[one.bits - one.contrast_bits for one in pair] for pair in judged])


if __name__ == "__main__":
    main()
