"""The upper bound on the speed of training: the arithmetic of its matrix products alone.

A weight is used three times for each place it is applied at (forward, and for both gradients), each a product
and a sum: 6 FLOPs (Kaplan et al., 2020, arXiv:2001.08361). The trunk's weights are applied once a patch, the
head's once a byte. The machine's rate is that of the products' innermost loop, `engine._train.peak_flops`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from engine.model.config import ModelConfig, applied_per_byte


def flops_per_byte(config: ModelConfig, matrices: Iterable[str], patches_per_byte: float) -> float:
    """FLOPs of the matrix products for one byte of text; `matrices` names the tensors that are multiplied."""
    flops = 0.0
    for name in matrices:
        flops += 6 * prod(config.tensors[name]) * (1.0 if applied_per_byte(name) else patches_per_byte)
    return flops
