"""Logistic regression on sparse binary features: L-BFGS (Nocedal & Wright, algorithm 7.4), numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MEMORY = 10
STEPS = 200
TOLERANCE = 1e-5  # of the loss, relative


@dataclass(frozen=True)
class Rows:
    """N sparse rows: all their columns, where each row starts, the value of its ones (count ** -power)."""

    columns: Ints  # (nonzeros,)
    starts: Ints  # (N + 1,)
    values: Floats  # (nonzeros,)
    of_row: Ints  # (nonzeros,)

    @classmethod
    def of(cls, sets: Iterable[Iterable[int]], power: float) -> Rows:
        rows = [sorted(numbers) for numbers in sets]
        counts = np.array([len(row) for row in rows], dtype=np.int64)
        columns = np.array([number for row in rows for number in row], dtype=np.int64)
        return cls._from(columns, counts, power)

    @classmethod
    def _from(cls, columns: Ints, counts: Ints, power: float) -> Rows:
        starts = np.concatenate([[0], np.cumsum(counts)])
        values = np.repeat(1.0 / np.maximum(counts, 1) ** power, counts)
        return cls(columns, starts, values, np.repeat(np.arange(len(counts)), counts))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def pick(self, rows: Sequence[int] | Ints) -> Rows:
        parts = [slice(self.starts[row], self.starts[row + 1]) for row in rows]
        counts = np.array([part.stop - part.start for part in parts], dtype=np.int64)
        return Rows(
            np.concatenate([self.columns[part] for part in parts]),
            np.concatenate([[0], np.cumsum(counts)]),
            np.concatenate([self.values[part] for part in parts]),
            np.repeat(np.arange(len(counts)), counts),
        )

    def times(self, weights: Floats) -> Floats:
        """(N,): the rows' sums of weights (columns,)."""
        products: Floats = weights[self.columns] * self.values
        sums: Floats = np.bincount(self.of_row, weights=products, minlength=len(self)).astype(np.float64)
        return sums


def fit(rows: Rows, positive: NDArray[np.bool_], width: int, l2: float, steps: int = STEPS) -> Floats:
    """(width + 1,): weights and, last, the bias, which bears no penalty. What only one row has
    gets no weight: it could do no more than learn that row by heart."""
    often = np.flatnonzero(np.bincount(rows.columns, minlength=width) > 1)
    place = np.full(width, -1)
    place[often] = np.arange(len(often))
    kept = place[rows.columns] >= 0
    columns, values, of_row = place[rows.columns[kept]], rows.values[kept], rows.of_row[kept]
    sign = np.where(positive, 1.0, -1.0)

    products = np.empty(len(columns))  # one buffer: fresh pages for each sum would take longer than the sums

    def loss(w: Floats) -> tuple[float, Floats]:
        np.take(w, columns, out=products, mode="clip")
        np.multiply(products, values, out=products)
        margin = sign * (np.bincount(of_row, weights=products, minlength=len(rows)) + w[-1])
        residual = -sign * np.exp(-np.logaddexp(0, margin))
        np.take(residual, of_row, out=products, mode="clip")
        np.multiply(products, values, out=products)
        gradient = np.bincount(columns, weights=products, minlength=len(often)) + l2 * w[:-1]
        total = np.logaddexp(0, -margin).sum() + l2 / 2 * w[:-1] @ w[:-1]
        return float(total), np.append(gradient, residual.sum())

    compact = _minimize(loss, np.zeros(len(often) + 1), steps)
    weights = np.zeros(width + 1)
    weights[often], weights[-1] = compact[:-1], compact[-1]
    return weights


def _minimize(loss: Callable[[Floats], tuple[float, Floats]], w: Floats, limit: int) -> Floats:
    value, gradient = loss(w)
    steps: list[Floats] = []
    changes: list[Floats] = []
    for _ in range(limit):
        direction = -_inverse_hessian_times(gradient, steps, changes)
        size = 1.0
        while True:
            next_value, next_gradient = loss(w + size * direction)
            if next_value <= value + 1e-4 * size * (gradient @ direction) or size < 1e-6:
                break
            size /= 2
        step, change = size * direction, next_gradient - gradient
        w = w + step
        if step @ change > 1e-12:
            steps, changes = [*steps, step][-MEMORY:], [*changes, change][-MEMORY:]
        done = value - next_value < TOLERANCE * abs(value)
        value, gradient = next_value, next_gradient
        if done:
            break
    return w


def _inverse_hessian_times(gradient: Floats, steps: list[Floats], changes: list[Floats]) -> Floats:
    result = gradient.copy()
    shares = []
    for step, change in zip(reversed(steps), reversed(changes), strict=True):
        share = (step @ result) / (step @ change)
        shares.append(share)
        result -= share * change
    if steps:
        result *= (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    else:
        result /= max(1.0, float(np.linalg.norm(gradient)))
    for step, change, share in zip(steps, changes, reversed(shares), strict=True):
        result += (share - (change @ result) / (step @ change)) * step
    return result
