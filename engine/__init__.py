"""A small byte-level language model: inference, scoring and training on an ordinary CPU.

The public names are imported when they are first used, so that `plm` starts without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.inference.batcher import Batcher, BusyError, Stream, cores
    from engine.inference.model import Model
    from engine.inference.samplers import (
        CHAT,
        Greedy,
        MinP,
        Sampler,
        TopE,
        TopK,
        TopP,
        Typical,
        Wygpt,
        chat_sampler,
        sampler_by_name,
    )
    from engine.inference.session import Session, SnapshotError
    from engine.likelihood.choose import Choice
    from engine.likelihood.fill import GAP, Filled, Filling
    from engine.likelihood.judge import LOG_ODDS_A_BIT, Judgement
    from engine.likelihood.score import Score
    from engine.model.catalog import ModelFileError, model_names
    from engine.model.encoding import pieces
    from engine.model.outputs import OutputError, check_output
    from engine.model.special_bytes import ASSISTANT_MARK, END_MARK, USER_MARK

_MODULES = {
    "inference.batcher": ("Batcher", "BusyError", "Stream", "cores"),
    "inference.samplers": (
        *("CHAT", "Greedy", "MinP", "Sampler", "TopE", "TopK", "TopP", "Typical", "Wygpt"),
        *("chat_sampler", "sampler_by_name"),
    ),
    "inference.model": ("Model",),
    "inference.session": ("Session", "SnapshotError"),
    "likelihood.choose": ("Choice",),
    "likelihood.fill": ("GAP", "Filled", "Filling"),
    "likelihood.judge": ("LOG_ODDS_A_BIT", "Judgement"),
    "likelihood.score": ("Score",),
    "model.catalog": ("ModelFileError", "model_names"),
    "model.encoding": ("pieces",),
    "model.outputs": ("OutputError", "check_output"),
    "model.special_bytes": ("ASSISTANT_MARK", "END_MARK", "USER_MARK"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ASSISTANT_MARK",
    "CHAT",
    "END_MARK",
    "GAP",
    "LOG_ODDS_A_BIT",
    "USER_MARK",
    "Batcher",
    "BusyError",
    "Choice",
    "Filled",
    "Filling",
    "Greedy",
    "Judgement",
    "MinP",
    "Model",
    "ModelFileError",
    "OutputError",
    "Sampler",
    "Score",
    "Session",
    "SnapshotError",
    "Stream",
    "TopE",
    "TopK",
    "TopP",
    "Typical",
    "Wygpt",
    "chat_sampler",
    "check_output",
    "cores",
    "model_names",
    "pieces",
    "sampler_by_name",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
