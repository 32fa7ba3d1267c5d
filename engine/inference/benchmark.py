"""How fast inference is here: `plm bench`.

`floor_share` compares with the least time that one core here would need for the patches and bytes that were
written: the weights read at the rate at which a block of their size can be read repeatedly, or the
multiply-adds at the peak rate of the instruction set in registers, whichever takes longer.
Both rates are measured in the same run (src/infer/peak.h).
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from engine import _core
from engine.inference.batcher import Batcher, Stream, cores
from engine.inference.model import Model
from engine.inference.samplers import TopE
from engine.model.config import ModelConfig

STREAMS = (1, 8, 32, 64, 256)
ROWS = 64  # of one pass over the weights; kMaxRows in step.h
CONCURRENT = 32  # streams beside which an answer begins
PROMPT = "黄帝问曰：余闻上古之人，春秋皆度百岁，而动作不衰；今时之人，年半百而动作皆衰者，何也？"
QUESTION = PROMPT + "时世异耶？人将失之耶？岐伯对曰：上古之人，其知?\n"  # 200 bytes
_ENDLESS = 1 << 30
_RSS = "import os; print(int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE'))"


@dataclass(frozen=True)
class Peak:
    """What one core can do at most: multiply-adds/s, and bytes/s of weights."""

    multiply_adds: float
    read: float


@dataclass(frozen=True)
class _Work:
    """Passes through trunk and head, each over a batch, and the rows (patches, bytes) in them."""

    trunk_passes: int
    patches: int
    head_passes: int
    bytes: int

    def floor_seconds(self, model: Model, peak: Peak) -> float:
        trunk, head = model.config.step_weights
        read = (self.trunk_passes * trunk + self.head_passes * head) / peak.read
        return max(read, (self.patches * trunk + self.bytes * head) / peak.multiply_adds)


def bench_model(name_or_path: str, seconds: float) -> dict[str, Any]:
    """All figures, as `plm bench --json` prints them; BENCHMARKS.md explains them."""
    started = time.perf_counter()
    model = Model.load(name_or_path)
    load_seconds = time.perf_counter() - started
    session = model.session()
    session.feed(PROMPT)
    snapshot = session.snapshot()
    peak = Peak(*_core.measure_peak(model.isa, sum(model.config.step_weights), min(seconds, 0.5)))
    return {
        "device": device(),
        "isa": model.isa,
        "peak": {"multiply_adds_per_second": peak.multiply_adds, "read_bytes_per_second": peak.read},
        "one_stream": _one_stream(model, seconds, peak),
        "streams": {str(count): measure_streams(model, count, seconds, peak) for count in STREAMS},
        "two_cores": _two_cores(model, seconds),
        "prefill": {"bytes_per_second": measure_prefill(model, seconds)},
        "first_byte_ms": {
            "alone": _first_byte(model, 0, seconds),
            f"beside_{CONCURRENT}": _first_byte(model, CONCURRENT, seconds),
        },
        "load_seconds": load_seconds,
        "snapshot_bytes": len(snapshot),
        "snapshot_us": _microseconds(session.snapshot),
        "restore_us": _microseconds(lambda: model.session(snapshot)),
        "rss_mb": _resident_mb(name_or_path),
    }


def report(figures: dict[str, Any]) -> str:
    """The figures for people."""
    peak = figures["peak"]
    lines = [
        f"{figures['device']}, {figures['isa']}, one core:"
        f" {peak['multiply_adds_per_second'] / 1e9:.0f} G multiply-adds/s,"
        f" weights read at {peak['read_bytes_per_second'] / 1e9:.0f} GB/s"
    ]
    rates = {"one stream": figures["one_stream"]}
    rates |= {f"batch of {count}": rate for count, rate in figures["streams"].items()}
    for what, rate in rates.items():
        share = "" if rate["floor_share"] is None else f"  {rate['floor_share']:.0%} of floor"
        lines.append(f"{what:<16} {rate['bytes_per_second']:>9,.0f} bytes/s{share}")
    if two := figures["two_cores"]:
        rate = two["bytes_per_second"]
        lines.append(f"{'64 on two cores':<16} {rate:>9,.0f} bytes/s  {two['times_one']:.2f} times one")
    lines.append(f"{'reading':<16} {figures['prefill']['bytes_per_second']:>9,.0f} bytes/s")
    for what, took in figures["first_byte_ms"].items():
        shown = f"{took['median']:.2f} ms, 99th percentile {took['p99']:.2f} ms"
        lines.append(f"first byte, {what.replace('_', ' ')}: {shown}")
    lines.append(f"{'load':<16} {figures['load_seconds'] * 1e3:>9.1f} ms")
    lines.append(
        f"{'snapshot':<16} {figures['snapshot_bytes']:>9,} bytes, taken in {figures['snapshot_us']:.0f} µs,"
        f" restored in {figures['restore_us']:.0f} µs"
    )
    lines.append(f"{'memory':<16} {figures['rss_mb']:>9.0f} MB beyond the Python interpreter")
    return "\n".join(lines)


def device() -> str:
    """The processor's name."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def measure_streams(model: Model, count: int, seconds: float, peak: Peak, threads: int = 1) -> dict[str, Any]:
    """So many texts at once through a Batcher, after each has its prompt read."""
    batcher = Batcher(model, count, threads=threads)
    streams = [_endless(batcher, seed) for seed in range(count)]
    for stream in streams:
        while not stream.read(1.0):
            pass
    for stream in streams:
        stream.read()
    started = time.perf_counter()
    time.sleep(seconds)
    texts = [stream.read(60.0) for stream in streams]
    elapsed = time.perf_counter() - started
    for stream in streams:
        stream.cancel()
    written = [[model.encoding.encode(character) for character in text] for text in texts]
    return _rate(_work(model, written), model, peak, elapsed)


def measure_prefill(model: Model, seconds: float) -> float:
    """Bytes/s of reading."""
    text, size = (PROMPT * 50).encode(), 0
    session = model.session()
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        session.feed(text)
        size += len(text)
    return size / elapsed


def _endless(batcher: Batcher, seed: int) -> Stream:
    return batcher.submit(f"{PROMPT}{seed}", _ENDLESS, TopE(), seed, stop_at_end=False)


def _one_stream(model: Model, seconds: float, peak: Peak) -> dict[str, Any]:
    """A single stream, through Session.generate."""
    session = model.session()
    session.feed(PROMPT)
    written: list[bytes] = []
    started = now = time.perf_counter()
    for character in session.generate(_ENDLESS, TopE(), 0, stop_at_end=False):
        written.append(model.encoding.encode(character))
        now = time.perf_counter()
        if now - started > seconds:
            break
    return _rate(_work(model, [written]), model, peak, now - started)


def _work(model: Model, streams: Iterable[list[bytes]]) -> _Work:
    """The passes that a batch took: for each character, the head once for every byte that some texts still
    lacked, the trunk once for all closed patches."""
    rows: list[tuple[tuple[int, int], ...]] = [tuple(_sizes(model, stream)) for stream in streams]
    trunk_passes = patches = head_passes = size = 0
    for step in zip_longest(*rows, fillvalue=(0, 0)):
        closed = sum(count for count, _ in step)
        for place in range(max(length for _, length in step)):
            head_passes += -(-sum(length > place for _, length in step) // ROWS)
        trunk_passes += -(-closed // ROWS)
        patches += closed
        size += sum(length for _, length in step)
    return _Work(trunk_passes, patches, head_passes, size)


def _sizes(model: Model, characters: list[bytes]) -> Iterable[tuple[int, int]]:
    """Of each character, the patches that it closes and its bytes. An imported model has no trunk."""
    if not isinstance(model.config, ModelConfig):
        return [(0, len(character)) for character in characters]
    closed = iter(_core.cut(b"".join(characters), model.config.patch, model.config.longest))
    return [(sum(len(next(closed)) for _ in character), len(character)) for character in characters]


def _rate(work: _Work, model: Model, peak: Peak, seconds: float) -> dict[str, Any]:
    floor = work.floor_seconds(model, peak) / seconds
    integer = isinstance(model.config, ModelConfig) or model.dtype == "int8"
    return {"bytes_per_second": work.bytes / seconds, "floor_share": floor if integer else None}


def _two_cores(model: Model, seconds: float) -> dict[str, float] | None:
    """64 streams on two cores, and on one in turn with it; None where there is but one."""
    if cores() < 2:
        return None
    unused = Peak(1.0, 1.0)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for threads in (1, 2, 1, 2, 1, 2):
        rate = measure_streams(model, 64, seconds, unused, threads)["bytes_per_second"]
        rates[threads].append(rate)
    one, two = statistics.median(rates[1]), statistics.median(rates[2])
    return {"bytes_per_second": two, "times_one": two / one}


def _first_byte(model: Model, concurrent: int, seconds: float) -> dict[str, float]:
    """Milliseconds from a snapshot and a question of 200 bytes to the first of the answer, as the service has
    it: through a Batcher with a thread a core, beside so many streams."""
    session = model.session()
    session.feed(PROMPT)
    snapshot = session.snapshot()
    batcher = Batcher(model, concurrent + 1)
    others = [_endless(batcher, seed) for seed in range(concurrent)]
    for stream in others:
        stream.read(10.0)
    took: list[float] = []
    end = time.perf_counter() + 2 * seconds
    while time.perf_counter() < end or len(took) < 20:
        started = time.perf_counter()
        answer = batcher.submit(
            QUESTION, _ENDLESS, TopE(), len(took), stop_at_end=False, session=model.session(snapshot)
        )
        answer.read(10.0)
        took.append((time.perf_counter() - started) * 1e3)
        answer.cancel()
        "".join(answer)
    for stream in others:
        stream.cancel()
    took.sort()
    return {"median": statistics.median(took), "p99": took[min(len(took) - 1, int(len(took) * 0.99))]}


def _microseconds(action: Callable[[], object]) -> float:
    def once() -> float:
        started = time.perf_counter()
        action()
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(200)) * 1e6


def _resident_mb(name_or_path: str) -> float:
    """Resident memory of a process that has answered, less that of a bare interpreter."""
    if not Path("/proc/self/statm").exists():
        return float("nan")
    use = (
        "import sys; from engine import Batcher, Model; "
        "model = Model.load(sys.argv[1]); ''.join(Batcher(model, threads=1).submit('問', 300)); "
    )
    whole, bare = (
        int(
            subprocess.run([sys.executable, "-c", code, name_or_path], check=True, capture_output=True).stdout
        )
        for code in (use + _RSS, _RSS)
    )
    return (whole - bare) / 1e6
