"""How fast inference is here: `plm bench`.

`floor_share` compares with the least time that the machine of engine/README.md would need: the weight bytes
that must be read at 98 GB/s (its L3 cache), or the multiply-adds at 234 G/s (its int8 units), whichever takes
longer, for the patches and bytes that were really written. Elsewhere it says how one core of this machine
compares with that floor.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import _core
from engine.checkpoint import AnyConfig
from engine.config import ModelConfig
from engine.model import Model
from engine.sampling import TopE

STREAMS = (1, 8, 32, 64, 256)
READ = 98e9  # bytes/s
MULTIPLY_ADD = 234e9  # 1/s
PROMPT = "黄帝问曰：余闻上古之人，春秋皆度百岁，而动作不衰；今时之人，年半百而动作皆衰者，何也？"


@dataclass(frozen=True)
class _Work:
    """Passes through trunk and head, each over a batch, and the rows (patches, bytes) in them."""

    trunk_passes: int
    patches: int
    head_passes: int
    bytes: int

    def floor_seconds(self, config: AnyConfig) -> float:
        trunk, head = config.step_weights
        read = (self.trunk_passes * trunk + self.head_passes * head) / READ
        return max(read, (self.patches * trunk + self.bytes * head) / MULTIPLY_ADD)


def bench_model(name_or_path: str, seconds: float) -> dict[str, Any]:
    """All figures, as `plm bench --json` prints them."""
    started = time.perf_counter()
    model = Model.load(name_or_path)
    load_seconds = time.perf_counter() - started
    session = model.session()
    session.feed(PROMPT)
    snapshot = session.snapshot()
    return {
        "device": _device(),
        "isa": model.isa,
        "one_stream": _one_stream(model, seconds),
        "streams": {str(count): _streams(model, count, seconds) for count in STREAMS},
        "prefill": {"bytes_per_second": _prefill(model, seconds)},
        "load_seconds": load_seconds,
        "snapshot_bytes": len(snapshot),
        "snapshot_us": _microseconds(session.snapshot),
        "restore_us": _microseconds(lambda: model.session(snapshot)),
        "rss_mb": _resident_mb(),
    }


def report(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{figures['device']}, {figures['isa']}, one core"]
    rates = {"one stream": figures["one_stream"]}
    rates |= {f"batch of {count}": rate for count, rate in figures["streams"].items()}
    for what, rate in rates.items():
        lines.append(
            f"{what:<14} {rate['bytes_per_second']:>9,.0f} bytes/s  {rate['floor_share']:.0%} of floor"
        )
    lines.append(f"{'reading':<14} {figures['prefill']['bytes_per_second']:>9,.0f} bytes/s")
    lines.append(f"{'load':<14} {figures['load_seconds'] * 1e3:>9.1f} ms")
    lines.append(
        f"{'snapshot':<14} {figures['snapshot_bytes']:>9,} bytes, taken in {figures['snapshot_us']:.0f} µs,"
        f" restored in {figures['restore_us']:.0f} µs"
    )
    lines.append(f"{'memory':<14} {figures['rss_mb']:>9.0f} MB, the Python interpreter with it")
    return "\n".join(lines)


def _one_stream(model: Model, seconds: float) -> dict[str, float]:
    """As a user has it: through Session.generate."""
    session = model.session()
    session.feed(PROMPT)
    written: list[str] = []
    started = now = time.perf_counter()
    for piece in session.generate(1 << 30, TopE(), 0, stop_at_end=False):
        written.append(piece)
        now = time.perf_counter()
        if now - started > seconds:
            break
    data = model.encoding.encode("".join(written))
    patches = sum(_closed(model.config, data))
    return _rate(_Work(patches, patches, len(data), len(data)), model.config, now - started)


def _closed(config: AnyConfig, data: bytes) -> list[int]:
    """How many patches each byte closes; an imported model has no trunk that would step over them."""
    if not isinstance(config, ModelConfig):
        return [0] * len(data)
    return [len(patches) for patches in _core.cut(data, config.patch, config.longest)]


def _streams(model: Model, count: int, seconds: float) -> dict[str, float]:
    """Many conversations, one byte each at a time, in one batch."""
    sessions = [_core.Session(model.network) for _ in range(count)]
    for i, session in enumerate(sessions):
        session.feed(model.encoding.encode(f"{PROMPT}{i}"))
    samplers = [TopE().start(seed) for seed in range(count)]
    rounds: list[bytes] = []
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        rounds.append(_core.write_bytes(sessions, samplers, False))
    streams = [_closed(model.config, bytes(stream)) for stream in zip(*rounds, strict=True)]
    closed = [sum(row) for row in zip(*streams, strict=True)]
    work = _Work(sum(map(bool, closed)), sum(closed), len(rounds), count * len(rounds))
    return _rate(work, model.config, elapsed)


def _rate(work: _Work, config: AnyConfig, seconds: float) -> dict[str, float]:
    return {
        "bytes_per_second": work.bytes / seconds,
        "floor_share": work.floor_seconds(config) / seconds,
    }


def _prefill(model: Model, seconds: float) -> float:
    text, size = (PROMPT * 50).encode(), 0
    session = model.session()
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        session.feed(text)
        size += len(text)
    return size / elapsed


def _microseconds(action: Callable[[], object]) -> float:
    def once() -> float:
        started = time.perf_counter()
        action()
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(200)) * 1e6


def _device() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _resident_mb() -> float:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return float("nan")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
