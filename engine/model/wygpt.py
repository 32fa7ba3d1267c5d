"""The original author's models: their shape, and their files as his program writes them.

From the public-domain sources of github.com/wangyi-fudan/wyGPT, commit 3edb703. A file is five little-endian
uint32 (context, embed, depth, heads, symbols) and then every weight as bfloat16, with nothing between and
nothing after: no magic, version, checksum or text encoding. So the length must be exact, and the
encoding be told.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.model.config import BYTES, wygpt_tensors
from engine.model.encoding import ENCODINGS

_HEADER = struct.Struct("<5I")
_LARGEST = 16384  # keeps every int8 dot product far inside an int32, and a mistaken header out of memory


class WygptFileError(ValueError):
    """A file that is not one of his models; the message names the file and what is wrong."""


@dataclass(frozen=True)
class WygptConfig:
    """Sizes of a wyGPT model (his names: CONTEXT, EMBED, DEPTH, HEADS) and the encoding of its texts."""

    context: int
    width: int
    layers: int
    heads: int
    encoding: str = "utf-8"

    arch: ClassVar[str] = "wygpt"
    special_bytes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("context", "width", "layers", "heads"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= _LARGEST:
                raise ValueError(f"{name} must be a whole number from 1 to {_LARGEST}, not {value!r}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be shared out among {self.heads} heads")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, not {self.encoding!r}")

    @classmethod
    def from_dict(cls, config: Mapping[str, object]) -> WygptConfig:
        """The config as stored in a model file. ValueError names what is wrong."""
        given = {name: value for name, value in config.items() if name != "arch"}
        names = ("context", "width", "layers", "heads", "encoding")
        if unknown := sorted(given.keys() - set(names)):
            raise ValueError(f"unknown setting {unknown[0]!r}")
        if missing := [name for name in names if name not in given]:
            raise ValueError(f"{missing[0]} is missing")
        return cls(**given)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, object]:
        return {"arch": self.arch, **asdict(self)}

    @cached_property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, (out, in) for matrices, in the order of his file."""
        return wygpt_tensors(self.layers, self.width, self.heads, self.context)

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.tensors.values())

    @property
    def step_weights(self) -> tuple[int, int]:
        """Weights used once a character, and once a byte."""
        return 0, self.parameters - self.layers * self.heads * self.context


def read_published(
    path: str | Path, encoding: str
) -> tuple[WygptConfig, dict[str, NDArray[np.float32]], dict[str, Any]]:
    """Config, tensors as in `config.tensors` and the first lines of a card, from one of his files.

    Raises WygptFileError for a header that does not fit the length, other than 256 symbols, or a weight
    that is not finite; OSError if the file cannot be read.
    """
    data = Path(path).read_bytes()
    if len(data) < _HEADER.size:
        raise WygptFileError(f"{path}: {len(data)} bytes are too few for a wyGPT model")
    context, width, layers, heads, symbols = _HEADER.unpack_from(data)
    if symbols != BYTES:
        raise WygptFileError(
            f"{path}: has {symbols} symbols; only models over bytes, with {BYTES}, can be imported"
        )
    try:
        config = WygptConfig(context, width, layers, heads, encoding)
    except ValueError as error:
        raise WygptFileError(f"{path}: not a wyGPT model: {error}") from None
    expected = _HEADER.size + 2 * config.parameters
    if len(data) != expected:
        raise WygptFileError(f"{path}: has {len(data):,} bytes, its header asks for {expected:,}")
    bits = np.frombuffer(data, "<u2", offset=_HEADER.size).astype(np.uint32) << 16
    values = bits.view(np.float32)
    tensors: dict[str, NDArray[np.float32]] = {}
    begin = 0
    for name, shape in config.tensors.items():
        tensors[name] = values[begin : begin + prod(shape)].reshape(shape)
        begin += prod(shape)
        if not np.isfinite(tensors[name]).all():
            raise WygptFileError(f"{path}: {name}: holds a value that is not finite")
    source = {"format": "wyGPT", "file": Path(path).name, "sha256": hashlib.sha256(data).hexdigest()}
    return config, tensors, {"imported": source, "parameters": config.parameters}
