"""Answers sent when they are finished, over platforms that offer this: the same for all of them.

The platform's request is answered at once; a task then shows the typing sign, waits for the answer and sends
it. Answers of one user go in order, under a right that one process holds at a time, in as few messages as
hold them. Where a platform counts the messages (`counted`), the last one goes with the hint that 继续 brings
the rest; 继续 also brings what the platform did not take.

Each piece is claimed in Redis before it is sent, and settled afterwards. A process killed, or a connection
lost, between the two leaves a piece that may or may not have arrived. Where the platform recognises a message
that it is given twice (`repeatable`), it is given again. Else it is not sent again by itself (no answer comes
twice), and 继续 brings it (no answer is lost). Any error that says that the piece was not taken is followed
by another try; one that says it never will be, by a dead letter, unless a window of the platform is closed.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from abc import abstractmethod
from collections.abc import Sequence

from bot.channels.client import SendError
from bot.chat.answers import MAX_ANSWER_SECONDS
from bot.chat.channel import Channel
from bot.context import Bot
from bot.store.connection import StoreDownError
from bot.tasks.queue import PermanentError, RetryLaterError
from bot.telemetry import metrics
from bot.text import dialogue
from bot.text.records import Conversation, Message, Push

log = logging.getLogger(__name__)

TASK = "push"
TYPING_WITHIN = 30.0  # seconds after the user's message that the sign is shown
PUSH_LOCK_TIMEOUT = 25.0  # seconds to wait for another process that pushes to the same user
UNCOUNTED = 1 << 30  # sends that are left where nobody counts them


class Messenger(Channel):
    """A platform that takes messages to its users. Its name is also that of its task queue."""

    limit: int  # bytes of text in one message
    counted = False  # it takes so many messages for so long: see OutboundStore.allow
    repeatable = False  # it recognises a message that it is given twice by its key
    typing_lasts = 0.0  # seconds that its typing sign lasts; 0: it has none

    def __init__(self, bot: Bot) -> None:
        self.bot = bot

    @abstractmethod
    def send(self, user: str, text: str, key: str) -> None:
        """One message of at most `limit` bytes; the same key for the same one. SendError, StoreDownError."""

    def typing(self, user: str) -> None:
        """Show the sign that an answer is being written. SendError, StoreDownError."""

    def can_reach(self, conversation: Conversation) -> bool:
        return not self.counted or self.bot.outbox.sends_left(conversation) > 0

    def notify(self, conversation: Conversation, message_id: str, text: str) -> None:
        if self.bot.outbox.notice(conversation, message_id, text) == "due":
            self.bot.tasks.send(self.name, TASK, conversation, conversation.user, message_id)

    def delivery_status(self, conversations: Sequence[Conversation], message_id: str) -> list[str]:
        dead_letter_args = self.bot.tasks.dead_letter_args(self.name, 2)

        def outcome(conversation: Conversation) -> str:
            state = self.bot.outbox.push_state(conversation, message_id)
            if state != "due" and not state.startswith("sending:"):
                return "sent" if state == "told" else "failed"
            return "failed" if (conversation.user, message_id) in dead_letter_args else ""

        return [outcome(conversation) for conversation in conversations]

    def enqueue_push(self, conversation: Conversation, message_id: str, before: str = "") -> None:
        """Every attempt of the platform comes here: a task too many finds nothing to do."""
        if self.bot.outbox.push(conversation, message_id, before) == "due":
            self.bot.tasks.send(self.name, TASK, conversation, conversation.user, message_id)

    def add_task(self) -> None:
        self.bot.tasks.register(self.name, TASK, Pusher(self).push)


class Pusher:
    def __init__(self, channel: Messenger) -> None:
        self.channel = channel
        self.bot = channel.bot
        self.store = channel.bot.outbox

    def push(self, user: str, message_id: str) -> None:
        """The task: send the answer to one message, after those before it."""
        conversation = Conversation(self.channel.name, user)
        state = self.store.push_state(conversation, message_id)
        if state == "kept" and not self.channel.counted:  # a dead letter that is sent again
            state = self.store.push(conversation, message_id, "", again=True)
        if state in ("told", "kept", "unsure"):
            return
        message = self._wait(conversation, message_id)
        if not message.status:
            return  # it has expired, or was forgotten
        if not message.finished:
            raise RetryLaterError("the answer is not finished")
        refusals = self._send_all(conversation)
        state = self.store.push_state(conversation, message_id)
        if state == "due":
            raise RetryLaterError("an earlier answer is still to be sent")
        if message_id in refusals:
            raise PermanentError(refusals[message_id])

    def _wait(self, conversation: Conversation, message_id: str) -> Message:
        began = sign = time.monotonic()
        message = self.bot.answers.wait(conversation, message_id, began)
        while message.status and not message.finished and time.monotonic() - began < MAX_ANSWER_SECONDS:
            if self.bot.answers.stopping:
                break
            now = time.monotonic()
            if self.channel.typing_lasts and now >= sign and now - began < TYPING_WITHIN:
                self._show_typing(conversation)
                sign = now + self.channel.typing_lasts
            message = self.bot.answers.wait(conversation, message_id, now + 1.0)
        return message

    def _show_typing(self, conversation: Conversation) -> None:
        try:
            self.channel.typing(conversation.user)
        except SendError as error:
            log.info("no typing sign: %s", error)

    def _send_all(self, conversation: Conversation) -> dict[str, str]:
        """Every answer that is ready, oldest first. Returns what was refused for good, and why: another task
        than this one may be that message's."""
        owner, end, refusals = uuid.uuid4().hex, time.monotonic() + PUSH_LOCK_TIMEOUT, dict[str, str]()
        while True:
            push = self.store.push_acquire(conversation, owner, self.channel.repeatable)
            if isinstance(push, Push):
                refusal = self._send_piece(conversation, push)
                if refusal:
                    refusals[push.id] = refusal
            elif push == "idle":
                return refusals
            elif push == "unsure":
                metrics.PUSHES.labels("unsure").inc()
                log.warning("a push was cut off; whether it arrived is not known, 继续 brings it")
            elif time.monotonic() > end:
                raise RetryLaterError("another process has not finished its pushes to the same user")
            else:
                time.sleep(0.1)

    def _send_piece(self, conversation: Conversation, push: Push) -> str:
        """Why it was refused for good; "" if it was not."""
        left = push.left if self.channel.counted else UNCOUNTED
        text, end, outcome = next_message(push, left, self.channel.limit)
        if not text:
            self.store.push_settle(conversation, push, outcome)
            return ""
        if not self.store.push_claim(conversation, push, end, self.channel.counted):
            return ""  # 继续 has handed it out, or the right is lost: look again
        try:
            self.channel.send(conversation.user, text, _key(conversation, push))
        except SendError as error:
            return self._fail(conversation, push, error)
        except StoreDownError as error:  # no token: nothing was sent
            self._settle(conversation, push, "again", "")
            raise RetryLaterError(str(error)) from None
        self._settle(conversation, push, outcome, text)
        if self.channel.counted:
            metrics.PUSHES_LEFT.observe(left - 1)
        return ""

    def _fail(self, conversation: Conversation, push: Push, error: SendError) -> str:
        if error.maybe_delivered and not self.channel.repeatable:
            outcome = "unsure"
        else:
            outcome = "again" if error.retryable else "kept"
        self._settle(conversation, push, outcome, "")
        if outcome == "again":
            raise RetryLaterError(str(error), error.retry_after) from None
        log.error("an answer was not pushed, 继续 brings it: %s", error)
        return str(error) if outcome == "kept" and not self.channel.counted else ""

    def _settle(self, conversation: Conversation, push: Push, outcome: str, reply: str) -> None:
        """What the platform has said is worth waiting for a store that is away."""
        metrics.PUSHES.labels(outcome).inc()
        for pause in (0.1, 0.5, 1.0, 2.0, 4.0, 0.0):
            try:
                self.store.push_settle(conversation, push, outcome, reply)
                return
            except StoreDownError:
                if not pause:
                    raise
                time.sleep(pause)


def _key(conversation: Conversation, push: Push) -> str:
    """The same piece of the same answer has the same key: 32 hexadecimal digits."""
    return hashlib.sha256(f"{conversation.id}\n{push.id}\n{push.delivered}".encode()).hexdigest()[:32]


def next_message(push: Push, left: int, limit: int) -> tuple[str, int, str]:
    """The text to send now, where it ends in the answer, and what is settled when it was taken.

    An empty text: there is nothing to send, or no send left.
    """
    if not left:
        return "", push.delivered, "kept"
    if push.failed:
        return dialogue.BUSY, push.delivered, "told"
    rest = push.text.encode()[push.delivered :].decode()
    if not rest.strip():
        return "", push.delivered, "told"
    before = push.before if not push.delivered else ""
    taken = dialogue.cut(rest, limit - len(before.encode()))
    if taken == len(rest.encode()) or left > 1:
        outcome = "told" if taken == len(rest.encode()) else "sent"
        return before + rest.encode()[:taken].decode().strip(), push.delivered + taken, outcome
    piece = dialogue.piece(push.text, push.delivered, True, limit, before)
    return piece.text, piece.end, "full"
