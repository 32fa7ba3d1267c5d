"""What an adapter of a chat platform is, and the view that all adapters have in common.

An adapter knows what is its platform's own: who sends a request and what it says (`open`), how a reply goes
back with the response (`Incoming.respond`), and how a text is sent without one (`send`). All the rest is
here, in reply.py and in delivery.py: a message is taken in once, whatever needs no model is replied to at
once, and the answer of the model is pushed when it is finished.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import BadRequest, NotFound

from bot.channels.delivery import Messenger
from bot.channels.reply import Request
from bot.chat.turn import Outcome, Turn
from bot.context import current_bot
from bot.store.connection import StoreDownError
from bot.telemetry import metrics
from bot.text.records import Conversation, short_id

log = logging.getLogger(__name__)
blueprint = Blueprint("adapters", __name__)
NAMES = ("wecom", "feishu", "dingtalk", "telegram")


class Payload(BaseModel):
    """The parts of a documented body that are read here; what else is in it is left alone."""

    model_config = ConfigDict(frozen=True, strict=True)


Read = TypeVar("Read", bound=Payload)


@dataclass(frozen=True)
class Incoming:
    """A message whose sender is proved."""

    user: str  # in a group GROUP/USER: what somebody says there is no part of what they say in private
    id: str
    text: str | None  # None: of a kind that cannot be read
    respond: Callable[[str], Response]  # to the request, with this reply; "" only says that it was received
    greeting: bool = False  # somebody is new here
    address: str = ""  # where answers to it go, if that is not the user alone


class Adapter(Messenger):
    asks_again = False  # an unanswered message is sent in again for hours

    @abstractmethod
    def open(self) -> Incoming | Response:
        """This request's message; or the whole response, for what is none. Aborts with 400, 401 or 403 where
        sender or body are not as they must be."""

    def messenger(self, conversation: Conversation, incoming: Incoming) -> Messenger | None:
        """What will push the answer; None: it must go into the response. Raises StoreDownError."""
        return self


def read(kind: type[Read], body: bytes | str) -> Read:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"the body is not as documented: {place or 'JSON'}: {first['msg']}") from None


def receive(name: str) -> Response:
    began, channel = time.monotonic(), current_bot().channels.get(name)
    if not isinstance(channel, Adapter):
        raise NotFound(f"{name} is not set up here: set PLM_{name.upper()}_…")
    incoming = channel.open()
    if isinstance(incoming, Response):
        return incoming
    turn = Turn(channel.bot, Conversation(channel.name, incoming.user), short_id(incoming.id))
    try:
        reply = _reply(channel, incoming, turn, began)
    except StoreDownError as error:
        if channel.asks_again:
            raise
        metrics.STORE_DOWN.inc()
        log.error("%s: %s", name, error)
        reply = turn.busy
    return incoming.respond(reply)


def _reply(channel: Adapter, incoming: Incoming, turn: Turn, began: float) -> str:
    decision = turn.greet() if incoming.greeting else turn.decide(incoming.text)
    messenger = None
    if decision.outcome is not Outcome.BLOCKED:
        try:
            messenger = channel.messenger(turn.conversation, incoming)
        except StoreDownError:
            if decision.outcome is not Outcome.EMERGENCY:  # help is said all the same
                raise
    return Request(turn, began, channel.limit).reply(decision, messenger)


for _name in NAMES:
    _methods = ["GET", "POST"] if _name == "wecom" else ["POST"]
    blueprint.add_url_rule(f"/{_name}", _name, partial(receive, _name), methods=_methods)
