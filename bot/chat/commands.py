"""Commands, answered without the model in every channel alike.

Each runs once per message id, and a retry gets the same reply.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from bot.chat.erasure import Erasure
from bot.chat.reference import Reference
from bot.inference.interface import Engine, EngineDownError
from bot.inference.library import ServedLibrary
from bot.settings.config import Settings
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation, Message

FIXED = {"new": dialogue.NEW_TALK, "help": dialogue.HELP, "ask-forget": dialogue.SURE_TO_FORGET,
         "quiet": dialogue.QUIET, "listen": dialogue.LISTENING}  # fmt: skip


class Commands:
    def __init__(
        self, store: Store, engine: Engine, settings: Settings, erasure: Erasure,
        library: ServedLibrary | None = None,
    ) -> None:  # fmt: skip
        self.store = store
        self.erasure = erasure
        self.engine = engine
        self.settings = settings
        self.reference = Reference(library, settings.forbidden)

    def run(
        self, conversation: Conversation, message_id: str, name: str, text: str, caution: str = ""
    ) -> Message:
        """A command by its name, 继续 apart (it is chat/turn.py's), and the message's text: the finished
        message with its `reply`, or a long `text` to be handed out in pieces, behind the caution if there is
        one. Raises StoreDownError."""
        nonce = uuid.uuid4().hex
        if name == "undo":
            replies = dialogue.UNDONE, dialogue.NOTHING_TO_UNDO
            return self.store.undo(conversation, message_id, nonce, *replies)
        if name == "forget":
            return self._forget(conversation, message_id, nonce)
        if name == "export":
            reply = export(self.store.turns(conversation, last=0))
            return self.store.run_command(conversation, message_id, nonce, name, reply)
        reply = dialogue.cautioned(caution, self._reply(conversation, name, text))
        return self.store.run_command(conversation, message_id, nonce, name, reply)

    def _forget(self, conversation: Conversation, message_id: str, nonce: str) -> Message:
        known = self.store.message(conversation, message_id)
        if known.kind == "command":
            return known
        if self.store.erasure_requested(conversation):
            return self.erasure.erase_on_request(conversation, message_id, nonce, dialogue.FORGOTTEN)
        return self.store.run_command(conversation, message_id, nonce, "refuse", dialogue.NOT_ASKED_TO_FORGET)

    def _reply(self, conversation: Conversation, name: str, text: str) -> str:
        """What a command says that changes nothing but itself."""
        if name == "source":
            return self.reference.source(self.store.turns(conversation, talk=self.store.talk(conversation)))
        if name == "search":
            return self.reference.search(dialogue.search_words(text))
        if name == "books":
            return self.reference.books()
        return self._model() if name == "model" else FIXED[name]

    def _model(self) -> str:
        try:
            card = self.engine.about()
        except EngineDownError:
            card = {}
        return dialogue.describe_model(card.get("name") or self.settings.model_name, card)


def export(turns: Iterable[Mapping[str, Any]]) -> str:
    """A transcript as text."""
    sides = {"user": "我", "assistant": "答"}
    lines = [f"{sides[turn['role']]}：{turn['content']}" for turn in turns]
    return "\n".join(lines) or dialogue.NOTHING_TO_EXPORT
