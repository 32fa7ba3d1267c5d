"""A model loaded for inference: its weights, laid out for this machine, on which sessions are opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from engine import _core
from engine.inference.session import Session
from engine.likelihood.choose import Choice, choose_answer
from engine.likelihood.fill import Filled, fill_text
from engine.likelihood.judge import Judgement, judge_statement
from engine.likelihood.score import Score, score_text
from engine.model.catalog import ModelFileError, find_model
from engine.model.checkpoint import LanguageConfig, ModelFile, read_model
from engine.model.config import is_matrix
from engine.model.device import DeviceError, on_device
from engine.model.encoding import Encoding
from engine.model.number_formats import quantize_rows
from engine.model.reader import ReaderConfig
from engine.model.wygpt import WygptConfig


class Model:
    """Weights that any number of sessions, in any threads, share. Use `Model.load`."""

    def __init__(
        self, file: ModelFile, isa: str = "", quantize: bool = False, device: str | None = None
    ) -> None:
        if isinstance(file.config, ReaderConfig):
            raise ModelFileError(f"{file.path}: is a reader, which writes nothing: plm read takes it")
        self.name = file.name
        self.hash = file.hash
        self.config: LanguageConfig = file.config
        self.encoding = Encoding(file.config.encoding, file.config.special_bytes)
        self.card = file.card
        self.path = file.path
        self.dtype = file.dtype
        self.network = _network(file, isa, quantize, device)

    @classmethod
    def load(
        cls, name_or_path: str | os.PathLike[str], quantize: bool = False, device: str | None = None
    ) -> Model:
        """Load a model by its path, or by the name of one in PLM_MODEL_DIR or bundled with the engine.

        A model that is not int8 is quantised on the way; an imported wyGPT model is so only with `quantize`,
        and runs in float32 else. `device` (PLM_DEVICE by default) is auto, cuda or cpu; PLM_ISA chooses a
        slower instruction set than the best one here. Raises ModelFileError and DeviceError (both are
        ValueErrors); ValueError for a wrong PLM_ISA.
        """
        file = read_model(find_model(name_or_path))
        try:
            return cls(file, os.environ.get("PLM_ISA", ""), quantize, device)
        except (ModelFileError, DeviceError):
            raise
        except ValueError as error:
            raise ValueError(f"PLM_ISA: {error}") from None

    @property
    def parameters(self) -> int:
        return self.config.parameters

    @property
    def isa(self) -> str:
        """The instruction set in use: portable; avx2, avxvnni, avx512vnni; neon, dotprod, i8mm; or cuda."""
        return str(self.network.isa)

    def session(self, snapshot: bytes | None = None) -> Session:
        """A new text, or the one that a snapshot was taken of. SnapshotError if it cannot be continued."""
        return Session(self.network, self.encoding, self.hash, snapshot)

    def score(self, text: str | bytes) -> Score:
        """The cost of a whole text, read as one document."""
        return score_text(self, text)

    def choose(self, question: str, choices: Sequence[str]) -> Choice:
        """The likeliest of 2 to 26 answers; ValueError for fewer, more, or empty ones."""
        return choose_answer(self, question, choices)

    def fill(self, text: str, count: int = 5, max_characters: int = 8, among: Sequence[str] = ()) -> Filled:
        """The likeliest fillings of each gap (____) in a text, and those `among` which one gap's may be;
        ValueError if it has none."""
        return fill_text(self, text, count, max_characters, among=among)

    def judge(self, statement: str, against: Sequence[str] = ()) -> Judgement:
        """How likely a statement is against its best contrast; ValueError if there is nothing to judge."""
        return judge_statement(self, statement, against)

    def info(self) -> dict[str, Any]:
        """What the model is, for people and for JSON."""
        return {
            "name": self.name,
            "path": str(self.path),
            "hash": self.hash,
            "dtype": self.dtype,
            "parameters": self.parameters,
            "config": self.config.to_dict(),
            "isa": self.isa,
            "card": self.card,
        }


def _network(file: ModelFile, isa: str, quantize: bool, device: str | None) -> _core.Network:
    config = file.config.to_dict()
    arch = config.pop("arch")
    if arch == WygptConfig.arch:
        on_device(_not_there, device)
        return _core.Network.wygpt(**config, tensors=_native_tensors(file, quantize), isa=isa)
    if set(str(config.get("mixers", "r"))) - set("ra"):
        raise ModelFileError(f"{file.path}: no inference for this architecture; it is there to be compared")
    tensors = _native_tensors(file, True)
    there = on_device(lambda cuda: cuda.Network(config=config, tensors=tensors), device)
    return there or _core.Network(config=config, tensors=tensors, isa=isa)


def _not_there(_cuda: Any) -> None:
    raise RuntimeError("this architecture runs on the CPU alone")


def _native_tensors(file: ModelFile, quantize: bool) -> dict[str, Any]:
    """Each matrix as int8 values and scales if the file has them or `quantize`, all else as float32."""
    tensors: dict[str, Any] = {}
    for name, shape in file.config.tensors.items():
        if f"{name}.scale" in file.tensors:
            tensors[name] = (file.tensors[name], file.tensors[f"{name}.scale"])
        elif quantize and is_matrix(name, shape):
            tensors[name] = quantize_rows(file.float32(name))
        else:
            tensors[name] = file.float32(name)
    return tensors
