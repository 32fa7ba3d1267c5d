"""GET / is a chat page for trying the bot in a browser; POST /page/… are what its script asks for.

POST /page/chat {"id", "text"} answers lines of JSON as the answer is written: {"text": …} goes on,
{"restart": true} takes back what was shown, {"done": true, "note"?: …} ends it, {"error": …} ends it badly.
The end of an answer from the library has "citations": [{"book", "heading", "quote", "start", "end"}], or
"abstained": true. With "clear": "talk" or "turn" a command has taken back the talk, or its last question and
answer; with "emergency": KIND the text is help in one.
The id makes a question the browser's own: the same id attaches to the same answer. POST /page/stop {"id"}
ends an answer with what there is; POST /page/new {"id"} begins a new talk.

Whose conversation it is lies in a random cookie that no script can read. Other sites' pages cannot speak for
the browser: their requests carry the wrong Origin, and JSON bodies need a leave (CORS) that is never given.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import BadRequest, Forbidden, UnsupportedMediaType

from bot.api.auth import is_same_origin
from bot.chat.answers import Update
from bot.chat.turn import Outcome, Turn
from bot.context import current_bot
from bot.settings.config import DISCLAIMER
from bot.store.connection import StoreDownError
from bot.text import dialogue
from bot.text.censor import Censor
from bot.text.records import Citation, Conversation
from bot.web.strings import EXAMPLES, STRINGS

log = logging.getLogger(__name__)
blueprint = Blueprint("page", __name__)

COOKIE = "plm_page"
TOKEN = re.compile(r"[0-9a-f]{32}")
SHOWN = 200  # turns
CLEARS = {"new": "talk", "forget": "talk", "undo": "turn"}  # what the page shows no more after a command
KNOWS_MEDICINE = "tcm"  # the model that examples may be asked of where there is no library
ABSTENTION = "书里没有找到"  # how an answer begins that the library does not hold
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blueprint.get("/")
def show() -> Response:
    """The page with the conversation so far; 503 with a sentence in it when the store is away."""
    bot, token, (language, strings) = current_bot(), _token(), page_strings()
    turns: list[dict[str, Any]] = []
    error = None
    try:
        if token:
            turns = _turns(Conversation("page", token))
        else:
            bot.store.ping()
    except StoreDownError as fault:
        log.error("page: %s", fault)
        error = strings["busy"]
    model, said = bot.model_name, bot.settings.disclaimer
    examples = EXAMPLES[language] if bot.library or model == KNOWS_MEDICINE else ()
    page = render_template(
        "page.html", turns=turns, error=error, model=model, examples=examples, quotes=bot.library is not None,
        disclaimer=strings["disclaimer"] if said == DISCLAIMER else said, longest=dialogue.MAX_QUESTION,
        language=language, strings=SimpleNamespace(**strings), script_strings=strings,
    )  # fmt: skip
    response = make_response(page, 503 if error else 200)
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        COOKIE, token or secrets.token_hex(16), max_age=int(bot.settings.keep_days * 24 * 3600), path="/",
        httponly=True, samesite="Lax", secure=request.is_secure,
    )  # fmt: skip
    return response


@blueprint.post("/page/chat")
def chat() -> Response:
    conversation, message_id, body = _ask()
    text = body.get("text")
    # A visitor can throw the cookie away, so it is the address that is counted.
    turn = Turn(current_bot(), conversation, message_id, f"address:{request.remote_addr}", shown_whole=True)
    decision = turn.decide(text if isinstance(text, str) else "")
    if decision.outcome is Outcome.UNREADABLE:
        return refuse(400, decision.reply or "")
    reply = turn.whole_reply(decision)
    if reply is not None:
        more = {"clear": CLEARS.get(decision.command), "emergency": decision.kind}
        said = {name: value for name, value in more.items() if value}
        return _stream([{"text": reply, "done": True} | said])
    updates = turn.bot.answers.stream(conversation, decision.source)
    return _stream(_answer(updates, decision.cut, page_strings()[1]))


@blueprint.post("/page/stop")
def stop() -> dict[str, bool]:
    conversation, message_id, _ = _ask()
    current_bot().answers.stop(conversation, message_id)
    return {"done": True}


@blueprint.post("/page/new")
def new() -> dict[str, bool]:
    conversation, message_id, _ = _ask()
    store = current_bot().store
    store.run_command(conversation, message_id, uuid.uuid4().hex, "new", dialogue.NEW_TALK)
    return {"done": True}


@blueprint.errorhandler(StoreDownError)
def store_down(error: StoreDownError) -> Response:
    log.error("page: %s", error)
    return refuse(503, page_strings()[1]["busy"])


def _turns(conversation: Conversation) -> list[dict[str, Any]]:
    """The running talk, every answer behind its question, and whether a question has been answered."""
    store = current_bot().store
    rows = store.turns(conversation, SHOWN, talk=store.talk(conversation))
    answers = {row["message_id"]: row for row in rows if row["role"] == "assistant"}
    turns = []
    for row in rows:
        if row["role"] == "user":
            answer = answers.get(row["message_id"])
            turns.append(row | {"answered": answer is not None})
            if answer:
                turns.append(answer | {"answered": True} | _shown(answer))
    return turns


def _shown(answer: dict[str, Any]) -> dict[str, Any]:
    """What is shown of an answer: no words of a source that answers no more."""
    text = "\n".join(filter(None, (answer["content"], answer.get("remark"))))
    held = []
    for citation in answer.get("citations", ()):
        if _is_held(Citation(**citation)):
            held.append(citation)
        else:
            text = text.replace(citation["quote"], page_strings()[1]["removed"])
    return {"content": text, "citations": held, "abstained": text.startswith(ABSTENTION)}


def _is_held(citation: Citation) -> bool:
    """Whether the library says today what was quoted."""
    bot = current_bot()
    if bot.library is None:
        return False
    try:
        source = bot.library.library.source(citation.book)
        text = bot.library.library.text(source.id, citation.start, citation.end)
    except ValueError:
        return False
    return source.enabled and Censor(bot.settings.forbidden).whole(text) == citation.quote


def _answer(updates: Iterable[Update], cut: bool, strings: dict[str, str]) -> Iterator[dict[str, Any]]:
    begun = ""
    try:
        for update in updates:
            if update.restart:
                begun = ""
                yield {"restart": True}
            if update.text:
                begun = (begun + update.text)[: len(ABSTENTION)]
                yield {"text": update.text}
            if update.failed:
                yield {"error": strings["failed"]}
            elif update.done:
                note = {"note": dialogue.QUESTION_CUT} if cut else {}
                yield {"done": True} | note | _ending(update, begun)
    except StoreDownError as error:
        log.error("page: %s", error)
        yield {"error": strings["busy"]}


def _ending(update: Update, begun: str) -> dict[str, Any]:
    if begun == ABSTENTION:
        return {"abstained": True}
    return {"citations": [asdict(one) for one in update.citations]} if update.citations else {}


def _stream(events: Iterable[dict[str, Any]]) -> Response:
    lines = (json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must pass each line on
    return Response(lines, mimetype="application/x-ndjson", headers=headers)


def _ask() -> tuple[Conversation, str, dict[str, Any]]:
    """Whose request this is, its id, and its body; aborts with 400, 403 or 415."""
    if not _same_origin():
        raise Forbidden("this address is for the page of this site alone")
    if not request.is_json:
        raise UnsupportedMediaType("the body must be JSON")
    try:
        token, body = _token(), request.get_json()
    except RecursionError:
        raise BadRequest("the body is not JSON") from None
    if token is None:
        raise BadRequest(page_strings()[1]["cookie"])
    message_id = body.get("id") if isinstance(body, dict) else None
    if not isinstance(message_id, str) or not TOKEN.fullmatch(message_id):
        raise BadRequest("id must be 32 hexadecimal digits")
    return Conversation("page", token), message_id, body


def page_strings() -> tuple[str, dict[str, str]]:
    """The language that the browser prefers, and what the page says in it; Chinese for any but English."""
    asked = (tag[:2].lower() for tag in request.accept_languages.values())  # the most wanted first
    language = "en" if next((tag for tag in asked if tag in ("zh", "en")), "zh") == "en" else "zh-CN"
    return language, STRINGS[language]


def _same_origin() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return is_same_origin()  # older browsers, and plain http


def _token() -> str | None:
    token = request.cookies.get(COOKIE, "")
    return token if TOKEN.fullmatch(token) else None


def refuse(status: int, sentence: str) -> Response:
    response = Response(
        json.dumps({"error": sentence}, ensure_ascii=False), status, mimetype="application/json"
    )
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response
