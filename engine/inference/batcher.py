"""Many texts generated in one batch, each as if it were alone: `Batcher`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from engine import _core
from engine.inference.model import Model
from engine.inference.samplers import Sampler, TopE
from engine.inference.session import Session, encoded_stops

BusyError: type[RuntimeError] = _core.BusyError  # the batch and its queue are full
_PREFILL_BYTES = 256  # bytes of prompts read for each character: about what the step of a full batch costs
_POLL_SECONDS = 0.2  # between two checks for Ctrl-C


class Stream:
    """A text that a Batcher writes. Iterate over it for its pieces, or `read`; one thread at a time.

    `session` is the batcher's until the text has ended; then it has read all that was written. A prompt whose
    text was cancelled or late may have been read in part.
    """

    def __init__(self, batcher: Batcher, session: Session, native: _core.Stream, costs: bool) -> None:
        self.session = session
        self._costs = costs
        self._batcher = batcher  # must outlive its texts
        self._native = native

    def __del__(self) -> None:
        self._native.cancel()  # nobody will read it

    def __iter__(self) -> Iterator[str]:
        while not self.ended:
            if piece := self.read(_POLL_SECONDS):
                yield piece

    def read(self, timeout: float = 0.0) -> str:
        """The text since the last call; waits at most `timeout` seconds for some. "" if there is none, for
        now or because the text has `ended`. ValueError where the model's output is not finite."""
        try:
            return self.session.encoding.decode(self._native.read(timeout))
        finally:
            self._settle()

    def cancel(self) -> None:
        """End the text at the next character; what has been written can still be read."""
        self._native.cancel()

    @property
    def ended(self) -> bool:
        """Whether all of the text has been read; the session is the caller's again then."""
        return self._settle()

    def _settle(self) -> bool:
        ended = bool(self._native.ended)
        if ended:
            self.session.stop_reason = self._native.finish_reason
        return ended

    @property
    def stop_reason(self) -> str | None:
        """As Session's, or "deadline", or "error"; None while the text is being written."""
        reason: str | None = self._native.finish_reason
        return reason

    @property
    def bits(self) -> float:
        """The bits of the text so far under the model's full softmax. ValueError unless it was submitted with
        `costs`."""
        if not self._costs:
            raise ValueError("what the text costs is unknown: submit it with costs=True")
        return float(self._native.bits)


class Batcher:
    """Writes many texts at once, in threads of its own: one a core, asleep while there is nothing to do.

    Texts join and leave at every character (continuous batching; Yu et al., "Orca", OSDI 2022). Prompts are
    read in pieces between the characters of the others, taking turns. A text is what Session.generate would
    write, bit for bit, whatever else is in the batch. Use it from as many threads as you like.
    """

    def __init__(
        self,
        model: Model,
        max_batch: int = 64,
        *,
        threads: int | None = None,
        max_waiting: int = 256,
        step_seconds: float = 0.0,
    ) -> None:
        """At most `max_batch` texts are written at a time and `max_waiting` more wait in the queue. `threads`
        is the number of cores by default, on a device one. A step takes `step_seconds` at least: to simulate
        slow machines."""
        self.model = model
        self.threads = threads or (1 if model.isa == "cuda" else cores())  # calls of a device take turns
        self._native = _core.Batcher(
            network=model.network, threads=self.threads, max_batch=max_batch, max_waiting=max_waiting,
            prefill_bytes=_PREFILL_BYTES, step_seconds=step_seconds,
        )  # fmt: skip

    def submit(
        self,
        prompt: str | bytes | Session = b"",
        max_bytes: int = 600,
        sampler: Sampler | None = None,
        seed: int | None = None,
        stop: str | Iterable[str] = (),
        stop_at_end: bool = True,
        *,
        session: Session | None = None,
        deadline: float | None = None,
        join: float = 0.0,
        costs: bool = False,
    ) -> Stream:
        """Generate what follows `prompt` in `session` (a new one by default).

        As Session.generate otherwise. `deadline` is a time.monotonic() at which the text ends as it is. Text
        within `join` seconds of the last piece is handed out together, which saves wake-ups. With `costs`, a
        few per cent of the time, `Stream.bits` are known.
        BusyError at once where the queue is full; ValueError for wrong arguments or another model's session;
        RuntimeError for a session in use.
        """
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be 0 or more, not {max_bytes}")
        given, session = (b"", prompt) if isinstance(prompt, Session) else (prompt, session)
        session = session or self.model.session()
        native = _core.Stream(
            session=session.native,
            prompt=self.model.encoding.encode(given),
            sampler=(sampler or TopE()).start(seed),
            max_bytes=min(max_bytes, 2**31 - 1),
            end_allowed=stop_at_end,
            stops=encoded_stops(self.model.encoding, stop),
            seconds=None if deadline is None else deadline - time.monotonic(),
            join=join,
            costs=costs,
        )
        self._native.submit(native)
        return Stream(self, session, native, costs)

    @property
    def load(self) -> tuple[int, int]:
        """Texts being written, and texts waiting in the queue."""
        working, waiting = self._native.load
        return working, waiting


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
