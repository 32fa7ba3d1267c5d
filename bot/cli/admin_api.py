"""What `plm admin` asks: /admin/api of a running service."""

from __future__ import annotations

from typing import Any

import click
import requests

from bot.server.direct_http import direct_session
from bot.settings.urls import without_secrets

CONNECT, READ = 3.0, 60.0  # seconds

as_json = click.option("--json", "as_json", is_flag=True, help="As the service says it.")


class Api:
    """/admin/api at a URL. Anything that goes wrong is a ClickException of one line."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/") + "/admin/api"
        self.shown_url = without_secrets(self.url)
        self.http = direct_session()
        self.http.headers["Authorization"] = f"Bearer {key}"

    def ask(self, method: str, path: str, *, stream: bool = False, **what: Any) -> requests.Response:
        try:
            response = self.http.request(
                method, f"{self.url}/{path}", timeout=(CONNECT, READ), stream=stream,
                allow_redirects=False, **what,
            )  # fmt: skip
        except (requests.RequestException, UnicodeError) as error:
            raise click.ClickException(f"{self.shown_url} does not answer: {type(error).__name__}") from None
        if response.status_code == 404 and "error" not in _json(response):
            raise click.ClickException(f"there is no {self.shown_url}: PLM_ADMIN_KEY is not set there")
        if response.status_code != 200:
            fault = _json(response).get("error")
            message = fault.get("message") if isinstance(fault, dict) else fault
            raise click.ClickException(str(message or f"{self.shown_url} answers {response.status_code}"))
        return response

    def get(self, path: str, **params: Any) -> Any:
        return self.ask("GET", path, params=params).json()

    def post(self, path: str, **body: Any) -> Any:
        return self.ask("POST", path, json=body).json()


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
