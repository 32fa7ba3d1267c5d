"""The reply to one request of a platform, once it is decided what becomes of the message (chat/turn.py).

What needs no model is replied to at once. An answer of the model is pushed when it is finished, where the
platform can be told something; else it is in the reply to the last request that the platform makes for its
message, as far as there is an answer by then, and 继续 brings the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from werkzeug.exceptions import GatewayTimeout

from bot.channels.delivery import Messenger
from bot.chat.turn import Decision, Outcome, Turn
from bot.telemetry import metrics
from bot.text import dialogue
from bot.text.records import Message

ANSWER_BY = 4.5  # seconds after a request came in: what is answered now still arrives
HOLD = 5.3  # seconds: a platform that asks again has hung up by then
LAST_AFTER = 9.0  # seconds after the first request: this must be the last one, whatever became of the second


@dataclass(frozen=True)
class Request:
    """One request for one message; `began` is when it came in, by time.monotonic()."""

    turn: Turn
    began: float
    limit: int  # bytes of the reply
    requests: int = 1  # that the platform makes for a message, until it is replied to

    def reply(self, decision: Decision, messenger: Messenger | None) -> str:
        """The reply's text; "" if the answer will be pushed by `messenger`. Raises StoreDownError;
        GatewayTimeout where there will be another request."""
        if decision.reply is not None or decision.message is None:
            return decision.reply or ""
        message = decision.message
        if decision.outcome is not Outcome.QUEUED:
            # Told after one wait, finished or not: of 继续, the user has waited for it before.
            return self._hand_out(message, decision.source, self._label(decision), last=True)
        disclaimer = self.turn.bot.settings.disclaimer
        before = disclaimer + "\n\n" if decision.notice and disclaimer else ""
        before += dialogue.QUESTION_CUT + "\n" if decision.cut else ""
        if messenger:
            messenger.enqueue_push(self.turn.conversation, message.id, before)
            return ""
        last = message.attempts >= self.requests or message.age > LAST_AFTER
        return self._hand_out(message, message.id, before, last)

    def _label(self, decision: Decision) -> str:
        """Whose answer goes on, where that is not the latest question's."""
        if decision.outcome is not Outcome.MORE or decision.message is None or decision.message.latest:
            return ""
        question = self.turn.bot.store.message(self.turn.conversation, decision.source).question
        return dialogue.label(question) if question else ""

    def _hand_out(self, message: Message, source: str, before: str, last: bool) -> str:
        """The reply to `message` out of the answer to `source`: when that is finished, or just in time."""
        bot, conversation = self.turn.bot, self.turn.conversation
        while True:
            end = self.began + (ANSWER_BY if last else HOLD)
            answer = bot.answers.wait(conversation, source, end)
            reply = message.reply if source != message.id else answer.reply
            if reply is not None:
                return reply
            if answer.status == "failed" or not answer.status:
                return self.turn.busy
            if not answer.finished and not last:
                raise GatewayTimeout("not finished; the platform asks again")
            piece = dialogue.piece(answer.text, answer.delivered, answer.finished, self.limit, before)
            settled = bot.store.reply(
                conversation, message.id, source, piece.start, piece.end, piece.text, piece.more
            )
            if settled is not None:
                if not answer.finished:
                    metrics.DEADLINE_MISSES.inc()
                return settled
