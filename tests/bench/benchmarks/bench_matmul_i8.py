"""How fast the int8 kernels are on one core, as JSON.

`python -m tests.bench.benchmarks.bench_matmul_i8 [--isa NAME]`.

For each shape of the model and each batch, billions of multiply-adds a second; with one row every weight
byte is used once, so the figure is also GB/s of weights. Weights come from a working set of the given size,
as they do in a model: 0.5 MB lies in most L2 caches, 3 MB (a whole model) in L3. NumPy's float32 product on
one thread runs beside each measurement, since shared machines are noisy: quote the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import numpy as np

from engine import _ops
from tests.bench.load.record import commit, device

SHAPES = [(160, 160), (480, 160), (640, 160), (160, 320), (128, 160), (512, 128), (128, 256), (256, 128)]


def numpy_seconds(a: np.ndarray, weights: list[np.ndarray], repeats: int) -> float:
    start = time.perf_counter()
    for i in range(repeats):
        a @ weights[i % len(weights)].T
    return (time.perf_counter() - start) / repeats


def measure(isa: str, N: int, K: int, M: int, working_set: float, rounds: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    a = rng.integers(-127, 128, (M, K), dtype=np.int8)
    b = rng.integers(-127, 128, (N, K), dtype=np.int8)
    copies = max(1, int(working_set * 1e6) // (N * K))
    repeats = max(copies, int(1e8) // (M * N * K))
    wide_a, wide_b = a.astype(np.float32), [b.astype(np.float32) for _ in range(copies)]
    ours, peers = [], []
    for _ in range(rounds):
        ours.append(M * N * K / _ops.matmul_i8_seconds(isa, a, b, copies, repeats) / 1e9)
        peers.append(M * N * K / numpy_seconds(wide_a, wide_b, max(1, repeats // 10)) / 1e9)
    return {
        "gmacs": round(statistics.median(ours), 1),
        "best": round(max(ours), 1),
        "spread": round((max(ours) - min(ours)) / statistics.median(ours), 3),
        "numpy_f32_gmacs": round(statistics.median(peers), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--isa", choices=_ops.kernels_supported(), default=_ops.kernels_supported()[-1])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--working-set", type=float, nargs="+", default=[0.5, 3.0], help="MB of weights")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    results = [
        {"N": N, "K": K, "M": M, "working_set_mb": mb, **measure(options.isa, N, K, M, mb, options.rounds)}
        for mb in options.working_set
        for M in options.batch
        for N, K in SHAPES
    ]
    print(
        json.dumps({"device": device(), "commit": commit(), "isa": options.isa, "results": results}, indent=1)
    )


if __name__ == "__main__":
    main()
