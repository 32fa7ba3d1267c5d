"""Train a reader: the loop around the native trainer, its checkpoints, its measures and its card.

Like a run of a language model (engine/training/run.py): the file to write, a folder beside it with the last
checkpoint, a budget of minutes or steps, and `resume`, which goes on where the last checkpoint left it.
"""

from __future__ import annotations

import hashlib
import json
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from engine import _train
from engine.model.atomic_write import write_atomically
from engine.model.checkpoint import ModelFile, write_model
from engine.model.isa import training_isa
from engine.model.reader import ReaderConfig
from engine.reading.examples import Example, read_examples
from engine.reading.measures import area_under_curve, exact, f1
from engine.reading.notes import notes
from engine.reading.strangers import strangers
from engine.training.recipe import TrainingError
from engine.training.stored import stored_arrays

REPORT_SECONDS = 15.0
NOTES = 24_000  # questions on everyday notes that are made, where the recipe asks for some
LOOK = 300  # examples of each valid file that are looked at on the way


@dataclass(frozen=True)
class ReaderRecipe:
    """How to train; the rate falls linearly to nothing over the last 70 % of the run."""

    batch_size: int = 16
    shards: int = 2
    passages: int = 2  # of an example that a step reads
    strangers: float = 0.13  # share of examples whose passages are another question's
    notes: float = 0.0  # share of examples on everyday notes, made by rule
    dropout: float = 0.15
    rate: float = 3e-3
    warmup: int = 100
    decay: float = 0.01
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    clip: float = 1.0
    seed: int = 1

    def rate_at(self, used: float, steps: int) -> float:
        return self.rate * min(1.0, (steps + 1) / self.warmup) * min(1.0, (1 - min(used, 1.0)) / 0.7)

    def settings(self, threads: int) -> dict[str, Any]:
        """What the native trainer takes, under its own names."""
        return asdict(self) | {"threads": threads}


@dataclass(frozen=True)
class ReaderPlan:
    """What a config file says."""

    config: ReaderConfig
    recipe: ReaderRecipe
    notes: dict[str, str]


def load_reader_plan(name_or_path: str) -> ReaderPlan | None:
    """The plan of a bundled config or a TOML file; None if it is not of a reader. TrainingError."""
    bundled = resources.files("engine") / "configs" / f"{name_or_path}.toml"
    path = Path(name_or_path)
    try:
        text = bundled.read_text("utf-8") if bundled.is_file() else path.read_text("utf-8-sig")
        table = tomllib.loads(text)
    except (OSError, ValueError):
        return None  # the language models' own reading says what is wrong
    if "reader" not in table:
        return None
    try:
        config = ReaderConfig.from_dict(table["reader"])
        recipe = ReaderRecipe(**table.get("train", {}))
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{name_or_path}: {error}") from None
    return ReaderPlan(config, recipe, dict(table.get("card", {})))


@dataclass
class Progress:
    """Counts over all parts of a run that was resumed."""

    steps: int = 0
    examples: int = 0
    minutes: float = 0.0
    losses: list[tuple[float, float]] = field(default_factory=list)  # minutes, mean nats an example
    valid: dict[str, dict[str, float]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)  # sha256 of each file of examples


@dataclass
class ReaderRun:
    """One run. `report` gets a line of progress now and then; `stop` is asked after each step."""

    out: Path
    name: str
    plan: ReaderPlan
    data: Sequence[Path]
    weights: Sequence[float]  # one for each file; examples are drawn by them
    valid: Sequence[Path] = ()
    minutes: float | None = None
    steps: int | None = None
    threads: int = 1
    initial: ModelFile | None = None
    report: Callable[[str], None] = print
    stop: Callable[[], bool] = lambda: False
    checkpoint_minutes: float = 3.0

    def __post_init__(self) -> None:
        recipe = self.plan.recipe
        self.trainer = _train.ReaderTrainer(
            self.plan.config.to_dict(), recipe.settings(self.threads), training_isa()
        )
        self.progress = Progress()
        sources = [read_examples(path) for path in self.data]
        for path, examples, weight in zip(self.data, sources, self.weights, strict=True):
            self._add(path.name, examples, weight)
            self.progress.texts.append(hashlib.sha256(path.read_bytes()).hexdigest())
        whole = sum(self.weights) / (1 - recipe.strangers - recipe.notes)
        if recipe.strangers:
            self._add("strangers", strangers(sources, recipe.seed), whole * recipe.strangers)
        if recipe.notes:
            self._add("notes", notes(NOTES, recipe.seed), whole * recipe.notes)
        self.held_out = {path.name: read_examples(path) for path in self.valid}
        if self.initial is not None:
            if self.initial.config != self.plan.config:
                raise TrainingError(f"{self.initial.path}: has other sizes than the config")
            self.trainer.set_tensors(self.initial.float_tensors())

    def _add(self, name: str, examples: Sequence[Example], weight: float) -> None:
        source = self.trainer.add_source(weight)
        for number, example in enumerate(examples, 1):
            passages = [(p["title"], p["text"]) for p in example.passages]
            try:
                self.trainer.add(source, example.question, passages, example.spans())
            except ValueError as error:
                raise TrainingError(f"{name}, example {number}: {error}") from None

    @property
    def folder(self) -> Path:
        return self.out.with_name(self.out.name + ".ckpt")

    def used(self) -> float:
        pairs = (self.progress.minutes, self.minutes), (self.progress.steps, self.steps)
        return max((done / most for done, most in pairs if most), default=1.0)

    def resume(self) -> None:
        """Go on from the last checkpoint; a run without one starts from the beginning."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            return
        try:
            arrays = stored_arrays(path)
            progress = Progress(**json.loads(arrays.pop("progress").tobytes()))
            if progress.texts != self.progress.texts:
                raise ValueError("it was made with other texts")
            self.trainer.set_state({**arrays, "steps": progress.steps})
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise TrainingError(f"{path}: cannot be resumed: {error}") from None
        self.progress = progress

    def train(self) -> bool:
        """Run to the end, then write the model. False if `stop` ended it before: there is a checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        reported = saved = time.monotonic()
        losses: list[float] = []
        while (used := self.used()) < 1.0:
            began = time.monotonic()
            loss, count, _ = self.trainer.step(self.plan.recipe.rate_at(used, self.trainer.steps))
            now = time.monotonic()
            losses.append(loss)
            self.progress.steps += 1
            self.progress.examples += count
            self.progress.minutes += (now - began) / 60
            if self.stop():
                self.save()
                return False
            if now - reported >= REPORT_SECONDS:
                self._report(mean(losses), used)
                reported, losses = now, []
            if now - saved >= self.checkpoint_minutes * 60:
                self.evaluate(LOOK)
                self.save()
                saved = reported = time.monotonic()
        self.save()
        self.evaluate()
        self.write()
        return True

    def _report(self, loss: float, used: float) -> None:
        done = self.progress
        done.losses.append((round(done.minutes, 2), round(loss, 4)))
        left = done.minutes * (1 / used - 1) if used else float("inf")
        rate = done.examples / (done.minutes * 60)
        self.report(
            f"step {done.steps}  loss {loss:.3f} nats  {rate:.1f} examples/s  "
            f"{done.minutes:.1f} min  ETA {left:.0f} min"
        )

    def evaluate(self, most: int | None = None) -> None:
        tensors = self.trainer.tensors()
        network = _train.Reader(self.plan.config.to_dict(), tensors, self.trainer.isa)
        for name, examples in self.held_out.items():
            figures = measure(network, examples[:most])
            self.progress.valid[name] = figures
            shown = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
            self.report(f"valid {name}: {shown} after {self.progress.minutes:.1f} min")

    def save(self) -> None:
        state = self.trainer.state()
        del state["steps"]
        state["progress"] = np.frombuffer(json.dumps(asdict(self.progress)).encode(), np.uint8)
        write_atomically(self.folder / "state.safetensors", save(state))

    def write(self) -> None:
        done = self.progress
        card = {
            **self.plan.notes,
            "parameters": self.plan.config.parameters,
            "data": [
                {"file": path.name, "sha256": sha, "share": round(weight / sum(self.weights), 3)}
                for path, sha, weight in zip(self.data, done.texts, self.weights, strict=True)
            ],
            "minutes": round(done.minutes, 1),
            "steps": done.steps,
            "examples": done.examples,
            "recipe": asdict(self.plan.recipe),
            "isa": self.trainer.isa,
            "threads": self.threads,
            "valid": done.valid,
        }
        write_model(self.out, self.trainer.tensors(), self.plan.config, card, self.name, "int8")


def measure(network: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Exact match, F1 of answerable questions, and the area under the curve of refusals."""
    found, matches, scores = [], [], []
    for example in examples:
        passages = [(p["title"], p["text"]) for p in example.passages]
        spans, answerable = network.read(example.question, passages, 1)
        scores.append(answerable)
        if example.answerable:
            text = said(spans, example.passages)
            found.append(max(f1(text, answer) for answer in example.answers))
            matches.append(float(any(exact(text, answer) for answer in example.answers)))
    area = area_under_curve(scores, [example.answerable for example in examples])
    return {"exact": mean(matches), "f1": mean(found), "refusal": area} if found else {"refusal": area}


def said(spans: Sequence[tuple[int, int, int, float]], passages: Sequence[Mapping[str, str]]) -> str:
    """The text of the likeliest span."""
    if not spans:
        return ""
    passage, start, end, _ = spans[0]
    return passages[passage]["text"][start:end]
