"""All traces of a conversation, wherever they are, forgotten at its user's or an administrator's wish."""

from __future__ import annotations

from bot.store.admin import AdminStore
from bot.store.broadcasts import BroadcastStore
from bot.store.conversations import Store
from bot.tasks.queue import Work
from bot.text.records import Conversation, Job


class Forgetting:
    """Any method raises StoreDownError; begun again, it goes on.

    The conversation goes first: what a process still does for it finds it gone, and writes nothing. Tasks go
    after the lists that tasks are made from.
    """

    def __init__(self, store: Store, work: Work) -> None:
        self.store = store
        self.work = work
        self.admin = AdminStore(store)
        self.broadcasts = BroadcastStore(store)

    def at_own_wish(self, conversation: Conversation, message_id: str, nonce: str, reply: str) -> Job:
        """The reply is kept for a minute, for retries; what was counted of rates stays, under a hash: else
        this would be the way to have more."""
        job = self.store.forget(conversation, message_id, nonce, reply)
        self._elsewhere(conversation.user, conversation.channel)
        return job

    def wholly(self, conversation: Conversation) -> None:
        self._conversation(conversation)
        self._elsewhere(conversation.user, conversation.channel)

    def user(self, user: str) -> list[Conversation]:
        """In every channel, also what is left elsewhere when this was cut off; the conversations found."""
        found = self.admin.of_user(user)
        for conversation in found:
            self._conversation(conversation)
        self._elsewhere(user)
        return found

    def _conversation(self, conversation: Conversation) -> None:
        self.store.forget(conversation)
        self.admin.forget_counts(conversation)

    def _elsewhere(self, user: str, channel: str = "") -> None:
        self.broadcasts.forget(user, channel)
        self.work.forget(user, channel)
        self.admin.forget(user, channel)
