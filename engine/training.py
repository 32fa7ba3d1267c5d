"""Train or fine-tune a model: the loop around the native trainer, its checkpoints and its record.

A run is a model file to be (`--out`), a folder beside it with the last checkpoint and the record of losses,
and a budget of minutes or steps. A run that was cut short goes on with `--resume` exactly where the last
checkpoint left it.
"""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from engine import _train
from engine.card import describe_run
from engine.checkpoint import ModelFileError, read_model, write_atomically, write_model
from engine.config import ModelConfig
from engine.data import Text
from engine.training_record import Record, plot_losses

ISA_FOR_TRAINING = {"": "", "portable": "portable", "avx2": "avx2", "avxvnni": "avx2", "avx512vnni": ""}


class TrainingError(ValueError):
    """A run that cannot start or go on; the message says what to mend."""


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of every bundled config that does not say otherwise."""

    lanes: int = 32
    length: int = 128
    shards: int = 4
    run_windows: int = 16
    rate: float = 1e-2
    warmup: int = 100
    decay: float = 0.1
    momentum: float = 0.95  # of Muon, which updates the matrices
    beta1: float = 0.9  # of AdamW, which updates the rest
    beta2: float = 0.95
    epsilon: float = 1e-8
    clip: float = 1.0
    seed: int = 1
    final: float = 0.0  # share of the highest rate that is left at the end


@dataclass(frozen=True)
class Budget:
    """Whichever is reached first ends the run; the learning rate falls with the larger share used."""

    minutes: float | None = None
    steps: int | None = None

    def used(self, minutes: float, steps: int) -> float:
        shares = [minutes / self.minutes] if self.minutes else []
        return max([*shares, *([steps / self.steps] if self.steps else [])], default=0.0)


@dataclass(frozen=True)
class Plan:
    """A config file: what to build, how to train it, and what its card says beside the figures."""

    model: ModelConfig
    recipe: Recipe
    notes: dict[str, str]


def load_plan(name: str) -> Plan:
    """A bundled config by name, or a TOML file. Raises TrainingError naming what is wrong."""
    bundled = resources.files("engine") / "configs"
    known = sorted(p.name.removesuffix(".toml") for p in bundled.iterdir() if p.name.endswith(".toml"))
    source = bundled / f"{name}.toml" if name in known else Path(name)
    if not source.is_file():
        raise TrainingError(f"no config {name!r}: name one of {', '.join(known)} or a TOML file")
    try:
        parsed = tomllib.loads(source.read_text(encoding="utf-8"))
        recipe = Recipe(**parsed.get("train", {}))
        return Plan(ModelConfig(**parsed["model"]), recipe, parsed.get("card", {}))
    except KeyError as error:
        raise TrainingError(f"{name}: section {error} is missing") from None
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise TrainingError(f"{name}: {error}") from None


@dataclass
class Run:
    """One training run. `report` gets a line of progress now and then."""

    out: Path
    name: str
    config: ModelConfig
    recipe: Recipe
    budget: Budget
    texts: Sequence[Text]
    weights: Sequence[float]
    valid: Sequence[Text] = ()
    threads: int = 1
    initial: Path | None = None
    notes: dict[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = print
    checkpoint_minutes: float = 3.0
    record: Record = field(default_factory=Record)

    def __post_init__(self) -> None:
        settings = asdict(self.recipe) | {"threads": self.threads}
        wanted = os.environ.get("PLM_ISA", "")
        if wanted not in ISA_FOR_TRAINING:
            raise TrainingError(f"PLM_ISA: unknown instruction set {wanted!r}")
        self.trainer = _train.Trainer(self.config.to_dict(), settings, ISA_FOR_TRAINING[wanted])
        for text, weight in zip(self.texts, self.weights, strict=True):
            self.trainer.add_source(text.bytes, weight)
        self.record.texts = [text.sha256 for text in self.texts]
        if self.initial is not None:
            self._start_from(self.initial)

    @property
    def folder(self) -> Path:
        return self.out.with_name(self.out.name + ".ckpt")

    def _start_from(self, path: Path) -> None:
        model = read_model(path)
        if model.config != self.config:
            raise TrainingError(f"{path}: has other sizes than the config")
        if model.dtype == "int8":
            raise TrainingError(f"{path}: is int8; fine-tune from the bf16 or f32 file")
        self.trainer.set_tensors(model.float_tensors())
        self.record = replace(self.record, before=model.card)

    def resume(self) -> None:
        """Go on from the last checkpoint; a run without one starts from the beginning."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            return
        try:
            state = dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]
            arrays = {
                name: np.frombuffer(entry["data"], np.uint8 if entry["dtype"] == "U8" else np.float32)
                for name, entry in state.items()
            }
            record = Record.from_bytes(arrays.pop("record").tobytes())
            if record.texts != [text.sha256 for text in self.texts]:
                raise ValueError("it was made with other texts")
            self.trainer.set_state({**arrays, "steps": record.steps})
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise TrainingError(f"{path}: cannot be resumed: {error}") from None
        self.record = record

    def train(self) -> None:
        """Run to the end of the budget, then write the model, its card and the plot."""
        self.folder.mkdir(parents=True, exist_ok=True)
        meter = Meter(self)
        while (used := self.budget.used(self.record.minutes, self.trainer.steps)) < 1.0:
            started = time.monotonic()
            nats, count, norm = self.trainer.step(self.rate(used))
            self.record.add_step(nats, count, time.monotonic() - started)
            meter.tick(nats, count, norm)
        self.evaluate()
        self.save_checkpoint()
        self.write()

    def rate(self, used: float) -> float:
        """Linear warm-up, times a linear fall over the whole run (Bergsma et al., 2025, arXiv:2502.15938)."""
        r = self.recipe
        fall = r.final + (1 - r.final) * (1 - min(used, 1.0))
        warm = min(1.0, (self.trainer.steps + 1) / r.warmup)
        return float(r.rate * fall * warm)

    def evaluate(self, limit: int | None = None) -> None:
        """Bits per byte of each valid text (its first `limit` bytes), into the record and the report."""
        for text in self.valid:
            bits = self.trainer.evaluate(np.ascontiguousarray(text.bytes[:limit]))
            self.record.add_valid(text.name, bits, limit is None)
            self.report(f"valid {text.name}: {bits:.4f} bits per byte after {self.record.minutes:.1f} min")

    def save_checkpoint(self) -> None:
        """One file, replaced as a whole: a full disk or a cut leaves the last good one."""
        state = self.trainer.state()
        del state["steps"]
        state["record"] = np.frombuffer(self.record.to_bytes(), np.uint8)
        write_atomically(self.folder / "state.safetensors", save(state))

    def write(self) -> None:
        card = describe_run(self.record, self.texts, self.recipe, self.config, self.trainer.isa) | self.notes
        write_model(self.out, self.trainer.tensors(), self.config, card, self.name, "bf16")
        plot_losses(self.record, self.out.with_suffix(".png"), self.report)


class Meter:
    """Progress lines, checkpoints and evaluations, each at its own pace."""

    def __init__(self, run: Run, every_seconds: float = 15.0) -> None:
        self.run, self.every = run, every_seconds
        self.since = self.saved = time.monotonic()
        self.nats, self.bytes = 0.0, 0

    def tick(self, nats: float, count: int, norm: float) -> None:
        self.nats, self.bytes = self.nats + nats, self.bytes + count
        now = time.monotonic()
        if now - self.since >= self.every:
            self._report(now, norm)
        if now - self.saved >= self.run.checkpoint_minutes * 60:
            self.run.evaluate(limit=1 << 18)
            self.run.save_checkpoint()
            self.since = self.saved = time.monotonic()

    def _report(self, now: float, norm: float) -> None:
        run, bits = self.run, self.nats / log(2) / self.bytes
        speed = self.bytes / (now - self.since)
        used = run.budget.used(run.record.minutes, run.trainer.steps)
        left = run.record.minutes * (1 / used - 1) if used else float("inf")
        run.record.add_loss(bits)
        run.report(
            f"step {run.trainer.steps}  loss {bits:.3f} bits/byte  {speed / 1000:.1f} kB/s  "
            f"gradient {norm:.2f}  {run.record.minutes:.1f} min  ETA {left:.0f} min"
        )
        self.since, self.nats, self.bytes = now, 0.0, 0


def check_inputs(
    config: ModelConfig, initial: Path | None, weights: Sequence[float], texts: Sequence[Text]
) -> None:
    """What would only fail minutes later, found before anything is read."""
    if len(weights) != len(texts) or any(not w > 0 for w in weights):
        raise TrainingError("--mix needs one share above 0 for each --data file")
    if initial is not None and read_model(initial).config != config:
        raise ModelFileError(f"{initial}: has other sizes than the config")


def summary(record: Record) -> dict[str, Any]:
    """The figures of a finished run, for the command line."""
    return {
        "steps": record.steps,
        "bytes": record.bytes_read,
        "minutes": round(record.minutes, 1),
        "valid": record.valid,
    }
