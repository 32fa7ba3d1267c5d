"""What all channels have in common that can send something which is no reply.

`Bot.channels` holds those that are set up, by the name that their conversations begin with. A broadcast goes
through all of them alike: `can_reach` says whom the platform lets be sent something now, `notify` sees to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from bot.text.records import Conversation


class Channel(ABC):
    name: str  # of its conversations

    @abstractmethod
    def can_reach(self, conversation: Conversation) -> bool:
        """Whether this user can be sent something now that is no reply. Raises StoreDownError."""

    @abstractmethod
    def notify(self, conversation: Conversation, message_id: str, text: str) -> None:
        """Have a text sent to one user, once for this id, behind the answers that are on their way.

        Returns when that is written down; a task does it, tries again and ends as a dead letter.
        Raises StoreDownError.
        """

    @abstractmethod
    def delivery_status(self, conversations: Sequence[Conversation], message_id: str) -> list[str]:
        """What became of a text that each was to be told: "sent", "failed", or "" as long as it is on its
        way. Raises StoreDownError.
        """
