"""The classifier's file: deflated int8 weights in the safetensors layout (length of the head, JSON, data).

Read and scored without numpy: a decision is a sum over some hundred numbers of a table.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KIND_BITS = 16  # the kinds' tables are smaller: they choose the words of an answer, not whether there is one
FORMAT = "plm-emergency-2"


class WeightsError(ValueError):
    """The file is no classifier, or one of another version."""


@dataclass(frozen=True)
class Line:
    """One linear decision: a text's table[number] * scale summed, over their count ** power, + bias."""

    table: memoryview  # (2**bits,) int8
    scale: float
    bias: float

    def logit(self, numbers: Iterable[int], divisor: float) -> float:
        return sum(map(self.table.__getitem__, numbers)) * self.scale / divisor + self.bias


@dataclass(frozen=True)
class Kinds:
    """One decision for each kind of emergency, side by side: a number's row of the table holds them all."""

    names: list[str]
    table: bytes  # (2**KIND_BITS * K,) int8, each 128 higher: bytes are sliced and summed fastest
    scale: float
    biases: list[float]

    def logits(self, numbers: Iterable[int], divisor: float) -> list[float]:
        width = len(self.names)
        rows = [self.table[start : start + width] for start in {fold(number) * width for number in numbers}]
        sums = (total - 128 * len(rows) for total in map(sum, zip(*rows, strict=True)))
        return [total * self.scale / divisor + bias for total, bias in zip(sums, self.biases, strict=True)]


def fold(number: int) -> int:
    """A feature's number in the kinds' table."""
    return number & (1 << KIND_BITS) - 1


@dataclass(frozen=True)
class Weights:
    bits: int
    power: float
    emergency: Line
    toxic_dose: Line
    kinds: Kinds
    settings: dict[str, float]  # calibration and thresholds
    counts: dict[str, Any]  # what it was made from

    def divisor(self, count: int) -> float:
        return float(max(count, 1) ** self.power)


def probability(logit: float) -> float:
    """1 / (1 + e^-logit), for any logit."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


def write_weights(path: Path, tables: dict[str, bytes], head: dict[str, Any]) -> None:
    """`tables`: name to int8 bytes. `head` goes into the metadata. The same input gives the same bytes."""
    start, entries = 0, {}
    packed = {name: zlib.compress(table, 9) for name, table in sorted(tables.items())}  # mostly zeros
    for name, part in packed.items():
        entries[name] = {"dtype": "U8", "shape": [len(part)], "data_offsets": [start, start + len(part)]}
        start += len(part)
    metadata = {"format": FORMAT, "head": json.dumps(head, ensure_ascii=False, sort_keys=True)}
    text = json.dumps({"__metadata__": metadata, **entries}, ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(packed.values()))


def is_weights(path: Path) -> bool:
    """Whether a file is a classifier, of whatever version."""
    with path.open("rb") as file:
        return FORMAT.rpartition("-")[0].encode() in file.read(4096)


def read_weights(path: Path) -> Weights:
    """Raises WeightsError, or OSError."""
    content = path.read_bytes()
    try:
        length = int.from_bytes(content[:8], "little")
        index = json.loads(content[8 : 8 + length])
        metadata = index.pop("__metadata__")
        if metadata["format"] != FORMAT:
            raise WeightsError(f"{path}: another version of the emergency classifier: {metadata['format']}")
        head, data = json.loads(metadata["head"]), memoryview(content)[8 + length :]
        tables = {name: zlib.decompress(data[slice(*entry["data_offsets"])]) for name, entry in index.items()}
        lines = {
            name: Line(memoryview(tables[name]).cast("b"), head["scales"][name], head["biases"][name])
            for name in ("emergency", "toxic_dose")
        }
        raised = tables["kinds"].translate(bytes((byte + 128) % 256 for byte in range(256)))
        kinds = Kinds(head["kinds"], raised, head["scales"]["kinds"], head["biases"]["kinds"])
        return Weights(
            head["bits"],
            head["power"],
            lines["emergency"],
            lines["toxic_dose"],
            kinds,
            head["settings"],
            head["counts"],
        )
    except WeightsError:
        raise
    except zlib.error as error:
        raise WeightsError(f"{path}: cut short, or damaged") from error
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: no emergency classifier") from error
