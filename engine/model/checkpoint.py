"""Model files: one safetensors file holds the tensors, the config and the model's card.

The library reads them. The writer is ours: the library orders the metadata at random, so equal models would
differ in their hash. bfloat16 stays uint16 bits here, as numpy has no such type.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from engine.model.atomic_write import write_atomically
from engine.model.catalog import ModelFileError
from engine.model.config import ModelConfig, is_matrix
from engine.model.number_formats import from_bf16, quantize_rows, to_bf16
from engine.model.reader import ReaderConfig
from engine.model.wygpt import WygptConfig

FORMAT = "personal-lm/1"
MAX_HEADER = 100_000_000  # bytes, as the safetensors library has it
DTYPES = ("int8", "bf16", "f32")
LARGE_TABLE = 8192  # rows; a table with more is int8 in bf16 files too, or they would be twice as large
LanguageConfig = ModelConfig | WygptConfig
AnyConfig = LanguageConfig | ReaderConfig
Array = NDArray[Any]

_FILE_DTYPE = {"int8": "I8", "bf16": "BF16", "f32": "F32"}
_NUMPY_DTYPE: dict[str, np.dtype[Any]] = {
    "I8": np.dtype(np.int8),
    "BF16": np.dtype("<u2"),
    "F32": np.dtype("<f4"),
}


@dataclass(frozen=True)
class ModelFile:
    """A validated model file. `tensors` are read-only; bf16 stays uint16 bits."""

    path: Path
    name: str
    dtype: str
    config: AnyConfig
    card: dict[str, Any]
    hash: str  # first 16 hex digits of the file's sha256
    tensors: dict[str, Array]

    def float32(self, name: str) -> NDArray[np.float32]:
        """One tensor of the config, dequantised, shape as in `config.tensors`."""
        tensor = self.tensors[name]
        if tensor.dtype == np.int8:
            return np.multiply(tensor, self.tensors[f"{name}.scale"][:, None], dtype=np.float32)
        return from_bf16(tensor) if tensor.dtype == np.uint16 else tensor.astype(np.float32)

    def float_tensors(self) -> dict[str, NDArray[np.float32]]:
        return {name: self.float32(name) for name in self.config.tensors}


def write_model(
    path: str | Path,
    tensors: Mapping[str, Array],
    config: AnyConfig,
    card: Mapping[str, Any],
    name: str,
    dtype: str,
) -> None:
    """Write float32 `tensors` (exactly those of `config.tensors`) as a model file of `dtype`, atomically.

    Raises ModelFileError for a missing, extra, misshapen or non-finite tensor.
    """
    path = Path(path)
    if dtype not in DTYPES:
        raise ModelFileError(f"{path}: dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    _check_names(path, tensors.keys(), config.tensors.keys())
    stored: dict[str, tuple[str, Array]] = {}
    for tensor_name, shape in config.tensors.items():
        values = np.ascontiguousarray(tensors[tensor_name], np.float32)
        if values.shape != shape:
            raise ModelFileError(f"{path}: {tensor_name}: shape is {values.shape}, the config says {shape}")
        stored |= _stored(tensor_name, values, _dtype_of(tensor_name, shape, dtype))
    for tensor_name, (_, array) in stored.items():
        _check_values(path, tensor_name, array)
    metadata = {
        "format": FORMAT,
        "name": name,
        "arch": str(config.to_dict()["arch"]),
        "config": json.dumps(config.to_dict()),
        "card": json.dumps(card, ensure_ascii=False),
        "dtype": dtype,
    }
    write_atomically(path, _serialize(stored, metadata))


def _dtype_of(name: str, shape: tuple[int, ...], dtype: str) -> str:
    """How a file of `dtype` stores a tensor."""
    if not is_matrix(name, shape):
        return "f32"
    large = name.endswith("_embedding") and shape[0] > LARGE_TABLE
    return "int8" if dtype == "bf16" and large else dtype


def _serialize(stored: Mapping[str, tuple[str, Array]], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file; wider elements come first, so that each tensor is aligned."""
    header: dict[str, object] = {"__metadata__": metadata}
    data: list[bytes] = []
    end = 0
    for name, (kind, array) in sorted(stored.items(), key=lambda item: -item[1][1].itemsize):
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (begin, end)}
        data.append(array.astype(_NUMPY_DTYPE[kind], copy=False).tobytes())
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return b"".join([len(encoded).to_bytes(8, "little"), encoded, *data])


def _stored(name: str, values: NDArray[np.float32], dtype: str) -> dict[str, tuple[str, Array]]:
    if dtype == "int8":
        if not np.isfinite(values).all():
            return {name: ("F32", values)}  # refused by name right after; int8 would hide what is wrong
        quantized, scale = quantize_rows(values)
        return {name: ("I8", quantized), f"{name}.scale": ("F32", scale)}
    return {name: ("BF16", to_bf16(values)) if dtype == "bf16" else ("F32", values)}


def quantize_model(source: str | Path, target: str | Path, figures: Mapping[str, Any] | None = None) -> None:
    """Write the int8 form of a bf16 or f32 model file, `figures` added to its card."""
    model = read_model(source)
    if model.dtype == "int8":
        raise ModelFileError(f"{source}: is int8 already")
    card = {**model.card, **(figures or {})}
    write_model(target, model.float_tensors(), model.config, card, model.name, "int8")


def read_model(path: str | Path) -> ModelFile:
    """Read a model file and check all of it. Raises ModelFileError naming the file and what is wrong."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such model file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error}") from None
    header = _read_header(path, data)
    metadata = _pop_metadata(path, header)
    try:
        config = config_from_dict(_json_object(metadata, "config"))
        card = _json_object(metadata, "card")
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None
    dtype = metadata["dtype"]
    if dtype not in DTYPES:
        raise ModelFileError(f"{path}: dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    tensors = _read_tensors(path, data, header, _expected(config, dtype))
    digest = hashlib.sha256(data).hexdigest()[:16]
    return ModelFile(path, metadata["name"], dtype, config, card, digest, tensors)


def is_model(path: Path) -> bool:
    """Whether a file says that it is one, of whatever version."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, MAX_HEADER)))
        return str(header["__metadata__"]["format"]).startswith(FORMAT.partition("/")[0] + "/")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def config_from_dict(config: Mapping[str, object]) -> AnyConfig:
    """The config of whatever architecture it names. ValueError says what is wrong."""
    kinds: dict[object, type[WygptConfig] | type[ReaderConfig]] = {
        WygptConfig.arch: WygptConfig,
        ReaderConfig.arch: ReaderConfig,
    }
    return kinds.get(config.get("arch"), ModelConfig).from_dict(config)


def _read_header(path: Path, data: bytes) -> dict[str, Any]:
    """The header as it stands: the library checks it, but gives no metadata and seldom names a tensor."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 + size:
        raise ModelFileError(f"{path}: not a safetensors file, or cut short inside the header")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"))
    except (ValueError, RecursionError):
        raise ModelFileError(f"{path}: not a safetensors file (its header is not JSON)") from None
    if not isinstance(header, dict):
        raise ModelFileError(f"{path}: not a safetensors file (its header is not an object)")
    return header


def _pop_metadata(path: Path, header: dict[str, Any]) -> dict[str, str]:
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or "format" not in metadata:
        raise ModelFileError(f"{path}: not a personal-lm model (no 'format' in the metadata)")
    if metadata["format"] != FORMAT:
        raise ModelFileError(f"{path}: format is {metadata['format']!r}, this version reads {FORMAT!r}")
    for key in ("name", "arch", "config", "card", "dtype"):
        if not isinstance(metadata.get(key), str):
            raise ModelFileError(f"{path}: {key!r} is missing in the metadata")
    return metadata


def _json_object(metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata[key])
    except (ValueError, RecursionError):
        raise ValueError(f"{key!r} in the metadata is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"{key!r} in the metadata is not an object")
    return value


def _expected(config: AnyConfig, dtype: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in config.tensors.items():
        stored = _dtype_of(name, shape, dtype)
        expected[name] = (_FILE_DTYPE[stored], shape)
        if stored == "int8":
            expected[f"{name}.scale"] = ("F32", shape[:1])
    return expected


def _check_names(path: Path, found: Any, expected: Any) -> None:
    if missing := sorted(expected - found):
        raise ModelFileError(f"{path}: {missing[0]}: tensor is missing")
    if extra := sorted(found - expected):
        raise ModelFileError(f"{path}: {extra[0]}: tensor does not belong to this model")


def _read_tensors(
    path: Path, data: bytes, header: Mapping[str, Any], expected: Mapping[str, tuple[str, tuple[int, ...]]]
) -> dict[str, Array]:
    entries, damage = header, ""
    try:
        entries = dict(deserialize(data))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        damage = " ".join(str(error).split())
    _check_names(path, entries.keys(), expected.keys())
    for name, (kind, shape) in expected.items():
        entry = entries[name]
        if not isinstance(entry, dict) or entry.get("dtype") != kind:
            found = entry.get("dtype") if isinstance(entry, dict) else entry
            raise ModelFileError(f"{path}: {name}: dtype is {found!r}, expected {kind!r}")
        if entry.get("shape") != list(shape):
            raise ModelFileError(
                f"{path}: {name}: shape is {entry.get('shape')}, the config says {list(shape)}"
            )
        if damage and (reason := _damaged_place(entry, prod(shape) * _NUMPY_DTYPE[kind].itemsize, data)):
            raise ModelFileError(f"{path}: {name}: {reason}")
    if damage:
        raise ModelFileError(f"{path}: {damage}")
    tensors: dict[str, Array] = {}
    for name, (kind, shape) in expected.items():
        tensors[name] = np.frombuffer(entries[name]["data"], _NUMPY_DTYPE[kind]).reshape(shape)
        tensors[name].flags.writeable = False
        _check_values(path, name, tensors[name])
    return tensors


def _damaged_place(entry: Mapping[str, Any], size: int, data: bytes) -> str:
    """What is wrong with where a tensor of `size` bytes should lie in a damaged file, if anything."""
    start, offsets = 8 + int.from_bytes(data[:8], "little"), entry.get("data_offsets")
    try:
        begin, end = offsets  # type: ignore[misc]  # a wrong one raises what is caught below
        fits: bool = begin >= 0 and end - begin == size
    except (TypeError, ValueError):
        fits = False
    if not fits:
        return f"impossible data_offsets {offsets}"
    return f"the file is cut short, at {len(data)} bytes" if start + end > len(data) else ""


def _check_values(path: Path, name: str, tensor: Array) -> None:
    if tensor.dtype == np.int8:
        # Rows are scaled to absmax / 127, so -128 means damage or a foreign writer.
        if tensor.min() < -127:
            raise ModelFileError(f"{path}: {name}: holds -128, which quantize never writes")
        return
    values = from_bf16(tensor) if tensor.dtype == np.uint16 else tensor
    if not np.isfinite(values).all():
        raise ModelFileError(f"{path}: {name}: holds a value that is not finite")
    if name.endswith(".scale") and values.min() <= 0:
        raise ModelFileError(f"{path}: {name}: holds a scale that is not above zero")
