"""What the kernels could reach: bytes moved and operations done, kernel by kernel, against devices' limits.

    python -m tests.cuda.estimate > cuda/ESTIMATE.md     for the bundled tcm
    python -m tests.cuda.estimate zh                     for another config

A kernel takes at least the longer of its bytes over the memory's bandwidth and its operations over the unit's
rate, and a launch costs LAUNCH besides. Every operand is counted once, as if what several blocks read came
from L2; where few blocks share the work, what L2 hands to their multiprocessors counts too. So these are
bounds, not measurements.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from engine.model.config import ModelConfig, is_matrix

from .build import ROOT

LAUNCH = 2e-6  # seconds from one kernel to the next in a stream, about what is seen on all three
BYTES_A_PATCH = 3  # Chinese
ROWS = 16  # of a block of trunk_step and head_step


@dataclass(frozen=True)
class Gpu:
    """A data sheet: GB/s of memory, 1e12 operations a second, dense, multiprocessors and their GHz."""

    name: str
    memory: float
    bf16: float
    f32: float
    int8: float
    processors: int
    clock: float

    def seconds(self, k: Kernel) -> float:
        busy = min(k.blocks or self.processors, self.processors)
        cached = k.cached / (busy * 64 * self.clock * 1e9)  # L2 hands 64 bytes a clock to each
        rate = getattr(self, k.unit) * 1e12 * busy / self.processors
        return max(k.bytes / self.memory / 1e9, k.ops / rate, cached)


# NVIDIA's data sheets: A100 SXM 40 GB; GeForce RTX 3060 12 GB (bf16 with float32 sums); H100 SXM.
GPUS = (
    Gpu("A100", 1555, 312, 19.5, 624, 108, 1.41),
    Gpu("RTX 3060", 360, 25.5, 12.7, 102, 28, 1.78),
    Gpu("H100", 3350, 989, 67, 1979, 132, 1.83),
)


@dataclass(frozen=True)
class Kernel:
    """All launches of one kernel in a step."""

    name: str
    launches: int
    bytes: float
    ops: float
    unit: str = "f32"
    blocks: int = 0  # that share the work; 0: more than enough
    cached: float = 0  # bytes that they read from L2


def linear(M: int, N: int, K: int) -> list[Kernel]:
    """A linear layer in training: operands turned into bf16, the product and both gradients."""
    return [
        Kernel("to_bf16", 3, 6 * (M * K + M * N + N * K), M * K + M * N + N * K),
        Kernel("matmul_bf16_forward", 1, 2 * (M * K + N * K) + 4 * M * N, 2 * M * N * K, "bf16"),
        Kernel("matmul_bf16_backward_input", 1, 2 * (M * N + N * K) + 4 * M * K, 2 * M * N * K, "bf16"),
        Kernel("matmul_bf16_backward_weight", 1, 2 * (M * N + M * K) + 8 * N * K, 2 * M * N * K, "bf16"),
    ]


def norm(M: int, D: int) -> list[Kernel]:
    return [
        Kernel("rmsnorm_forward", 1, 4 * 2 * M * D, 4 * M * D),
        Kernel("rmsnorm_backward", 2, 4 * 4 * M * D, 12 * M * D),
    ]


def swiglu(M: int, width: int, hidden: int) -> list[Kernel]:
    return [
        *norm(M, width),
        *linear(M, 2 * hidden, width),
        Kernel("swiglu_forward", 1, 4 * 3 * M * hidden, 20 * M * hidden),
        Kernel("swiglu_backward", 1, 4 * 5 * M * hidden, 30 * M * hidden),
        *linear(M, width, hidden),
    ]


def gather(M: int, D: int, tables: int) -> list[Kernel]:
    return [
        Kernel("embedding_forward", tables, 4 * 3 * M * D * tables, M * D * tables),
        Kernel("embedding_backward", tables, 4 * 2 * M * D * tables, M * D * tables),
    ]


def mixer(c: ModelConfig, layer: int, B: int, length: int) -> list[Kernel]:
    M, D = B * length, c.width
    around = [
        *norm(M, D),
        Kernel("conv_forward", 1, 4 * 2 * M * D, 6 * M * D),
        Kernel("conv_backward", 2, 4 * 3 * M * D, 12 * M * D),
    ]
    if c.mixers[layer % len(c.mixers)] == "a":
        row, inner, seen = (c.heads + 2) * c.head_size, c.heads * c.head_size, c.heads * c.window
        products = 2 * M * seen * c.head_size
        return [
            *around,
            *linear(M, row, D),
            Kernel("attention_forward", 1, 4 * M * (row + inner + 3 * seen), 2 * products),
            Kernel("attention_backward", 3, 4 * M * (2 * row + 2 * inner + 6 * seen), 4 * products),
            *linear(M, D, inner),
        ]
    R = c.state
    return [
        *around,
        *linear(M, 3 * R, D),
        Kernel("scan_forward", 1, 4 * M * R * (3 + 3 + 3), 30 * M * R),
        Kernel("scan_backward", 2, 4 * M * R * (3 + 3 + 5 + 3), 40 * M * R),
        *linear(M, D, R),
    ]


def training_step(c: ModelConfig, batch_size: int, length: int) -> Iterator[Kernel]:
    M, N = batch_size * length, BYTES_A_PATCH * batch_size * length
    E = c.embedding or c.width
    yield from gather(M, E, 2 + bool(c.bigrams) + bool(c.trigrams))
    if c.embedding:
        yield from linear(M, c.width, E)
    for layer in range(c.layers):
        yield from mixer(c, layer, batch_size, length)
        yield from swiglu(M, c.width, c.hidden)
    yield from norm(M, c.width)
    yield from linear(M, c.views * c.head_width, c.width)
    if c.skip:
        yield from linear(M, c.views * c.head_width, E)
    yield from gather(N, c.head_width, 3 + 2 * bool(c.prefixes))
    for _ in range(c.head_layers):
        yield from swiglu(N, c.head_width, c.head_hidden)
    yield from norm(N, c.head_width)
    yield from linear(N, 256, c.head_width)
    yield Kernel("cross_entropy_forward", 1, 4 * N * 256, 20 * N * 256)
    yield Kernel("cross_entropy_backward", 1, 8 * N * 256, 25 * N * 256)
    yield from update(c)


def update(c: ModelConfig) -> Iterator[Kernel]:
    rest, count, others = c.parameters, 0, 0
    for name, shape in c.tensors.items():
        if not is_matrix(name, shape) or any(word in name for word in ("embedding", "prefix", "head.out")):
            others += 1  # AdamW's
            continue
        # Muon takes each matrix of a stack by itself: gates, values and outputs are not one matrix.
        stacks = {"recurrence.in": 3, "attention.in": c.heads + 2, "up": 2, "base": c.views, "skip": c.views}
        stacked = next((n for end, n in stacks.items() if name.endswith(f".{end}")), 1)
        rows, columns = shape[0] // stacked, shape[1]
        rest -= shape[0] * columns
        count, side, n = count + stacked, min(rows, columns), rows * columns
        flops = stacked * 5 * (2 * 2 * n * side + 2 * side**3)
        moved = stacked * 4 * (5 * (3 * n + 4 * side * side) + 7 * n)
        yield Kernel("muon_update", 0, moved, flops)
    yield Kernel("muon_update", 16 * -(-count // 48), 0, 0)
    yield Kernel("adamw_update", others, 4 * 7 * rest, 15 * rest)
    yield Kernel("sum_of_squares", 2, 4 * c.parameters, 2 * c.parameters)


def decode_step(c: ModelConfig, b: int) -> Iterator[Kernel]:
    """One character of each of b texts: a launch for the head and all bytes, one for the trunk.

    Each block reads all the weights, for its texts alone.
    """
    attention = [c.mixers[layer % len(c.mixers)] for layer in range(c.layers)].count("a")
    history = 2 * 2 * c.width * c.layers
    ring = attention * (2 * c.head_size + 4) * c.window
    state = 4 * c.state * (c.layers - attention) + history + ring + 4 * c.views * c.head_width
    blocks, (trunk, head) = -(-b // ROWS), c.step_weights
    rows = blocks * ROWS

    def step(name: str, weights: int, moved: int, times: int) -> Kernel:
        ops = times * 2 * rows * weights
        return Kernel(name, 1, weights + moved, ops, "int8", blocks, blocks * times * weights)

    yield step("trunk_step", trunk, 2 * b * state, 1)
    yield step("head_step", head, b * 4 * c.head_width * BYTES_A_PATCH, BYTES_A_PATCH)


def merged(kernels: Iterator[Kernel]) -> list[Kernel]:
    """One line for each name, in the order of the first."""
    all_of: dict[str, Kernel] = {}
    for k in kernels:
        old = all_of.get(k.name, Kernel(k.name, 0, 0, 0, k.unit))
        all_of[k.name] = replace(
            k, launches=old.launches + k.launches, bytes=old.bytes + k.bytes, ops=old.ops + k.ops
        )
    return list(all_of.values())


def table(kernels: list[Kernel], text_bytes: int) -> str:
    """Microseconds for each kernel; on an A100 bounded by memory (m), arithmetic (c), or L2 (l)."""
    lines = ["| kernel | launches | MB | Gop | " + " | ".join(f"{g.name}, µs" for g in GPUS) + " |"]
    lines.append("|" + "---|" * (4 + len(GPUS)))
    for k in kernels:
        alone = {"m": replace(k, ops=0, cached=0), "c": replace(k, bytes=0, cached=0)}
        alone["l"] = replace(k, bytes=0, ops=0)
        bound = max(alone, key=lambda what: GPUS[0].seconds(alone[what]))
        times = " | ".join(f"{g.seconds(k) * 1e6:,.1f}" for g in GPUS)
        lines.append(
            f"| {k.name} ({bound}) | {k.launches} | {k.bytes / 1e6:,.1f} | {k.ops / 1e9:,.2f} | {times} |"
        )
    launches = sum(k.launches for k in kernels)
    waiting = " | ".join([f"{launches * LAUNCH * 1e6:,.0f}"] * len(GPUS))
    busy = [sum(g.seconds(k) for k in kernels) for g in GPUS]
    lines.append(f"| launching, {LAUNCH * 1e6:g} µs each | {launches} | | | " + waiting + " |")
    rates = " | ".join(f"**{text_bytes / (b + launches * LAUNCH):,.0f}**" for b in busy)
    lines.append(f"| bytes of text a second | | | | {rates} |")
    without = " | ".join(f"{text_bytes / b:,.0f}" for b in busy)
    lines.append(f"| the same if launching were free | | | | {without} |")
    return "\n".join(lines)


def main(name: str) -> None:
    config = tomllib.loads((ROOT / f"engine/configs/{name}.toml").read_text())
    c = ModelConfig(**config["model"])
    batch_size, length = config["train"]["batch_size"], config["train"]["length"]
    print("# What the kernels could reach\n")
    print(
        f"By `python -m tests.cuda.estimate {name}`: bounds, not measurements; memory (m), arithmetic (c) or"
    )
    print("L2 (l) bounds a kernel on an A100. What a launch waits for the one before it is not in it.\n")
    print(f"Training {name}, {batch_size} sequences of {length} patches:\n")
    print(table(merged(training_step(c, batch_size, length)), batch_size * length * BYTES_A_PATCH))
    for b in (1, 64, 1024):
        print(f"\nWriting with {name}, {b} texts at once, for each character:\n")
        print(table(merged(decode_step(c, b)), b * BYTES_A_PATCH))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tcm")
