"""Answers as WeChat's customer-service messages (PLM_WECHAT_PUSH, verified accounts).

The platform takes five after each message of a user, for two days; three within a minute after what else the
user does. It has no way to recognise a message that it is given twice.
"""

from __future__ import annotations

from bot.channels.delivery import Messenger
from bot.channels.wechat.client import WechatApi
from bot.context import Bot
from bot.text.records import Conversation

MAX_MESSAGE = 1800  # bytes of text; more than the platform documents arrives, but not safely
AFTER_MESSAGE = (5, 48 * 3600 * 1000)  # so many sends, for so many milliseconds
AFTER_EVENT = (3, 60 * 1000)
# What the user does that opens a window for messages; the platform's own events do not.
OPENING_EVENTS = ("subscribe", "scan", "click")


class Wechat(Messenger):
    name = "wechat"
    limit = MAX_MESSAGE
    counted = True
    typing_lasts = 15.5  # a second sign before that is refused

    def __init__(self, bot: Bot) -> None:
        super().__init__(bot)
        self.api = WechatApi(bot.settings, bot.outbox)

    def send(self, user: str, text: str, key: str) -> None:
        self.api.send_text(user, text)

    def typing(self, user: str) -> None:
        self.api.typing(user)

    def allow(self, conversation: Conversation, mark: str, event: str = "") -> None:
        """Note what the platform takes now that the user has sent a message, or done what an event says."""
        if event == "unsubscribe":
            self.bot.outbox.allow(conversation, mark, 0, AFTER_MESSAGE[1], False)
        elif not event:
            self.bot.outbox.allow(conversation, mark, *AFTER_MESSAGE, False)
        elif event.startswith(OPENING_EVENTS):
            self.bot.outbox.allow(conversation, mark, *AFTER_EVENT, True)
