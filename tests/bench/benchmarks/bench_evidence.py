"""Choices, statements and gaps by what the library says: of `tcm-exam.dev.jsonl`, and of held-out books.

Choices: the share that is right, beside chance and the model alone. Statements: the area under the curve of
right and wrong ones, made of question and choice; each pair shares its question, and pairs are drawn for
the interval. Gaps: blanks of one to four characters in `tcm-books.valid`, books that neither the library nor
the model has; the share that is filled with the word that stood there, by the model and by both.

    python -m tests.bench.benchmarks.bench_evidence --corpora FOLDER [--library FOLDER] [--limit 300]
        [--parts choose,judge,fill]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine import GAP, Model
from engine.grounding import evidence
from engine.grounding.shelf import Shelf
from engine.grounding.weighing import weigh_gap
from engine.grounding.wording import asks_for_exception
from engine.library import Library
from engine.library.building import build
from tests.bench.benchmarks.interval import wilson
from tests.bench.studies.likelihood_data import Blank, Question, blanks, questions, statements

DRAWS = 1000


def choices(shelf: Shelf, asked: list[Question], model: Model | None) -> None:
    hits: dict[str, list[bool]] = {
        "the model alone": [],
        "the library alone": [],
        "the library and the model": [],
    }
    seconds = []
    for one in asked:
        bits = model.choose(one.question, one.choices).scores if model else None
        began = time.process_time()
        weighed = evidence.weigh(shelf, one.question, one.choices, bits)
        seconds.append(time.process_time() - began)
        scores = [each.score for each in weighed]
        if bits:
            hits["the model alone"].append(bits.index(max(bits)) == one.answer)
            hits["the library and the model"].append(scores.index(max(scores)) == one.answer)
            without = [each.features | {"bits": 0.0} for each in weighed]
            scores = evidence.scores_of(without, asks_for_exception(one.question))
        hits["the library alone"].append(scores.index(max(scores)) == one.answer)
    print(f"{'choices, by chance':36}{statistics.mean(1 / len(one.choices) for one in asked):.3f}")
    for name, found in hits.items():
        if found:
            low, high = wilson(sum(found), len(found))
            share = sum(found) / len(found)
            print(f"{'choices, ' + name:36}{share:.3f} [{low:.3f}, {high:.3f}] of {len(found)}")
    print(f"processor time: median {1000 * statistics.median(seconds):.0f} ms a question")


def area(right: np.ndarray, wrong: np.ndarray) -> float:
    """The share of right statements that are held likelier than wrong ones."""
    return float(np.mean((right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)))


def judged(shelf: Shelf, asked: list[Question], limit: int) -> None:
    found = np.array(
        [
            [evidence.judge(shelf, one.text).probability for one in pair]
            for pair in statements(asked, 2)[:limit]
        ]
    )
    generator = np.random.default_rng(0)
    drawn = [found[generator.integers(0, len(found), len(found))] for _ in range(DRAWS)]
    low, high = np.quantile([area(one[:, 0], one[:, 1]) for one in drawn], (0.025, 0.975))
    value = area(found[:, 0], found[:, 1])
    print(f"{'statements, area by chance':36}0.500")
    print(f"{'statements, area':36}{value:.3f} [{low:.3f}, {high:.3f}] of {len(found)} pairs")


def filled(shelf: Shelf, model: Model, cut: list[Blank]) -> None:
    hits: dict[str, list[bool]] = {"the model alone": [], "the library and the model": []}
    sizes = [len(one.word) for one in cut]
    seconds = []
    for one in cut:
        text = one.before + GAP + one.after
        alone = model.fill(text).to_dict()
        said = [alone]

        def ask(kind: str, fields: Mapping[str, Any], said: list[Any] = said) -> dict[str, Any]:
            said.append(model.fill(**fields).to_dict())
            return said[-1]

        began = time.process_time()
        weighed = weigh_gap(shelf, text, ask)
        seconds.append(time.process_time() - began)
        both = weighed.answer if weighed else said[-1]
        right = one.before + one.word + one.after
        hits["the model alone"].append(alone["text"] == right)
        hits["the library and the model"].append(both["text"] == right)
    for name, found in hits.items():
        for size in (0, 1, 2, 3, 4):
            those = [hit for hit, length in zip(found, sizes, strict=True) if size in (0, length)]
            if not those:
                continue
            low, high = wilson(sum(those), len(those))
            what = f"gaps{f' of {size}' if size else ''}, {name}"
            print(f"{what:36}{sum(those) / len(those):.3f} [{low:.3f}, {high:.3f}] of {len(those)}")
    print(f"processor time: median {1000 * statistics.median(seconds):.0f} ms a gap")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True, help="the folder that holds tcm-exam")
    parser.add_argument("--library", type=Path, help="a library; without it the bundled one is built")
    parser.add_argument("--model", default="tcm", help="none for none")
    parser.add_argument("--limit", type=int, default=10**9, help="questions, and half as many pairs")
    parser.add_argument("--parts", default="choose,judge,fill")
    parser.add_argument("--seed", type=int, default=1, help="of the blanks")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    asked = questions(arguments.corpora / "tcm-exam.dev.jsonl")
    model = None if arguments.model == "none" else Model.load(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.library:
            build(Path(folder))
        shelf = Shelf(Library.open(arguments.library or Path(folder)))
        if "choose" in parts:
            choices(shelf, asked[: arguments.limit], model)
        if "judge" in parts:
            judged(shelf, asked, min(400, arguments.limit // 2 or 1))
        if "fill" in parts and model:
            books = arguments.corpora / "tcm-books.valid.txt.xz"
            filled(shelf, model, blanks(books, min(500, arguments.limit), arguments.seed))


if __name__ == "__main__":
    main()
