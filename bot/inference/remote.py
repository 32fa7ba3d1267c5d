"""The model on engine hosts, over HTTP."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from bot.inference.interface import EngineDownError
from bot.inference.messages import STREAM_REQUEST, Event, Failure, Finished, Prompt, StreamRequest, from_line
from bot.server.direct_http import direct_session
from bot.settings.config import ConfigError
from bot.telemetry import logs

log = logging.getLogger(__name__)


class RemoteEngine:
    """Engine hosts (`plm engine`). Rendezvous hashing maps a conversation to a host, so that adding a
    host moves few; when one fails, the next in the order takes over.
    """

    CONNECT_TIMEOUT = 1.0
    LIKELIHOOD_TIMEOUT = 30.0
    LOAD_TIMEOUT = 20.0
    RELOAD_INTERVAL = 5.0  # seconds after which hosts are told of the model again: one may have restarted
    READ_TIMEOUT = 12.0  # seconds between two lines; a longer silence counts as a failure

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls
        self.model_name = ""
        self._loaded_at = 0.0
        self._http = direct_session()
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
        if name == self.model_name and time.monotonic() - self._loaded_at < self.RELOAD_INTERVAL:
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
        self.model_name, self._loaded_at = name, time.monotonic()

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
        for url in self.order(uuid.uuid4().hex):  # no conversation: any host will do
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
            except (requests.RequestException, ValueError) as error:
                faults.append(f"{url}: {type(error).__name__}")
                log.debug("engine host %s failed: %s", url, error)
                if spoken:  # the caller starts over: only it can retract text that was shown
                    break
        raise EngineDownError("; ".join(faults))

    def _stream(self, url: str, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        response = self._post(url, prompt, prompt.state)
        if response.status_code == 409:  # the state belongs to another model, or an older version
            response.close()
            response = self._post(url, prompt, None)
        with response:
            response.raise_for_status()
            for line in response.iter_lines(chunk_size=None):
                event = from_line(line)
                if isinstance(event, Failure):
                    raise ValueError(event.error)
                yield event
                if isinstance(event, Finished):
                    return
                if cancel():
                    yield Finished(b"", "cancelled")
                    return
        raise ValueError("the answer broke off")

    def _post(self, url: str, prompt: Prompt, state: bytes | None) -> requests.Response:
        feed = prompt.tail if state else prompt.history() + prompt.tail
        body = STREAM_REQUEST.dump_json(StreamRequest(state or None, feed, prompt.seed, prompt.sampling))
        timeout = (self.CONNECT_TIMEOUT, self.READ_TIMEOUT)
        headers = {logs.HEADER: logs.request_id.get(), "Content-Type": "application/json"}
        return self._http.post(url + "/stream", data=body, headers=headers, stream=True, timeout=timeout)
