"""A reader in use. It gives places, never text of its own: what is quoted is cut from the passage."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import _train
from engine.model.catalog import ModelFileError, find_model
from engine.model.checkpoint import ModelFile, read_model
from engine.model.isa import training_isa
from engine.model.reader import ReaderConfig

BUNDLED = Path(__file__).with_name("reader.safetensors")
FURTHER = 0.7  # a second span this likely beside the first is a part of the answer too
MOST_SPANS = 4
MOST_CHARACTERS = 4000  # of a passage; what stands behind is not read


@dataclass(frozen=True)
class Quoted:
    """Characters `start` to `end` (not included) of passage number `passage`."""

    passage: int
    start: int
    end: int
    probability: float  # among all spans of all passages, and "nothing"


@dataclass(frozen=True)
class Reading:
    """What answers a question. `spans` are its parts, likeliest first; `answerable` is how likely it is that
    the passages answer at all, from 0 to 1."""

    spans: list[Quoted]
    answerable: float


class Reader:
    """Weights that any number of threads share. Use `Reader.load`."""

    def __init__(self, file: ModelFile, isa: str = "") -> None:
        if not isinstance(file.config, ReaderConfig):
            raise ModelFileError(f"{file.path}: is no reader")
        self.path, self.card, self.hash = file.path, file.card, file.hash
        self.config = file.config
        self.network = _train.Reader(file.config.to_dict(), file.float_tensors(), isa)

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str] | None = None) -> Reader:
        """A reader's file; or that of a language model, by name or path, which brings NAME-reader.safetensors
        beside it or is read for by the bundled reader. ModelFileError; ValueError for a wrong PLM_ISA."""
        return cls(read_model(reader_of(name_or_path)), training_isa())

    @property
    def isa(self) -> str:
        return str(self.network.isa)

    def read(self, question: str, passages: Sequence[Mapping[str, str]]) -> Reading:
        """The spans of `passages` ({"title", "text"}) that answer. Their order and number change nothing in
        how a passage is read; the spans compete with each other."""
        found, answerable = self.network.read(_text(question), _pairs(passages), MOST_SPANS)
        spans = [Quoted(*span) for span in found]
        best = spans[0].probability if spans else 0.0
        kept = [s for s in spans if s.probability >= FURTHER * best and s.passage == spans[0].passage]
        return Reading(kept, float(answerable))

    def log_probabilities(
        self, question: str, passages: Sequence[Mapping[str, str]], spans: Sequence[tuple[int, int, int]]
    ) -> list[float]:
        """ln P of each span (passage, start, end) among all spans of these passages and "nothing".
        ValueError for a span that lies outside its passage."""
        for passage, start, end in spans:
            if not 0 <= passage < len(passages) or not 0 <= start < end <= len(passages[passage]["text"]):
                raise ValueError(f"no such span: passage {passage}, characters {start} to {end}")
        values = self.network.log_probabilities(_text(question), _pairs(passages), list(spans))
        return [float(value) for value in values]


def _pairs(passages: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    return [(_text(p.get("title", "")), _text(p["text"])[:MOST_CHARACTERS]) for p in passages]


def _text(value: str) -> str:
    """Half of a surrogate pair, which no file can hold, is read as a character that is not known."""
    return "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in value)


def reader_of(name_or_path: str | os.PathLike[str] | None) -> Path:
    """The file of the reader that goes with a model."""
    if name_or_path is None or str(name_or_path) == "reader":
        return BUNDLED
    path = find_model(name_or_path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    own = path.with_name(f"{path.name.removesuffix('.safetensors')}-reader.safetensors")
    if own.is_file():
        return own
    return path if isinstance(read_model(path).config, ReaderConfig) else BUNDLED
