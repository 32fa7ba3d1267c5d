"""How fast training is beside PyTorch: `make bench-train CORPORA=folder`.

On one core, then on two, in turns of a few seconds so that a noisy machine is noisy for all: our trainer with
a bundled config, the same model written plainly in PyTorch (torch_twin.py), and models of equal size that one
would write there instead (torch_peers.py), each eager and compiled, all in bf16 where our trainer uses bf16
on this CPU, else in float32. The peers get their batches ready made, and compiling is not counted. Prints a
Markdown table, writes one CSV line a model, and another
CSV with the losses of trainer and twin, step by step. With --control-minutes it also trains a plain byte
transformer and our model for that time on one core, and says the bits per byte of both (torch_control.py).
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine import _train
from engine.training.dataset import load_text
from engine.training.recipe import Plan, load_plan
from engine.training.roofline import flops_per_byte
from tests.bench.benchmarks import torch_peers, torch_twin
from tests.bench.load.record import commit, device

READY = 16  # batches a peer goes through in turn
WINDOWS = {"byte GRU": (64, 128), "byte transformer": (16, 256)}  # sequences, bytes: what suits each

Step = Callable[[], int]  # one optimiser step; returns the bytes it predicted


@dataclass(frozen=True)
class Case:
    model: str
    form: str  # ours, eager, compiled
    parameters: int
    step: Step
    character_synchronous: bool


@dataclass(frozen=True)
class Result:
    """One line of the CSV; rates in bytes/s over the rounds, `busy` the share of the cores that was ours.

    With `clock` "cpu" they are bytes per second of CPU time, as on a machine that does nothing else.
    """

    time: str
    device: str
    commit: str
    config: str
    cores: int
    model: str
    form: str
    parameters: int
    rounds: int
    median: int
    lowest: int
    highest: int
    busy: float
    ours_over_it: float
    floor_share: float | None
    character_synchronous: bool
    isa: str
    clock: str


def plan_of(options: argparse.Namespace) -> Plan:
    plan = load_plan(options.config)
    wanted = {"batch_size": options.batch_size, "shards": options.shards}
    return replace(plan, recipe=replace(plan.recipe, **{k: v for k, v in wanted.items() if v is not None}))


def trainer_of(plan: Plan, text: NDArray[np.uint8], threads: int) -> _train.Trainer:
    trainer = _train.Trainer(plan.model.to_dict(), plan.recipe.trainer_settings(threads))
    trainer.add_source(text, 1.0)
    return trainer


def ready_rows(plan: Plan, text: NDArray[np.uint8]) -> list[torch_twin.Rows]:
    """The first batches that our trainer reads, by the smallest model that reads the same."""
    small = dict.fromkeys(("width", "state", "hidden", "head_width", "head_hidden"), 16)
    reader = trainer_of(replace(plan, model=replace(plan.model, layers=1, head_layers=1, **small)), text, 1)
    rows = []
    for _ in range(READY):
        reader.step(1e-4)
        rows.append(torch_twin.join(reader.batches(), plan.recipe.batch_size, plan.model.views))
    return rows


def uses_bf16() -> bool:
    """Whether our trainer's products are in bf16 here; the peers' are then too."""
    return _train.supported()[0].endswith("bf16")


def synchronous_step(plan: Plan, model: nn.Module, rows: list[torch_twin.Rows]) -> Step:
    optimiser = torch_twin.Optimiser(model, plan.recipe)
    carried: torch_twin.Carried = []
    done = 0

    def step() -> int:
        nonlocal carried, done
        batch = rows[done % len(rows)]
        done += 1
        with torch_twin.bf16(uses_bf16()):
            loss, carried = model(batch, carried)
        loss.backward()
        optimiser.step(1e-4)
        return batch["target"].numel()

    return step


def byte_step(plan: Plan, model: nn.Module, windows: list[torch.Tensor]) -> Step:
    optimiser = torch_twin.Optimiser(model, plan.recipe)
    done = 0

    def step() -> int:
        nonlocal done
        window = windows[done % len(windows)]
        done += 1
        with torch_twin.bf16(uses_bf16()):
            logits = model(window[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten()).backward()
        optimiser.step(1e-4)
        return window[:, 1:].numel()

    return step


def byte_windows(text: NDArray[np.uint8], sequences: int, length: int) -> list[torch.Tensor]:
    random = np.random.default_rng(0)
    starts = random.integers(0, len(text) - length - 1, (READY, sequences))
    return [
        torch.from_numpy(np.stack([text[i : i + length + 1] for i in at]).astype(np.int64)) for at in starts
    ]


def compiled(model: nn.Module) -> nn.Module:
    """The twin part by part, since its scan stays outside of graphs; others as a whole."""
    if any(isinstance(layer, torch_twin.Layer) for layer in getattr(model, "layers", [])):
        for layer in model.layers:
            layer.mixer.compile()
            layer.swiglu.compile()
        model.head.compile()
        return model
    return torch.compile(model)


def cases_of(
    plan: Plan, text: NDArray[np.uint8], threads: int, wanted: list[str] | None, forms: list[str]
) -> list[Case]:
    rows, size = ready_rows(plan, text), plan.model.parameters
    trainer = trainer_of(plan, text, threads)
    cases = [Case("ours", "ours", size, lambda: trainer.step(1e-4)[1], True)]
    synchronous = {
        "twin": lambda: torch_twin.Twin(plan.model),
        "twin, attention trunk": lambda: torch_peers.attention_twin(plan.model, plan.recipe.length),
        "twin, nn.GRU trunk": lambda: torch_peers.gru_twin(plan.model),
    }
    whole = {
        "byte GRU": lambda: torch_peers.byte_gru(size),
        "byte transformer": lambda: torch_peers.byte_transformer(size, WINDOWS["byte transformer"][1]),
    }
    for name, make in {**synchronous, **whole}.items():
        if wanted and name not in wanted:
            continue
        for form in forms:
            if form == "compiled" and "GRU" in name:
                continue  # the compiler leaves nn.GRU as it is
            model = make()
            parameters = torch_peers.count(model)
            model = compiled(model) if form == "compiled" else model
            if name in synchronous:
                step = synchronous_step(plan, model, rows)
            else:
                step = byte_step(plan, model, byte_windows(text, *WINDOWS[name]))
            cases.append(Case(name, form, parameters, step, name in synchronous))
    return cases


def floor_of(plan: Plan, text: NDArray[np.uint8], cores: int) -> float:
    """The bytes/s that no program could exceed here: engine/training/roofline.py."""
    rows = ready_rows(plan, text)
    patches, count = (sum(batch[name].numel() for batch in rows) for name in ("lead", "target"))
    trainer = trainer_of(plan, text, cores)
    flops = flops_per_byte(plan.model, trainer.decaying, patches / count)
    return float(_train.peak_flops(trainer.isa, cores)) / flops


def timed(step: Step, seconds: float, cpu_clock: bool, cores: int) -> tuple[float, float]:
    """(bytes/s, cores in use) over at least `seconds`."""
    began, used, total = time.perf_counter(), time.process_time(), 0
    while (spent := time.perf_counter() - began) < seconds:
        total += step()
    cpu = time.process_time() - used
    return total / (cpu / cores if cpu_clock else spent), cpu / spent


def measure(options: argparse.Namespace, cores: int) -> list[Result]:
    """All models on so many cores, in a process of its own."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(cores)
    plan, text = plan_of(options), np.asarray(load_text(options.data).bytes)
    floor = floor_of(plan, text, cores)
    cases = cases_of(plan, text, cores, options.models, options.forms)
    for case in cases:
        print(f"# {cores} core(s): starting {case.model}, {case.form}", file=sys.stderr)
        for _ in range(2):
            case.step()
    cpu_clock = options.clock == "cpu"
    rounds = [
        [timed(case.step, options.seconds, cpu_clock, cores) for case in cases] for _ in range(options.rounds)
    ]
    rates = [[each[i][0] for each in rounds] for i in range(len(cases))]
    ours = statistics.median(rates[0])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    results = []
    for i, case in enumerate(cases):
        median = statistics.median(rates[i])
        busy = statistics.median(each[i][1] for each in rounds) / cores
        results.append(
            Result(
                *(now, device(), commit(), options.config, cores, case.model, case.form, case.parameters),
                *(options.rounds, round(median), round(min(rates[i])), round(max(rates[i])), round(busy, 2)),
                round(ours / median, 2),
                round(median / floor, 3) if i == 0 else None,
                case.character_synchronous,
                _train.supported()[0],
                options.clock,
            )
        )
    return results


def table(results: list[Result]) -> str:
    lines = [
        "| cores | model | form | parameters | bytes/s | lowest–highest | ours is | of the floor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        share = f"{r.floor_share:.0%}" if r.floor_share else ""
        lines.append(
            f"| {r.cores} | {r.model} | {r.form} | {r.parameters / 1e6:.2f} M | {r.median:,} | "
            f"{r.lowest:,}–{r.highest:,} | {r.ours_over_it:.2f} × | {share} |"
        )
    for cores in sorted({r.cores for r in results}):
        peers = [r for r in results if r.cores == cores and r.character_synchronous and r.form != "ours"]
        best = max(peers, key=lambda r: r.median)
        lines.append(
            f"\n{cores} core(s): {best.ours_over_it:.2f} times the fastest character-synchronous form in "
            f"PyTorch ({best.model}, {best.form})"
        )
    return "\n".join(lines)


def write_csv(path: Path, header: list[str], lines: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])


def compare_losses(options: argparse.Namespace, path: Path) -> str:
    torch.set_num_threads(1)
    plan, text = plan_of(options), np.asarray(load_text(options.data).bytes)
    recipe = replace(
        plan.recipe, batch_size=2 * plan.recipe.shards
    )  # the same steps with fewer sequences: minutes less
    runs = [
        list(torch_twin.losses(plan.model, recipe, text, options.steps, autocast=autocast))
        for autocast in (False, True)
    ]
    lines = [(i + 1, ours, f32, bf16) for i, ((ours, f32), (_, bf16)) in enumerate(zip(*runs, strict=True))]
    write_csv(path, ["step", "ours", "twin_f32", "twin_bf16"], lines)
    worst = [max(abs(line[k] / line[1] - 1) for line in lines) for k in (2, 3)]
    return (
        f"losses of trainer and twin over {len(lines)} steps differ by at most {worst[0]:.2%} "
        f"(float32 twin) and {worst[1]:.2%} (bf16 twin)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="text to train on (.txt or .txt.xz)")
    parser.add_argument("--valid", type=Path, help="text to evaluate the control on")
    parser.add_argument("--config", default="zh")
    parser.add_argument(
        "--batch-size", "--lanes", type=int, help="sequences side by side; default: the config's"
    )
    parser.add_argument("--shards", type=int, help="in which they are taken; default: the config's")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--models", nargs="+", help="names of the peers, as in the table; default: all")
    parser.add_argument("--forms", nargs="+", choices=["eager", "compiled"], default=["eager", "compiled"])
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a busy machine and one core"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each model in each round")
    parser.add_argument("--steps", type=int, default=50, help="whose losses are compared")
    parser.add_argument("--control-minutes", type=float, default=0.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("train.csv"))
    options = parser.parse_args()
    if options.control_minutes and options.valid is None:
        parser.error("--control-minutes needs --valid")
    results: list[Result] = []
    for cores in options.cores:
        if cores > len(os.sched_getaffinity(0)):
            print(f"# {cores} cores are not to be had here: left out", file=sys.stderr)
            continue
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results += pool.apply(measure, (options, cores))
    write_csv(options.out, [field.name for field in fields(Result)], [astuple(r) for r in results])
    print(table(results), flush=True)
    losses_path = options.out.with_name(f"{options.out.stem}_losses.csv")
    if options.steps:
        print("\n" + compare_losses(options, losses_path), flush=True)
    if options.control_minutes:
        from tests.bench.benchmarks.torch_control import compare

        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        found = compare(options.data, options.valid, options.control_minutes, options.config)
        print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
