"""The shape of a model: its sizes, and from them the name and shape of every tensor.

Model files are read and written by this list; the trainer and inference lay their memory out by their own,
and the tests hold them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

ARCH = "charsync-gru1"
BYTES = 256
CHARACTERS = 4096  # rows of the table that folded multi-byte characters hash into
LEADS = 257  # 256 lead bytes, and one row for "no pending byte"
PAIRS = 1025  # 1024 folded prefixes, and one row for "no pending byte"
CONV = 3

_SIZES = ("width", "layers", "state", "hidden", "head_width", "head_hidden", "head_layers")
_COUNTS = ("layers", "head_layers")
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

    def __post_init__(self) -> None:
        for name in _SIZES:
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= _LARGEST:
                raise ValueError(f"{name} must be a whole number from 1 to {_LARGEST}, not {value!r}")
            if name not in _COUNTS and value % 16:
                raise ValueError(f"{name} must be a multiple of 16, not {value}")

    @classmethod
    def from_dict(cls, config: Mapping[str, object]) -> ModelConfig:
        """The config as stored in a model file. ValueError names what is wrong."""
        if config.get("arch") != ARCH:
            raise ValueError(f"arch must be {ARCH!r}, not {config.get('arch')!r}")
        if config.get("conv") != CONV:
            raise ValueError(f"conv must be {CONV}, not {config.get('conv')!r}")
        if unknown := sorted(config.keys() - {"arch", "conv", *_SIZES}):
            raise ValueError(f"unknown setting {unknown[0]!r}")
        if missing := [name for name in _SIZES if name not in config]:
            raise ValueError(f"{missing[0]} is missing")
        return cls(**{name: config[name] for name in _SIZES})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, object]:
        return {"arch": ARCH, **{name: getattr(self, name) for name in _SIZES}, "conv": CONV}

    @cached_property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, (out, in) for matrices, in the order of the forward pass."""
        D, R, F = self.width, self.state, self.hidden
        H, Fh = self.head_width, self.head_hidden
        shapes: dict[str, tuple[int, ...]] = {
            "lead_embedding": (BYTES, D),
            "char_embedding": (CHARACTERS, D),
        }
        for layer in range(self.layers):
            recurrence, swiglu = f"layers.{layer}.recurrence", f"layers.{layer}.swiglu"
            shapes |= {
                f"{recurrence}.norm": (D,),
                f"{recurrence}.conv": (D, CONV),
                f"{recurrence}.in": (3 * R, D),
                f"{recurrence}.bias": (R,),
                f"{recurrence}.out": (D, R),
                f"{swiglu}.norm": (D,),
                f"{swiglu}.up": (2 * F, D),
                f"{swiglu}.down": (D, F),
            }
        shapes |= {"norm": (D,), "head.base": (H, D)}
        shapes |= {"head.prefix_lead": (LEADS, H), "head.prefix_pair": (PAIRS, H)}
        for layer in range(self.head_layers):
            head = f"head.layers.{layer}"
            shapes |= {f"{head}.norm": (H,), f"{head}.up": (2 * Fh, H), f"{head}.down": (H, Fh)}
        return shapes | {"head.norm": (H,), "head.out": (BYTES, H)}

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.tensors.values())


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is stored in the file's own precision; norms, biases, convolutions stay float32."""
    return len(shape) == 2 and not name.endswith(".conv")
