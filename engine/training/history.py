"""What a training run has done so far: kept in the checkpoint, and the source of the card and the plot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass
class Record:
    """Counts over all parts of a run that was resumed. Losses are bits per byte against minutes."""

    steps: int = 0
    bytes_read: int = 0
    minutes: float = 0.0
    losses: list[tuple[float, float]] = field(default_factory=list)
    valid_losses: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    valid: dict[str, float] = field(default_factory=dict)  # over whole files, at the end
    speeds: list[float] = field(default_factory=list)  # bytes/s between two reports
    peak_flops: float = 0.0  # what the machine could do at most, all threads together
    blend: float = 1.0  # of the change from the model that it started from, the share that was taken
    bytes_to_read: int = 0  # of pairs, once more than at first is read
    known: list[int] = field(default_factory=list)  # of pairs, and of those asked in words that were held out
    own_text: list[float] = field(
        default_factory=list
    )  # bits per byte of what it wrote itself, before and now
    texts: list[str] = field(default_factory=list)  # sha256 of each text it was trained on, in order
    config: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] | None = None  # the card of the model that this one started from

    def add_step(self, count: int, seconds: float) -> None:
        self.steps += 1
        self.bytes_read += count
        self.minutes += seconds / 60

    def add_loss(self, bits: float, bytes_per_second: float) -> None:
        self.losses.append((round(self.minutes, 3), round(bits, 4)))
        self.speeds.append(round(bytes_per_second, 1))

    @property
    def bytes_per_second(self) -> float:
        """The median over the reports; of a run too short for one, the mean."""
        return median(self.speeds) if self.speeds else self.bytes_read / (self.minutes * 60)

    def add_valid(self, name: str, bits: float, whole: bool) -> None:
        self.valid_losses.setdefault(name, []).append((round(self.minutes, 3), round(bits, 4)))
        if whole:
            self.valid[name] = round(bits, 4)

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        return cls(**json.loads(data))


def plot_losses(record: Record, path: Path, report: Callable[[str], None]) -> None:
    """A PNG of loss against minutes; says so and goes on where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        report("no loss plot: matplotlib is not installed (the extra `train` has it)")
        return
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    if record.losses:
        axes.plot(*zip(*record.losses, strict=True), label="train", linewidth=0.8)
    for name, losses in record.valid_losses.items():
        axes.plot(*zip(*losses, strict=True), label=name, marker="o", markersize=3)
    axes.set(xlabel="minutes of training", ylabel="bits per byte")
    axes.grid(alpha=0.3)
    if record.losses or record.valid_losses:
        axes.legend()
    figure.savefig(path, dpi=120)
