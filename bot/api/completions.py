"""/v1/models, /v1/chat/completions and /v1/completions, as OpenAI's clients expect them.

Nothing is kept: a chat request brings its whole conversation. Where there is a library, a chat's last
question is answered from it, as over the channels, with the quotations as `annotations`; `"library": false`
asks the model instead. Such an answer depends on the texts alone, whatever seed and temperature.
`/v1/completions` is always the model. An emergency in the last message of a chat is answered with help, at
once. A token is a byte. With "stream", events (text/event-stream) end in `data: [DONE]`; what goes wrong on
the way is an event {"error": …}. A caller that hangs up ends the writing.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from flask import Blueprint, Response, request

from bot.api import schemas as bodies
from bot.api.choices import ChatForm, Form, TextForm
from bot.api.emergencies import help_for, warning_for
from bot.api.endpoint import operation
from bot.api.errors import ApiError, error_body, respond
from bot.api.generate import generate
from bot.api.search import served_library, source
from bot.context import current_bot
from bot.inference.interface import EngineDownError
from bot.inference.messages import Event, Finished, Sampling
from bot.server.client_disconnect import client_disconnected
from bot.telemetry import metrics
from bot.text import dialogue

log = logging.getLogger(__name__)
blueprint = Blueprint("openai", __name__)

STARTED = int(time.time())
MAX_PROMPT = 65_536  # bytes
MAX_SCORED = 8_192  # bytes whose likelihoods are told


@blueprint.get("/v1/models")
@operation(None, "The models there are", None, bodies.ModelList)
def models() -> Response:
    return respond({"object": "list", "data": [_card()]})


@blueprint.get("/v1/models/<path:name>")
@operation(None, "One model", None, bodies.ModelCard)
def model(name: str) -> Response:
    check_model(name.removesuffix("/"))
    return respond(_card())


def help_in_an_emergency(body: bodies.ChatRequest) -> Response | None:
    """The answer where the last message speaks of one, whatever the engine, rates and places; else None."""
    last = body.messages[-1]
    if last.role != "user" or body.model != current_bot().model_name:
        return None
    answer, kind = help_for(last.text)
    if not answer:
        return None
    size = sum(len(message.text.encode()) for message in body.messages)
    form = ChatForm(body.model, size, bool(body.logprobs), {"emergency": {"kind": kind}})
    events: list[tuple[int, Event]] = []
    for number in range(body.n or 1):
        events += [(number, answer), (number, Finished(b"", "end"))]
    if not body.stream:
        return respond(form.whole(events))
    return _stream(form.chunks(events, body.with_usage))


def _cautioned(events: Iterator[tuple[int, Event]], warning: str) -> Iterator[tuple[int, Event]]:
    begun = set[int]()
    for number, event in events:
        if number not in begun:
            begun.add(number)
            yield number, dialogue.cautioned(warning, "")
        yield number, event


@blueprint.post("/v1/chat/completions")
@operation("chat", "Answer a conversation", bodies.ChatRequest, bodies.ChatAnswer, True, help_in_an_emergency)
def chat(body: bodies.ChatRequest) -> Response:
    check_model(body.model)
    if body.messages[-1].role != "user":
        raise ApiError(400, "messages: the last one must be the user's", param="messages")
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs: needs logprobs to be true", param="top_logprobs")
    warning = warning_for(body.messages[-1].text)
    if _from_library(body):
        return _quote(body, warning)
    feed = dialogue.transcript((message.role, message.text) for message in body.messages)
    _check_size(len(feed), MAX_PROMPT, "messages")
    top = (body.top_logprobs or 0) if body.logprobs else None
    form = ChatForm(body.model, len(feed), logprobs=top is not None)
    return _answer(form, body, [feed], _sampling(body, body.limit, top), warning)


def _from_library(body: bodies.ChatRequest) -> bool:
    """The library answers. ApiError 400 where it was asked for what the model alone has."""
    if body.library is False or (current_bot().library is None and body.library is None):
        return False
    for name, wanted in (("logprobs", body.logprobs), ("n", (body.n or 1) > 1)):
        if wanted and body.library:
            raise ApiError(400, f'{name}: the library\'s answers have none; say "library": false', param=name)
        if wanted:
            return False
    question = dialogue.clean_question(body.messages[-1].text).text
    if not body.library and (not question or dialogue.free_writing(question)):
        return False
    served_library()
    return True


def _quote(body: bodies.ChatRequest, warning: str) -> Response:
    """The library's answer, behind the warning, as one text that the model might have written."""
    *before, last = body.messages
    history = [
        {"role": message.role, "content": message.text}
        for message in before
        if message.role in ("user", "assistant") and message.text
    ]
    size = sum(len(message.text.encode()) for message in body.messages)
    _check_size(size, MAX_PROMPT, "messages")
    try:
        question = dialogue.clean_question(last.text).text
        answer = current_bot().answers.answering.without_model(question, history)
    except EngineDownError as error:
        raise _engine_down(error) from None
    text, stop = _cut(dialogue.cautioned(warning, answer.text), body.stops, body.limit)
    annotations = [
        {"type": "citation", "citation": source(citation)}
        for citation in answer.citations
        if citation.quote in text
    ]
    metrics.MESSAGES.labels("openai").inc()
    form = ChatForm(body.model, size, False, annotations=annotations)
    lines = [(0, line) for line in text.splitlines(keepends=True)]
    return _send(form, body, iter([*lines, (0, Finished(b"", stop))]))


def _cut(text: str, stops: Sequence[str], limit: int | None) -> tuple[str, str]:
    """What is before the first of `stops` and within `limit` bytes, and how it ended."""
    ends = [place for stop in stops if (place := text.find(stop)) >= 0]
    text = text[: min(ends)] if ends else text
    if limit is None or len(text.encode()) <= limit:
        return text, "stop" if ends else "end"
    return text.encode()[:limit].decode(errors="ignore"), "length"


@blueprint.post("/v1/completions")
@operation("chat", "Continue a text", bodies.CompletionRequest, bodies.CompletionAnswer, streams=True)
def complete(body: bodies.CompletionRequest) -> Response:
    check_model(body.model)
    if body.max_tokens == 0 and not body.echo:
        raise ApiError(400, "max_tokens: must be 1 or more unless echo is true", param="max_tokens")
    prompts = [prompt.encode() for prompt in body.prompts]
    if len(prompts) * (body.n or 1) > bodies.MAX_PROMPTS:
        raise ApiError(400, f"n: prompts times n must be at most {bodies.MAX_PROMPTS}", param="n")
    scored = body.echo and body.logprobs is not None
    _check_size(sum(map(len, prompts)), MAX_SCORED if scored else MAX_PROMPT, "prompt")
    sampling = _sampling(body, body.max_tokens, body.logprobs, bool(scored))
    form = TextForm(
        body.model, sum(map(len, prompts)), body.logprobs is not None,
        body.prompts if body.echo else None, body.n or 1,
    )  # fmt: skip
    return _answer(form, body, prompts, sampling)


def _sampling(
    body: bodies.Asked, limit: int | None, top: int | None, prompt_logprobs: bool = False
) -> Sampling:
    most = current_bot().settings.max_bytes if limit is None else limit
    return Sampling(most, body.temperature, body.top_p, body.stops, top, prompt_logprobs)


def _answer(
    form: Form, body: bodies.Asked, prompts: list[bytes], sampling: Sampling, warning: str = ""
) -> Response:
    """What the engine writes after the prompts, each choice behind the `warning`, if there is one."""
    metrics.MESSAGES.labels("openai").inc()
    seed = secrets.randbits(63) if body.seed is None else body.seed
    cancel = client_disconnected(request.environ)
    events = _write(prompts, sampling, body.n or 1, seed, cancel)
    if warning:
        events = _cautioned(events, warning)
    return _send(form, body, events)


def _send(form: Form, body: bodies.Asked, events: Iterator[tuple[int, Event]]) -> Response:
    try:
        if not body.stream:
            return respond(form.whole(events))
        first = next(events)  # an engine that is away is a status, not an event
    except EngineDownError as error:
        raise _engine_down(error) from None
    return _stream(form.chunks(chain([first], events), body.with_usage))


def _stream(chunks: Iterable[dict[str, Any]]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must pass each event on
    return Response(_lines(chunks), mimetype="text/event-stream", headers=headers)


def _engine_down(error: EngineDownError) -> ApiError:
    log.error("/v1: %s", error)
    return ApiError(
        503,
        "no engine can answer for the moment: try again",
        code="engine_down",
        headers={"Retry-After": "2"},
    )


def _write(
    prompts: list[bytes], sampling: Sampling, n: int, seed: int, cancel: Callable[[], bool]
) -> Iterator[tuple[int, Event]]:
    engine = current_bot().answers.engine
    for place, prompt in enumerate(prompts):
        for number, event in generate(engine, prompt, sampling, n, seed, cancel):
            yield place * n + number, event


def _lines(chunks: Iterable[dict[str, Any]]) -> Iterator[str]:
    try:
        for chunk in chunks:
            yield f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n"
    except Exception as error:  # the status line is long gone
        log.error("/v1: an answer broke off: %s", error, exc_info=not isinstance(error, EngineDownError))
        fault = error_body(503, "the answer broke off: try again", code="engine_down")
        yield f"data: {json.dumps(fault)}\n\n"
    else:
        yield "data: [DONE]\n\n"


def _check_size(size: int, most: int, param: str) -> None:
    if size > most:
        raise ApiError(
            400, f"{param}: {size} bytes, and {most} is the most", param=param, code="context_length_exceeded"
        )


def check_model(name: str) -> None:
    """ApiError 404 unless it is this service's model."""
    if name != current_bot().model_name:
        raise ApiError(
            404,
            f"the model {name!r} does not exist; there is {current_bot().model_name!r}",
            "model",
            "model_not_found",
        )


def _card() -> dict[str, Any]:
    return {
        "id": current_bot().model_name,
        "object": "model",
        "created": STARTED,
        "owned_by": "personal-lm",
    }
