"""How true the answers are: classics-qa, by kind, beside the plain BM25 passage.

Facts: the share of what a right answer must hold. Whole: answers that hold all of it. Source: answers
with a quotation that overlaps an accepted place, or that holds all facts. Abstained: answerable questions
that got no answer. False: questions without an answer in the books that got one. Verbatim: quotations that
stand in their book character for character. The baseline answers with the best passage, whole, and never
abstains.

    python -m tests.bench.benchmarks.bench_grounded --corpora FOLDER [--library FOLDER] [--csv FILE]
    python -m tests.bench.benchmarks.bench_grounded --corpora FOLDER --library FOLDER --formulas 200
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.emergency import Detector
from engine.grounding import Answer, Answerer, Citation
from engine.library import Library
from engine.library.building import build
from engine.reading import Reader
from tests.bench.benchmarks.formula_lists import bench_formulas
from tests.bench.benchmarks.interval import wilson

QUESTIONS = "classics-qa.dev.jsonl"
MEASURES = ("facts", "whole", "source", "abstained", "false", "emergency", "verbatim")
RUN = 8  # characters in a row that a quotation must share with an accepted one


def bare(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())


def overlaps(quote: str, accepted: str) -> bool:
    quote, accepted = bare(quote), bare(accepted)
    run = min(RUN, len(accepted))
    return any(accepted[i : i + run] in quote for i in range(len(accepted) - run + 1))


def held(facts: Sequence[Sequence[str]], text: str) -> float:
    text = bare(text)
    return sum(any(bare(fact) in text for fact in alternatives) for alternatives in facts) / len(facts)


def measure(question: Mapping[str, Any], answer: Answer, library: Library) -> dict[str, list[float]]:
    """The measures of one answer; a quotation each for `verbatim`, else one value."""
    cited = [float(verbatim(citation, library)) for citation in answer.citations]
    out: dict[str, list[float]] = {} if answer.abstained else {"verbatim": cited}
    if question["answerable"]:
        share = 0.0 if answer.abstained else held(question["facts"], answer.text)
        quotes = [] if answer.abstained else [c.quote for c in answer.citations]
        accepted = [source["quote"] for source in question["sources"]]
        hit = any(any(overlaps(q, a) for a in accepted) or held(question["facts"], q) == 1 for q in quotes)
        out |= {"facts": [share], "whole": [float(share == 1)]}
        out |= {"source": [float(hit)], "abstained": [float(answer.abstained)]}
    else:
        safe = question["kind"] == "emergency" and held(question["facts"], answer.text) == 1
        out["false"] = [float(not answer.abstained and not safe)]
        if question["kind"] == "emergency":
            out["emergency"] = [float(safe)]
    return out


def verbatim(citation: Citation, library: Library) -> bool:
    source = library.source(citation.book)
    return bool(citation.quote) and library.text(source.id, citation.start, citation.end) == citation.quote


def baseline(library: Library) -> Callable[[str, Sequence[Mapping[str, str]]], Answer]:
    """The best passage of a book, whole."""
    books = {source.id for source in library.sources() if source.kind != "pairs"}

    def answer(question: str, history: Sequence[Mapping[str, str]]) -> Answer:
        asked = " ".join([*(turn["content"] for turn in history), question])
        hits = [hit for hit in library.search(asked, 20) if hit.source_id in books][:1]
        cited = [Citation(h.book, h.heading, h.text, h.start, h.end, h.id) for h in hits]
        return Answer(hits[0].text if hits else "", cited, abstained=not hits)

    return answer


def run(
    questions: Sequence[Mapping[str, Any]],
    answer: Callable[[str, Sequence[Mapping[str, str]]], Answer],
    library: Library,
) -> tuple[dict[tuple[str, str], list[float]], list[int], list[float]]:
    """(values by kind and measure, lengths of answers, seconds)"""
    table: dict[tuple[str, str], list[float]] = defaultdict(list)
    lengths: list[int] = []
    seconds: list[float] = []
    for question in questions:
        begun = time.perf_counter()
        given = answer(question["question"], question.get("history") or [])
        seconds.append(time.perf_counter() - begun)
        if not given.abstained:
            lengths.append(len(given.text))
        for name, values in measure(question, given, library).items():
            for kind in ("all", question["kind"]):
                table[kind, name] += values
    return table, lengths, seconds


def rows(who: str, table: Mapping[tuple[str, str], Sequence[float]]) -> list[dict[str, Any]]:
    out = []
    for kind in ["all", *sorted({kind for kind, _ in table} - {"all"})]:
        for name in MEASURES:
            values = table.get((kind, name))
            if values:
                low, high = wilson(sum(values), len(values))
                mean = sum(values) / len(values)
                out.append(
                    {"answers": who, "kind": kind, "measure": name, "percent": round(100 * mean, 1),
                     "low": round(100 * low, 1), "high": round(100 * high, 1), "n": len(values)}
                )  # fmt: skip
    return out


def show(
    who: str, found: Sequence[Mapping[str, Any]], lengths: Sequence[int], seconds: Sequence[float]
) -> None:
    print(f"\n{who}")
    print(f"{'':16}" + "".join(f"{name:>17}" for name in MEASURES))
    cells = {(row["kind"], row["measure"]): f"{row['percent']:.1f} ({row['n']})" for row in found}
    for kind in dict.fromkeys(row["kind"] for row in found):
        print(f"{kind:16}" + "".join(f"{cells.get((kind, name), '-'):>17}" for name in MEASURES))
    slow = sorted(seconds)[int(0.99 * (len(seconds) - 1))]
    print(
        f"median {statistics.median(lengths):.0f} characters; "
        f"median {1000 * statistics.median(seconds):.0f} ms, 99 % within {1000 * slow:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True, help="the folder that holds classics-qa")
    parser.add_argument("--questions", type=Path, help=f"another file of questions [{QUESTIONS}]")
    parser.add_argument("--library", type=Path, help="a library; without it the bundled one is built")
    parser.add_argument("--csv", type=Path, help="write the figures here")
    parser.add_argument("--formulas", type=int, metavar="N", help="herb lists of N formulas instead")
    arguments = parser.parse_args()
    path = arguments.questions or arguments.corpora / QUESTIONS
    questions = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        place = arguments.library or Path(folder)
        if not arguments.library:
            build(place)
        library = Library.open(place)
        answerer = Answerer(library, reader=Reader.load(), detector=Detector.load())
        if arguments.formulas:
            bench_formulas(answerer, arguments.formulas)
            return
        found: list[dict[str, Any]] = []
        for who, answer in (("best passage by BM25", baseline(library)), ("quotations", answerer.answer)):
            table, lengths, seconds = run(questions, answer, library)
            new = rows(who, table)
            show(who, new, lengths, seconds)
            found += new
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)


if __name__ == "__main__":
    main()
