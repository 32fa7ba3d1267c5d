"""The model in this process. The model's state comes in with the prompt and goes out with Finished."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import engine
from bot.inference.interface import EngineDownError
from bot.inference.messages import JOIN, Event, Finished, Prompt, Read, Sampling, Written, read_tokens
from bot.settings.config import ConfigError, Settings

log = logging.getLogger(__name__)

LIKELIHOODS = ("score", "choose", "fill", "judge")
LIKELIHOODS_AT_ONCE = 2  # at a time: each keeps a core busy while users wait for answers
LIKELIHOOD_TIMEOUT = 8.0  # seconds that another one waits
CHUNK = 4096  # bytes that are read between two checks for cancellation
CANCEL_POLL = 0.05  # seconds between two such checks while nothing is written
LOADED = 2  # models at most; while one replaces another, web processes ask for both


class LocalEngine:
    """engine.Model in this process, all answers of a model in one batch, written by a thread a core of its
    own. `delay` seconds before each character simulate slow machines."""

    def __init__(
        self,
        model: engine.Model,
        sampler: engine.Sampler,
        max_bytes: int,
        delay: float = 0.0,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings
        self.model_name = settings.model_name if settings else ""
        self.sampler = sampler
        self.max_bytes = max_bytes
        self.delay = delay
        self._batchers = {self.model_name: self._batch(model)}  # the one named last is last
        self._loading = threading.Lock()
        self._likelihood_slots = threading.BoundedSemaphore(LIKELIHOODS_AT_ONCE)

    @property
    def model(self) -> engine.Model:
        return self._batcher("").model

    def _batcher(self, name: str) -> engine.Batcher:
        """Of the model of this name, loaded if it is not; "": the engine's own. ConfigError."""
        name = name or self.model_name
        with self._loading:
            batcher = self._batchers.pop(name, None)
            if batcher is None:
                if self.settings is None or name not in self.settings.models:
                    raise ConfigError(f"there is no model {name!r} here")
                batcher = self._batch(_load(self.settings.find_model(name), self.settings.device))
                log.info("the model %s is loaded", name)
                while len(self._batchers) >= LOADED:  # its answers are finished all the same
                    del self._batchers[next(iter(self._batchers))]
            self._batchers[name] = batcher
        return batcher

    def _batch(self, model: engine.Model) -> engine.Batcher:
        processes = self.settings.processes if self.settings else 1
        threads = max(1, engine.cores() // processes)
        return engine.Batcher(model, threads=threads, step_seconds=self.delay)

    @classmethod
    def from_settings(cls, settings: Settings) -> LocalEngine:
        model = _load(settings.model_file, settings.device)
        sampler = engine.chat_sampler(settings.sampler, settings.temperature)
        return cls(model, sampler, settings.max_bytes, settings.engine_delay_ms / 1000, settings)

    def load(self, name: str) -> None:
        if name == self.model_name:
            return
        self._batcher(name)
        self.model_name = name
        log.info("the model is now %s", name)

    def ready(self) -> str | None:
        return None

    def about(self, name: str = "") -> dict[str, Any]:
        """Of the model of this name, which is loaded if it is not. ConfigError if there is none such."""
        model = self._batcher(name).model
        bits = model.card.get("valid_bits_per_byte")
        return {
            "name": name or self.model_name, "parameters": model.parameters, "valid_bits_per_byte": bits,
        }  # fmt: skip

    def likelihood(self, kind: str, fields: Mapping[str, Any], model: str = "") -> dict[str, Any]:
        if kind not in LIKELIHOODS:
            raise ValueError(f"there is no likelihood {kind!r}")
        if not self._likelihood_slots.acquire(timeout=LIKELIHOOD_TIMEOUT):
            raise EngineDownError("the engine is busy")
        try:
            answer: dict[str, Any] = getattr(self._batcher(model).model, kind)(**fields).to_dict()
        except TypeError as error:  # of another version's caller
            raise ValueError(f"{kind}: {error}") from None
        finally:
            self._likelihood_slots.release()
        return answer

    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        batcher = self._batcher(prompt.model)  # another model may be loaded during this answer
        session, unread = self._session(batcher.model, prompt)
        sampling = prompt.sampling or Sampling(self.max_bytes)
        is_answer = prompt.sampling is None
        reader = None
        if sampling.prompt_logprobs or sampling.logprobs is not None:
            for part in engine.pieces(unread, CHUNK):
                if cancel():
                    yield Finished(b"", "cancelled")
                    return
                tokens = read_tokens(session, part, sampling.logprobs or 0)
                if sampling.prompt_logprobs:
                    yield Read(tokens)
            unread = b""
        if sampling.logprobs is not None:
            reader = session.fork()  # the batch samples characters; this model reads byte by byte
        text = self._submit(batcher, session, unread, prompt.seed, sampling, costs=is_answer)
        size = 0
        try:
            while not text.ended:
                if cancel():
                    text.cancel()
                if piece := text.read(CANCEL_POLL):
                    size += len(piece.encode())
                    yield _with_tokens(piece, reader, sampling)
        finally:
            text.cancel()
        if is_answer and text.stop_reason != "end":
            session.feed(engine.END_MARK)  # the next turn needs the end mark all the same
        bits = text.bits / size if size and is_answer else 0.0
        yield Finished(session.snapshot(), text.stop_reason or "", bits)

    def _submit(
        self, batcher: engine.Batcher, session: engine.Session, unread: bytes, seed: int, sampling: Sampling,
        costs: bool,
    ) -> engine.Stream:  # fmt: skip
        try:
            return batcher.submit(
                unread, sampling.max_bytes, self._sampler(sampling), seed, sampling.stop,
                session=session, join=JOIN, costs=costs,
            )  # fmt: skip
        except engine.BusyError as error:
            raise EngineDownError(str(error)) from None

    def _sampler(self, sampling: Sampling) -> engine.Sampler:
        temperature = self.sampler.temperature if sampling.temperature is None else sampling.temperature
        if temperature == 0 or sampling.top_p == 0:
            return engine.Greedy()
        if sampling.top_p is not None:
            return engine.TopP(sampling.top_p, temperature=temperature)
        return replace(self.sampler, temperature=temperature)

    def _session(self, model: engine.Model, prompt: Prompt) -> tuple[engine.Session, bytes]:
        """The session to continue, and the bytes that it must still read."""
        if prompt.state:
            try:
                return model.session(prompt.state), prompt.tail
            except engine.SnapshotError as error:  # another model's, or of an older version
                log.info("the kept state does not fit (%s): reading the transcript", error)
        return model.session(), prompt.history() + prompt.tail


def _with_tokens(piece: str, reader: engine.Session | None, sampling: Sampling) -> str | Written:
    if reader is None:
        return piece
    return Written(piece, read_tokens(reader, piece.encode(), sampling.logprobs or 0))


def _load(file: str, device: str) -> engine.Model:
    try:
        return engine.Model.load(file, device=device)
    except engine.ModelFileError as error:
        raise ConfigError(f"PLM_MODEL: {error}") from None
    except ValueError as error:  # names PLM_ISA or PLM_DEVICE
        raise ConfigError(str(error)) from None
