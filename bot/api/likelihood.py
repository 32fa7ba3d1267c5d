"""POST /v1/score, /v1/choose, /v1/fill, /v1/judge: what the model holds likely, as JSON.

The answers are those of `plm score|choose|fill|judge --json`.
"""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bot.api.completions import check_model
from bot.api.endpoint import operation
from bot.api.errors import ApiError
from bot.context import current_bot
from bot.inference.interface import EngineDownError
from engine import GAP

blueprint = Blueprint("likelihood", __name__)
SCOPE = "likelihood"
MAX_GAPS = 8


def _few_gaps(text: str) -> str:
    if text.count(GAP) > MAX_GAPS:
        raise ValueError(f"has more than {MAX_GAPS} gaps")
    return text


Sentence = Annotated[str, Field(min_length=1, max_length=1000)]


class Body(BaseModel):
    """`model` is there for clients that always send it: it must be this service's."""

    model_config = ConfigDict(extra="forbid", strict=True)
    model: str | None = None


class ScoreRequest(Body):
    text: Annotated[str, Field(max_length=50_000)]  # JSON may spell each in twelve bytes of its 1 MiB


class ScoreAnswer(BaseModel):
    bytes: int
    bits_per_byte: float
    seconds: float
    bytes_per_second: float


class ChooseRequest(Body):
    question: Annotated[str, Field(min_length=1, max_length=4000)]
    choices: Annotated[list[Sentence], Field(min_length=2, max_length=26)]


class ChooseAnswer(BaseModel):
    answer: int
    scores: list[float]


class FillRequest(Body):
    text: Annotated[str, Field(max_length=4000), AfterValidator(_few_gaps)]
    count: int = Field(5, ge=1, le=20)
    max_characters: int = Field(8, ge=1, le=16)


class Filling(BaseModel):
    text: str
    bits: float


class FillAnswer(BaseModel):
    text: str
    gaps: list[list[Filling]]


class JudgeRequest(Body):
    statement: Sentence
    against: Annotated[list[Sentence], Field(max_length=20)] = []


class JudgeAnswer(BaseModel):
    probability: float
    statement: str
    bits: float
    contrast: str
    contrast_bits: float
    reason: str


@blueprint.post("/v1/score")
@operation(SCOPE, "How likely a text is, in bits per byte", ScoreRequest, ScoreAnswer)
def score(body: ScoreRequest) -> dict[str, Any]:
    return _ask("score", body)


@blueprint.post("/v1/choose")
@operation(SCOPE, "The likeliest of several answers to a question", ChooseRequest, ChooseAnswer)
def choose(body: ChooseRequest) -> dict[str, Any]:
    return _ask("choose", body)


@blueprint.post("/v1/fill")
@operation(SCOPE, "The likeliest fillings of gaps, each marked by ____", FillRequest, FillAnswer)
def fill(body: FillRequest) -> dict[str, Any]:
    return _ask("fill", body)


@blueprint.post("/v1/judge")
@operation(SCOPE, "How likely a statement is against its best contrast", JudgeRequest, JudgeAnswer)
def judge(body: JudgeRequest) -> dict[str, Any]:
    return _ask("judge", body)


def _ask(kind: str, body: Body) -> dict[str, Any]:
    if body.model is not None:
        check_model(body.model)
    try:
        return current_bot().answers.engine.likelihood(kind, body.model_dump(exclude={"model"}))
    except ValueError as error:
        raise ApiError(400, str(error)) from None
    except EngineDownError as error:
        message, wait = f"no engine answers: {error}", {"Retry-After": "2"}
        raise ApiError(503, message, code="engine_down", headers=wait) from None
