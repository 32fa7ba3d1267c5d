"""/admin/api/library/… for the texts that answers are quoted from; access.py says who may.

    GET    /admin/api/library/sources             {"sources": [{"id", "title", "origin", "enabled", …}], …}
    POST   /admin/api/library/sources             multipart files: {"outcomes": [{"file", "state", "reason"}]}
    PATCH  /admin/api/library/sources/<id>        {"enabled": true or false}
    DELETE /admin/api/library/sources/<id>
    POST   /admin/api/library/search              {"query", "limit"?, "book"?}: passages and the answer
    POST   /admin/api/library/pairs               {"questions": […], "answer"}: one question-answer pair

The id may also stand in the query or the body. `origin` is `bundled` (comes along), `uploaded` (on every
host) or `local` (`plm library add`, on this host alone). A change counts on this host when its answer comes,
and on every other within two seconds.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, field_validator
from werkzeug.exceptions import RequestEntityTooLarge

from bot.admin import language
from bot.admin.access import audit, keep_out_of_caches, require_admin
from bot.admin.uploads import Uploads
from bot.api.endpoint import read_body
from bot.api.errors import ApiError, respond
from bot.context import current_bot
from bot.inference.library import ServedLibrary
from bot.inference.library_sync import LibrarySync, uploaded_id
from bot.store.library import LibraryContents, LibraryStore, UploadedSource
from bot.text import dialogue
from engine.library import LibraryBusyError, LibraryError, Source, Writer

blueprint = Blueprint("admin_library", __name__)
MAX_UPLOAD = 64 << 20  # bytes of one request
NO_LIBRARY = "this service has no library: PLM_LIBRARY is none"
MAX_QUESTION = 200  # characters of a wording
SOURCE_ID = re.compile(r"(bundled-|local-)?[0-9a-f]{1,16}")
PATIENCE = 5.0  # seconds that an answer waits for the change on this host
READING = threading.BoundedSemaphore(1)  # a parser may take much memory
READING_TIMEOUT = 30.0  # seconds that an upload waits for another

blueprint.before_request(require_admin)
blueprint.after_request(keep_out_of_caches)
blueprint.register_error_handler(ApiError, language.refuse)


@blueprint.before_request
def allow_uploads() -> None:
    """Larger bodies than elsewhere for files alone, from who has shown the key."""
    if request.endpoint == f"{blueprint.name}.{upload.__name__}":
        request.max_content_length = MAX_UPLOAD


@blueprint.before_request
def write_down() -> None:
    """Every request, whatever comes of it. An id that none has here is left out: it could be any text."""
    action = (request.endpoint or "").rpartition(".")[2]
    body = request.get_json(silent=True) if request.is_json else None
    given = body if isinstance(body, dict) else {}
    if action == enable.__name__ and given.get("enabled") is False:
        action = "disable"
    named = (request.view_args or {}).get("source_id") or request.args.get("id") or given.get("id")
    audit(f"library.{action}", named if isinstance(named, str) and SOURCE_ID.fullmatch(named) else "")


class EnabledBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str = ""
    enabled: bool


class RemovedBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str


class SearchBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    query: Annotated[str, Field(min_length=1, max_length=2000)]
    limit: int = Field(10, ge=1, le=50)
    book: str | None = None


class PairBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    questions: Annotated[list[str], Field(min_length=1, max_length=20)]
    answer: Annotated[str, Field(min_length=1, max_length=4000)]

    @field_validator("questions")
    @classmethod
    def _are_questions(cls, questions: list[str]) -> list[str]:
        cleaned = list(dict.fromkeys(" ".join(dialogue.printable(text).split()) for text in questions))
        if any(not 0 < len(text) <= MAX_QUESTION for text in cleaned):
            raise ValueError(f"each must have 1 to {MAX_QUESTION} characters")
        return cleaned

    @field_validator("answer")
    @classmethod
    def _says_something(cls, answer: str) -> str:
        if not (answer := dialogue.printable(answer).strip()):
            raise ValueError("must say something")
        return answer


# Sources


@blueprint.get("/admin/api/library/sources")
def list_sources() -> Response:
    if current_bot().library is None:
        return respond(
            {"present": False, "sources": [], "fault": language.localized(NO_LIBRARY), "max_upload": 0}
        )
    served, store = _library()
    contents = store.contents()
    held = served.library.sources()
    rows = [_row(source, contents) for source in held]
    copies = {row["id"] for row in rows}
    rows += [_pending(source, contents) for source in contents.sources.values() if source.id not in copies]
    fault = language.localized(served.fault() or "") or None
    return respond({"present": True, "sources": rows, "fault": fault, "max_upload": MAX_UPLOAD})


@blueprint.post("/admin/api/library/sources")
def upload() -> Response:
    served, store = _library()
    try:
        files = [file for _, file in request.files.items(multi=True) if file.filename]
    except RequestEntityTooLarge:
        raise ApiError(413, f"more than {MAX_UPLOAD >> 20} MiB at a time; send fewer files") from None
    if not files:
        raise ApiError(400, "there is no file in the form: send multipart/form-data", param="file")
    naming = {key: request.form.get(key, "").strip()[:200] for key in ("title", "author", "dynasty")}
    if len(files) > 1:
        naming["title"] = ""
    if not READING.acquire(timeout=READING_TIMEOUT):
        raise ApiError(503, "another upload is being read: try again", headers={"Retry-After": "10"})
    try:
        uploads = Uploads(store, [source for source in served.library.sources() if source.bundled])
        outcomes = [asdict(outcome) for file in files for outcome in uploads.add_file(file, naming)]
    finally:
        READING.release()
    ready = _catch_up()
    sync = current_bot().library_sync
    refused = sync.refused if sync else {}
    for outcome in outcomes:
        if reason := refused.get(outcome["id"]):
            store.remove(store.contents().sources[outcome["id"]])
            outcome |= {"state": "failed", "id": "", "reason": reason}
        outcome["reason"] = language.localized(outcome["reason"])
    return respond({"outcomes": outcomes, "ready": ready})


@blueprint.patch("/admin/api/library/sources")
@blueprint.patch("/admin/api/library/sources/<source_id>")
def enable(source_id: str = "") -> Response:
    served, store = _library()
    body = read_body(EnabledBody)
    source_id = source_id or request.args.get("id", "") or body.id
    source = _find(source_id, served, store)
    if isinstance(source, UploadedSource):
        store.set_enabled(source.id, body.enabled)
    elif source.bundled:
        store.set_bundled(source.title, body.enabled)
    else:
        _change(served, lambda writer: writer.set_enabled(source.id, body.enabled))
    return respond({"id": source_id, "enabled": body.enabled, "ready": _catch_up()})


@blueprint.delete("/admin/api/library/sources")
@blueprint.delete("/admin/api/library/sources/<source_id>")
def remove(source_id: str = "") -> Response:
    served, store = _library()
    source_id = source_id or request.args.get("id", "") or read_body(RemovedBody).id
    source = _find(source_id, served, store)
    if isinstance(source, Source) and source.bundled:
        raise ApiError(409, "it comes along with every version: disable it", param="id")
    if isinstance(source, UploadedSource):
        store.remove(source)
    else:
        _change(served, lambda writer: writer.remove(source.id))
    return respond({"removed": source_id, "ready": _catch_up()})


@blueprint.post("/admin/api/library/pairs")
def add_pair() -> Response:
    served, store = _library()
    body = read_body(PairBody)
    uploads = Uploads(store, [source for source in served.library.sources() if source.bundled])
    outcome = uploads.add_pair(body.questions, body.answer)
    if outcome.state != "failed":
        for question in body.questions:
            current_bot().answers.unanswered.drop(question)
    said = asdict(outcome) | {"reason": language.localized(outcome.reason)}
    return respond(said | {"ready": _catch_up()})


# Hit test


@blueprint.post("/admin/api/library/search")
def search() -> Response:
    """What a question finds, with scores and why, and what the chat would answer to it."""
    served, _ = _library()
    body = read_body(SearchBody)
    if fault := served.fault():
        raise ApiError(503, fault, headers={"Retry-After": "5"})
    try:
        hits = served.library.search(body.query, body.limit, body.book)
        answer = current_bot().answers.answering.ask_library(body.query, ())
    except LibraryError as error:
        raise ApiError(400, str(error), param="book" if body.book else "query") from None
    keys = ("book", "heading", "text", "start", "end", "score", "why")
    results = [{key: getattr(hit, key) for key in keys} for hit in hits]
    said = None
    if answer is not None and served.answerer is not None:
        said = {
            "answer": answer.text, "abstained": answer.abstained, "kind": answer.kind, "score": answer.score,
            "minimum": served.answerer.minimum,
            "sources": [
                {"book": c.book, "heading": c.heading, "quote": c.quote, "start": c.start, "end": c.end}
                for c in answer.citations
            ],
        }  # fmt: skip
    return respond({"results": results, "answer": said})


def _library() -> tuple[ServedLibrary, LibraryStore]:
    bot = current_bot()
    if bot.library is None or bot.library_sync is None:
        raise ApiError(404, NO_LIBRARY)
    return bot.library, bot.library_sync.store


def _catch_up() -> bool:
    """Whether this host has what was changed; a build or much text may take longer than anybody waits."""
    sync: LibrarySync | None = current_bot().library_sync
    return sync is not None and sync.catch_up(PATIENCE)


def _change(served: ServedLibrary, change: Callable[[Writer], None]) -> None:
    """Do it to this host's library."""
    try:
        with served.library.writer(PATIENCE) as writer:
            change(writer)
    except LibraryBusyError as error:
        raise ApiError(503, str(error), headers={"Retry-After": "5"}) from None


def _row(source: Source, contents: LibraryContents) -> dict[str, Any]:
    uploaded = uploaded_id(source, contents.deployment)
    row = asdict(source) | {"id": _public_id(source, contents.deployment), "pending": False}
    del row["bundled"]
    row["origin"] = "bundled" if source.bundled else "uploaded" if uploaded else "local"
    if held := contents.sources.get(uploaded or ""):
        row |= {"file": held.file, "added": held.added, "enabled": held.id not in contents.disabled}
    return row


def _pending(source: UploadedSource, contents: LibraryContents) -> dict[str, Any]:
    """One that this host does not have yet."""
    row = asdict(source) | {"enabled": source.id not in contents.disabled, "origin": "uploaded"}
    del row["size"]
    return row | {"passages": 0, "bytes": 0, "pending": True}


def _public_id(source: Source, deployment: str) -> str:
    """The same on every host, except for a source that is on one alone."""
    if source.bundled:
        return "bundled-" + hashlib.sha256(source.title.encode()).hexdigest()[:16]
    return uploaded_id(source, deployment) or f"local-{source.id}"


def _find(source_id: str, served: ServedLibrary, store: LibraryStore) -> Source | UploadedSource:
    contents = store.contents()
    if source_id in contents.sources:
        return contents.sources[source_id]
    for source in served.library.sources():
        if _public_id(source, contents.deployment) == source_id:
            return source
    raise ApiError(404, "there is no such source", param="id")
