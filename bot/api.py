"""What all of /v1 has in common: who may call, how bodies are read and refused, what /openapi.json says.

    @blueprint.post("/v1/score")
    @operation("likelihood", "The likelihood of a text", ScoreRequest, ScoreAnswer)
    def score(body: ScoreRequest) -> dict[str, Any]: …

Errors have the form that OpenAI's clients read: {"error": {"message", "type", "param", "code"}}.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from bot.limits import BusyError, Gate

TYPES = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error",
}  # fmt: skip


class ApiError(HTTPException):
    """A refusal. `param` names the field that is wrong; `code` is for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = status
        self.param, self.reason, self.more_headers = param, code, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        return error_body(self.code or 500, self.description or "", self.param, self.reason)


def error_body(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True)
class Operation:
    """What /openapi.json says of a view."""

    scope: str | None
    summary: str
    body: type[BaseModel] | None
    answer: type[BaseModel]
    streams: bool


def operation(
    scope: str | None,
    summary: str,
    body: type[BaseModel] | None,
    answer: type[BaseModel],
    streams: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let only callers with a key for `scope` (None: any key) in, within their rate; read the JSON body.

    The view gets the body, checked, as its first argument unless `body` is None. With a body it is work for
    the engine, of which a process does a bounded number at a time.
    """

    def wrap(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def checked(*args: Any, **values: Any) -> Any:
            from bot import auth, current_bot  # they import from here

            bot = current_bot()
            auth.admit(bot.settings, bot.limits, scope)
            if body is None:
                return view(*args, **values)
            return _within(bot.gate, lambda: view(read_body(body), *args, **values))

        checked.operation = Operation(scope, summary, body, answer, streams)  # type: ignore[attr-defined]
        return checked

    return wrap


def _within(gate: Gate, view: Callable[[], Any]) -> Any:
    """Run the view when there is a place, and keep it until its answer is sent or the caller gone."""
    try:
        gate.enter()
    except BusyError:
        headers = {"Retry-After": "1"}
        message = "too much is asked at this moment: try again"
        raise ApiError(503, message, code="engine_overloaded", headers=headers) from None
    streaming = False
    try:
        response = view()
        streaming = isinstance(response, Response) and response.is_streamed
        if streaming:
            response.call_on_close(gate.leave)
        return response
    finally:
        if not streaming:
            gate.leave()


def read_body(model: type[BaseModel]) -> Any:
    """The request's JSON as `model`. ApiError 400 naming the field, 415 where it is no JSON."""
    if not request.is_json:
        raise ApiError(415, "the body must be JSON, with Content-Type: application/json")
    try:
        data = json.loads(request.get_data(), parse_constant=_no_number, parse_float=_number)
        json.dumps(data, ensure_ascii=False).encode()  # an escape can spell half a character
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON in UTF-8") from None
    if not isinstance(data, dict):
        raise ApiError(400, "the body must be a JSON object")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
        message = first["msg"].removeprefix("Value error, ")
        raise ApiError(400, f"{place}: {message}" if place else message, param=place or None) from None


def _number(text: str) -> float:
    """JSON knows one kind of number: 3.0 is as whole as 3."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def respond(body: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, headers=dict(headers or {}), mimetype="application/json")
