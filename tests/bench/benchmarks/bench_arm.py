"""Instructions that 64-bit Arm executes at each level, counted under qemu: a table for engine/BENCHMARKS.md.

Counts say how much work a level saves, not how fast a processor is: how many of the instructions it executes
at once, and how long memory takes, they leave out. Usage: python -m tests.bench.benchmarks.bench_arm
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from engine.model.catalog import find_model
from engine.model.checkpoint import read_model
from tests.arm import cross

LEVELS = ("portable", "neon", "dotprod", "i8mm")
TRAINING = ("portable", "neon", "neonbf16")
PROMPT = "黃帝問於岐伯曰：人生有形，不離陰陽。天地合氣，別為九野，分為四時。"
LAYER = "480,160"  # N, K of a layer of `tcm`


def row(what: str, counts: list[float]) -> str:
    cells = [f"{counts[0]:,.0f}", *(f"{n:,.0f} ({counts[0] / n:.1f})" for n in counts[1:])]
    return " | ".join([f"| {what}", *cells]) + " |"


def head(levels: tuple[str, ...]) -> str:
    return "| " + " | ".join(["", *levels]) + " |\n" + "|---" * (len(levels) + 1) + "|"


def main() -> None:
    if cross.missing() or cross.HERE:
        raise SystemExit(f"bench_arm: {cross.missing() or 'counts under qemu, elsewhere than on Arm'}")
    with tempfile.TemporaryDirectory() as folder:
        program = cross.build(Path(folder))
        models = [
            cross.dump(read_model(find_model("tcm")), prompt, Path(folder) / f"model{len(prompt)}")
            for prompt in (PROMPT.encode(), PROMPT[:1].encode())
        ]
        print(head(LEVELS))
        for rows in (1, 4, 32):
            counts = [cross.count(program, f"matmul_i8:{rows},{LAYER}", isa) for isa in LEVELS]
            print(row(f"int8 product of {rows} × 160 by 160 × 480", counts), flush=True)
        writes = [cross.count(program, "write", isa, models[1], repeats=(1, 5)) / 12 for isa in LEVELS]
        print(row("a byte written, one stream", writes), flush=True)
        reads = [cross.count(program, "read", isa, models[0]) / len(PROMPT.encode()) for isa in LEVELS]
        print(row("a byte of a prompt read", reads), flush=True)
        print(f"\n{head(TRAINING)}")
        counts = [cross.count(program, "train:96,480,160", isa) for isa in TRAINING]
        print(row("the three products of a layer", counts))


if __name__ == "__main__":
    main()
