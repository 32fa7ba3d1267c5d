"""One text to everybody whom the platforms let be told something: planned, looked at, then sent.

A plan writes down who would get it; only its id starts the sending, so that nobody broadcasts by accident.
A task hands the text to one user's channel after the other, at most `rate` a second and never far ahead of
what the channels have sent, so that answers do not wait behind it. Killed, it goes on where it was: a channel
takes a text once for each user and broadcast. Left out are those who are blocked, have opted out (退订), have
been forgotten, or cannot be reached when their turn comes.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from bot.context import Bot
from bot.store.broadcasts import BroadcastStore
from bot.store.listing import LOOKED_AT, ConversationList, conversation_of
from bot.tasks.queue import PermanentError
from bot.telemetry import metrics
from bot.text.censor import Censor
from bot.text.dialogue import printable
from bot.text.records import Conversation

QUEUE, TASK = "broadcast", "broadcast"
MAX_BYTES = 1800  # of text: one message on every platform
MAX_RATE = 50.0  # users a second
MAX_AHEAD = 2.0  # seconds' worth of users that may be on their way
POLL_INTERVAL = 0.5  # seconds between two looks at what has become of those


class BroadcastError(Exception):
    """It cannot be done; the text says why."""


class Broadcasts:
    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.store = BroadcastStore(bot.store)
        self.people = ConversationList(bot.store)

    def plan(self, text: str, rate: float, channels: list[str]) -> dict[str, Any]:
        """Who would get it, counted by channel; BroadcastError if it cannot be sent to anybody like this."""
        text = printable(text).strip()
        if not text:
            raise BroadcastError("there is nothing to send")
        if len(text.encode()) > MAX_BYTES:
            raise BroadcastError(f"the text has {len(text.encode())} bytes, and {MAX_BYTES} fit in a message")
        if Censor(self.bot.settings.forbidden).whole(text) != text:
            raise BroadcastError("the text has a word of PLM_FORBIDDEN in it")
        unknown = [name for name in channels if name not in self.bot.channels]
        if unknown or not self.bot.channels:
            known = ", ".join(self.bot.channels) or "none (PLM_WECHAT_PUSH, PLM_WEBHOOK_<NAME>_URL …)"
            raise BroadcastError(f"there is no channel {unknown[0]}; there is {known}" if unknown else
                                 f"no channel can be told something: there is {known}")  # fmt: skip
        reached: dict[str, list[str]] = {name: [] for name in channels or self.bot.channels}
        missed = dict.fromkeys(reached, 0)
        cursor = None
        while True:
            page, cursor = self.people.page(LOOKED_AT, cursor)
            for conversation in page:
                if conversation.channel in reached:
                    if self._may_be_notified(conversation):
                        reached[conversation.channel].append(conversation.id)
                    else:
                        missed[conversation.channel] += 1
            if cursor is None:
                break
        record = {
            "text": text, "rate": rate, "planned": time.time(),
            "reached": {name: len(ids) for name, ids in reached.items()}, "not_reached": missed,
        }  # fmt: skip
        broadcast_id = secrets.token_hex(8)
        self.store.plan(broadcast_id, record, (one for ids in reached.values() for one in ids))
        return self.show(broadcast_id)

    def start(self, broadcast_id: str) -> dict[str, Any]:
        """Once; a second call changes nothing."""
        state = self.store.state(broadcast_id)
        if not state:
            raise BroadcastError("there is no such plan: one that is not started is gone after an hour")
        if state == "cancelled":
            raise BroadcastError("it was cancelled")
        if state == "planned":
            # Sent first: a task that finds a plan waits for it, a plan without a task would wait for ever.
            self.bot.tasks.send(QUEUE, TASK, None, broadcast_id)
            self.store.start(broadcast_id)
        return self.show(broadcast_id)

    def cancel(self, broadcast_id: str) -> dict[str, Any]:
        """Nobody else is told. What a channel has taken over (see AHEAD) is sent all the same."""
        state = self.store.state(broadcast_id)
        if state == "planned":
            self.store.end(broadcast_id, "cancelled")
        elif state == "running":
            self.store.cancel(broadcast_id)
        return self.show(broadcast_id)

    def show(self, broadcast_id: str) -> dict[str, Any]:
        found = self.store.read(broadcast_id)
        if found is None:
            raise BroadcastError("there is no such broadcast")
        return found

    def all(self) -> list[dict[str, Any]]:
        """The newest hundred, newest first."""
        found = (self.store.read(broadcast_id) for broadcast_id in self.store.ids())
        return [record for record in found if record is not None]

    def run(self, broadcast_id: str) -> None:
        """The task."""
        self._wait_for_start(broadcast_id)
        record = self.show(broadcast_id)
        for name in self.store.some(broadcast_id, "open", 1000):  # killed before it was told, or after
            self._notify(broadcast_id, name, record["text"])
        while (state := self.store.state(broadcast_id)) in ("running", "cancelled"):
            if self.bot.answers.stopping:
                time.sleep(1)  # this process may be handed it again as long as it is not gone
                self.bot.tasks.send(QUEUE, TASK, None, broadcast_id)
                return
            began = time.monotonic()
            self._poll_deliveries(broadcast_id)
            if state == "running":
                self._dispatch(broadcast_id, record)
            counts = self.store.counts(broadcast_id)
            if not counts["on_the_way"] and (state == "cancelled" or not counts["left"]):
                self.store.end(broadcast_id, "done" if state == "running" else "cancelled")
            time.sleep(max(0.0, POLL_INTERVAL - (time.monotonic() - began)))

    def _wait_for_start(self, broadcast_id: str) -> None:
        end = time.monotonic() + 10
        while self.store.state(broadcast_id) == "planned":
            if time.monotonic() > end:
                raise PermanentError("it was not started")
            time.sleep(0.2)
        if not self.store.state(broadcast_id):
            raise PermanentError("it is not known any more")

    def _dispatch(self, broadcast_id: str, record: dict[str, Any]) -> None:
        """To as many as PAUSE has room for."""
        rate = float(record["rate"])
        room = int(rate * MAX_AHEAD + 1) - self.store.counts(broadcast_id)["on_the_way"]
        if room <= 0:
            return
        count = min(room, max(1, int(rate * POLL_INTERVAL)))
        for name in self.store.some(broadcast_id, "to", count):
            conversation = conversation_of(name)
            if conversation is None or not self._may_be_notified(conversation):
                self.store.move(broadcast_id, name, "to", "failed")
                metrics.BROADCAST.labels("failed").inc()
            elif self.store.move(broadcast_id, name, "to", "open"):
                self._notify(broadcast_id, name, record["text"])
            time.sleep(1 / rate)

    def _notify(self, broadcast_id: str, name: str, text: str) -> None:
        conversation = conversation_of(name)
        channel = self.bot.channels.get(conversation.channel) if conversation else None
        if conversation and channel:
            channel.notify(conversation, _message_id(broadcast_id), text)
            if not self.store.has(broadcast_id, "open", name):
                self.bot.erasure.erase_conversation(conversation)  # it was forgotten at this moment

    def _poll_deliveries(self, broadcast_id: str) -> None:
        """What has become of those that were handed out."""
        opened: dict[str, list[Conversation]] = {}
        for name in self.store.some(broadcast_id, "open", 1000):
            if conversation := conversation_of(name):
                opened.setdefault(conversation.channel, []).append(conversation)
        for channel_name, conversations in opened.items():
            outcomes = ["failed"] * len(conversations)  # where the channel is not set up any more
            if channel := self.bot.channels.get(channel_name):
                outcomes = channel.delivery_status(conversations, _message_id(broadcast_id))
            for conversation, outcome in zip(conversations, outcomes, strict=True):
                if outcome and self.store.move(broadcast_id, conversation.id, "open", outcome):
                    metrics.BROADCAST.labels(outcome).inc()

    def _may_be_notified(self, conversation: Conversation) -> bool:
        channel, admin = self.bot.channels.get(conversation.channel), self.bot.admin
        if channel is None or (admin and admin.rules.is_blocked(conversation)):
            return False
        return self.bot.store.wants_news(conversation) and channel.can_reach(conversation)


def _message_id(broadcast_id: str) -> str:
    return "broadcast-" + broadcast_id


def add_task(bot: Bot) -> None:
    bot.tasks.register(QUEUE, TASK, Broadcasts(bot).run)
