"""POST /v1/search: the passages that answers would be quoted from, with score and reason.

It is the search of the bot, of `plm library search` and of the admin page's hit test.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field, RootModel

from bot.api.endpoint import operation
from bot.api.errors import ApiError, respond
from bot.context import current_bot
from bot.inference.library import ServedLibrary
from bot.text import dialogue
from engine.library import LibraryError

blueprint = Blueprint("search", __name__)
SCOPE = "search"
MOST = 50

Text = Annotated[str, Field(min_length=1, max_length=dialogue.MAX_QUESTION)]


class SearchRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    query: Text
    limit: int = Field(5, ge=1, le=MOST)
    book: str | None = Field(None, max_length=200, description="The title of the one source to look in.")


class Found(BaseModel):
    book: str
    heading: str
    text: str
    start: int = Field(description="Of the text, in bytes of the source.")
    end: int
    score: float
    why: str = Field(description="What matched.")


class SearchAnswer(RootModel[list[Found]]):
    """Best first."""


@blueprint.post("/v1/search")
@operation(SCOPE, "The passages of the library that fit some words best", SearchRequest, SearchAnswer)
def search(body: SearchRequest) -> Response:
    library = served_library().library
    try:
        if body.book is not None:
            library.source(body.book)
        hits = library.search(body.query, body.limit, body.book)
    except LibraryError as error:
        raise ApiError(400, f"book: {error}", param="book") from None
    return respond([{name: asdict(hit)[name] for name in Found.model_fields} for hit in hits])


def served_library() -> ServedLibrary:
    """The library, ready. ApiError 404 where there is none, 503 while it is being built."""
    library = current_bot().library
    if library is None:
        raise ApiError(404, "this service has no library: PLM_LIBRARY is none", code="no_library")
    fault = library.fault()
    if fault:
        raise ApiError(503, f"{fault}: try again", code="library_down", headers={"Retry-After": "10"})
    return library


def source(citation: Any) -> dict[str, Any]:
    """A citation as the API tells it."""
    return {name: getattr(citation, name) for name in ("book", "heading", "quote", "start", "end")}
