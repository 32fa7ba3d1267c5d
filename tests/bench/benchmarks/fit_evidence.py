"""Fit engine/grounding/evidence.json on examination questions: `tcm-exam.train.jsonl`.

Choices: a softmax over the choices of a question (conditional logit, McFadden 1974). Statements: question and
choice as one sentence, right or wrong, by a logistic curve. Both by Newton's method with a ridge, which five-
fold cross-validation chooses; questions that share their wording are in one fold, and are no precedents of
each other. Features are divided by their spread for the fit, and the weights written for the features as they
are.

    python -m tests.bench.benchmarks.fit_evidence --corpora FOLDER --library FOLDER [--keep FILE] [--write]

The features take some 0.2 s a question. With --keep they are kept in files that begin so, and a fit that was
broken off goes on from there.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import Model, grounding
from engine.grounding import evidence, precedents, wording
from engine.grounding.shelf import Shelf
from engine.library import Library
from engine.library.cutting import normalise
from tests.bench.studies.likelihood_data import Question, questions, statements

RIDGES = (10.0, 30.0, 100.0, 300.0, 1000.0)
FOLDS = 5
ALIKE = 0.6  # of the shorter question's runs of three characters
# Of the few questions for the exception little can be learned.
OF_EXCEPTIONS = ("product_all", "product_five", "relative_length", "middle", "last", "bits")
Floats = NDArray[np.float64]


class Wordings:
    """Questions by their runs of three characters, to find those that share most of them."""

    def __init__(self, asked: Sequence[str]) -> None:
        self.sizes: list[int] = []
        self.holders: dict[str, list[int]] = defaultdict(list)
        for number, runs in enumerate(map(_runs, asked)):
            self.sizes.append(len(runs))
            for run in runs:
                self.holders[run].append(number)

    def alike(self, text: str) -> list[int]:
        """The questions that share as many runs with a text as ALIKE says."""
        runs = _runs(text)
        shared = Counter(other for run in runs for other in self.holders.get(run, ()))
        return [
            other for other, count in shared.items() if count >= ALIKE * min(len(runs), self.sizes[other])
        ]

    def groups(self, asked: Sequence[str]) -> NDArray[np.int64]:
        """For each of the questions that it was made of, the first of those that it is like, by any way."""
        group = list(range(len(asked)))

        def root(number: int) -> int:
            while group[number] != number:
                number = group[number]
            return number

        for number, text in enumerate(asked):
            for other in self.alike(text):
                one, two = sorted((root(number), root(other)))
                group[two] = one
        return np.array([root(number) for number in range(len(asked))])


def groups(asked: Sequence[str]) -> NDArray[np.int64]:
    """A number for each question; those that share most of their wording have the same."""
    return Wordings(asked).groups(asked)


def _runs(text: str) -> set[str]:
    bare = "".join(c for c in normalise(text) if c.isalnum())
    return {bare[i : i + 3] for i in range(max(1, len(bare) - 2))}


def kept(path: Path | None, count: int, compute: Callable[[int], Any]) -> Iterator[Any]:
    """`compute` of each number; what a file holds of it is read, and what is new added."""
    known = path.read_text("utf-8").splitlines() if path and path.is_file() else []
    yield from map(json.loads, known[:count])
    for number in range(len(known), count):
        result = compute(number)
        if path:
            with path.open("a", encoding="utf-8") as file:
                print(json.dumps(result), file=file)
        yield result


class Choices:
    """Questions as a table of features against the mean of each question's choices, [questions, choices,
    features]; `mask` says which choices there are."""

    def __init__(self, names: Sequence[str], found: Sequence[Any], answers: Sequence[int]) -> None:
        most = max(map(len, found))
        self.names = names
        self.table = np.zeros((len(found), most, len(names)))
        self.mask = np.zeros((len(found), most), bool)
        for number, rows in enumerate(found):
            values = np.array([[row[name] for name in names] for row in rows])
            self.table[number, : len(rows)] = values - values.mean(0)
            self.mask[number, : len(rows)] = True
        self.spread = self.table[self.mask].std(0) + 1e-9
        self.table /= self.spread
        self.answers = np.array(answers)

    def shares(self, weights: Floats, which: NDArray[Any]) -> Floats:
        odds = np.where(self.mask[which], self.table[which] @ weights, -1e9)
        share = np.exp(odds - odds.max(1, keepdims=True))
        return share / share.sum(1, keepdims=True)

    def fit(self, which: NDArray[Any], ridge: float) -> Floats:
        table, answers = self.table[which], self.answers[which]
        weights = np.zeros(table.shape[2])
        for _ in range(12):
            share = self.shares(weights, which)
            mean = np.einsum("nm,nmd->nd", share, table)
            slope = (table[np.arange(len(table)), answers] - mean).sum(0) - ridge * weights
            curve = np.einsum("nm,nmd,nme->de", share, table, table, optimize=True) - mean.T @ mean
            weights = weights + np.linalg.solve(curve + ridge * np.eye(len(weights)), slope)
        return weights

    def judge(self, weights: Floats, which: NDArray[Any]) -> tuple[Floats, Floats]:
        """Log likelihoods of the answers, and whether each is right."""
        share, answers = self.shares(weights, which), self.answers[which]
        return np.log(share[np.arange(len(share)), answers] + 1e-9), share.argmax(1) == answers


class Statements:
    """Statements as a table of features, [statements, features], each pair right and wrong."""

    def __init__(self, names: Sequence[str], found: Sequence[Any]) -> None:
        self.names = names
        rows = np.array([[[row[name] for name in names] for row in pair] for pair in found])
        flat = rows.reshape(-1, len(names))
        self.mean, self.spread = flat.mean(0), flat.std(0) + 1e-9
        self.table = (rows - self.mean) / self.spread

    def fit(self, which: NDArray[Any], ridge: float) -> Floats:
        table = self.table[which].reshape(-1, len(self.names))
        true = np.tile([1.0, 0.0], len(table) // 2)
        weights = np.zeros(table.shape[1])
        for _ in range(12):
            share = 1 / (1 + np.exp(-table @ weights))
            curve = (table * (share * (1 - share))[:, None]).T @ table + ridge * np.eye(len(weights))
            weights = weights + np.linalg.solve(curve, table.T @ (true - share) - ridge * weights)
        return weights

    def judge(self, weights: Floats, which: NDArray[Any]) -> tuple[Floats, Floats]:
        """Log likelihoods of the pairs, and for each the share of all wrong ones that its right one beats."""
        odds = self.table[which] @ weights
        right, wrong = odds[:, 0], odds[:, 1]
        likely = -np.log1p(np.exp(-right)) - np.log1p(np.exp(wrong))
        return likely, (right[:, None] > wrong[None, :]).mean(1)


def fit(what: str, data: Choices | Statements, group: NDArray[np.int64]) -> dict[str, float]:
    """The weights by name, with the ridge under which other folds are likeliest."""
    fold = np.random.default_rng(0).integers(0, FOLDS, group.max() + 1)[group]
    results = []
    for ridge in RIDGES:
        judged = [
            data.judge(data.fit(np.flatnonzero(fold != k), ridge), np.flatnonzero(fold == k))
            for k in range(FOLDS)
        ]
        likely, right = (np.concatenate(parts) for parts in zip(*judged, strict=True))
        results.append((likely.mean(), right.mean(), ridge))
    best = max(results)
    print(f"{what}: {best[1]:.3f} in cross-validation of {len(group)}, ridge {best[2]:g}", flush=True)
    weights = data.fit(np.arange(len(group)), best[2]) / data.spread
    named = {name: round(float(weight), 4) for name, weight in zip(data.names, weights, strict=True)}
    if isinstance(data, Statements):
        named["bias"] = round(float(-data.mean @ weights), 4)
    return named


def fit_choices(asked: list[Question], found: list[Any]) -> dict[str, dict[str, float]]:
    exception = np.array([wording.asks_for_exception(one.question) for one in asked])
    out = {}
    for what, which, names in (
        ("choose", np.flatnonzero(~exception), evidence.FEATURES),
        ("exception", np.flatnonzero(exception), OF_EXCEPTIONS),
    ):
        data = Choices(names, [found[i] for i in which], [asked[i].answer for i in which])
        out[what] = fit(what, data, groups([asked[i].question for i in which]))
    return out


def fit_statements(pairs: list[Any], found: list[Any]) -> dict[str, float]:
    plain = [i for i, pair in enumerate(pairs) if not any(evidence.denies(one.text) for one in pair)]
    data = Statements(evidence.JUDGED, [found[i] for i in plain])
    return fit("judge", data, groups([pairs[i][0].text for i in plain]))


def pack(train: Sequence[Question]) -> bytes:
    """engine/grounding/data/exam.txt.xz: the questions with their answers, as precedents.py reads them."""
    lines = [
        "\t".join([str(one.answer), *(" ".join(text.split()) for text in (one.question, *one.choices))])
        for one in train
    ]
    return lzma.compress(("\n".join(lines) + "\n").encode(), preset=9 | lzma.PRESET_EXTREME)


def update(rows: list[dict[str, float]], others: list[dict[str, float]]) -> None:
    for row, other in zip(rows, others, strict=True):
        row.update(other)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=1500, help="so many of them")
    parser.add_argument("--statements", type=int, default=600, help="so many pairs of statements")
    parser.add_argument("--model", default="tcm", help="whose bits are a feature")
    parser.add_argument("--keep", type=Path, help="keep the features in FILE.choose, FILE.judge")
    parser.add_argument("--pack", action="store_true", help="write the known questions, and no more")
    parser.add_argument("--write", action="store_true", help="write evidence.json")
    arguments = parser.parse_args()
    data = Path(grounding.__file__).parent
    train = questions(arguments.corpora / "tcm-exam.train.jsonl")
    if arguments.pack:
        (data / "data" / "exam.txt.xz").write_bytes(pack(train))
        return
    shelf, model = Shelf(Library.open(arguments.library)), Model.load(arguments.model)
    asked, pairs = train[: arguments.questions], statements(train, seed=2)[: arguments.statements]

    def weighed(number: int) -> list[dict[str, float]]:
        one = asked[number]
        bits = model.choose(one.question, one.choices).scores
        return [each.features for each in evidence.weigh(shelf, one.question, one.choices, bits)]

    def judged(number: int) -> list[dict[str, float]]:
        return [evidence.judge(shelf, one.text).features for one in pairs[number]]

    keep, known, wordings = arguments.keep, precedents.bundled(), Wordings([one.question for one in train])
    choices = list(kept(keep and keep.with_suffix(".choose"), len(asked), weighed))
    said = list(kept(keep and keep.with_suffix(".judge"), len(pairs), judged))
    # A question is no precedent of itself.
    for one, rows in zip(asked, choices, strict=True):
        update(rows, known.features(one.question, one.choices, wordings.alike(one.question)))
    for pair, rows in zip(pairs, said, strict=True):
        for row, one in zip(rows, pair, strict=True):
            about, claim = evidence.parts(one.text)
            update([row], known.features(about, [claim], wordings.alike(one.text)))
    out = fit_choices(asked, choices) | {"judge": fit_statements(pairs, said)}
    print(json.dumps(out, indent=1))
    if arguments.write:
        (data / "evidence.json").write_text(json.dumps(out, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
