"""Reading: the span of a passage that answers a question, found by a small network and quoted by offsets."""

from engine.reading.reader import Quoted, Reader, Reading

__all__ = ["Quoted", "Reader", "Reading"]
