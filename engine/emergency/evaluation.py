"""Counts what a detector hears: recall and false alarms by kind, with intervals, and the ROC curve."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from engine.emergency.assessment import Level
from engine.emergency.detector import Detector
from engine.emergency.messages import Message

RIGHT = {  # to see a doctor is no alarm
    "emergency": (Level.EMERGENCY,),
    "none": (Level.NONE, Level.DOCTOR),
    "toxic_dose": (Level.TOXIC_DOSE,),
}


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if not of:
        return 0.0, 1.0
    share, spread = hits / of, z * z / of
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def evaluate(detector: Detector, messages: Sequence[Message]) -> dict[str, Any]:
    """For each label and kind: `of`, how many were given each level, and what was missed or a false alarm."""
    table: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    wrong = []
    for message in messages:
        assessment = detector.assess(message.text)
        for kind in ("all", message.kind):
            table[message.label][kind]["of"] += 1
            table[message.label][kind][assessment.level] += 1
        if assessment.level not in RIGHT[message.label]:
            wrong.append(
                {
                    "text": message.text,
                    "label": message.label,
                    "kind": message.kind,
                    "level": assessment.level,
                    "score": round(assessment.score, 3),
                }
            )
    return {"table": table, "wrong": wrong}


def shares(counts: dict[str, int], levels: Sequence[str]) -> tuple[int, int, float, float]:
    """Hits, of how many, and the interval, for the levels together."""
    hits, of = sum(counts.get(level, 0) for level in levels), counts.get("of", 0)
    return hits, of, *wilson(hits, of)


def roc(scores: Sequence[float], positive: Sequence[bool]) -> list[tuple[float, float]]:
    """Points (false alarms, recall), one for each score as threshold, from none heard to all."""
    points, hits, alarms = [(0.0, 0.0)], 0, 0
    yes, no = sum(positive), len(positive) - sum(positive)
    for _, is_positive in sorted(zip(scores, positive, strict=True), reverse=True):
        hits, alarms = hits + is_positive, alarms + (not is_positive)
        points.append((alarms / max(no, 1), hits / max(yes, 1)))
    return points


def area(points: Sequence[tuple[float, float]]) -> float:
    """Under a ROC curve."""
    return sum((x - left) * (y + low) / 2 for (left, low), (x, y) in pairwise(points))


def plot(
    path: Path, curves: dict[str, list[tuple[float, float]]], marks: dict[str, tuple[float, float]]
) -> None:
    """A PNG of the curves' upper left corner. Raises ImportError without matplotlib (the extra `train`)."""
    from matplotlib.figure import Figure  # optional, and slow to import

    figure = Figure(figsize=(5, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.step(
            [x for x, _ in points],
            [y for _, y in points],
            where="post",
            label=f"{name} (area {area(points):.3f})",
        )
    for name, (x, y) in marks.items():
        axes.plot(x, y, "o", ms=5, label=f"{name} ({x:.1%}, {y:.1%})")
    axes.set(xlim=(0, 0.2), ylim=(0.6, 1.005), xlabel="false alarms", ylabel="recall")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path)
