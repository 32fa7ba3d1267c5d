"""A model and its texts on a device, as cuda/infer_model.h lays them out, and the same on the CPU."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from engine import _core
from engine.model.config import ModelConfig, is_matrix
from engine.model.number_formats import quantize_rows
from tests.engine.reference import cut, fold, hashed, mixed
from tests.tiny_model import random_tensors

from .device import Array, Device

IDS = 20
OPEN = 24  # bytes of a saved state behind what the device keeps: the cutter's


def structure(name: str, fields: str, kind: Any) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": [(field, kind) for field in fields.split()]})


Rows = structure("Rows", "rows scale", ctypes.c_void_p)
SIZES = (
    "width layers state hidden head_width head_hidden head_layers embedding views heads head_size window "
    "attention_layers prefixes"
)


class InferModel(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in SIZES.split()),
        ("tables", Rows * 5),
        ("input", Rows),
        ("trunk", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
        *((name, Rows) for name in ("base", "skip", "prefix_lead", "prefix_pair", "prefix")),
        ("head", ctypes.c_void_p),
        ("head_norm", ctypes.c_void_p),
        ("out", Rows),
    ]


class Model:
    """Random weights of a config, on the device (`struct`) and on the CPU (`network`)."""

    def __init__(self, device: Device, config: ModelConfig, seed: int = 3) -> None:
        self.device, self.config = device, config
        self.tensors: dict[str, Any] = {}
        for name, values in random_tensors(config, seed).items():
            self.tensors[name] = quantize_rows(values) if is_matrix(name, values.shape) else values
        self.network = _core.Network(config=config.to_dict(), tensors=self.tensors, isa="portable")
        self.kept: list[Array] = []
        self.struct = self.make()
        self.saved = len(_core.Session(self.network).save()[0]) - OPEN
        self.size = -(-(-(-self.saved // 64) * 64 + 4 * config.views * config.head_width) // 64) * 64

    def place(self, values: np.ndarray) -> int:
        self.kept.append(self.device.array(values))
        return self.kept[-1].address

    def rows(self, name: str) -> Any:
        if name not in self.tensors:
            return Rows()
        return Rows(*map(self.place, self.tensors[name]))

    def swiglu(self, name: str) -> list[int]:
        up, down = self.rows(f"{name}.up"), self.rows(f"{name}.down")
        return [self.place(self.tensors[f"{name}.norm"]), up.rows, up.scale, down.rows, down.scale]

    def layer(self, i: int) -> list[int]:
        attends = self.config.mixers[i % len(self.config.mixers)] == "a"
        name = f"layers.{i}.{'attention' if attends else 'recurrence'}"
        mixer = [
            self.place(self.tensors[f"{name}.norm"]),
            self.place(self.tensors[f"{name}.conv"].T),
            self.place(self.tensors[f"{name}.bias"]),
        ]
        inner, outer = self.rows(f"{name}.in"), self.rows(f"{name}.out")
        rows = [inner.rows, inner.scale, outer.rows, outer.scale]
        return [*mixer, *rows, *self.swiglu(f"layers.{i}.swiglu"), int(attends)]

    def make(self) -> InferModel:
        c = self.config
        attention = sum(c.mixers[i % len(c.mixers)] == "a" for i in range(c.layers))
        made = InferModel(attention_layers=attention)
        for name in SIZES.split():
            if name != "attention_layers":
                setattr(made, name, getattr(c, name))
        made.embedding = c.embedding or c.width
        kinds = ("lead", "char", "bigram", "trigram", "piece")
        made.tables = (Rows * 5)(*(self.rows(f"{kind}_embedding") for kind in kinds))
        for name in ("prefix_lead", "prefix_pair", "prefix", "base", "skip", "out"):
            setattr(made, name, self.rows(f"head.{name}"))
        made.input = self.rows("input")
        made.norm, made.head_norm = self.place(self.tensors["norm"]), self.place(self.tensors["head.norm"])
        made.trunk = self.place(np.array([self.layer(i) for i in range(c.layers)], np.uint64))
        head = [self.swiglu(f"head.layers.{i}") for i in range(c.head_layers)]
        made.head = self.place(np.array(head, np.uint64))
        return made

    def session(self, text: bytes) -> Any:
        """The text on the CPU."""
        session = _core.Session(self.network)
        session.feed(text)
        return session

    def ids(self, text: bytes) -> tuple[list[list[int]], bytes]:
        """Rows of the embedding tables for each patch of an end mark and the text; the bytes left open."""
        c, rows, before = self.config, [], (0, 0)
        steps = list(cut(text + b"\xff", c.patch, c.longest))
        pending = steps[-1][0]
        patches = [b"\xff", *(patch for _, closed in steps for patch in closed)]
        for patch in patches[: len(patches) - (2 if pending else 1)]:
            word = len(patch) > 1 and patch[0] < 0x80
            row = patch[0] if len(patch) == 1 else hashed(patch) if word else fold(patch)
            pair = mixed(before[0], hashed(patch))
            triple = mixed(before[1], pair)
            before = (hashed(patch), before[0])
            ids = [patch[0], row % c.characters]
            ids += [h % n if n else -1 for h, n in ((pair, c.bigrams), (triple, c.trigrams))]
            padded = b"\0" + patch + b"\0"
            if c.pieces and word:
                ids += [hashed(padded[i : i + 3], 7) % c.pieces for i in range(len(patch))]
            rows.append(ids + [-1] * (IDS - len(ids)))
        return rows, pending
