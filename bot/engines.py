"""Where answers come from, behind one interface: the model in this process, or engine hosts over HTTP.

A stream is an iterator of pieces of text that ends in one Finished. Both kinds are stateless between streams:
the model's state comes in with the prompt and goes out with Finished.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import requests

import engine
from bot.config import ConfigError, Settings

log = logging.getLogger(__name__)


class EngineDownError(Exception):
    """No engine can answer for now."""


@dataclass(frozen=True)
class Prompt:
    """What the model reads: `state` has read everything before `tail`; without it, `history()` then
    `tail`."""

    conversation: str
    state: bytes | None
    tail: bytes
    history: Callable[[], bytes]
    seed: int


@dataclass(frozen=True)
class Finished:
    state: bytes
    stop: str  # end, length, stop, cancelled


class Engine(Protocol):
    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[str | Finished]:
        """Raises EngineDownError, also in the middle."""

    def ready(self) -> str | None:
        """None if answers can be had, else one line why not."""


class LocalEngine:
    """engine.Model in this process. `delay` seconds before each character are for trying out slow
    machines."""

    def __init__(
        self, model: engine.Model, sampler: engine.Sampler, max_bytes: int, delay: float = 0.0
    ) -> None:
        self.model = model
        self.sampler = sampler
        self.max_bytes = max_bytes
        self.delay = delay

    @classmethod
    def from_settings(cls, settings: Settings) -> LocalEngine:
        try:
            model = engine.Model.load(settings.model_file)
        except engine.ModelFileError as error:
            raise ConfigError(f"PLM_MODEL: {error}") from None
        except ValueError as error:  # names PLM_ISA
            raise ConfigError(str(error)) from None
        sampler = engine.sampler_by_name(settings.sampler, temperature=settings.temperature)
        return cls(model, sampler, settings.max_bytes, settings.engine_delay_ms / 1000)

    def ready(self) -> str | None:
        return None

    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[str | Finished]:
        session = self._session(prompt)
        for piece in session.generate(
            max_bytes=self.max_bytes, sampler=self.sampler, seed=prompt.seed, stop_at_end=True, cancel=cancel
        ):
            if self.delay:
                time.sleep(self.delay)
            yield piece
        if session.stop_reason != "end":
            session.feed(engine.END_MARK)  # the answer is over for the next turn all the same
        yield Finished(session.snapshot(), session.stop_reason or "")

    def _session(self, prompt: Prompt) -> engine.Session:
        if prompt.state:
            try:
                session = self.model.session(prompt.state)
            except engine.SnapshotError as error:  # another model's, or of an older version
                log.info("the kept state does not fit (%s): reading the transcript", error)
            else:
                session.feed(prompt.tail)
                return session
        session = self.model.session()
        session.feed(prompt.history() + prompt.tail)
        return session


class RemoteEngine:
    """Engine hosts (`plm engine`). A conversation has its favourite by rendezvous hashing, so that adding a
    host moves few; when one fails, the next in its order takes over.
    """

    CONNECT_TIMEOUT = 1.0
    READ_TIMEOUT = 12.0  # between two lines; an engine that is silent this long counts as gone

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls
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

    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[str | Finished]:
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

    def _stream(self, url: str, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[str | Finished]:
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
                if "text" in event:
                    yield event["text"]
                else:
                    yield Finished(base64.b64decode(event["state"]), event["stop"])
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
        }
        timeout = (self.CONNECT_TIMEOUT, self.READ_TIMEOUT)
        return self._http.post(url + "/stream", json=body, stream=True, timeout=timeout)
