"""Where answers come from, behind one interface: the model in this process, or engine hosts over HTTP.

Both kinds are stateless between streams: the model's state comes in with the prompt and goes out with
Finished.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol

import requests

import engine
from bot import logs
from bot.config import ConfigError, Settings
from bot.events import JOIN, Event, Finished, Prompt, Read, Sampling, Written, from_line, read_tokens

log = logging.getLogger(__name__)
LIKELIHOODS = ("score", "choose", "fill", "judge")
WEIGHING = 2  # of them at a time: each keeps a core busy, and people wait for answers meanwhile
BUSY = 8.0  # seconds that one more waits for its turn
CHUNK = 4096  # bytes that are read between two looks at whether the answer is still wanted
LOOK = 0.05  # seconds between two such looks while nothing is written


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


class LocalEngine:
    """engine.Model in this process, all answers in one batch, written by a thread a core of its own. `delay`
    seconds before each character are for trying out slow machines."""

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
        self._batcher = self._batch(model)
        self._weighing = threading.BoundedSemaphore(WEIGHING)

    @property
    def model(self) -> engine.Model:
        return self._batcher.model

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
        if self.settings is None or name not in self.settings.models:
            raise ConfigError(f"there is no model {name!r} here")
        self._batcher = self._batch(_load(self.settings.find_model(name), self.settings.device))
        self.model_name = name
        log.info("the model is now %s", name)

    def ready(self) -> str | None:
        return None

    def about(self) -> dict[str, Any]:
        bits = self.model.card.get("valid_bits_per_byte")
        return {"name": self.model_name, "parameters": self.model.parameters, "valid_bits_per_byte": bits}

    def likelihood(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        if kind not in LIKELIHOODS:
            raise ValueError(f"there is no likelihood {kind!r}")
        if not self._weighing.acquire(timeout=BUSY):
            raise EngineDownError("the engine is busy")
        try:
            answer: dict[str, Any] = getattr(self.model, kind)(**fields).to_dict()
        except TypeError as error:  # of another version's caller
            raise ValueError(f"{kind}: {error}") from None
        finally:
            self._weighing.release()
        return answer

    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        batcher = self._batcher  # another model may be loaded while this answer is written
        session, unread = self._session(batcher.model, prompt)
        sampling = prompt.sampling or Sampling(self.max_bytes)
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
            reader = session.fork()  # the batch draws characters, this one reads them byte by byte
        text = self._submit(batcher, session, unread, prompt.seed, sampling)
        size = 0
        try:
            while not text.ended:
                if cancel():
                    text.cancel()
                if piece := text.read(LOOK):
                    size += len(piece.encode())
                    yield _told(piece, reader, sampling)
        finally:
            text.cancel()
        if prompt.sampling is None and text.stop_reason != "end":
            session.feed(engine.END_MARK)  # the answer is over for the next turn all the same
        bits = text.bits / size if size and prompt.sampling is None else 0.0
        yield Finished(session.snapshot(), text.stop_reason or "", bits)

    def _submit(
        self, batcher: engine.Batcher, session: engine.Session, unread: bytes, seed: int, sampling: Sampling
    ) -> engine.Stream:
        try:
            return batcher.submit(
                unread, sampling.max_bytes, self._sampler(sampling), seed, sampling.stop,
                session=session, join=JOIN,
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
        """Where to go on from, and what is still to be read."""
        if prompt.state:
            try:
                return model.session(prompt.state), prompt.tail
            except engine.SnapshotError as error:  # another model's, or of an older version
                log.info("the kept state does not fit (%s): reading the transcript", error)
        return model.session(), prompt.history() + prompt.tail


def _told(piece: str, reader: engine.Session | None, sampling: Sampling) -> str | Written:
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


class RemoteEngine:
    """Engine hosts (`plm engine`). A conversation has its favourite by rendezvous hashing, so that adding a
    host moves few; when one fails, the next in its order takes over.
    """

    CONNECT_TIMEOUT = 1.0
    LIKELIHOOD_TIMEOUT = 30.0
    LOAD_TIMEOUT = 20.0
    LOOK_AGAIN = 5.0  # seconds after which hosts are told of the loaded model again: one may have restarted
    READ_TIMEOUT = 12.0  # between two lines; an engine that is silent this long counts as gone

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls
        self.model_name = ""
        self._told = 0.0
        self._http = requests.Session()
        self._http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
        self._http.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=64))

    def close(self) -> None:
        self._http.close()

    def order(self, conversation: str) -> list[str]:
        return sorted(self.urls, key=lambda url: hashlib.sha256(f"{url}\n{conversation}".encode()).digest())

    def ready(self) -> str | None:
        faults = []
        for url in self.urls:
            try:
                self._http.get(url + "/healthz", timeout=self.CONNECT_TIMEOUT).raise_for_status()
                return None
            except requests.RequestException as error:
                faults.append(f"{url}: {type(error).__name__}")
        return "no engine host answers: " + "; ".join(faults)

    def load(self, name: str) -> None:
        if name == self.model_name and time.monotonic() - self._told < self.LOOK_AGAIN:
            return
        faults, loaded = [], 0
        for url in self.urls:
            try:
                timeout = (self.CONNECT_TIMEOUT, self.LOAD_TIMEOUT)
                response = self._http.post(url + "/model", json={"name": name}, timeout=timeout)
                if response.status_code == 404:
                    raise ConfigError(f"{url}: there is no model {name!r} there")
                response.raise_for_status()
                loaded += 1
            except requests.RequestException as error:
                faults.append(f"{url}: {type(error).__name__}")
        if not loaded:
            raise EngineDownError("; ".join(faults))
        self.model_name, self._told = name, time.monotonic()

    def about(self) -> dict[str, Any]:
        for url in self.urls:
            try:
                response = self._http.get(url + "/about", timeout=self.CONNECT_TIMEOUT)
                response.raise_for_status()
                card: dict[str, Any] = response.json()
                return card
            except requests.RequestException as error:
                log.debug("engine host %s failed: %s", url, error)
        raise EngineDownError("no engine host answers")

    def likelihood(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        body, faults = {"kind": kind, "fields": dict(fields)}, []
        timeout = (self.CONNECT_TIMEOUT, self.LIKELIHOOD_TIMEOUT)
        for url in self.order(uuid.uuid4().hex):  # it is nobody's conversation: any host will do
            try:
                response = self._http.post(url + "/likelihood", json=body, timeout=timeout)
                answer: dict[str, Any] = response.json()
                if response.status_code == 400:
                    raise ValueError(answer["error"])
                response.raise_for_status()
                return answer
            except (requests.RequestException, KeyError) as error:
                faults.append(f"{url}: {type(error).__name__}")
                log.debug("engine host %s failed: %s", url, error)
        raise EngineDownError("; ".join(faults))

    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        faults = []
        for url in self.order(prompt.conversation):
            spoken = False
            try:
                for event in self._stream(url, prompt, cancel):
                    spoken = True
                    yield event
                return
            except (requests.RequestException, json.JSONDecodeError, KeyError, ValueError) as error:
                faults.append(f"{url}: {type(error).__name__}")
                log.debug("engine host %s failed: %s", url, error)
                if spoken:  # the caller starts over: only it can take back what was said
                    break
        raise EngineDownError("; ".join(faults))

    def _stream(self, url: str, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        response = self._post(url, prompt, prompt.state)
        if response.status_code == 409:  # the state is another model's, or of an older version
            response.close()
            response = self._post(url, prompt, None)
        with response:
            response.raise_for_status()
            for line in response.iter_lines(chunk_size=None):
                event = json.loads(line)
                if "error" in event:
                    raise ValueError(event["error"])
                answer = from_line(event)
                yield answer
                if isinstance(answer, Finished):
                    return
                if cancel():
                    yield Finished(b"", "cancelled")
                    return
        raise ValueError("the answer broke off")

    def _post(self, url: str, prompt: Prompt, state: bytes | None) -> requests.Response:
        feed = prompt.tail if state else prompt.history() + prompt.tail
        body = {
            "state": base64.b64encode(state).decode() if state else None,
            "feed": base64.b64encode(feed).decode(),
            "seed": prompt.seed,
            "sampling": asdict(prompt.sampling) if prompt.sampling else None,
        }
        timeout = (self.CONNECT_TIMEOUT, self.READ_TIMEOUT)
        headers = {logs.HEADER: logs.request_id.get()}
        return self._http.post(url + "/stream", json=body, headers=headers, stream=True, timeout=timeout)
