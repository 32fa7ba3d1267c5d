"""Check the bundled question–answer pairs against the books and against the benchmark.

    python -m tests.bench.studies.check_pairs tcm-books.train.txt.xz [classics-qa.dev.jsonl]

The form of the pairs, and the meaning of "near", are those of ``tests/engine/library/check_pairs.py``;
here the books come packed in one file, as the corpus has them. Only the pairs' own wordings are printed,
so that whoever writes pairs does not read the benchmark.

Prints one line for each fault and exits with 1 if there is one; otherwise the counts.
"""

import argparse
import json
import lzma
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.engine.library.check_pairs import PAIRS, faults

# Books are parted by two empty lines and begin with `《title》 dynasty author`.
NEXT_BOOK = re.compile(r"\n\n\n(?=《)")
TITLE = re.compile(r"《([^《》\n]+)》")


def read_text(path: Path) -> str:
    """The text of a file, unpacked where its name ends in .xz."""
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8").read()
    return path.read_text(encoding="utf-8")


def split_books(text: str) -> dict[str, str]:
    """Title → text, the title line included."""
    parts = [part for part in NEXT_BOOK.split(text) if TITLE.match(part)]
    return {TITLE.match(part)[1]: part for part in parts}  # type: ignore[index]


def count(files: list[Path]) -> str:
    """A line for each file: pairs, wordings, quotations; then the most quoted books."""
    lines, books = [], Counter[str]()
    for file in files:
        pairs = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        quotes = [quote for pair in pairs for quote in pair["quotes"]]
        books.update(quote["book"] for quote in quotes)
        wordings = sum(len(pair["questions"]) for pair in pairs)
        lines.append(f"{file.name}: {len(pairs)} pairs, {wordings} wordings, {len(quotes)} quotations")
    lines.append(", ".join(f"{title} {n}" for title, n in books.most_common()))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 where there are faults."""
    parser = argparse.ArgumentParser(description="Check the bundled pairs against books and benchmark.")
    parser.add_argument("books", type=Path)
    parser.add_argument("benchmark", type=Path, nargs="?")
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="folder of .jsonl files")
    given = parser.parse_args(arguments)
    files = sorted(given.pairs.glob("*.jsonl"))
    questions = []
    if given.benchmark:
        questions = [json.loads(line)["question"] for line in read_text(given.benchmark).splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        for title, text in split_books(read_text(given.books)).items():
            (Path(folder) / f"{title}.txt").write_text(text, encoding="utf-8")
        found = list(faults(files, Path(folder), questions))
    print("\n".join(found) if found else count(files))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
