"""The talks of a conversation: 新对话 begins another one, and an earlier one can be gone back to, or deleted.

Every turn has the number of its talk. What belongs to a talk is found by reading the transcript, so a list of
talks never shows what was erased.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from bot.store.conversations import Store
from bot.text.records import Conversation

TITLE = 60  # characters of the question that a talk is named by


@dataclass(frozen=True)
class Talk:
    number: int
    title: str  # its first question
    updated: float  # its newest turn, in seconds since 1970
    questions: int


@dataclass(frozen=True)
class ErasedTalk:
    current: int  # the talk that goes on
    message_ids: list[str]
    questions: list[str]
    emergencies: bool  # whether the rest of the conversation has one


class TalkStore:
    """Any method raises StoreDownError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def list(self, conversation: Conversation) -> list[Talk]:
        """The newest first."""
        found: dict[int, Talk] = {}
        for turn in self.store.turns(conversation, last=0):
            number = turn["talk"]
            known = found.get(number, Talk(number, "", 0.0, 0))
            asked = turn["role"] == "user"
            title = known.title or (" ".join(turn["content"].split())[:TITLE] if asked else "")
            found[number] = Talk(number, title, turn["time"], known.questions + asked)
        return sorted(found.values(), key=lambda talk: talk.updated, reverse=True)

    def resume(self, conversation: Conversation, number: int) -> int:
        """Go back to a talk; the number of the one that goes on, another if there is nothing of that one."""
        return int(self.store.run("resume_talk", conversation, number, uuid.uuid4().hex))

    def erase(self, conversation: Conversation, number: int) -> ErasedTalk:
        """Delete what the conversation itself keeps of a talk."""
        current, *rows = self.store.run("erase_talk", conversation, number)
        turns = [json.loads(row) for row in rows]
        left = self.store.turns(conversation, last=0)
        return ErasedTalk(
            int(current),
            sorted({turn["message_id"] for turn in turns}),
            [turn["content"] for turn in turns if turn["role"] == "user"],
            any("emergency" in turn.get("marks", "") for turn in left),
        )
