"""The candidate architectures side by side: `make bench-architectures CORPORA=folder`.

Trains every candidate of architectures.toml on one core: with --seconds for equal CPU time, with --bytes for
equally many bytes, with both for one table each. The learning rate falls over the budget, whatever it is.
Then measures bits per byte on slices of the valid text, bytes/s of training, bytes/s of writing (the
trainer's float32 forward pass one patch at a time, so fit to compare candidates, not to say how fast int8
inference is), and how many bytes of state a conversation carries.

A line is added to the CSV as soon as a candidate is done, and what the CSV has is not run again: a bench that
was cut short goes on. Prints the tables in Markdown at the end. CPU time is counted, so a busy machine
disturbs less.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import tomllib
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import _ops, _train
from engine.model.config import ModelConfig
from engine.training.dataset import Text, load_text
from engine.training.recipe import Recipe
from engine.training.run import Budget, Run
from tests.bench.load.record import commit, device

CANDIDATES = Path(__file__).with_name("architectures.toml")
SLICES, SLICE = 20, 16384  # of the valid text, evenly spread
WRITTEN = 900  # bytes of the probe of writing


@dataclass(frozen=True)
class Candidate:
    name: str
    text: str
    config: ModelConfig
    recipe: Recipe


@dataclass(frozen=True)
class Row:
    """One line of the CSV. `budget` is in the unit `by`; rates are bytes per second of CPU time."""

    time: str
    device: str
    commit: str
    name: str
    text: str
    by: str  # seconds or bytes
    budget: int
    parameters: int
    bits_per_byte: float
    seconds: float
    bytes: int
    training: int
    writing: int
    state: int


def load_candidates(path: Path = CANDIDATES) -> list[Candidate]:
    parsed = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Candidate(
            each["name"],
            each["text"],
            ModelConfig(**parsed["model"] | each["model"]),
            Recipe(**parsed["train"] | each.get("train", {})),
        )
        for each in parsed["candidate"]
    ]


def slices_of(text: Text) -> NDArray[np.uint8]:
    starts = np.linspace(0, max(0, len(text.bytes) - SLICE), SLICES).astype(int)
    return np.concatenate([text.bytes[start : start + SLICE] for start in starts])


def train(run: Run, by: str, budget: int) -> tuple[float, int]:
    """(CPU seconds, bytes) used up."""
    seconds, count = 0.0, 0
    while (used := (seconds if by == "seconds" else count) / budget) < 1.0:
        began = time.process_time()
        count += run.trainer.step(run.recipe.rate_at(used, run.trainer.steps))[1]
        seconds += time.process_time() - began
    return seconds, count


def writing_speed(run: Run, text: NDArray[np.uint8]) -> int:
    """Bytes per second of CPU time, the best of three."""
    isa = next(name for name in _train.supported() if name != "avx512bf16")
    weights, sample, best = run.trainer.state()["weights"], text[:WRITTEN], float("inf")
    for _ in range(3):
        began = time.process_time()
        _ops.losses(isa, run.config.to_dict(), weights, sample, 1)
        best = min(best, time.process_time() - began)
    return round(len(sample) / best)


def measure(candidate: Candidate, corpora: Path, by: str, budget: int) -> Row:
    training, valid = (load_text(corpora / f"{candidate.text}.{part}.txt.xz") for part in ("train", "valid"))
    run = Run(
        Path(candidate.name), candidate.name, candidate.config, candidate.recipe, Budget(), [training], [1.0]
    )
    seconds, count = train(run, by, budget)
    held_out = slices_of(valid)
    return Row(
        *(
            datetime.now(UTC).isoformat(timespec="seconds"),
            device(),
            commit(),
            candidate.name,
            candidate.text,
        ),
        *(by, budget, candidate.config.parameters, round(run.trainer.evaluate(held_out), 4)),
        *(round(seconds, 1), count, round(count / seconds), writing_speed(run, held_out)),
        4 * _ops.state_size(candidate.config.to_dict()),
    )


def read_rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    numbers = {"budget": int, "parameters": int, "bits_per_byte": float, "seconds": float, "bytes": int}
    numbers |= {"training": int, "writing": int, "state": int}
    return [Row(**{name: numbers.get(name, str)(value) for name, value in line.items()}) for line in lines]


def add_row(path: Path, row: Row) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))


def tables(rows: list[Row], candidates: list[Candidate]) -> str:
    order = {candidate.name: i for i, candidate in enumerate(candidates)}
    parts = []
    for by, budget in sorted({(row.by, row.budget) for row in rows}, reverse=True):
        said = f"{budget} s of one core" if by == "seconds" else f"{budget / 1e6:g} MB read"
        lines = [
            f"| {said} | text | bits per byte | parameters | MB read | training, bytes/s | writing, bytes/s "
            "| state, bytes |",
            "|---|---|---|---|---|---|---|---|",
        ]
        same = [row for row in rows if (row.by, row.budget) == (by, budget)]
        for r in sorted(same, key=lambda row: order.get(row.name, len(order))):
            lines.append(
                f"| {r.name} | {r.text} | {r.bits_per_byte:.3f} | {r.parameters / 1e6:.2f} M | "
                f"{r.bytes / 1e6:.2f} | {r.training:,} | {r.writing:,} | {r.state:,} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--corpora", type=Path, required=True, help="folder of TEXT.train.txt.xz and TEXT.valid.txt.xz"
    )
    parser.add_argument("--seconds", type=int, help="CPU time for each candidate")
    parser.add_argument("--bytes", type=int, help="bytes read by each candidate")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="candidates whose names contain one of these"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("architectures.csv"))
    options = parser.parse_args(arguments)
    candidates = load_candidates()
    wanted = [c for c in candidates if not options.only or any(part in c.name for part in options.only)]
    for by in ("seconds", "bytes"):
        if not (budget := getattr(options, by)):
            continue
        done = {
            (row.name, row.text) for row in read_rows(options.out) if (row.by, row.budget) == (by, budget)
        }
        for candidate in wanted:
            if (candidate.name, candidate.text) in done:
                continue
            print(f"# {candidate.name}: {budget:,} {by}", file=sys.stderr, flush=True)
            add_row(options.out, measure(candidate, options.corpora, by, budget))
    print(tables(read_rows(options.out), candidates))


if __name__ == "__main__":
    main()
