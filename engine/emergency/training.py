"""Makes the weights file from labelled messages. `plm emergency train` is a thin layer over `train`.

Settings are chosen by five-fold cross-validation of the messages: the penalty by the loss, the calibration by
Platt's method on the held-out scores.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.emergency.features import BITS, by_sound, features
from engine.emergency.messages import Message, digest
from engine.emergency.normalize import normalize
from engine.emergency.regression import Floats, Rows, fit
from engine.emergency.weights import KIND_BITS, write_weights
from engine.emergency.weights import fold as fold_number

WIDTH = 1 << BITS
POWER = 0.4  # a sum over n features is divided by n ** 0.4: long messages neither drown nor shout
PENALTIES = (0.05,)
KIND_PENALTY = 0.1
KIND_STEPS = 15  # enough to choose among kinds
FOLDS = 5
SPELLED = 24  # characters; shorter messages are learned a second time, as they would be typed in pinyin
# Calibrated probabilities, and why these: README.md, "Thresholds".
EMERGENCY = 0.4
UNCERTAIN = 0.35
TOXIC_ALONE = 0.97  # nothing of toxic.tsv is named
TOXIC_NAMED = 0.6  # a poison is named, but no word of amount known
TOXIC_ASKED = 0.2  # both are there: the model need only not object
WINDOW_MARGIN = (
    1.0  # a window of a long text must be this much surer than a short message (in units of the logit)
)


@dataclass(frozen=True)
class Trained:
    """What cross-validation found; the scores are held-out probabilities of an emergency, one a message."""

    penalty: float
    scores: Floats
    settings: dict[str, float]
    kind_accuracy: float


def train(messages: Sequence[Message], path: Path, folds: int = FOLDS) -> Trained:
    """Writes the weights to `path`. The same messages give the same decisions on any machine."""
    labels = np.array([message.label for message in messages])
    counts = Counter(message.label for message in messages)
    if min(counts["emergency"], counts["none"], counts["toxic_dose"]) < folds:
        raise ValueError("too few messages: emergencies, others and toxic doses are all needed")
    texts = [normalize(message.text) for message in messages]
    # A message and its pinyin are rows of the same fold; calibration and figures are of the messages alone.
    short = np.array([number for number, text in enumerate(texts) if len(text) <= SPELLED], dtype=np.int64)
    sets = [features(text) for text in texts] + [by_sound(texts[number]) for number in short]
    source = np.concatenate([np.arange(len(messages)), short])
    rows = Rows.of(sets, POWER)
    emergency, toxic = labels == "emergency", labels == "toxic_dose"
    fold = np.random.default_rng(13).permutation(len(messages)) % folds

    def held_out_logits(positive: NDArray[np.bool_], penalty: float) -> Floats:
        return cross_validate(rows, positive[source], fold[source], penalty)[: len(messages)]

    held_out = {penalty: held_out_logits(emergency, penalty) for penalty in PENALTIES}
    penalty = min(PENALTIES, key=lambda value: _log_loss(held_out[value], emergency))
    settings = _settings(held_out[penalty], held_out_logits(toxic, penalty), labels)
    lines = {
        "emergency": fit(rows, emergency[source], WIDTH, penalty),
        "toxic_dose": fit(rows, toxic[source], WIDTH, penalty),
    }
    kinds = np.array([message.kind for message in messages])
    kind_rows = Rows.of([set(map(fold_number, numbers)) for numbers in sets], POWER)
    of_emergencies = np.flatnonzero(emergency)
    spoken_too = np.flatnonzero(emergency[source])
    kind_lines = _kind_lines(kind_rows.pick(spoken_too), kinds[source][spoken_too])
    accuracy = _kind_accuracy(kind_rows.pick(of_emergencies), kinds[of_emergencies], fold[of_emergencies])
    _write(path, lines, kind_lines, settings, messages)
    return Trained(penalty, _probability(held_out[penalty], settings), settings, accuracy)


def cross_validate(rows: Rows, positive: NDArray[np.bool_], fold: Any, penalty: float) -> Floats:
    """(N,): the logit of each message by the model that has not seen its fold."""
    logits = np.zeros(len(rows))
    for number in range(fold.max() + 1):
        seen, unseen = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        weights = fit(rows.pick(seen), positive[seen], WIDTH, penalty)
        logits[unseen] = rows.pick(unseen).times(weights[:-1]) + weights[-1]
        print(".", end="", file=sys.stderr, flush=True)  # noqa: T201 - a sign of life
    return logits


def _settings(logits: Floats, toxic_logits: Floats, labels: NDArray[np.str_]) -> dict[str, float]:
    slope, offset = _calibrate(logits, labels == "emergency")
    toxic_slope, toxic_offset = _calibrate(toxic_logits, labels == "toxic_dose")
    return {
        "slope": slope,
        "offset": offset,
        "toxic_slope": toxic_slope,
        "toxic_offset": toxic_offset,
        "emergency": EMERGENCY,
        "uncertain": UNCERTAIN,
        "toxic_dose_alone": TOXIC_ALONE,
        "toxic_dose_named": TOXIC_NAMED,
        "toxic_dose_asked": TOXIC_ASKED,
        "window_margin": WINDOW_MARGIN,
    }


def _calibrate(logits: Floats, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset that make a logit's sigmoid the share of positives (Platt 1999, his soft targets)."""
    yes, no = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (yes + 1) / (yes + 2), 1 / (no + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    line = np.array([1.0, 0.0])
    for _ in range(50):  # Newton's method; the problem is convex and has two unknowns
        p = _sigmoid(design @ line)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        line = line - np.linalg.solve(hessian, design.T @ (p - target))
    return float(line[0]), float(line[1])


def _kind_lines(rows: Rows, kinds: NDArray[np.str_]) -> dict[str, Floats]:
    return {
        str(kind): fit(rows, kinds == kind, 1 << KIND_BITS, KIND_PENALTY, KIND_STEPS)
        for kind in np.unique(kinds)
    }


def _kind_accuracy(rows: Rows, kinds: NDArray[np.str_], fold: Any) -> float:
    seen, unseen = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    lines = _kind_lines(rows.pick(seen), kinds[seen])
    logits = np.stack([rows.pick(unseen).times(line[:-1]) + line[-1] for line in lines.values()])
    return float((np.array(list(lines))[logits.argmax(axis=0)] == kinds[unseen]).mean())


def _write(
    path: Path,
    lines: dict[str, Floats],
    kinds: dict[str, Floats],
    settings: dict[str, float],
    messages: Sequence[Message],
) -> None:
    matrix = np.stack([line[:-1] for line in kinds.values()], axis=1)  # (2**KIND_BITS, K)
    floats = {name: line[:-1] for name, line in lines.items()} | {"kinds": matrix.ravel()}
    scales = {name: float(np.abs(table).max() / 127) for name, table in floats.items()}
    tables = {name: np.rint(table / scales[name]).astype(np.int8).tobytes() for name, table in floats.items()}
    biases: dict[str, Any] = {name: float(line[-1]) for name, line in lines.items()}
    counts = Counter(f"{message.label} {message.kind}" for message in messages)
    head = {
        "bits": BITS,
        "power": POWER,
        "kinds": list(kinds),
        "scales": scales,
        "biases": biases | {"kinds": [float(line[-1]) for line in kinds.values()]},
        "settings": settings,
        "counts": {"messages": len(messages), "sha256": digest(messages), **dict(sorted(counts.items()))},
    }
    write_weights(path, tables, head)


def _log_loss(logits: Floats, positive: NDArray[np.bool_]) -> float:
    slope, offset = _calibrate(logits, positive)
    return float(np.logaddexp(0, -np.where(positive, 1, -1) * (logits * slope + offset)).mean())


def _probability(logits: Floats, settings: dict[str, float]) -> Floats:
    return _sigmoid(logits * settings["slope"] + settings["offset"])


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
