"""The control: a plain byte transformer of equal size, trained in PyTorch for some minutes of wall time.

`python -m tests.bench.torch_control --data TRAIN --valid VALID --minutes N [--cores N]` prints one JSON line.
What our trainer reaches in the same time on the same cores is to be held against it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from math import cos, log, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.data import load_text
from engine.recipe import Recipe, load_plan
from tests.bench import torch_peers, torch_twin

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


def rate(used: float, step: int, recipe: Recipe) -> float:
    """As in engine/training.py: linear warm-up, then half a cosine over the time."""
    fall = recipe.final + (1 - recipe.final) * 0.5 * (1 + cos(pi * min(used, 1.0)))
    return recipe.rate * fall * min(1.0, (step + 1) / recipe.warmup)


def train_control(
    data: Path, valid: Path, minutes: float, config: str, recipe: Recipe = RECIPE, seed: int = 1
) -> dict[str, Any]:
    """Train on the cores that this process has; the seconds for compiling are not counted."""
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
        step(rate(spent / budget, steps, recipe))
        steps += 1
    read = steps * SEQUENCES * LENGTH
    return {
        "model": "byte transformer in PyTorch, bf16",
        "parameters": torch_peers.count(plain),
        "cores": torch.get_num_threads(),
        "minutes": minutes,
        "bytes_read": read,
        "bytes_per_second": round(read / spent),
        "valid": valid.name,
        "bits_per_byte": round(bits_per_byte(plain, np.asarray(load_text(valid).bytes)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--config", default="tcm", help="whose number of parameters the control has")
    parser.add_argument("--rate", type=float, default=RECIPE.rate)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    recipe = Recipe(rate=options.rate, warmup=RECIPE.warmup, final=RECIPE.final)
    print(json.dumps(train_control(options.data, options.valid, options.minutes, options.config, recipe)))


if __name__ == "__main__":
    main()
