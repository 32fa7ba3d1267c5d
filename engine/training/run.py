"""Train or fine-tune a model: the loop around the native trainer, its checkpoints and its record.

A run is the model file to be written (`--out`), a folder beside it with the last checkpoint and the record of
losses, and a budget of minutes, steps or bytes. An interrupted run goes on with `--resume` exactly where the
last checkpoint left it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save

from engine import _train
from engine.inference.model import Model
from engine.model.atomic_write import write_atomically
from engine.model.checkpoint import ModelFile, write_model
from engine.model.config import ModelConfig
from engine.model.device import on_device
from engine.model.isa import training_isa
from engine.training.card import training_card
from engine.training.dataset import Text, answer_mask, answers_name
from engine.training.growing import check_grows, grown
from engine.training.history import Record, plot_losses
from engine.training.pairs import MORE, ROUNDS, SHARES, SHARES_MARGIN, Pairs, known
from engine.training.recipe import Recipe, TrainingError
from engine.training.roofline import flops_per_byte
from engine.training.stored import stored_arrays

REPORT_SECONDS = 15.0
MAX_FORGETTING = 0.02  # on what it wrote itself; about 3 % on texts like those it was made from


@dataclass(frozen=True)
class Budget:
    """Whichever is reached first ends the run; the learning rate falls with the larger share used."""

    minutes: float | None = None
    steps: int | None = None
    bytes: int | None = None

    def used(self, record: Record) -> float:
        pairs = (record.minutes, self.minutes), (record.steps, self.steps), (record.bytes_read, self.bytes)
        return max((done / most for done, most in pairs if most), default=0.0)


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
    initial: ModelFile | None = None
    # Text of the initial model that must not become much less likely.
    anchor_text: NDArray[np.uint8] | None = None
    pairs: Pairs | None = None  # to be learned word for word
    rounds: int = 0  # of reading them
    notes: dict[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = print
    stop: Callable[[], bool] = lambda: False  # asked after each step
    checkpoint_minutes: float = 3.0
    record: Record = field(default_factory=Record)

    def __post_init__(self) -> None:
        settings = self.recipe.trainer_settings(self.threads)
        try:
            isa = training_isa()
        except ValueError as error:
            raise TrainingError(str(error)) from None
        config = self.config.to_dict()
        there = on_device(lambda cuda: (cuda, _train.Trainer(config, settings, cuda.training_ops())))
        self.cuda: Any | None = there[0] if there else None
        self.trainer = there[1] if there else _train.Trainer(config, settings, isa)
        for text, weight in zip(self.texts, self.weights, strict=True):
            self.trainer.add_source(text.bytes, weight)
        self.record.texts = [text.sha256 for text in self.texts]
        self.record.config = config
        if self.initial is not None:
            self._start_from(self.initial)

    @property
    def folder(self) -> Path:
        return self.out.with_name(self.out.name + ".ckpt")

    def _start_from(self, model: ModelFile) -> None:
        if model.dtype == "int8":
            raise TrainingError(f"{model.path}: is int8; fine-tune from the bf16 or f32 file")
        self.initial = grown(model, self.config)
        self.trainer.set_tensors(self.initial.float_tensors())
        self.record = replace(self.record, before=model.card)

    def resume(self) -> None:
        """Go on from the last checkpoint; a run without one starts from the beginning."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            return
        try:
            arrays = stored_arrays(path)
            record = Record.from_bytes(arrays.pop("record").tobytes())
            if record.config not in ({}, self.config.to_dict()):
                raise ValueError("it is of a model of other sizes than the config")
            if record.texts != [text.sha256 for text in self.texts]:
                raise ValueError("it was made with other texts")
            self.trainer.set_state({**arrays, "steps": record.steps})
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise TrainingError(f"{path}: cannot be resumed: {error}") from None
        self.record = replace(record, config=self.config.to_dict())
        if self.budget.bytes and record.bytes_to_read:  # where it read on
            self.budget = replace(self.budget, bytes=record.bytes_to_read)

    def train(self) -> bool:
        """Run to the end of the budget, then write the model, its card and the plot.

        False if `stop` ended it before: there is a checkpoint then, and no model.
        """
        with self._writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.record.peak_flops = (
            self.cuda.peak_flops() if self.cuda else _train.peak_flops(self.trainer.isa, self.threads)
        )
        progress = Progress(self)
        while not self._finished():
            started = time.monotonic()
            used = self.budget.used(self.record)
            nats, count, norm, read = self.trainer.step(self.recipe.rate_at(used, self.trainer.steps))
            self.record.add_step(read, time.monotonic() - started)
            if self.stop():
                self.save_checkpoint()
                return False
            progress.tick(nats, count, norm, read)
        self.save_checkpoint()
        if self.pairs is None:
            self.interpolate_weights()
        else:
            self.keep_pairs()
        self.evaluate()
        self.write()
        return True

    def _finished(self) -> bool:
        """Whether the budget is used up. Where pairs are to be known and are not, it is made larger."""
        if self.budget.used(self.record) < 1.0:
            return False
        if self.pairs is None or not self.budget.bytes or self.rounds >= ROUNDS:
            return True
        self.rounds += 1
        learned = self.pairs.learned
        right = known(self._model(self.trainer.tensors()), learned)
        if right == len(learned) or self.rounds == ROUNDS:
            return True
        self.report(f"{right} of {len(learned)} answers are known word for word: reading on")
        self.record.bytes_to_read = round(self.record.bytes_read * (1 + MORE))
        self.budget = replace(self.budget, bytes=self.record.bytes_to_read)
        return self.budget.used(self.record) >= 1.0

    def _model(self, tensors: Mapping[str, NDArray[np.float32]]) -> Model:
        """As it will run: its matrices quantised."""
        if self.initial is None:
            raise TrainingError("a model with random weights knows no answers")
        file = replace(self.initial, name=self.name, dtype="f32", tensors=dict(tensors))
        return Model(file, os.environ.get("PLM_ISA", ""))

    def keep_pairs(self) -> None:
        """Step back toward the initial model as far as the pairs are known as well as before the step."""
        if self.pairs is None or self.initial is None:
            return
        before, after = self.initial.float_tensors(), self.trainer.tensors()
        right, least = known(self._model(after), self.pairs.learned), 1.0
        for share in SHARES:
            blend = {name: b + np.float32(share) * (after[name] - b) for name, b in before.items()}
            if known(self._model(blend), self.pairs.learned) < right:
                break
            least = share
        least = min(1.0, least + SHARES_MARGIN)
        self.record.blend = round(least, 2)
        self.report(f"took {least:.0%} of the change: enough for what it is to know, and no more")
        kept = {name: b + np.float32(least) * (after[name] - b) for name, b in before.items()}
        model = self._model(kept)
        self.record.known = [known(model, self.pairs.learned), known(model, self.pairs.held_out)]
        if self.anchor_text is not None:
            text = np.ascontiguousarray(self.anchor_text)
            self.trainer.set_tensors(before)
            self.record.own_text = [round(self.trainer.evaluate(text), 4)]
            self.trainer.set_tensors(kept)
            self.record.own_text.append(round(self.trainer.evaluate(text), 4))
        else:
            self.trainer.set_tensors(kept)

    def interpolate_weights(self) -> None:
        """Step back toward the initial model until its own text costs at most MAX_FORGETTING more.

        On the straight line between the weights before and after fine-tuning most of what was learned is
        kept while much less is lost (Wortsman et al., 2022, arXiv:2109.01903).
        """
        if self.anchor_text is None or self.initial is None:
            return
        before, after = self.initial.float_tensors(), self.trainer.tensors()
        text = np.ascontiguousarray(self.anchor_text)

        def cost(share: float) -> float:
            blend = {name: b + np.float32(share) * (after[name] - b) for name, b in before.items()}
            self.trainer.set_tensors(blend)
            return self.trainer.evaluate(text)

        low, high, limit = 0.0, 1.0, cost(0.0) * (1 + MAX_FORGETTING)
        if cost(1.0) <= limit:
            low = 1.0
        else:
            for _ in range(4):
                middle = (low + high) / 2
                low, high = (middle, high) if cost(middle) <= limit else (low, middle)
            cost(low)
        self.record.blend = low
        self.report(f"took {low:.0%} of the change, so that {self.initial.name} keeps what it knew")

    def evaluate(self, limit: int | None = None) -> None:
        """Bits per byte of each valid text (its first `limit` bytes), into the record and the report.

        Of dialogues also those of the answers and their end marks alone.
        """
        for text in self.valid:
            data = np.ascontiguousarray(text.bytes[:limit])
            counted = answer_mask(data)
            whole, answers = self.trainer.evaluate(data, counted)
            figures = {text.name: whole} | ({answers_name(text.name): answers} if counted.any() else {})
            for name, bits in figures.items():
                self.record.add_valid(name, bits, limit is None)
                self.report(f"valid {name}: {bits:.4f} bits per byte after {self.record.minutes:.1f} min")

    def save_checkpoint(self) -> None:
        """One file, replaced as a whole: a full disk or a cut leaves the last good one."""
        state = self.trainer.state()
        del state["steps"]
        state["record"] = np.frombuffer(self.record.to_bytes(), np.uint8)
        path = self.folder / "state.safetensors"
        with self._writing(path):
            write_atomically(path, save(state))

    def write(self) -> None:
        card = training_card(
            self.record,
            self.recipe,
            self.texts,
            self.weights,
            parameters=self.config.parameters,
            threads=self.threads,
            isa=self.trainer.isa,
            roofline_share=self.roofline_share(self.record.bytes_per_second),
            interpolated=self.anchor_text is not None,
        )
        card |= self.notes
        with self._writing(self.out):
            write_model(self.out, self.trainer.tensors(), self.config, card, self.name, "bf16")
            plot_losses(self.record, self.out.with_suffix(".png"), self.report)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            saved = (self.folder / "state.safetensors").exists()
            hint = "; the last checkpoint is whole: --resume goes on from there" if saved else ""
            raise TrainingError(f"{path}: cannot be written: {error.strerror or error}{hint}") from None

    def roofline_share(self, bytes_per_second: float) -> float:
        """The least possible time as a share of the measured: see engine/training/roofline.py."""
        patches = self.record.steps * self.recipe.batch_size * self.recipe.length / self.record.bytes_read
        flops = flops_per_byte(self.config, self.trainer.decaying, patches)
        return bytes_per_second * flops / self.record.peak_flops


class Progress:
    """Progress lines, checkpoints and evaluations, each at its own pace."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.since = self.saved = time.monotonic()
        self.nats, self.predicted, self.bytes = 0.0, 0, 0

    def tick(self, nats: float, count: int, norm: float, read: int) -> None:
        """After a step: the sum of its losses, over how many bytes, the gradient's norm, the bytes read."""
        self.nats, self.predicted, self.bytes = self.nats + nats, self.predicted + count, self.bytes + read
        now = time.monotonic()
        if now - self.since >= REPORT_SECONDS:
            self._report(now, norm)
        if now - self.saved >= self.run.checkpoint_minutes * 60:
            self.run.evaluate(limit=1 << 18)
            self.run.save_checkpoint()
            self.since = self.saved = time.monotonic()

    def _report(self, now: float, norm: float) -> None:
        run, bits = self.run, self.nats / log(2) / self.predicted
        speed = self.bytes / (now - self.since)
        used = run.budget.used(run.record)
        left = max(0.0, run.record.minutes * (1 / used - 1)) if used else float("inf")
        run.record.add_loss(bits, speed)
        run.report(
            f"step {run.trainer.steps}  loss {bits:.3f} bits/byte  {speed / 1000:.1f} kB/s, "
            f"{run.roofline_share(speed):.0%} of the roofline  gradient {norm:.2f}  "
            f"{run.record.minutes:.1f} min  ETA {left:.0f} min"
        )
        self.since, self.nats, self.predicted, self.bytes = now, 0.0, 0, 0


def check_inputs(
    config: ModelConfig, initial: ModelFile | None, weights: Sequence[float], texts: Sequence[Text]
) -> None:
    """Errors that would otherwise appear minutes later."""
    if len(weights) != len(texts) or any(not w > 0 for w in weights):
        raise TrainingError("--mix needs one share above 0 for each --data file")
    if initial is not None:
        check_grows(initial, config)


def summary(record: Record) -> dict[str, Any]:
    """The figures of a finished run, for the command line."""
    return {
        "steps": record.steps,
        "bytes": record.bytes_read,
        "minutes": round(record.minutes, 1),
        "valid": record.valid,
        **({"known": record.known} if record.known else {}),
    }
