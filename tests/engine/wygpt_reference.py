"""A wyGPT model as its equations say, in NumPy and float64, one byte at a time; nothing here is the engine's.

The order of the numbers in a file: engine/model/wygpt.py. Held to golden data that his own program confirms.
"""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_K = 0xA0761D6478BD642F
_LOW = 0xFFFFFFFF


def hash64(a: int, b: int) -> int:
    for _ in range(2):
        a, b = a ^ _K, b ^ _K
        hh, hl = (a >> 32) * (b >> 32), (a >> 32) * (b & _LOW)
        lh, ll = (a & _LOW) * (b >> 32), (a & _LOW) * (b & _LOW)
        a, b = _swap(hl) ^ hh, _swap(lh) ^ ll
    return a ^ b


def _swap(x: int) -> int:
    return (x >> 32) | ((x & _LOW) << 32)


@cache
def embedding(byte: int, width: int) -> Floats:
    return np.array([1.0 if hash64(byte, i) & 1 else -1.0 for i in range(width)])


def norm(x: Floats, group: int) -> Floats:
    x = x.reshape(-1, group) - x.reshape(-1, group).mean(axis=1, keepdims=True)
    squares = np.maximum((x * x).sum(axis=1, keepdims=True), 1e-18)
    return (x / np.sqrt(squares / group)).ravel()


def linear(weight: Floats, x: Floats) -> Floats:
    return weight @ x / np.sqrt(len(x))


class Reference:
    """One text, read byte by byte."""

    def __init__(self, file: bytes) -> None:
        self.context, R, D, self.heads, _ = struct.unpack_from("<5I", file)
        numbers = (np.frombuffer(file, "<u2", offset=20).astype(np.uint32) << 16).view(np.float32)
        self.numbers, self.width, self.r = numbers.astype(np.float64), R, R // self.heads
        take = self._take
        self.layers = []
        for _ in range(D):
            first = take(2 * R, R), take(R, R)
            bias = take(self.heads, self.context)
            attention = take(4 * R, R), take(R, R)
            self.layers.append((first, bias, attention, (take(2 * R, R), take(R, R))))
        self.out = take(256, R)
        assert self.numbers.size == 0
        self.cache: list[list[tuple[Floats, Floats]]] = [[] for _ in range(D)]

    def _take(self, rows: int, columns: int) -> Floats:
        size = rows * columns
        taken, self.numbers = self.numbers[:size], self.numbers[size:]
        return taken.reshape(rows, columns)

    def gated(self, x: Floats, weights: tuple[Floats, Floats]) -> Floats:
        first, second = np.split(norm(linear(weights[0], x), self.r), 2)
        return x + linear(weights[1], norm(first * second, self.r))

    def attention(self, x: Floats, layer: int) -> Floats:
        _, bias, weights, _ = self.layers[layer]
        k, q, v, gate = norm(linear(weights[0], x), self.r).reshape(4, self.heads, self.r)
        cache = self.cache[layer]
        cache.append((k, v))
        del cache[: -self.context]
        keys, values = (np.array(each) for each in zip(*reversed(cache), strict=True))  # by distance
        scores = np.einsum("hr,dhr->hd", q, keys) / np.sqrt(self.r) + bias[:, : len(cache)]
        a = np.exp(scores - scores.max(axis=1, keepdims=True))
        a /= a.sum(axis=1, keepdims=True)
        y = np.einsum("hd,dhr->hr", a, values) * gate
        return x + linear(weights[1], norm(y.ravel(), self.r))

    def read(self, byte: int) -> Floats:
        """The log-probabilities of the next byte, [256]."""
        x = embedding(byte, self.width)
        for i, (first, _, _, second) in enumerate(self.layers):
            x = self.gated(self.attention(self.gated(x, first), i), second)
        z = linear(self.out, norm(x, self.width))
        return z - z.max() - np.log(np.exp(z - z.max()).sum())


def penalties(text: bytes) -> Floats:
    """The repetition penalty of his sampler, straight from its definition, [256]."""
    out, n = np.zeros(256), len(text)
    for k in range(n):
        length = 1
        while length <= k and text[k - length] == text[n - length]:
            length += 1
        out[text[k]] += (np.exp(length / np.e) - 1) / (n - k)
    return out


def distribution(log_probs: Floats, text: bytes) -> Floats:
    p = np.sqrt(2) * (log_probs - penalties(text))
    p = np.exp(p - p.max())
    p = np.maximum(p / p.sum() - 1 / 256, 0)
    return p / p.sum()
