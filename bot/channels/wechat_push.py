"""Answers as WeChat's customer-service messages (PLM_WECHAT_PUSH, verified accounts).

The platform's request is answered at once; a task then shows the typing sign, waits for the answer and sends
it. Answers of one user go in order, under a right that one process holds at a time, in as few messages as
hold them. The platform takes five after each message of a user, for two days; with the last one goes the
hint that 继续 brings the rest, and 继续 also brings what the platform did not take.

The platform has no way to recognise a message that it is given twice. So each piece is claimed in Redis
before it is sent, and settled afterwards. A process killed, or a connection lost, between the two leaves a
piece that may or may not have arrived: it is not sent again by itself (no answer comes twice), and
继续 brings it (no answer is lost). Any error that says that the piece was not taken is followed by
another try.
"""

from __future__ import annotations

import logging
import time
import uuid

from bot import Bot, dialogue, metrics
from bot.channels.wechat_api import WechatApi, WechatError
from bot.jobs import LONGEST
from bot.records import Conversation, Job, Push
from bot.store import StoreDownError
from bot.work import TryAgainError

log = logging.getLogger(__name__)

LANE, TASK = "wechat", "push"
MAX_MESSAGE = 1800  # bytes of text
AFTER_MESSAGE = (5, 48 * 3600 * 1000)  # so many sends, for so many milliseconds
AFTER_EVENT = (3, 60 * 1000)
TYPING_LASTS = 15.5  # seconds; a second sign before that is refused
TYPING_WITHIN = 30.0  # seconds after the user's message that the sign is taken
TURN = 25.0  # seconds to wait for another process that pushes to the same user
# What the user does that opens a window for messages; the platform's own events do not.
OPENING_EVENTS = ("subscribe", "scan", "click")


def allow(bot: Bot, conversation: Conversation, mark: str, event: str = "") -> None:
    """Note what the platform takes now that the user has sent a message, or done what an event says."""
    if event == "unsubscribe":
        bot.outbound.allow(conversation, mark, 0, AFTER_MESSAGE[1], False)
    elif not event:
        bot.outbound.allow(conversation, mark, *AFTER_MESSAGE, False)
    elif event.startswith(OPENING_EVENTS):
        bot.outbound.allow(conversation, mark, *AFTER_EVENT, True)


def push_later(bot: Bot, conversation: Conversation, job: Job, before: str) -> None:
    """Every attempt of the platform comes here: a task too many finds nothing to do."""
    if bot.outbound.push(conversation, job.id, before) == "due":
        bot.work.send(LANE, TASK, conversation.user, job.id)


def add_task(bot: Bot) -> None:
    pusher = Pusher(bot, WechatApi(bot.settings, bot.outbound))
    bot.work.task(LANE, TASK, pusher.push)


class Pusher:
    def __init__(self, bot: Bot, api: WechatApi) -> None:
        self.bot = bot
        self.store = bot.outbound
        self.api = api

    def push(self, user: str, message_id: str) -> None:
        """The task: send the answer to one message, after those before it."""
        conversation = Conversation("wechat", user)
        if self.store.push_state(conversation, message_id) in ("told", "kept", "unsure"):
            return
        job = self._wait(conversation, message_id)
        if not job.status:
            return  # it has expired, or was forgotten
        if not job.finished:
            raise TryAgainError("the answer is not finished")
        self._send_all(conversation)
        if self.store.push_state(conversation, message_id) == "due":
            raise TryAgainError("an earlier answer is still to be sent")

    def _wait(self, conversation: Conversation, message_id: str) -> Job:
        began = sign = time.monotonic()
        job = self.bot.jobs.generate(conversation, message_id, began)
        while job.status and not job.finished and time.monotonic() - began < LONGEST:
            if self.bot.jobs.stopping:
                break
            now = time.monotonic()
            if now >= sign and now - began < TYPING_WITHIN:
                self._show_typing(conversation)
                sign = now + TYPING_LASTS
            job = self.bot.jobs.generate(conversation, message_id, now + 1.0)
        return job

    def _show_typing(self, conversation: Conversation) -> None:
        try:
            self.api.typing(conversation.user)
        except WechatError as error:
            log.info("no typing sign: %s", error)

    def _send_all(self, conversation: Conversation) -> None:
        """Every answer that is ready, oldest first."""
        owner, end = uuid.uuid4().hex, time.monotonic() + TURN
        while True:
            push = self.store.push_take(conversation, owner)
            if isinstance(push, Push):
                self._send_piece(conversation, push)
            elif push == "idle":
                return
            elif push == "unsure":
                metrics.PUSHES.labels("unsure").inc()
                log.warning("a push was cut off; whether it arrived is not known, 继续 brings it")
            elif time.monotonic() > end:
                raise TryAgainError("another process has not finished its pushes to the same user")
            else:
                time.sleep(0.1)

    def _send_piece(self, conversation: Conversation, push: Push) -> None:
        text, end, outcome = next_message(push)
        if not text:
            self.store.push_settle(conversation, push, outcome)
            return
        if not self.store.push_send(conversation, push, end):
            return  # 继续 has handed it out, or the right is lost: look again
        try:
            self.api.send_text(conversation.user, text)
        except WechatError as error:
            outcome = "unsure" if error.unsure else "again" if error.passing else "kept"
            self._settle(conversation, push, outcome, "")
            if outcome == "again":
                raise TryAgainError(str(error)) from None
            log.error("an answer was not pushed, 继续 brings it: %s", error)
            return
        except StoreDownError as error:  # no token: nothing was sent
            self._settle(conversation, push, "again", "")
            raise TryAgainError(str(error)) from None
        self._settle(conversation, push, outcome, text)

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


def next_message(push: Push) -> tuple[str, int, str]:
    """The text to send now, where it ends in the answer, and what is settled when it was taken.

    An empty text: there is nothing to send, or no send left.
    """
    if not push.left:
        return "", push.delivered, "kept"
    if push.failed:
        return dialogue.BUSY, push.delivered, "told"
    rest = push.text.encode()[push.delivered :].decode()
    if not rest.strip():
        return "", push.delivered, "told"
    before = push.before if not push.delivered else ""
    taken = dialogue.cut(rest, MAX_MESSAGE - len(before.encode()))
    if taken == len(rest.encode()) or push.left > 1:
        outcome = "told" if taken == len(rest.encode()) else "sent"
        return before + rest.encode()[:taken].decode().strip(), push.delivered + taken, outcome
    piece = dialogue.piece(push.text, push.delivered, True, MAX_MESSAGE, before)
    return piece.text, piece.end, "full"
