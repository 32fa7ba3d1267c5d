"""How the two indexes that were in question compare: tantivy (the library's) and SQLite's FTS5.

    python -m tests.engine.library.compare_indexes BOOK.txt…

Both get the same passages and the same tokens. Asked are headings, with the words around them that
people write; right is a passage under a heading of that name. One line of JSON each.
"""

from __future__ import annotations

import json
import random
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from engine.library import Library, query
from engine.library.books import read_books
from engine.library.cutting import heading_key, token_text

WORDS = ("{}", "{}的组成", "请问{}由哪些药组成", "{}有什么功效", "{}是什么")


def measure(
    name: str, build_seconds: float, size: int, ask: object, questions: list[tuple[str, str]]
) -> None:
    times, right = [], 0
    for question, key in questions:
        start = time.perf_counter()
        heading = ask(question)  # type: ignore[operator]
        times.append(time.perf_counter() - start)
        right += heading_key(heading.rpartition("/")[2]) == key
    figures = {
        "index": name, "build_cpu_seconds": round(build_seconds, 2), "index_bytes": size,
        "recall_at_1": round(right / len(questions), 3), "median_ms": round(1000 * median(times), 2),
        "p99_ms": round(1000 * quantiles(times, n=100)[98], 2),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
    }  # fmt: skip
    print(json.dumps(figures))


def main(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = Library.open(folder / "library")
        start = time.process_time()
        with library.writer() as writer:
            for path in paths:
                with Path(path).open(encoding="utf-8") as lines:
                    for book in read_books(lines):
                        writer.add_text(book.title, book.author, book.dynasty, book.text, kind="book")
        built = time.process_time() - start
        passages = [passage for source in library.sources() for passage in library.passages(source.id)]
        names = sorted({heading_key(passage.heading.rpartition("/")[2]) for passage in passages} - {""})
        rng = random.Random(1)
        asked = rng.sample(names, min(500, len(names)))
        questions = [(rng.choice(WORDS).format(key), key) for key in asked]
        size = sum(path.stat().st_size for path in folder.rglob("index/*"))
        measure("tantivy", built, size, lambda question: library.search(question, 1)[0].heading, questions)

        start = time.process_time()
        base = sqlite3.connect(folder / "fts.sqlite3")
        base.execute(
            "CREATE VIRTUAL TABLE f USING fts5(title, heading, text, content='', tokenize='unicode61')"
        )
        base.executemany(
            "INSERT INTO f (rowid, title, heading, text) VALUES (?, ?, ?, ?)",
            (
                (n, token_text(passage.book), token_text(passage.heading), token_text(passage.text))
                for n, passage in enumerate(passages)
            ),
        )
        base.execute("INSERT INTO f(f) VALUES ('optimize')")
        base.commit()
        built = time.process_time() - start
        sql = "SELECT rowid FROM f WHERE f MATCH ? ORDER BY bm25(f, 1, 4, 1) LIMIT 1"

        def ask(question: str) -> str:
            words = " OR ".join(f'"{token}"' for token in query.parse(question).fields["text"])
            row = base.execute(sql, (words,)).fetchone()
            return passages[row[0]].heading if row else ""

        measure("fts5", built, (folder / "fts.sqlite3").stat().st_size, ask, questions)


if __name__ == "__main__":
    main(sys.argv[1:])
