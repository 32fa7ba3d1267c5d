"""What all of /v1 has in common: who may call, how bodies are read and refused, what /openapi.json says.

@blueprint.post("/v1/score")
@operation("likelihood", "The likelihood of a text", ScoreRequest, ScoreAnswer)
def score(body: ScoreRequest) -> dict[str, Any]: …
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from pydantic import BaseModel, ValidationError

from bot.api import auth
from bot.api.errors import ApiError
from bot.chat.limits import BusyError, ConcurrencyLimiter
from bot.context import current_bot


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
    urgent: Callable[[Any], Response | None] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let only callers with a key for `scope` (None: any key) in, within their rate; read the JSON body.

    The view gets the body, checked, as its first argument unless `body` is None. With a body it is work for
    the engine, of which a process does a bounded number at a time. `urgent` gets the body before the rate is
    counted and a place is waited for: what it answers is the answer.
    """

    def wrap(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def checked(*args: Any, **values: Any) -> Any:
            bot = current_bot()
            caller = auth.authenticate(bot.settings, scope)
            if urgent and body and (answer := _urgent(urgent, body)):
                return answer
            auth.count(bot.limits, caller)
            if body is None:
                return view(*args, **values)
            return _limited(bot.concurrency, lambda: view(read_body(body), *args, **values))

        checked.operation = Operation(scope, summary, body, answer, streams)  # type: ignore[attr-defined]
        return checked

    return wrap


def _urgent(urgent: Callable[[Any], Response | None], body: type[BaseModel]) -> Response | None:
    try:
        return urgent(read_body(body))
    except ApiError:  # the view says so, to callers within their rate
        return None


def _limited(concurrency: ConcurrencyLimiter, view: Callable[[], Any]) -> Any:
    """Run the view when there is a place, and keep it until its answer is sent or the caller gone."""
    try:
        concurrency.acquire()
    except BusyError:
        headers = {"Retry-After": "1"}
        message = "too much is asked at this moment: try again"
        raise ApiError(503, message, code="engine_overloaded", headers=headers) from None
    streaming = False
    try:
        response = view()
        streaming = isinstance(response, Response) and response.is_streamed
        if streaming:
            response.call_on_close(concurrency.release)
        return response
    finally:
        if not streaming:
            concurrency.release()


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
