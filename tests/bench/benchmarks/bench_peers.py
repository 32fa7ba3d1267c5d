"""How fast inference is beside other engines, in one run: `make bench-peers`.

One core, models of about as many int8 weights as MODEL's, in turns, so that a noisy machine is noisy for all.
Peers predict a byte a step and draw nothing, which is in their favour: PyTorch's int8 GRU, and ONNX Runtime's
int8 matrix products alone, as many as MODEL has weights, without norms, gates or state. Writes one CSV line
for each engine and number of streams, beside those of other devices, prints them as a table, and makes a plot
with --plot.

Not llama-cpp-python: it has no wheel on PyPI, and its source (0.3.36, 77 MB) builds llama.cpp with CMake, for
longer than all the rest of this takes; the one attempt ended in scikit-build-core's "Could not find CMake",
which on that busy machine did not answer in time.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from engine import Model
from engine.inference.benchmark import Peak, device, measure_streams
from tests.bench.load.record import commit

WIDTH, HIDDEN = 192, 512  # of the matrices that are multiplied bare
FIELDS = (
    "time", "device", "commit", "model", "engine", "streams", "weights", "rounds",
    "median", "lowest", "highest", "ours_over_it",
)  # fmt: skip

Rate = Callable[[float], float]  # bytes/s over about so many seconds
Case = tuple[str, int]  # engine, streams


def repeated(step: Callable[[], object], streams: int) -> Rate:
    """A rate out of a step that writes a byte in each of the streams."""

    def rate(seconds: float) -> float:
        started, steps = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds or not steps:
            step()
            steps += 1
        return streams * steps / elapsed

    return rate


def ours(model: Model, streams: int) -> Rate:
    unused = Peak(1.0, 1.0)
    return lambda seconds: float(measure_streams(model, streams, seconds, unused)["bytes_per_second"])


def torch_gru(weights: int, streams: int) -> tuple[Rate, int]:
    """Embedding, two layers of GRU, linear: bytes in, logits out, int8 by torch.ao's dynamic quantisation."""
    import torch

    from tests.bench.benchmarks.torch_peers import byte_gru

    torch.set_num_threads(1)
    model = torch.ao.quantization.quantize_dynamic(
        byte_gru(weights).eval(), {torch.nn.GRU, torch.nn.Linear}, dtype=torch.qint8
    )
    state, byte = None, torch.zeros(streams, 1, dtype=torch.long)

    @torch.inference_mode()
    def step() -> None:
        nonlocal state, byte
        x, state = model.gru(model.embedding(byte), state)
        byte = model.out(x[:, -1]).argmax(1, keepdim=True)

    return repeated(step, streams), weights


def onnx_matmuls(weights: int, streams: int) -> tuple[Rate, int]:
    """Layers of width -> hidden -> width in int8 (MatMulInteger over dynamically quantised rows)."""
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    layers = max(1, round(weights / (2 * WIDTH * HIDDEN)))
    random = np.random.default_rng(0)
    nodes, constants, name = [], [], "x"
    for i in range(2 * layers):
        shape = (WIDTH, HIDDEN) if i % 2 == 0 else (HIDDEN, WIDTH)
        constants.append(numpy_helper.from_array(random.integers(-127, 128, shape, np.int8), f"w{i}"))
        parts = [f"q{i}", f"s{i}", f"z{i}"]
        nodes += [
            helper.make_node("DynamicQuantizeLinear", [name], parts),
            helper.make_node("MatMulInteger", [parts[0], f"w{i}", parts[2]], [f"m{i}"]),
            helper.make_node("Cast", [f"m{i}"], [f"c{i}"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"c{i}", parts[1]], [f"y{i}"]),
        ]
        name = f"y{i}"
    shape = [streams, WIDTH]
    graph = helper.make_graph(
        nodes, "matmuls",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        constants,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, ["CPUExecutionProvider"])
    x = {"x": random.standard_normal(shape).astype(np.float32)}
    return repeated(lambda: session.run(None, x), streams), 2 * layers * WIDTH * HIDDEN


def measure(
    cases: dict[tuple[str, int], Rate], seconds: float, rounds: int
) -> dict[tuple[str, int], list[float]]:
    """In turns, so that each round sees every engine under the same load."""
    found: dict[Case, list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, rate in cases.items():
            found[case].append(rate(seconds))
    return found


def read(file: Path) -> list[dict[str, object]]:
    """The lines of earlier runs; none if there is no such file."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def plot(rows: list[dict[str, object]], file: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    counts = sorted({int(str(row["streams"])) for row in rows})
    engines = list(dict.fromkeys(str(row["engine"]) for row in rows))
    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    for place, engine in enumerate(engines):
        mine = {
            int(str(row["streams"])): float(str(row["median"])) for row in rows if row["engine"] == engine
        }
        at = [counts.index(count) + (place - (len(engines) - 1) / 2) * 0.8 / len(engines) for count in mine]
        bars = axes.bar(at, list(mine.values()), 0.8 / len(engines), label=engine)
        axes.bar_label(bars, [f"{value / 1e3:.1f}k" for value in mine.values()], fontsize=7)
    axes.set_xticks(range(len(counts)), [f"{count} stream{'s' * (count > 1)}" for count in counts])
    axes.set_ylabel("bytes/s, one core")
    axes.set_yscale("log")
    axes.legend(fontsize=7)
    figure.savefig(file, dpi=100)


def table(rows: list[dict[str, object]]) -> str:
    """Markdown: bytes/s, and how many times as fast this model is, by number of streams."""
    counts = sorted({int(str(row["streams"])) for row in rows})
    lines = ["| engine | " + " | ".join(f"streams: {count} | ours over it" for count in counts) + " |"]
    lines.append("|---" * (1 + 2 * len(counts)) + "|")
    for engine in dict.fromkeys(str(row["engine"]) for row in rows):
        mine = {int(str(row["streams"])): row for row in rows if row["engine"] == engine}
        cells = (f"{mine[count]['median']:,} | {mine[count]['ours_over_it']}" for count in counts)
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tcm")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=Path, required=True, help="where to write")
    parser.add_argument("--plot", type=Path, help="a PNG of the medians")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    model = Model.load(options.model)
    weights = sum(model.config.step_weights)
    rates: dict[Case, Rate] = {}
    sizes: dict[Case, int] = {}
    for count in options.streams:
        rates["personal-lm", count], sizes["personal-lm", count] = ours(model, count), weights
        for name, peer in (("PyTorch int8 GRU", torch_gru), ("ONNX Runtime int8 matmuls", onnx_matmuls)):
            rates[name, count], sizes[name, count] = peer(weights, count)
    found = measure(rates, options.seconds, options.rounds)
    here = f"{device()}, {model.isa}"
    of_others = [row for row in read(options.csv) if row["device"] != here]
    rows: list[dict[str, object]] = []
    for (name, count), values in found.items():
        median = statistics.median(values)
        own = statistics.median(found["personal-lm", count])
        rows.append({
            "time": datetime.now(UTC).isoformat(timespec="seconds"), "device": here,
            "commit": commit(), "model": f"{model.name} {model.hash}", "engine": name, "streams": count,
            "weights": sizes[name, count], "rounds": options.rounds, "median": round(median),
            "lowest": round(min(values)), "highest": round(max(values)),
            "ours_over_it": round(own / median, 2),
        })  # fmt: skip
    with options.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(of_others + rows)
    print(table(rows))
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
