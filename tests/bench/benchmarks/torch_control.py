"""The control, a plain byte transformer of equal size in PyTorch, and our model: what each learns in a time.

`python -m tests.bench.benchmarks.torch_control --data TRAIN --valid VALID --minutes N [--cores N]` trains one
after the other on the same cores, each from its first weights to the end of its schedule, and prints one line
of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.training.dataset import load_text
from engine.training.recipe import Recipe, load_plan
from engine.training.run import Budget, Run
from tests.bench.benchmarks import torch_peers, torch_twin

SEQUENCES, LENGTH = 16, 256
RECIPE = Recipe(rate=2e-3, warmup=100, final=0.05, run_windows=0)


def sample(text: NDArray[np.uint8], random: np.random.Generator) -> torch.Tensor:
    starts = random.integers(0, len(text) - LENGTH - 1, SEQUENCES)
    return torch.from_numpy(np.stack([text[i : i + LENGTH + 1] for i in starts]).astype(np.int64))


@torch.no_grad()
def bits_per_byte(model: nn.Module, text: NDArray[np.uint8]) -> float:
    """Every byte but the first few is predicted from at least half a window."""
    half = LENGTH // 2
    nats, total = 0.0, 0
    starts = np.arange(0, len(text) - LENGTH - 1, half)
    for at in np.array_split(starts, max(1, len(starts) // 64)):
        window = torch.from_numpy(np.stack([text[i : i + LENGTH + 1] for i in at]).astype(np.int64))
        with torch_twin.bf16():
            logits = model(window[:, :-1])
        losses = nn.functional.cross_entropy(logits.transpose(1, 2), window[:, 1:], reduction="none")
        if at[0] == 0:
            nats, total = losses[0, :half].sum().item(), half
        nats += losses[:, half:].sum().item()
        total += losses[:, half:].numel()
    return nats / total / log(2)


def train_control(
    data: Path, valid: Path, minutes: float, config: str, recipe: Recipe = RECIPE, seed: int = 1
) -> dict[str, Any]:
    """Trained on the cores that this process has, at a rate that warms up and falls as our trainer's does.

    The seconds for compiling are not counted.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    text, random = np.asarray(load_text(data).bytes), np.random.default_rng(seed)
    plain = torch_peers.byte_transformer(load_plan(config).model.parameters, LENGTH)
    model, optimiser = torch.compile(plain), torch_twin.Optimiser(plain, recipe)

    def step(at: float) -> None:
        window = sample(text, random)
        with torch_twin.bf16():
            logits = model(window[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten()).backward()
        optimiser.step(at)

    step(0.0)
    began, steps, budget = time.perf_counter(), 0, minutes * 60
    while (spent := time.perf_counter() - began) < budget:
        step(recipe.rate_at(spent / budget, steps))
        steps += 1
    read = steps * SEQUENCES * LENGTH
    return {
        "parameters": torch_peers.count(plain),
        "bytes_read": read,
        "bytes_per_second": round(read / spent),
        "bits_per_byte": round(bits_per_byte(plain, np.asarray(load_text(valid).bytes)), 4),
    }


def train_ours(data: Path, valid: Path, minutes: float, config: str) -> dict[str, Any]:
    """The same of a bundled config by our trainer, as `plm train --minutes` would."""
    plan, held_out = load_plan(config), load_text(valid)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            *(Path(folder, "ours.safetensors"), config, plan.model, plan.recipe, Budget(minutes=minutes)),
            *([load_text(data)], [1.0]),
            valid=[held_out],
            threads=len(os.sched_getaffinity(0)),
            report=lambda line: print(f"# {line}", file=sys.stderr),
        )
        run.train()
    return {
        "parameters": plan.model.parameters,
        "bytes_read": run.record.bytes_read,
        "bytes_per_second": round(run.record.bytes_read / run.record.minutes / 60),
        "bits_per_byte": run.record.valid[held_out.name],
    }


def compare(data: Path, valid: Path, minutes: float, config: str, recipe: Recipe = RECIPE) -> dict[str, Any]:
    """Both, and how much lower our bits per byte are, as a share of the control's."""
    control = train_control(data, valid, minutes, config, recipe)
    ours = train_ours(data, valid, minutes, config)
    return {
        "valid": valid.name,
        "minutes": minutes,
        "cores": len(os.sched_getaffinity(0)),
        "byte transformer in PyTorch, bf16": control,
        f"{config}, our trainer": ours,
        "lower_by": round(1 - ours["bits_per_byte"] / control["bits_per_byte"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--config", default="tcm", help="ours, whose number of parameters the control has")
    parser.add_argument("--rate", type=float, default=RECIPE.rate)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    recipe = replace(RECIPE, rate=options.rate)
    print(json.dumps(compare(options.data, options.valid, options.minutes, options.config, recipe)))


if __name__ == "__main__":
    main()
