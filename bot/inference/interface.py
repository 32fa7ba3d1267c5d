"""The interface of engines: in this process, or on another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from bot.inference.messages import Event, Prompt


class EngineDownError(Exception):
    """No engine can answer for now."""


class Engine(Protocol):
    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        """Raises EngineDownError, also in the middle; from a model in this process that is named and not
        there, ConfigError."""

    def ready(self) -> str | None:
        """None if answers can be had, else one line why not."""

    @property
    def model_name(self) -> str:
        """The loaded model; "" if unknown."""

    def load(self, name: str) -> None:
        """Load the model of this name; running answers are finished by the old one.

        Raises ConfigError if there is no such model, EngineDownError. Does nothing if it is loaded already.
        """

    def about(self) -> dict[str, Any]:
        """The model's `name`, `parameters` and `valid_bits_per_byte`, by its card. EngineDownError."""

    def likelihood(self, kind: str, fields: Mapping[str, Any], model: str = "") -> dict[str, Any]:
        """The result of the model's method score, choose, fill or judge for these fields, as JSON.

        Raises ValueError for wrong fields, EngineDownError; ConfigError as `stream`.
        """
