"""The shape of a model: its sizes, and from them the name and shape of every tensor.

The list of tensors is in engine/src/model/tensors.cpp, for Python, inference and training alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from math import prod
from typing import ClassVar

from engine import _core

ARCH = "charsync-2"
PLAIN_ARCH = "charsync-gru1"  # of models that use none of the options
BYTES = 256
CONV = 3

_SIZES = ("width", "layers", "state", "hidden", "head_width", "head_hidden", "head_layers")
_COUNTS = ("layers", "head_layers")
PATCHES = ("character", "word", "byte")
_OPTIONS = {
    "longest": (1, 15),
    "characters": (256, 1 << 20),
    "bigrams": (0, 1 << 20),
    "trigrams": (0, 1 << 20),
    "pieces": (0, 1 << 20),
    "embedding": (0, 16384),
    "prefixes": (0, 1 << 20),
    "views": (1, 16),
    "skip": (0, 1),
    "heads": (1, 64),
    "head_size": (16, 256),
    "window": (2, 4096),
}
_MIXERS = "raw"
_LARGEST = 16384  # keeps every int8 dot product far inside an int32


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a character-synchronous byte model with gated recurrences."""

    width: int
    layers: int
    state: int
    hidden: int
    head_width: int
    head_hidden: int
    head_layers: int
    patch: str = "character"  # what the trunk steps over
    longest: int = 7  # ASCII letters of a patch by words
    characters: int = 4096  # rows of the table of patches
    bigrams: int = 0  # rows of the table of hashed pairs of patches
    trigrams: int = 0
    pieces: int = 0  # rows of the table of hashed three-byte pieces of words
    embedding: int = 0  # width of those tables, if not the trunk's
    prefixes: int = 0  # rows of the head's table of hashed prefixes
    views: int = 1  # bases of the head, by the number of pending bytes
    # A letter a layer, repeated: r gated recurrence, a windowed attention; to train only, as a reference:
    # w the layer of wyGPT (with its own embedding and head).
    mixers: str = "r"
    heads: int = 4
    head_size: int = 32
    window: int = 64  # patches that attention sees
    skip: int = 0  # 1: the head sees the embeddings too

    encoding: ClassVar[str] = "utf-8"
    special_bytes: ClassVar[bool] = True  # whether it knows those of dialogue

    def __post_init__(self) -> None:
        for name in _SIZES:
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= _LARGEST:
                raise ValueError(f"{name} must be a whole number from 1 to {_LARGEST}, not {value!r}")
            if name not in _COUNTS and value % 16:
                raise ValueError(f"{name} must be a multiple of 16, not {value}")
        if not self.mixers or set(self.mixers) - set(_MIXERS):
            raise ValueError(f"mixers must be made of the letters {_MIXERS}, not {self.mixers!r}")
        if self.patch not in PATCHES:
            raise ValueError(f"patch must be one of {', '.join(PATCHES)}, not {self.patch!r}")
        for name, (least, most) in _OPTIONS.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
        if self.embedding % 16:
            raise ValueError(f"embedding must be a multiple of 16, not {self.embedding}")
        for name in ("head_size", "window") if "a" in self.mixers else ():
            if getattr(self, name) % 16:
                raise ValueError(f"{name} of attention must be a multiple of 16, not {getattr(self, name)}")
        if "w" in self.mixers and (self.mixers != "w" or self.patch != "byte" or self.width % self.heads):
            raise ValueError('the layer w needs mixers = "w", patch = "byte" and a width that heads divides')

    @classmethod
    def from_dict(cls, config: Mapping[str, object]) -> ModelConfig:
        """The config as stored in a model file. ValueError names what is wrong."""
        if config.get("arch") not in (PLAIN_ARCH, ARCH):
            raise ValueError(f"arch must be {ARCH!r}, not {config.get('arch')!r}")
        options = {f.name for f in fields(cls)} - set(_SIZES) if config["arch"] == ARCH else set()
        if config.get("conv") != CONV:
            raise ValueError(f"conv must be {CONV}, not {config.get('conv')!r}")
        if unknown := sorted(config.keys() - {"arch", "conv", *_SIZES, *options}):
            raise ValueError(f"unknown setting {unknown[0]!r}")
        if missing := [name for name in _SIZES if name not in config]:
            raise ValueError(f"{missing[0]} is missing")
        return cls(**{name: config[name] for name in config if name not in ("arch", "conv")})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, object]:
        sizes = {name: getattr(self, name) for name in _SIZES}
        options = {
            f.name: value
            for f in fields(self)
            if f.name not in _SIZES and (value := getattr(self, f.name)) != f.default
        }
        return {"arch": ARCH if options else PLAIN_ARCH, **sizes, **options, "conv": CONV}

    @cached_property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, (out, in) for matrices, in the order of the forward pass."""
        shapes: dict[str, tuple[int, ...]] = _core.tensor_shapes(self.to_dict())  # engine/src/model/tensors.h
        return shapes

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.tensors.values())

    @property
    def step_weights(self) -> tuple[int, int]:
        """Weights of the matrices used once a patch, and once a byte."""
        used = {name: prod(shape) for name, shape in self.tensors.items() if is_matrix(name, shape)}
        head = sum(size for name, size in used.items() if applied_per_byte(name))
        tables = sum(size for name, size in used.items() if "embedding" in name or "prefix" in name)
        return sum(used.values()) - tables - head, head


def wygpt_tensors(layers: int, width: int, heads: int, context: int) -> dict[str, tuple[int, ...]]:
    """Name to shape of a wyGPT model, (out, in) for matrices, in the order of its author's files."""
    C = width
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        p = f"layers.{layer}."
        shapes |= {f"{p}first.in": (2 * C, C), f"{p}first.out": (C, C)}
        shapes |= {f"{p}attention.bias": (heads, context)}  # by distance, 0 first
        shapes |= {f"{p}attention.in": (4 * C, C), f"{p}attention.out": (C, C)}
        shapes |= {f"{p}second.in": (2 * C, C), f"{p}second.out": (C, C)}
    return shapes | {"out": (BYTES, C)}


def applied_per_byte(name: str) -> bool:
    """Whether a matrix of a character model is multiplied once per byte; the others are once per patch."""
    return name.startswith(("head.layers.", "head.out"))


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is stored in the file's own precision; norms, biases, convolutions stay float32."""
    return len(shape) == 2 and not name.endswith((".conv", ".bias"))
