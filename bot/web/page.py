"""GET / is a chat page for trying the bot in a browser; POST /page/… are what its script asks for.

POST /page/chat {"id", "text", "talk"?, "instead"?} answers lines of JSON as the answer is written:
{"text": …} goes on, {"restart": true} takes back what was shown, {"done": true} ends it, {"error": …} ends it
badly. An answer from the library ends with "citations": [{"book", "heading", "quote", "start", "end"}], or
"abstained": true. What is no answer has "command": true; with "clear": "talk" or "turn" a command has taken
back the talk, or its last question and answer, and "talk" is the number of the one that goes on; with
"emergency": KIND the text is help in one. A question that is too long is refused with 413.
The id makes a question the browser's own: the same id attaches to the same answer. `talk` goes back to an
earlier talk first, `instead` names the last question, which goes with its answer.

POST /page/stop {"id"} ends an answer with what there is; POST /page/new {"id"} begins a new talk.
`/?talk=N` shows an earlier talk. See talks.py for what a visitor does with talks, visitor.py for who asks.
"""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from bot.chat.answers import Update
from bot.chat.turn import Outcome, Turn
from bot.context import Bot, current_bot
from bot.settings.config import DISCLAIMER
from bot.store.connection import StoreDownError
from bot.store.feedback import FeedbackStore
from bot.store.talks import TalkStore
from bot.text import dialogue
from bot.text.censor import Censor
from bot.text.records import Citation, Conversation
from bot.web import site
from bot.web.strings import EXAMPLES
from bot.web.visitor import (
    TOKEN,
    current_conversation,
    page_strings,
    read_request,
    refuse,
    remember_choices,
    set_token,
    talk_number,
)

log = logging.getLogger(__name__)
blueprint = Blueprint("page", __name__)
blueprint.before_request(remember_choices)

SHOWN = 200  # turns
CLEARS = {"new": "talk", "forget": "talk", "undo": "turn"}  # what the page shows no more after a command
KNOWS_MEDICINE = "tcm"  # the model that examples may be asked of where there is no library
ABSTENTION = "书里没有找到"  # how an answer begins that the library does not hold


@blueprint.get("/")
def show() -> Response:
    """The page with the conversation so far; 503 with a sentence in it when the store is away."""
    bot, conversation, (language, strings) = current_bot(), current_conversation(), page_strings()
    turns: list[dict[str, Any]] = []
    talk, error = 0, None
    try:
        if conversation:
            talk, turns = _talk(conversation, talk_number(request.args.get("talk")))
        else:
            bot.store.ping()
    except StoreDownError as fault:
        log.error("page: %s", fault)
        error = strings["busy"]
    said = bot.settings.disclaimer
    page = render_template(
        "page.html", turns=turns, talk=talk, error=error, model=bot.model_name,
        examples=_examples(bot, language), quotes=bot.library is not None,
        disclaimer=strings["disclaimer"] if said == DISCLAIMER else said, longest=dialogue.MAX_QUESTION,
        strings=SimpleNamespace(**strings), script_strings=strings, **site.appearance(),
    )  # fmt: skip
    response = make_response(page, 503 if error else 200)
    response.headers["Cache-Control"] = "no-store"
    set_token(response, conversation.user if conversation else None, bot.settings.keep_days)
    return response


@blueprint.post("/page/chat")
def chat() -> Response:
    conversation, message_id, body = read_request()
    bot, text, instead = current_bot(), body.get("text"), body.get("instead")
    if (talk := talk_number(body.get("talk"))) is not None:
        with contextlib.suppress(StoreDownError):  # an emergency is answered without it, anything else is not
            TalkStore(bot.store).resume(conversation, talk)
    # A visitor can throw the cookie away, so it is the address that is counted.
    instead_of = instead if isinstance(instead, str) and TOKEN.fullmatch(instead) else ""
    turn = Turn(
        bot, conversation, message_id, f"address:{request.remote_addr}",
        shown_whole=True, instead_of=instead_of, refuses_long=True,
    )  # fmt: skip
    decision = turn.decide(text if isinstance(text, str) else "")
    if decision.outcome is Outcome.UNREADABLE:
        return refuse(400, decision.reply or "")
    if decision.outcome is Outcome.TOO_LONG:
        return refuse(413, page_strings()[1]["too_long"].replace("{most}", f"{dialogue.MAX_QUESTION:,}"))
    reply = turn.whole_reply(decision)
    if reply is not None:
        more: dict[str, Any] = {"emergency": decision.kind} if decision.kind else {"command": True}
        if clear := CLEARS.get(decision.command):
            more |= {"clear": clear, "talk": bot.store.talk(conversation)}
        return _stream([{"text": reply, "done": True} | more])
    updates = turn.bot.answers.stream(conversation, decision.source)
    return _stream(_answer(updates, page_strings()[1]))


@blueprint.post("/page/stop")
def stop() -> dict[str, bool]:
    conversation, message_id, _ = read_request()
    current_bot().answers.stop(conversation, message_id)
    return {"done": True}


@blueprint.post("/page/new")
def new() -> dict[str, Any]:
    conversation, message_id, _ = read_request()
    store = current_bot().store
    store.run_command(conversation, message_id, uuid.uuid4().hex, "new", dialogue.NEW_TALK)
    return {"done": True, "talk": store.talk(conversation)}


@blueprint.errorhandler(StoreDownError)
def store_down(error: StoreDownError) -> Response:
    log.error("page: %s", error)
    return refuse(503, page_strings()[1]["busy"])


def _examples(bot: Bot, language: str) -> tuple[tuple[str, str], ...]:
    """What may be asked to begin with: (what the button says, the question)."""
    own = bot.settings.page_examples
    if own is not None:
        return tuple((text, text) for text in own)
    return EXAMPLES[language] if bot.library or bot.model_name == KNOWS_MEDICINE else ()


def _talk(conversation: Conversation, asked: int | None) -> tuple[int, list[dict[str, Any]]]:
    """A talk and its number, by default the running one: every answer behind its question, whether a question
    has been answered, what the visitor thinks of an answer."""
    store = current_bot().store
    current = store.talk(conversation)
    rows = [] if asked in (None, current) else store.turns(conversation, last=0, talk=asked)[-SHOWN:]
    talk = asked if rows and asked is not None else current
    rows = rows or store.turns(conversation, SHOWN, talk=current)
    verdicts = FeedbackStore(store).of(conversation) if rows else {}
    answers = {row["message_id"]: row for row in rows if row["role"] == "assistant"}
    turns = []
    for row in rows:
        if row["role"] == "user":
            answer = answers.get(row["message_id"])
            turns.append(row | {"answered": answer is not None})
            if answer:
                about = {"answered": True, "verdict": verdicts.get(row["message_id"], "")}
                turns.append(answer | about | _shown(answer))
    return talk, turns


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


def _answer(updates: Iterable[Update], strings: dict[str, str]) -> Iterator[dict[str, Any]]:
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
                yield {"done": True} | _ending(update, begun)
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
