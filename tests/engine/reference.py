"""The model as its equations say, in NumPy and float64, one byte at a time: what inference is held against.

Nothing here comes from the engine: characters are told apart by Python's own UTF-8 decoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.model.config import ModelConfig

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


def cut(data: bytes, rule: str = "character", longest: int = 7) -> Iterator[tuple[bytes, list[bytes]]]:
    """For each byte: what was pending before it, and the patches that it closes."""
    run = re.compile(rb"[A-Za-z0-9]{1,%d}|[!-~]" % longest if rule == "word" else rb"(?!)")

    def may_grow(patch: bytes) -> bool:
        return rule != "byte" and (is_open(patch) or run.fullmatch(patch) is not None)

    def is_whole(patch: bytes) -> bool:
        return is_character(patch) or (patch.endswith(b" ") and run.fullmatch(patch[:-1]) is not None)

    pending = b""
    for value in data:
        byte, before, closed = bytes([value]), pending, []
        if pending and not may_grow(pending + byte) and not is_whole(pending + byte):
            closed.append(pending)
            pending = b""
        pending += byte
        if not may_grow(pending):
            closed.append(pending)
            pending = b""
        yield before, closed


def fold(data: bytes) -> int:
    acc = 0
    for byte in data:
        acc = (acc << 6) | (byte & 63)
    return acc


def hashed(data: bytes, seed: int = 0) -> int:
    """FNV-1a over the bytes, then MurmurHash3's finalizer."""
    h = 2166136261 ^ seed
    for byte in data:
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


def mixed(first: int, second: int) -> int:
    h = (first * 0x9E3779B1 & 0xFFFFFFFF) ^ second
    h = (h ^ h >> 15) * 0x85EBCA6B & 0xFFFFFFFF
    return h ^ h >> 13


def bf16(x: Floats) -> Floats:
    """The nearest numbers that bf16 can hold, ties to even."""
    bits = np.atleast_1d(np.asarray(x, np.float32)).view(np.uint32)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    rounded: Floats = kept.astype(np.uint32).view(np.float32).astype(np.float64).reshape(np.shape(x))
    return rounded


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
        mixers = [config.mixers[layer % len(config.mixers)] for layer in range(config.layers)]
        self.slots = [mixers[:layer].count(mixer) for layer, mixer in enumerate(mixers)]
        self.attends = [mixer == "a" for mixer in mixers]
        self.state = np.zeros((mixers.count("r"), config.state))
        self.history = np.zeros((config.layers, 2, config.width))
        # Keys and values of the characters in the window, oldest first; zeros before the first one.
        self.seen = np.zeros((mixers.count("a"), 2, config.window, config.head_size))
        self.base = np.zeros(config.views * config.head_width)
        self.before = (0, 0)  # hashes of the last two patches, the last one first
        self.step(b"\xff")

    def floats(self) -> Floats:
        """All that `restore` takes."""
        return np.concatenate([part.ravel() for part in (self.state, self.history, self.seen, self.base)])

    def restore(self, saved: bytes) -> None:
        """Take the state that inference saved: all but the n-gram hashes, and the base by its inputs."""
        c, at = self.config, 0

        def take(kind: str, shape: tuple[int, ...]) -> Floats:
            nonlocal at
            count = int(np.prod(shape))
            values = np.frombuffer(saved, kind, count, at)
            at += values.nbytes
            if kind == "<u2":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            return values.astype(np.float64).reshape(shape)

        self.state = take("<f4", self.state.shape)
        self.history = take("<u2", self.history.shape)
        rings = [
            (take("i1", (c.head_size, c.window)), take("i1", (c.window, c.head_size))) for _ in self.seen
        ]
        scales = take("<u2", (len(rings), 2, c.window))
        top = take("i1", (c.width,))
        embedded = take("i1", (c.embedding or c.width,) if c.skip else (0,))
        top_scale, embedded_scale = take("<f4", (2,))
        position = int(np.frombuffer(saved, "<u4", 1, at)[0])
        for slot, (keys, values) in enumerate(rings):
            both = np.stack([keys.T, values]) * scales[slot][:, :, None]
            self.seen[slot] = np.roll(both, -position, axis=1)
        self.base = self.tensors["head.base"] @ (top * top_scale)
        if c.skip:
            self.base = self.base + self.tensors["head.skip"] @ (embedded * embedded_scale)

    def matmul(self, name: str, x: Floats) -> Floats:
        if self.round_activations:
            scale = np.abs(x).max() / 127
            x = np.rint(x / scale) * scale
        return self.tensors[name] @ x

    def swiglu(self, x: Floats, name: str) -> Floats:
        gate, value = np.split(self.matmul(f"{name}.up", rmsnorm(x, self.tensors[f"{name}.norm"])), 2)
        return x + self.matmul(f"{name}.down", silu(gate) * value)

    def embed(self, patch: bytes) -> Floats:
        """The sum of the patch's rows in all tables; the n-gram tables look back at the patches before it."""
        t, c = self.tensors, self.config
        ascii_run = len(patch) > 1 and patch[0] < 0x80
        row = patch[0] if len(patch) == 1 else hashed(patch) if ascii_run else fold(patch)
        e: Floats = t["lead_embedding"][patch[0]] + t["char_embedding"][row % c.characters]
        pair = mixed(self.before[0], hashed(patch))
        if c.bigrams:
            e = e + t["bigram_embedding"][pair % c.bigrams]
        if c.trigrams:
            e = e + t["trigram_embedding"][mixed(self.before[1], pair) % c.trigrams]
        if c.pieces and ascii_run:
            padded = b"\0" + patch + b"\0"
            for i in range(len(patch)):
                e = e + t["piece_embedding"][hashed(padded[i : i + 3], 7) % c.pieces]
        self.before = (hashed(patch), self.before[0])
        return e

    def step(self, patch: bytes) -> None:
        t = self.tensors
        e = self.embed(patch)
        x = self.matmul("input", e) if self.config.embedding else e
        for layer in range(self.config.layers):
            name = f"layers.{layer}.{'attention' if self.attends[layer] else 'recurrence'}"
            now = rmsnorm(x, t[f"{name}.norm"])
            conv = t[f"{name}.conv"]
            older, newer = self.history[layer]
            u = conv[:, 0] * older + conv[:, 1] * newer + conv[:, 2] * now
            self.history[layer] = newer, bf16(now) if self.round_activations else now
            mixer = self.attend if self.attends[layer] else self.recur
            y = mixer(self.slots[layer], self.matmul(f"{name}.in", u), t[f"{name}.bias"])
            x = x + self.matmul(f"{name}.out", y)
            x = self.swiglu(x, f"layers.{layer}.swiglu")
        self.base = self.matmul("head.base", rmsnorm(x, t["norm"]))
        if self.config.skip:
            self.base = self.base + self.matmul("head.skip", e)

    def recur(self, slot: int, fvo: Floats, bias: Floats) -> Floats:
        f, v, o = np.split(fvo, 3)
        a = sigmoid(f + bias)
        self.state[slot] = a * self.state[slot] + (1 - a) * v
        y: Floats = self.state[slot] * silu(o)
        return y

    def attend(self, slot: int, qkv: Floats, bias: Floats) -> Floats:
        rows = qkv.reshape(-1, self.config.head_size)
        self.seen[slot] = np.roll(self.seen[slot], -1, axis=1)
        self.seen[slot, :, -1] = [self.rounded(row) for row in rows[-2:]]
        keys, values = self.seen[slot]
        scores = rows[:-2] @ keys.T / np.sqrt(self.config.head_size) + bias
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        y: Floats = (weights / weights.sum(axis=1, keepdims=True) @ values).ravel()
        return y

    def rounded(self, x: Floats) -> Floats:
        if not self.round_activations:
            return x
        scale = bf16(np.abs(x).max() / 127)
        return np.rint(x / scale) * scale

    def logits(self, pending: bytes) -> Floats:
        t, c = self.tensors, self.config
        view = min(len(pending), c.views - 1)
        z = self.base[view * c.head_width : (view + 1) * c.head_width]
        if c.patch != "byte":
            ascii_run = pending != b"" and pending[0] < 0x80
            lead = (pending[-1] if ascii_run else pending[0]) if pending else 256
            pair = (hashed(pending[-2:]) if ascii_run else fold(pending)) & 1023 if pending else 1024
            z = z + t["head.prefix_lead"][lead] + t["head.prefix_pair"][pair]
        if c.prefixes:
            z = z + t["head.prefix"][hashed(pending, 1) % c.prefixes]
            z = z + t["head.prefix"][hashed(pending[-3:], 2) % c.prefixes]
        for layer in range(self.config.head_layers):
            z = self.swiglu(z, f"head.layers.{layer}")
        return self.matmul("head.out", rmsnorm(z, t["head.norm"]))

    def read(self, data: bytes) -> Floats:
        """The logits before each byte, [number of bytes, 256]."""
        rows = []
        for pending, closed in cut(data, self.config.patch, self.config.longest):
            rows.append(self.logits(pending))
            for patch in closed:
                self.step(patch)
        return np.array(rows)


def bits(logits: Floats, data: bytes) -> Floats:
    """The cost of each byte of `data` under its row of logits."""
    highest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
    return (total - logits[np.arange(len(data)), np.frombuffer(data, np.uint8)]) / np.log(2)
