"""/openapi.json: what /v1 offers, gathered from the views that `api.operation` has marked."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bot.api.endpoint import Operation

TITLE = "personal-lm"
ABOUT = (
    "A small byte-level language model behind the API that OpenAI's clients speak. A token is a byte. "
    "Errors have OpenAI's form."
)
REFUSALS = {
    "400": "The body is wrong; `param` names the field.",
    "401": "No API key, or one that is not known.",
    "403": "The API key is not for this.",
    "404": "There is no such model, or no library.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "More requests than the key may make; see Retry-After.",
    "503": "The engine or the store is busy or away; see Retry-After.",
}
EVENT: dict[str, Any] = {
    "description": 'With `stream`: `data` is a chunk as OpenAI writes it, {"error": …} or, last, [DONE].',
    "type": "object",
    "properties": {"data": {"type": "string"}},
    "required": ["data"],
}
WITH_BODY_ONLY = {"400", "413", "415"}


class Fault(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: Fault


def document(app: Flask, models: list[str]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of this application, which serves these models."""
    found: list[tuple[str, str, Operation]] = []
    for rule in app.url_map.iter_rules():
        marked = getattr(app.view_functions[rule.endpoint], "operation", None)
        if isinstance(marked, Operation):
            method = "post" if marked.body else "get"
            found.append((re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method, marked))
    found.sort(key=lambda row: row[:2])
    used: dict[type[BaseModel], Any] = {ErrorBody: "serialization"}
    for _, _, marked in found:
        used[marked.answer] = "serialization"
        if marked.body:
            used[marked.body] = "validation"
    _, schemas = models_json_schema(list(used.items()), ref_template="#/components/schemas/{model}")
    for schema in schemas["$defs"].values():
        if "model" in schema.get("required", ()):
            schema["properties"]["model"]["enum"] = models
    paths: dict[str, Any] = {}
    for path, method, marked in found:
        paths.setdefault(path, {})[method] = _describe(path, marked)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(path: str, marked: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"application/json": {"schema": _reference(marked.answer)}}
    if marked.streams:
        answer["text/event-stream"] = {"schema": EVENT}
    error = {"application/json": {"schema": _reference(ErrorBody)}}
    responses: dict[str, Any] = {"200": {"description": "Done.", "content": answer}}
    for status, meaning in REFUSALS.items():
        if marked.body or status not in WITH_BODY_ONLY:
            responses[status] = {"description": meaning, "content": error}
    operation: dict[str, Any] = {"summary": marked.summary, "security": [{"key": []}], "responses": responses}
    if marked.scope:
        operation["description"] = f"Needs the scope `{marked.scope}`."
    if marked.body:
        schema = {"application/json": {"schema": _reference(marked.body)}}
        operation["requestBody"] = {"required": True, "content": schema}
    names = re.findall(r"{(\w+)}", path)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    return operation


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
