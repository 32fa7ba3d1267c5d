"""A small byte-level language model: inference, scoring and training on an ordinary CPU."""

from engine.batcher import Batcher, BusyError, Stream, cores
from engine.checkpoint import ModelFileError
from engine.choose import Choice
from engine.encoding import pieces
from engine.fill import GAP, Filled, Filling
from engine.judge import LOG_ODDS_A_BIT, Judgement
from engine.marks import ASSISTANT_MARK, END_MARK, USER_MARK
from engine.model import Model, model_names
from engine.sampling import (
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
from engine.scoring import Score
from engine.session import Session, SnapshotError

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
    "cores",
    "model_names",
    "pieces",
    "sampler_by_name",
]
