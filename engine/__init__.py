"""A small byte-level language model: inference, scoring and training on an ordinary CPU."""

from engine.checkpoint import ModelFileError

__all__ = ["ModelFileError"]
