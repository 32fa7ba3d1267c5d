"""The model on engine hosts (`plm engine`), over HTTP, behind one address.

Which host answers is decided by what stands there: nothing for a single host, a proxy such as
deploy/envoy.yaml for several. Every request names its model and brings its state, so any host will do, and a
host that was started a moment ago needs to be told nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from bot.inference.interface import EngineDownError
from bot.inference.messages import STREAM_REQUEST, Event, Failure, Finished, Prompt, StreamRequest, from_line
from bot.server.direct_http import direct_session
from bot.settings.config import ConfigError
from bot.settings.urls import without_secrets
from bot.telemetry import logs

log = logging.getLogger(__name__)


class RemoteEngine:
    CONNECT_TIMEOUT = 1.0
    LIKELIHOOD_TIMEOUT = 30.0
    LOAD_TIMEOUT = 20.0
    READ_TIMEOUT = 12.0  # seconds between two lines; a longer silence counts as a failure

    def __init__(self, url: str, model_name: str = "") -> None:
        """Without a name the host answers by its own PLM_MODEL."""
        self.url = url
        self.shown_url = without_secrets(url)
        self.model_name = model_name
        self._http = direct_session()
        self._http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
        self._http.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=64))

    def close(self) -> None:
        self._http.close()

    def ready(self) -> str | None:
        try:
            self.about()
        except (ConfigError, EngineDownError) as error:
            return str(error)
        return None

    def load(self, name: str) -> None:
        if name != self.model_name:
            self._card(name)
            self.model_name = name

    def about(self) -> dict[str, Any]:
        return self._card(self.model_name)

    def _card(self, name: str) -> dict[str, Any]:
        """Of a model that the host loads first, if it has not. ConfigError if there is none such."""
        timeout = (self.CONNECT_TIMEOUT, self.LOAD_TIMEOUT)
        try:
            response = self._http.get(self.url + "/about", params={"model": name}, timeout=timeout)
            self._check_model(response, name)
            response.raise_for_status()
            card: dict[str, Any] = response.json()
        except requests.RequestException as error:
            raise self._down(error) from None
        return card

    def likelihood(self, kind: str, fields: Mapping[str, Any], model: str = "") -> dict[str, Any]:
        name = model or self.model_name
        body = {"kind": kind, "fields": dict(fields), "model": name}
        timeout = (self.CONNECT_TIMEOUT, self.LIKELIHOOD_TIMEOUT)
        try:
            response = self._http.post(self.url + "/likelihood", json=body, timeout=timeout)
            self._check_model(response, name)
            answer: dict[str, Any] = response.json()
            if response.status_code == 400:
                raise ValueError(answer["error"])
            response.raise_for_status()
        except (requests.RequestException, KeyError, ConfigError) as error:
            raise self._down(error) from None
        return answer

    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        try:
            yield from self._stream(prompt, cancel)
        except (requests.RequestException, ValueError, ConfigError) as error:
            # The caller starts over: only it can retract text that was shown.
            raise self._down(error) from None

    def _stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
        name = prompt.model or self.model_name
        response = self._post(prompt, name, prompt.state)
        if response.status_code == 409:  # the state belongs to another model, or an older version
            response.close()
            response = self._post(prompt, name, None)
        with response:
            self._check_model(response, name)
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

    def _post(self, prompt: Prompt, name: str, state: bytes | None) -> requests.Response:
        feed = prompt.tail if state else prompt.history() + prompt.tail
        body = STREAM_REQUEST.dump_json(
            StreamRequest(state or None, feed, prompt.seed, prompt.sampling, name)
        )
        timeout = (self.CONNECT_TIMEOUT, self.READ_TIMEOUT)
        headers = {logs.HEADER: logs.request_id.get(), "Content-Type": "application/json"}
        return self._http.post(self.url + "/stream", data=body, headers=headers, stream=True, timeout=timeout)

    def _check_model(self, response: requests.Response, name: str) -> None:
        if response.status_code == 404:
            raise ConfigError(f"{self.shown_url}: there is no model {name!r} there")

    def _down(self, error: Exception) -> EngineDownError:
        if isinstance(error, ConfigError):
            return EngineDownError(str(error))
        log.debug("the engine at %s failed: %s", self.shown_url, type(error).__name__)
        return EngineDownError(f"{self.shown_url}: {type(error).__name__}")
