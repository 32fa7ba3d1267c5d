"""What administrators read: conversations that say something, transcripts with what was thought of them."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

from bot.store.feedback import FeedbackStore
from bot.store.listing import ConversationList
from bot.text.names import visitor_name
from bot.text.records import Conversation

LOOKED_AT = 50  # conversations that are read between two looks at the clock
PATIENCE = 2.0  # seconds that a search reads before it hands out what there is
SHOWN = 3  # turns of one conversation
AROUND = 40  # characters on either side of what was looked for

Cursor = tuple[float, str] | None


def with_name(row: dict[str, Any]) -> dict[str, Any]:
    """A page's visitor has a name that people can read, by language."""
    return row | {"name": visitor_name(row["user"])} if row["channel"] == "page" else row


def with_feedback(whole: dict[str, Any], feedback: FeedbackStore) -> dict[str, Any]:
    """A transcript whose answers have "feedback", "up" or "down", where somebody said so."""
    verdicts = feedback.of(Conversation(whole["channel"], whole["user"]))
    for turn in whole["turns"]:
        if turn["role"] == "assistant" and (verdict := verdicts.get(turn["message_id"])):
            turn["feedback"] = verdict
    return whole


def search(
    people: ConversationList, text: str, limit: int, cursor: Cursor
) -> tuple[list[dict[str, Any]], Cursor]:
    """Conversations in which somebody said `text`, the newest first, with where; and how to go on.

    Transcripts are read one after the other, through the list of conversations: there is no index of what
    people say. After PATIENCE seconds there may be fewer than `limit`, or none, and still a cursor.
    """
    wanted, end = fold(text), time.monotonic() + PATIENCE
    found: list[dict[str, Any]] = []
    while True:
        batch, cursor = people.page(LOOKED_AT, cursor)
        for place, conversation in enumerate(batch):
            said = _said(people, conversation, wanted)
            if said:
                found += [row | {"found": said} for row in people.about([conversation])]
            if len(found) == limit and place + 1 < len(batch):
                return found, (_updated(people, conversation), conversation.id)
        if cursor is None or len(found) >= limit or time.monotonic() > end:
            return found, cursor


def fold(text: str) -> str:
    """So that capitals, wide letters and composed characters make no difference."""
    return unicodedata.normalize("NFKC", text).casefold()


def _said(people: ConversationList, conversation: Conversation, wanted: str) -> list[dict[str, Any]]:
    turns = people.store.turns(conversation, last=0)
    places = [(turn, fold(turn["content"]).find(wanted)) for turn in turns]
    return [
        {"role": turn["role"], "time": turn["time"], "text": _excerpt(turn["content"], place, len(wanted))}
        for turn, place in places
        if place >= 0
    ][-SHOWN:]


def _excerpt(text: str, place: int, length: int) -> str:
    start, end = max(0, place - AROUND), place + length + AROUND
    return "…" * (start > 0) + " ".join(text[start:end].split()) + "…" * (end < len(text))


def _updated(people: ConversationList, conversation: Conversation) -> float:
    """Where it stands in the list."""
    return people.listed(conversation)
