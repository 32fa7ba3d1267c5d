"""Where the time of inference goes, by Linux's perf: `python -m tests.bench.benchmarks.profile_inference`.

Samples one core while it writes with one stream and with 64, and prints as a Markdown table what share of the
samples fell on what. The instruction counts of callgrind would say less: products wait for memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter

from engine import Model, TopE
from engine.inference.benchmark import PROMPT, Peak, device, measure_streams
from tests.bench.load.record import commit

STREAMS = (1, 64)
# What a function of engine._core belongs to; the first row whose words are in its name.
PARTS = {
    "matrix products": ("matmul", "_tile"),
    "attention": ("attention_quantize",),
    "gates and SwiGLU": ("recurrence_quantize", "swiglu_quantize"),
    "norms and convolution": ("norm_",),
    "cost of a byte": ("sum_exp", "cost_bits"),
    "drawing a byte": (
        "keep_",
        "Sampler",
        "exp_row",
        "softmax_row",
        "indices_above",
        "widen_row",
        "Repetition",
    ),
    "embedding and residuals": ("step", "head", "add_row", "residual", "dequantize", "quantize_row"),
}
OTHER = "batches, texts, states"
OUTSIDE = {"python": "Python", "kernel": "the kernel"}  # by the name of the object; else the C library


def write(model_name: str, streams: int) -> None:
    """Until it is ended from outside."""
    model = Model.load(model_name)
    session = model.session()
    session.feed(PROMPT)
    print("ready", flush=True)
    if streams > 1:
        measure_streams(model, streams, 3600.0, Peak(1.0, 1.0))
    for _ in session.generate(2**31 - 1, TopE(), 0, stop_at_end=False):
        pass


def part_of(module: str, symbol: str) -> str:
    if "_core" not in module:
        return next((part for word, part in OUTSIDE.items() if word in module), "C library")
    return next((part for part, words in PARTS.items() if any(word in symbol for word in words)), OTHER)


def profile(model: str, streams: int, seconds: float) -> Counter[str]:
    """The share of each part, in per cent."""
    shares: Counter[str] = Counter()
    me = [
        sys.executable,
        "-m",
        __spec__.name,
        "--model",
        model,
        "--write",
        str(streams),
    ]
    with tempfile.NamedTemporaryFile() as samples, subprocess.Popen(me, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-o", samples.name]
        try:
            subprocess.run([*record, "-p", str(writer.pid), "--", "sleep", str(seconds)], check=True)
        finally:
            writer.terminate()
        report = ["perf", "report", "-q", "-i", samples.name, "--stdio", "--no-children", "-t", "|"]
        text = subprocess.run([*report, "--sort", "dso,symbol"], check=True, capture_output=True, text=True)
    for line in text.stdout.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) > 2 and fields[0].endswith("%"):
            shares[part_of(fields[1], fields[2])] += float(fields[0][:-1])
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tcm")
    parser.add_argument("--seconds", type=float, default=10.0, help="to look at each")
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)  # be what is looked at
    options = parser.parse_args()
    if options.write:
        write(options.model, options.write)
        return
    if shutil.which("perf") is None:
        raise SystemExit("no perf here; on Debian: apt-get install linux-perf")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found = [profile(options.model, streams, options.seconds) for streams in STREAMS]
    print(f"{device()}, {Model.load(options.model).isa}, {commit()}\n")
    print("| share of the time, % | one stream | 64 streams |\n|---|---|---|")
    for part in sorted(found[0] | found[1], key=lambda part: -found[1][part]):
        print(f"| {part} | {found[0][part]:.0f} | {found[1][part]:.0f} |")


if __name__ == "__main__":
    main()
