"""POST /v1/answer: the library's answer to a question, with its sources. Nothing is kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from bot.api.emergencies import help_for, warning_for
from bot.api.endpoint import operation
from bot.api.errors import ApiError, respond
from bot.api.schemas import Cited, Emergency
from bot.api.search import SCOPE, Text, served_library, source
from bot.context import current_bot
from bot.text import dialogue
from engine.library import LibraryError

blueprint = Blueprint("answer", __name__)


class Said(BaseModel):
    model_config = ConfigDict(strict=True)
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=20_000)] | None = Field(
        description="An assistant's may be null, where it called a tool."
    )

    @field_validator("content")
    @classmethod
    def _said(cls, content: str | None, info: ValidationInfo) -> str:
        if content is None and info.data.get("role") == "user":
            raise ValueError("must be a text")
        return content or ""


class AnswerRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    question: Text
    history: Annotated[list[Said], Field(max_length=200)] = Field(
        [], description="The talk before, oldest first: a follow-up carries on from it."
    )


class LibraryAnswer(BaseModel):
    answer: str
    sources: list[Cited]
    abstained: bool = Field(description="The library does not answer this.")
    emergency: Emergency | None = Field(None, description="There if the answer is help in one.")


def help_in_an_emergency(body: AnswerRequest) -> Response | None:
    help_now, kind = help_for(body.question)
    if not help_now:
        return None
    return respond({"answer": help_now, "sources": [], "abstained": False, "emergency": {"kind": kind}})


@blueprint.post("/v1/answer")
@operation(
    SCOPE, "Answer a question by quotations of the library", AnswerRequest, LibraryAnswer,
    urgent=help_in_an_emergency,
)  # fmt: skip
def answer(body: AnswerRequest) -> dict[str, Any]:
    served_library()
    question = dialogue.clean_question(body.question).text
    try:
        found = current_bot().answers.answering.ask_library(
            question, [said.model_dump() for said in body.history if said.content]
        )
    except LibraryError as error:
        raise ApiError(503, str(error), code="library_down", headers={"Retry-After": "2"}) from None
    if found is None:
        raise ApiError(503, "the library is being built: try again", code="library_down")
    sources = [source(citation) for citation in found.citations]
    text = dialogue.cautioned(warning_for(body.question), found.text)
    return {"answer": text, "sources": sources, "abstained": found.abstained}
