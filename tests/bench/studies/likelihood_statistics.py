"""The few statistics that bench_likelihood needs, each by its textbook."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NORMAL_95 = 1.959964


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, z2 = hits / count, NORMAL_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return middle - half, middle + half


def area_under_curve(positive: Floats, negative: Floats) -> float:
    """The chance that a positive scores above a negative; ties count half."""
    above = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    return float(above)


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], count: int) -> tuple[float, float]:
    """The 95 % interval of a statistic of `count` items, given the items drawn."""
    generator = np.random.default_rng(0)
    drawn = [statistic(generator.integers(0, count, count)) for _ in range(500)]
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def fit_choice(features: list[Floats], answers: list[int]) -> Floats:
    """Weights of a conditional logit (McFadden 1974): features[question] is [choices, features]."""
    weights = np.zeros(features[0].shape[1])
    for _ in range(50):
        gradient, hessian = np.zeros_like(weights), 1e-6 * np.eye(len(weights))
        for x, answer in zip(features, answers, strict=True):
            p = _softmax(x @ weights)
            mean = p @ x
            gradient += x[answer] - mean
            hessian += (p[:, None] * x).T @ x - np.outer(mean, mean)
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def fit_logistic(x: Floats, y: NDArray[np.bool_]) -> tuple[float, float]:
    """Offset and slope of the log-odds of y in x, by Newton's method."""
    rows = np.stack([np.ones_like(x), x], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-rows @ weights))
        hessian = (rows * (p * (1 - p))[:, None]).T @ rows
        weights += np.linalg.solve(hessian, rows.T @ (y - p))
    return float(weights[0]), float(weights[1])


def _softmax(scores: Floats) -> Floats:
    p = np.exp(scores - scores.max())
    return np.asarray(p / p.sum())
