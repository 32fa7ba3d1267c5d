"""What a search takes: `python -m tests.engine.library.search_times FOLDER QUESTIONS.jsonl`.

Each line of the file has a "question". Printed are milliseconds, median and 99th percentile, of processor
time and by the clock, and the memory of the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from engine.library import Library


def milliseconds(
    clock: Callable[[], float], ask: Callable[[str], object], questions: list[str]
) -> list[float]:
    times = []
    for question in questions:
        start = clock()
        ask(question)
        times.append(1000 * (clock() - start))
    return [round(median(times), 2), round(quantiles(times, n=100)[98], 2)]


def main(folder: str, file: str) -> None:
    library = Library.open(folder)
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    library.search(questions[0])
    figures = {
        "passages": library.documents,
        "search_cpu_ms": milliseconds(time.process_time, library.search, questions),
        "search_ms": milliseconds(time.perf_counter, library.search, questions),
        "pairs_ms": milliseconds(time.perf_counter, library.pairs, questions),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
