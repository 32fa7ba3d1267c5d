"""The sizes of a reader: the network that finds the span of a passage that answers a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import prod
from typing import ClassVar

from engine import _core


@dataclass(frozen=True)
class ReaderConfig:
    """Sizes of a reader; engine/src/model/reader.cpp says what each may be."""

    width: int
    layers: int  # gated recurrences, every other one over the reversed text
    hidden: int
    embedding: int = 64
    keys: int = 64  # width of the keys by which passages look at the question
    characters: int = 8192  # rows of the table of characters
    bigrams: int = 16384  # rows of the table of hashed pairs of characters
    longest: int = 160  # characters of a span

    arch: ClassVar[str] = "reader-1"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int:
                raise ValueError(f"{field.name} must be a whole number, not {value!r}")
        _ = self.tensors  # raises ValueError for sizes that no reader has

    @classmethod
    def from_dict(cls, config: Mapping[str, object]) -> ReaderConfig:
        """The config as stored in a model file. ValueError names what is wrong."""
        given = {name: value for name, value in config.items() if name != "arch"}
        names = {field.name for field in fields(cls)}
        if unknown := sorted(given.keys() - names):
            raise ValueError(f"unknown setting {unknown[0]!r}")
        if missing := [name for name in ("width", "layers", "hidden") if name not in given]:
            raise ValueError(f"{missing[0]} is missing")
        return cls(**given)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, object]:
        return {"arch": self.arch, **asdict(self)}

    @cached_property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, (out, in) for matrices, in the order of the forward pass."""
        shapes: dict[str, tuple[int, ...]] = _core.reader_tensor_shapes(asdict(self))
        return shapes

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.tensors.values())
