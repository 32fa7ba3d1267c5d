"""What an engine is to the bot, wherever it runs: beside it in this process, or on another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from bot.inference.messages import Event, Prompt


class EngineDownError(Exception):
    """No engine can answer for now."""


class Engine(Protocol):
    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        """Raises EngineDownError, also in the middle."""

    def ready(self) -> str | None:
        """None if answers can be had, else one line why not."""

    @property
    def model_name(self) -> str:
        """What works now; "" where nobody has said."""

    def load(self, name: str) -> None:
        """Work with the model of this name from now on; answers that are being written end with the old one.

        ConfigError if there is none such, EngineDownError. Nothing to do where it is that one already.
        """

    def about(self) -> dict[str, Any]:
        """The model's `name`, `parameters` and `valid_bits_per_byte`, by its card. EngineDownError."""

    def likelihood(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What the model's method score, choose, fill or judge makes of the fields, as JSON.

        Raises ValueError where they make no sense, EngineDownError.
        """
