"""Do texts that the model writes on a title keep to it? What is written for `写：TITLE`, 1,500 bytes each.

For each title the books (tcm-books.train) tell which pairs of characters stand in the same paragraphs much
more often than elsewhere: its companions. `kept` is the share of a text's pairs that are companions of its
title, less the share that are companions of the other titles' (which is chance), by fifths of the text;
`repeated` the share of runs of eight characters that stood in the text before, `options` the share of texts
that list an exam's options.

    python -m tests.bench.benchmarks.bench_writing --corpora FOLDER [--model NAME] [--csv FILE] [--show]
"""

from __future__ import annotations

import argparse
import csv
import lzma
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import log
from pathlib import Path
from statistics import fmean

from bot.text.dialogue import FreeWriting, free_writing
from engine import Model, TopE

TITLES = (
    "论咳嗽", "论泄泻", "论失眠", "论头痛", "论消渴", "论水肿", "论中风", "论疟疾", "论痢疾", "论黄疸",
    "论月经不调", "论小儿惊风", "论针灸", "论脉", "论阴阳", "论五脏", "论痘疹", "论痈疽", "小柴胡汤",
    "桂枝汤", "六味地黄丸", "四君子汤", "补中益气汤", "承气汤", "人参", "黄芪", "当归", "附子", "大黄",
    "半夏", "茯苓", "柴胡", "麻黄", "地黄", "甘草", "黄连",
)  # fmt: skip
BYTES, PARTS = 1500, 5
COMPANIONS = 150  # pairs of characters of a title
LEAST = 12  # paragraphs that hold title and pair
SAMPLE = 12  # of so many paragraphs one tells how common a pair is
SEEDS = 3
_OPTION = re.compile(r"^[A-E][.．、]", re.MULTILINE)
_NOT_WORD = re.compile(r"[\W\d_]+")

Writer = Callable[[FreeWriting, int], str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True, help="the folder that holds tcm-books")
    parser.add_argument("--model", default="tcm")
    parser.add_argument("--csv", type=Path, help="write the figures here")
    parser.add_argument("--show", action="store_true", help="print the texts")
    arguments = parser.parse_args()
    companions = companions_of(TITLES, paragraphs(arguments.corpora / "tcm-books.train.txt.xz"))
    texts = written(plainly(Model.load(arguments.model)))
    if arguments.show:
        for title, several in texts.items():
            print(f"== {title}\n{several[0]}\n")
    rows = measure(texts, companions)
    for row in rows:
        print(f"{row[0]:10} {row[1]:10} {row[2]:.3f}")
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("measure", "part", "value"), *rows])


def plainly(model: Model) -> Writer:
    def write(asked: FreeWriting, seed: int) -> str:
        session = model.session()
        session.feed(asked.begin)
        return asked.shown + "".join(session.generate(max_bytes=BYTES, sampler=TopE(), seed=seed))

    return write


def written(write: Writer) -> dict[str, list[str]]:
    """So many texts on each title as there are seeds."""
    asked = {title: free_writing(f"写：{title}") or FreeWriting(title) for title in TITLES}
    return {title: [write(asked[title], seed) for seed in range(SEEDS)] for title in TITLES}


def paragraphs(path: Path) -> Iterator[str]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        yield from lines


def pairs_in(text: str) -> list[str]:
    """Pairs of neighbouring characters, none across a mark or white space."""
    return [run[i : i + 2] for run in _NOT_WORD.split(text) for i in range(len(run) - 1)]


def subject(title: str) -> str:
    return title.removeprefix("论")


def companions_of(titles: Sequence[str], texts: Iterator[str]) -> dict[str, set[str]]:
    """The pairs that stand beside each title's subject, by pointwise mutual information."""
    beside: dict[str, Counter[str]] = {title: Counter() for title in titles}
    holding: Counter[str] = Counter()
    common: Counter[str] = Counter()
    count = 0
    for number, text in enumerate(texts):
        found = [title for title in titles if subject(title) in text]
        if not found and number % SAMPLE:
            continue
        pairs = set(pairs_in(text))
        if number % SAMPLE == 0:
            common.update(pairs)
            count += 1
        for title in found:
            beside[title].update(pairs)
            holding[title] += 1
    chosen = {}
    for title, counts in beside.items():
        own = set(pairs_in(subject(title)))
        weights = {
            pair: together * log(together * count / (holding[title] * (common[pair] + 1)))
            for pair, together in counts.items()
            if together >= LEAST and pair not in own
        }
        chosen[title] = set(sorted(weights, key=lambda pair: -weights[pair])[:COMPANIONS])
    return chosen


def measure(
    texts: dict[str, list[str]], companions: dict[str, set[str]]
) -> list[tuple[str, int | str, float]]:
    kept: dict[int, list[float]] = {part: [] for part in range(PARTS)}
    repeated = []
    for title, several in texts.items():
        for text in several:
            repeated.append(repetition(text))
            size = len(text) // PARTS + 1
            for part in range(PARTS):
                pairs = pairs_in(text[part * size : (part + 1) * size])
                if pairs:
                    others = [share(pairs, companions[other]) for other in texts if other != title]
                    kept[part].append(share(pairs, companions[title]) - fmean(others))
    rows: list[tuple[str, int | str, float]] = [
        ("kept", part + 1, round(fmean(values), 4)) for part, values in kept.items()
    ]
    rows.append(("kept", "all", round(fmean(value for _, _, value in rows), 4)))
    rows.append(("repeated", "all", round(fmean(repeated), 4)))
    options = [bool(_OPTION.search(text)) for several in texts.values() for text in several]
    rows.append(("options", "all", round(fmean(options), 4)))
    return rows


def share(pairs: Sequence[str], of: set[str]) -> float:
    return sum(pair in of for pair in pairs) / len(pairs)


def repetition(text: str) -> float:
    runs = [text[i : i + 8] for i in range(len(text) - 7)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


if __name__ == "__main__":
    main()
