"""The reply to one request of a platform: the same for all whose users write texts and wait for texts.

What needs no model is replied to at once. An answer of the model is pushed when it is finished, where the
platform can be told something; else it is in the reply to the last request that the platform makes for its
message, as far as there is an answer by then, and 继续 brings the rest.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass

from werkzeug.exceptions import GatewayTimeout

from bot.channels.delivery import Messenger
from bot.context import Bot
from bot.store.connection import StoreDownError
from bot.telemetry import metrics
from bot.text import dialogue
from bot.text.records import Conversation, Message

log = logging.getLogger(__name__)

ANSWER_BY = 4.5  # seconds after a request came in: what is answered now still arrives
HOLD = 5.3  # seconds: a platform that asks again has hung up by then
LAST_AFTER = 9.0  # seconds after the first request: this must be the last one, whatever became of the second


@dataclass(frozen=True)
class Turn:
    """One request for one message; `began` is when it came in, by time.monotonic()."""

    bot: Bot
    conversation: Conversation
    message_id: str
    began: float
    limit: int  # bytes of the reply
    messenger: Messenger | None  # what pushes answers
    requests: int = 1  # that the platform makes for a message, until it is replied to

    def reply(self, text: str) -> str:
        """The reply's text; "" if an answer will be pushed. Raises StoreDownError; GatewayTimeout where there
        will be another request."""
        question = dialogue.clean_question(text)
        if not question.text:
            return dialogue.NOTHING_TO_READ
        done = self.bot.commands.answer(self.conversation, self.message_id, question.text)
        if done is not None:
            return done.reply or self._hand_out(done, done.id, "", last=True)
        if dialogue.command(question.text) == "more":
            return self._continue()
        refusal = self.bot.limits.refusal(self.conversation, self.message_id)
        if refusal is not None:
            return refusal
        message = self.bot.answers.enqueue(self.conversation, self.message_id, question.text)
        disclaimer = self.bot.settings.disclaimer
        before = disclaimer + "\n\n" if message.notice and disclaimer else ""
        before += dialogue.QUESTION_CUT + "\n" if question.cut else ""
        if self.messenger:
            self.messenger.enqueue_push(self.conversation, message.id, before)
            return ""
        return self._hand_out(
            message, message.id, before, last=message.attempts >= self.requests or message.age > LAST_AFTER
        )

    def greet(self) -> str:
        """To somebody who is new: the same words every time, without the store if need be."""
        reply = "\n\n".join(filter(None, (dialogue.WELCOME, self.bot.settings.disclaimer)))
        try:
            self.bot.store.run_command(self.conversation, self.message_id, uuid.uuid4().hex, "greet", reply)
        except StoreDownError as error:
            log.error("%s: %s", self.conversation.channel, error)
        return reply

    def _continue(self) -> str:
        wish = self.bot.store.continue_answer(self.conversation, self.message_id, uuid.uuid4().hex)
        if wish.reply is not None:
            return wish.reply
        if not wish.source:
            return dialogue.NOTHING_MORE
        before = ""
        if not wish.latest and (question := self.bot.store.message(self.conversation, wish.source).question):
            before = dialogue.label(question)
        # Told after one wait, finished or not: the user has waited for it before.
        return self._hand_out(wish, wish.source, before, last=True)

    def _hand_out(self, message: Message, source: str, before: str, last: bool) -> str:
        """The reply to `message` out of the answer to `source`: when that is finished, or just in time."""
        while True:
            end = self.began + (ANSWER_BY if last else HOLD)
            answer = self.bot.answers.wait(self.conversation, source, end)
            reply = message.reply if source != message.id else answer.reply
            if reply is not None:
                return reply
            if answer.status == "failed" or not answer.status:
                return dialogue.BUSY
            if not answer.finished and not last:
                raise GatewayTimeout("not finished; the platform asks again")
            piece = dialogue.piece(answer.text, answer.delivered, answer.finished, self.limit, before)
            settled = self.bot.store.reply(
                self.conversation, message.id, source, piece.start, piece.end, piece.text, piece.more
            )
            if settled is not None:
                if not answer.finished:
                    metrics.DEADLINE_MISSES.inc()
                return settled
