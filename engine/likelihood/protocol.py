"""What the likelihoods need of a model and its sessions; engine.inference has both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engine.model.encoding import Encoding


class TextSession(Protocol):
    """A text that a model has read: engine.inference.session.Session says what each method does."""

    @property
    def native(self) -> Any: ...
    def feed(self, text: str | bytes) -> None: ...
    def score(self, text: str | bytes) -> float: ...
    def bits_each(self, texts: Sequence[str | bytes]) -> list[NDArray[np.float64]]: ...
    def fork(self) -> Self: ...


class LanguageModel(Protocol):
    """A loaded model: engine.inference.model.Model."""

    @property
    def encoding(self) -> Encoding: ...
    def session(self) -> TextSession: ...
