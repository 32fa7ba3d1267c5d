"""Text as a model reads it.

Everything outside a model is UTF-8 with the special bytes of dialogue (special_bytes.py). A model may have
been trained on UTF-16, and without special bytes; then what it reads is plain text: a turn is a line, so the
byte that opens a user's turn becomes nothing, and those of the answer and of the end become line ends. Such
a model never writes an end mark: `max_bytes` or a stop string ends its answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model.special_bytes import ASSISTANT_MARK, END_MARK, USER_MARK

ENCODINGS = ("utf-8", "utf-16le", "utf-16be")

_LINE_ENDS = bytes.maketrans(ASSISTANT_MARK + END_MARK, b"\n\n")


@dataclass(frozen=True)
class Encoding:
    """How text becomes a model's bytes; `special_bytes` says whether it knows those of dialogue."""

    name: str
    special_bytes: bool

    def encode(self, text: str | bytes) -> bytes:
        """The model's bytes of a text, or of UTF-8 bytes that may hold special bytes.

        For UTF-8 any bytes will do; ValueError for a model over UTF-16 if they are not whole characters.
        """
        data = text.encode() if isinstance(text, str) else bytes(text)
        if self.special_bytes:
            return data
        if self.name == "utf-8":
            return self._plain(data)
        return self._text(data).encode(self.name)

    def decode(self, character: bytes) -> str:
        """One character that the model wrote."""
        return character.decode(self.name)

    def costs(self, text: str | bytes, bits: NDArray[np.float64]) -> NDArray[np.float64]:
        """`bits` of the bytes that `encode` gave, as the cost of each byte of `text` in UTF-8.

        Over UTF-16, the first byte has the whole cost of a character; a special byte that becomes nothing
        costs nothing.
        """
        data = text.encode() if isinstance(text, str) else bytes(text)
        if self.special_bytes:
            return bits
        out = np.zeros(len(data))
        symbols = np.frombuffer(data, np.uint8)
        if self.name == "utf-8":
            out[symbols != USER_MARK[0]] = bits
            return out
        starts = np.flatnonzero(((symbols & 0xC0) != 0x80) & (symbols != USER_MARK[0]))
        if len(starts):
            # A character outside the first plane, four bytes in UTF-8, is two units; any other is one.
            sizes = np.where((symbols[starts] >= 0xF0) & (symbols[starts] < ASSISTANT_MARK[0]), 4, 2)
            out[starts] = np.add.reduceat(bits, np.cumsum(sizes) - sizes)
        return out

    @staticmethod
    def _plain(data: bytes) -> bytes:
        return data.translate(_LINE_ENDS, delete=USER_MARK)

    def _text(self, data: bytes) -> str:
        try:
            return self._plain(data).decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"text for a model over {self.name} must be whole UTF-8 characters: {error}"
            ) from None


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut UTF-8 into pieces of at most `size` bytes (4 or more), none of which ends inside a character; other
    bytes may be cut anywhere."""
    begin = 0
    while begin < len(data):
        end = min(begin + size, len(data))
        back = end
        while back > end - 4 and back < len(data) and data[back] & 0xC0 == 0x80:
            back -= 1
        yield data[begin : (end := back if back > end - 4 else end)]
        begin = end
