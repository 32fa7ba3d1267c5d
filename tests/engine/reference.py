"""The model as its equations say, in NumPy and float64, one byte at a time: what inference is held against.

Nothing here comes from the engine: characters are cut by Python's own UTF-8 decoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.config import ModelConfig

Floats = NDArray[np.float64]


@cache
def is_open(prefix: bytes) -> bool:
    """Whether the bytes are the beginning of a character, and not the whole of it."""
    return any(
        is_character(prefix + bytes([byte]) + b"\x80" * more)
        for byte in range(0x80, 0xC0)
        for more in range(3)
    )


def is_character(text: bytes) -> bool:
    try:
        return len(text.decode()) == 1
    except UnicodeDecodeError:
        return False


def cut(data: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """For each byte: what was pending before it, and the characters that it closes."""
    pending = b""
    for value in data:
        byte, before, closed = bytes([value]), pending, []
        if pending and not is_open(pending + byte) and not is_character(pending + byte):
            closed.append(pending)
            pending = b""
        pending += byte
        if not is_open(pending):
            closed.append(pending)
            pending = b""
        yield before, closed


def fold(data: bytes) -> int:
    acc = 0
    for byte in data:
        acc = (acc << 6) | (byte & 63)
    return acc


def sigmoid(z: Floats) -> Floats:
    return 1 / (1 + np.exp(-z))


def silu(z: Floats) -> Floats:
    return z * sigmoid(z)


def rmsnorm(x: Floats, gain: Floats) -> Floats:
    return x / np.sqrt(np.mean(x * x) + 1e-5) * gain


class Reference:
    """One text. `round_activations` imitates the rounding of activations to int8 before each product."""

    def __init__(
        self, tensors: Mapping[str, NDArray[np.float32]], config: ModelConfig, round_activations: bool
    ) -> None:
        self.tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        self.config = config
        self.round_activations = round_activations
        self.state = np.zeros((config.layers, config.state))
        self.history = np.zeros((config.layers, 2, config.width))
        self.base = np.zeros(config.head_width)
        self.step(b"\xff")

    def floats(self) -> Floats:
        """The state in the order of a snapshot."""
        return np.concatenate([self.state.ravel(), self.history.ravel(), self.base])

    def set_floats(self, floats: NDArray[np.float32]) -> None:
        parts = np.split(floats.astype(np.float64), np.cumsum([self.state.size, self.history.size]))
        self.state = parts[0].reshape(self.state.shape)
        self.history = parts[1].reshape(self.history.shape)
        self.base = parts[2]

    def matmul(self, name: str, x: Floats) -> Floats:
        if self.round_activations:
            scale = np.abs(x).max() / 127
            x = np.rint(x / scale) * scale
        return self.tensors[name] @ x

    def swiglu(self, x: Floats, name: str) -> Floats:
        gate, value = np.split(self.matmul(f"{name}.up", rmsnorm(x, self.tensors[f"{name}.norm"])), 2)
        return x + self.matmul(f"{name}.down", silu(gate) * value)

    def step(self, character: bytes) -> None:
        t = self.tensors
        row = character[0] if len(character) == 1 else fold(character) & 4095
        x = t["lead_embedding"][character[0]] + t["char_embedding"][row]
        for layer in range(self.config.layers):
            name = f"layers.{layer}.recurrence"
            now = rmsnorm(x, t[f"{name}.norm"])
            conv = t[f"{name}.conv"]
            older, newer = self.history[layer]
            u = conv[:, 0] * older + conv[:, 1] * newer + conv[:, 2] * now
            self.history[layer] = newer, now
            f, v, o = np.split(self.matmul(f"{name}.in", u), 3)
            a = sigmoid(f + t[f"{name}.bias"])
            self.state[layer] = a * self.state[layer] + (1 - a) * v
            x = x + self.matmul(f"{name}.out", self.state[layer] * silu(o))
            x = self.swiglu(x, f"layers.{layer}.swiglu")
        self.base = self.matmul("head.base", rmsnorm(x, t["norm"]))

    def logits(self, pending: bytes) -> Floats:
        t = self.tensors
        lead, pair = (pending[0], fold(pending) & 1023) if pending else (256, 1024)
        z = self.base + t["head.prefix_lead"][lead] + t["head.prefix_pair"][pair]
        for layer in range(self.config.head_layers):
            z = self.swiglu(z, f"head.layers.{layer}")
        return self.matmul("head.out", rmsnorm(z, t["head.norm"]))

    def read(self, data: bytes) -> Floats:
        """The logits before each byte, [number of bytes, 256]."""
        rows = []
        for pending, closed in cut(data):
            rows.append(self.logits(pending))
            for character in closed:
                self.step(character)
        return np.array(rows)


def bits(logits: Floats, data: bytes) -> Floats:
    """The cost of each byte of `data` under its row of logits."""
    highest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
    return (total - logits[np.arange(len(data)), np.frombuffer(data, np.uint8)]) / np.log(2)
