"""Intervals of shares."""

from __future__ import annotations

from math import sqrt


def wilson(hits: float, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z2 = 1.96**2 / trials
    mean = hits / trials
    middle = (mean + z2 / 2) / (1 + z2)
    half = sqrt(z2 * mean * (1 - mean) + z2 * z2 / 4) / (1 + z2)
    return max(0.0, middle - half), min(1.0, middle + half)
