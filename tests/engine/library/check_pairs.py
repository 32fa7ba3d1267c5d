"""Check the bundled question–answer pairs.

    python tests/engine/library/check_pairs.py [--books FOLDER] [--benchmark FILE.jsonl] [PAIRS.jsonl …]

Without files: all of engine/library/pairs/. `--books` holds the classics as TITLE.txt and lets the
quotations be compared letter by letter. `--benchmark` is a file of questions that no wording may repeat:
one JSON object a line with `question`. Prints one line a fault and exits with 1 where there is any.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

PAIRS = Path(__file__).resolve().parents[3] / "engine" / "library" / "pairs"
FIELDS = {"id": str, "topic": str, "questions": list, "answer": str, "quotes": list}
WORDINGS = range(4, 9)
QUOTES = range(1, 4)
QUOTE_LENGTHS = range(8, 121)  # a title line is short
LONGEST_ANSWER = 120
NEAR = 0.8
# A number before a measure: 三钱, 10克. 合 is left out for 百合 and 六合汤.
DOSE = re.compile(
    r"[0-9０-９一二三四五六七八九十百半数几]\s*(?:钱|两(?![侧胁边种样个])|克|斤|分(?!之)|升|毫升|毫克|g|mg|ml)"
)


def letters(text: str) -> str:
    """The text without punctuation, spaces and case."""
    return "".join(c for c in text.lower() if c.isalnum())


def pairs_of(text: str) -> Counter[str]:
    """Pairs of neighbouring characters, with their number."""
    plain = letters(text)
    return Counter(a + b for a, b in pairwise(plain)) or Counter([plain])


def is_near(wording: str, question: str) -> bool:
    """Whether a wording has at least NEAR of a question's pairs, or both share NEAR of theirs."""
    ours, theirs = pairs_of(wording), pairs_of(question)
    shared = (ours & theirs).total()
    return shared >= NEAR * theirs.total() or 2 * shared >= NEAR * (ours.total() + theirs.total())


@cache
def text_of(books: Path, title: str) -> str | None:
    """The text of a book, or None where the folder lacks it."""
    path = books / f"{title}.txt"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def faults_of_pair(pair: object, books: Path | None) -> Iterator[str]:
    """What is wrong with one pair by itself."""
    if not isinstance(pair, dict) or set(pair) != set(FIELDS):
        yield f"the fields must be {', '.join(FIELDS)}"
        return
    wrong = [name for name, kind in FIELDS.items() if not isinstance(pair[name], kind) or not pair[name]]
    if wrong:
        yield f"empty or of the wrong kind: {', '.join(wrong)}"
        return
    if len(pair["questions"]) not in WORDINGS:
        yield f"{len(pair['questions'])} wordings"
    if len(pair["answer"]) > LONGEST_ANSWER:
        yield f"an answer of {len(pair['answer'])} characters"
    if dose := DOSE.search(pair["answer"]):
        yield f"the answer names a dose: {dose.group()}"
    if len(pair["quotes"]) not in QUOTES:
        yield f"{len(pair['quotes'])} quotations"
    for quote in pair["quotes"]:
        yield from faults_of_quote(quote, books)


def faults_of_quote(quote: object, books: Path | None) -> Iterator[str]:
    """What is wrong with one quotation."""
    if not isinstance(quote, dict) or set(quote) != {"book", "quote"}:
        yield f"a quotation must have book and quote: {quote}"
        return
    if len(quote["quote"]) not in QUOTE_LENGTHS:
        yield f"a quotation of {len(quote['quote'])} characters: {quote['quote']}"
    if books is None:
        return
    text = text_of(books, quote["book"])
    if text is None:
        yield f"no book {quote['book']}"
    elif quote["quote"] not in text:
        yield f"not in 《{quote['book']}》: {quote['quote']}"


def faults(files: Iterable[Path], books: Path | None = None, questions: Iterable[str] = ()) -> Iterator[str]:
    """All faults of all files, each `FILE:LINE id: what`; wordings and ids must be unique over the files."""
    benchmark = list(questions)
    wordings: dict[str, str] = {}
    names: set[str] = set()
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            place = f"{file.name}:{number}"
            try:
                pair = json.loads(line)
            except ValueError as error:
                yield f"{place}: no JSON: {error}"
                continue
            found = list(faults_of_pair(pair, books))
            yield from (f"{place}: {fault}" for fault in found)
            if not isinstance(pair, dict) or not isinstance(pair.get("questions"), list):
                continue
            name = str(pair.get("id"))
            if name in names:
                yield f"{place}: the id {name} is taken"
            names.add(name)
            for wording in pair["questions"]:
                if (key := letters(wording)) in wordings:
                    yield f"{place}: {wording!r} is also in {wordings[key]}"
                wordings[key] = place
                yield from (
                    f"{place}: {wording!r} is near a question of the benchmark"
                    for question in benchmark
                    if is_near(wording, question)
                )


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 where there are faults."""
    parser = argparse.ArgumentParser(description="Check question–answer pairs.")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--books", type=Path)
    parser.add_argument("--benchmark", type=Path)
    given = parser.parse_args(arguments)
    files = given.files or sorted(PAIRS.glob("*.jsonl"))
    questions = []
    if given.benchmark:
        lines = given.benchmark.read_text(encoding="utf-8").splitlines()
        questions = [json.loads(line)["question"] for line in lines]
    found = list(faults(files, given.books, questions))
    for fault in found:
        print(fault)
    print(f"{len(found)} faults in {len(files)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
