"""Erasure of all traces of a conversation, wherever they are, as its user or an administrator asks."""

from __future__ import annotations

from bot.chat.limits import Limits
from bot.store.admin import AdminStore
from bot.store.broadcasts import BroadcastStore
from bot.store.conversations import Store
from bot.store.feedback import FeedbackStore
from bot.store.listing import ConversationList
from bot.store.talks import TalkStore
from bot.store.unanswered import UnansweredStore
from bot.tasks.queue import TaskQueue
from bot.text.records import Conversation, Message


class Erasure:
    """Any method raises StoreDownError; begun again, it goes on.

    The conversation goes first: what a process still does for it finds it gone, and writes nothing. Tasks go
    after the lists that tasks are made from.
    """

    def __init__(self, store: Store, tasks: TaskQueue, limits: Limits) -> None:
        self.store = store
        self.tasks = tasks
        self.limits = limits
        self.admin = AdminStore(store)
        self.conversations = ConversationList(store)
        self.broadcasts = BroadcastStore(store)
        self.unanswered = UnansweredStore(store)
        self.feedback = FeedbackStore(store)
        self.talks = TalkStore(store)

    def erase_on_request(
        self, conversation: Conversation, message_id: str, nonce: str, reply: str
    ) -> Message:
        """The reply is kept for a minute, for retries; what was counted of rates stays, under a hash: else
        this would be the way to have more."""
        message = self.store.erase(conversation, message_id, nonce, reply)
        self._elsewhere([conversation])
        return message

    def erase_conversation(self, conversation: Conversation) -> None:
        self._conversation(conversation)
        self._elsewhere([conversation])

    def erase_user(self, user: str) -> list[Conversation]:
        """In every channel, also what is left elsewhere when this was cut off; the conversations found."""
        found = self.conversations.of_user(user)
        for conversation in found:
            self._conversation(conversation)
        self._elsewhere(self.conversations.in_all_channels(user))
        self.admin.erase_everywhere(user)
        return found

    def erase_talk(self, conversation: Conversation, number: int) -> int:
        """One talk of a conversation, with what was listed of it elsewhere; the number of the talk that goes
        on."""
        erased = self.talks.erase(conversation, number)
        self.feedback.erase_messages(conversation, erased.message_ids)
        self.unanswered.erase_questions(conversation.user, erased.questions)
        if not erased.emergencies:
            self.store.unlist_emergency(conversation)
        return erased.current

    def _conversation(self, conversation: Conversation) -> None:
        self.store.erase(conversation)
        self.limits.clear(conversation)

    def _elsewhere(self, conversations: list[Conversation]) -> None:
        for conversation in conversations:
            self.broadcasts.erase(conversation)
            self.tasks.erase(conversation)
            self.unanswered.erase(conversation.user)
            self.feedback.erase(conversation)
            self.admin.erase(conversation)
