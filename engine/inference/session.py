"""A text being read and written by a model: `feed`, `generate`, `score`, and snapshots of the state."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import _core
from engine.inference.samplers import Sampler, TopE
from engine.model.encoding import Encoding

_MAGIC = b"PLMS"
_VERSION = 2
# magic, version, number of pending bytes, model hash, pending bytes; then the crc32 of all but itself
_HEADER = struct.Struct("<4sHBx16s4s")
_CRC = struct.Struct("<I")
_STATE = _HEADER.size + _CRC.size


class SnapshotError(ValueError):
    """A snapshot that is damaged, or another model's; the message says which."""


class Session:
    """One text, from an implicit end mark on. Not for two threads at once: RuntimeError.

    `stop_reason` says how the last `generate` ended: "end" (the model drew the end mark), "stop" (a stop
    string), "length" or "cancelled"; None before the first has ended.
    """

    def __init__(
        self, network: _core.Network, encoding: Encoding, model_hash: str, snapshot: bytes | None = None
    ) -> None:
        """Use `Model.session`. `model_hash` marks the snapshots, which no other model continues."""
        self.encoding = encoding
        self._model_hash = model_hash
        self._native = _core.Session(network)
        self._generating = False
        self.stop_reason: str | None = None
        if snapshot is not None:
            self._restore(bytes(snapshot))

    def feed(self, text: str | bytes) -> None:
        """Read text, in the model's encoding. Bytes may be anything, special bytes included, and may
        end inside a character; for a model over UTF-16 they must be whole characters (ValueError)."""
        self._refuse_while_generating()
        self._native.feed(self.encoding.encode(text))

    def score(self, text: str | bytes) -> float:
        """Read text and return its cost in bits, under the model's full softmax over 256 bytes."""
        return float(self.bits(text).sum())

    def bits(self, text: str | bytes) -> NDArray[np.float64]:
        """Read text and return the cost of each byte, [number of bytes]; see Encoding.costs for UTF-16."""
        self._refuse_while_generating()
        encoding = self.encoding
        return encoding.costs(text, self._native.score(encoding.encode(text)))

    def bits_each(self, texts: Sequence[str | bytes]) -> list[NDArray[np.float64]]:
        """The cost of each byte of many texts, each read from here; the session does not change."""
        self._refuse_while_generating()
        encoding = self.encoding
        each = self._native.score_each([encoding.encode(text) for text in texts])
        return [encoding.costs(text, bits) for text, bits in zip(texts, each, strict=True)]

    def fork(self) -> Session:
        """Another session at the same place."""
        self._refuse_while_generating()
        other = copy(self)
        other._native = self._native.fork()
        other.stop_reason = None
        return other

    @property
    def native(self) -> Any:
        """The _core.Session, for code in this package that advances many in one batch."""
        return self._native

    def logits(self) -> NDArray[np.float32]:
        """The model's logits for the next byte, [256], before any mask."""
        logits: NDArray[np.float32] = self._native.logits()
        return logits

    def generate(
        self,
        max_bytes: int = 600,
        sampler: Sampler | None = None,
        seed: int | None = None,
        stop: str | Iterable[str] = (),
        stop_at_end: bool = True,
        cancel: Callable[[], bool] | None = None,
    ) -> Generator[str, None, None]:
        """Write on, yielding one character at a time; what is yielded has been read by the session too.

        At most `max_bytes` of the model's bytes are written. `sampler` is TopE() by default; with `seed`
        the text is always the same. A stop string ends the text before it; the session is then as if it had
        not begun. With `stop_at_end` the model may draw the end mark, which ends the text and is fed; else
        it cannot, and no more can a model without special bytes. `cancel` is asked before each character. If
        bytes of an open character were fed, the first character yielded is that one, completed.
        """
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be 0 or more, not {max_bytes}")
        generation = _core.Generation(
            self._native,
            (sampler or TopE()).start(seed),
            min(max_bytes, 2**31 - 1),
            stop_at_end,
            encoded_stops(self.encoding, stop),
        )
        return self._generate(generation, cancel or (lambda: False))

    def snapshot(self) -> bytes:
        """The session as bytes, from which `Model.session` continues exactly; a few kB whatever was read.

        Of an imported wyGPT model it holds the keys and values of the whole context, 8 * layers * context *
        width bytes and a little more.
        """
        state, pending = self._native.save()
        header = _HEADER.pack(_MAGIC, _VERSION, len(pending), self._model_hash.encode(), pending)
        return b"".join([header, _CRC.pack(zlib.crc32(header + state)), state])

    def _generate(self, generation: Any, cancel: Callable[[], bool]) -> Generator[str, None, None]:
        self._refuse_while_generating()
        self._generating = True
        reason = "cancelled"
        try:
            while (character := self._next(generation, cancel)) is not None:
                if character:
                    yield self.encoding.decode(character)
            reason = generation.finish_reason
        finally:
            generation.close()
            self.stop_reason = reason
            self._generating = False

    @staticmethod
    def _next(generation: Any, cancel: Callable[[], bool]) -> bytes | None:
        if cancel():
            generation.cancel()
        character: bytes | None = generation.next()
        return character

    def _restore(self, snapshot: bytes) -> None:
        if not snapshot.startswith(_MAGIC[: len(snapshot)]):
            raise SnapshotError("not a snapshot: it does not begin with 'PLMS'")
        if len(snapshot) < _STATE:
            raise SnapshotError(f"the snapshot is cut short, at {len(snapshot)} bytes")
        _, version, size, model, pending = _HEADER.unpack_from(snapshot)
        if version != _VERSION:
            raise SnapshotError(f"the snapshot is of version {version}, this engine reads {_VERSION}")
        if model != self._model_hash.encode():
            other = model.decode("ascii", "replace")
            raise SnapshotError(f"the snapshot is of another model ({other}, this is {self._model_hash})")
        state = snapshot[_STATE:]
        expected = len(self._native.save()[0])
        if len(state) != expected:
            raise SnapshotError(f"the snapshot holds {len(state)} bytes of state, this model has {expected}")
        if (zlib.crc32(snapshot[: _HEADER.size] + state),) != _CRC.unpack_from(snapshot, _HEADER.size):
            raise SnapshotError("the snapshot is damaged: its checksum does not fit")
        try:
            self._native.restore(state, pending[:size])
        except ValueError as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from None

    def _refuse_while_generating(self) -> None:
        if self._generating:
            raise RuntimeError("the session is generating: end or close that first")


def encoded_stops(encoding: Encoding, stop: str | Iterable[str]) -> list[bytes]:
    """Stop strings, or one, as the native code takes them; ValueError for one that is empty."""
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    if not all(stops):
        raise ValueError("a stop string must not be empty")
    return [encoding.encode(text) for text in dict.fromkeys(stops)]
