"""Where conversations are listed, for administrators: written here, read and mended by listing.py.

    plm:index:N      zset  conversations by their last question, in 16 parts: as many slots of a cluster
    plm:channels     set   where somebody may have a conversation, and * when it is complete
    plm:emergencies  zset  conversations with an emergency by the time of the newest: at most 1,000

A message must not fail because a list lies on a node that is down, so a list may lack what was written then.
"""

from __future__ import annotations

import logging
import time
import zlib
from typing import Any

from bot.store.connection import StoreDownError, attempt
from bot.store.scripts import Call, run
from bot.text.records import Conversation

INDEX = "plm:index"  # of older versions; listing.py moves what is in it
INDEXES = tuple(f"plm:index:{number}" for number in range(16))
CHANNELS = "plm:channels"
ALL_CHANNELS = "*"  # a member of it that says: no channel is missing
EMERGENCIES = "plm:emergencies"
MAX_EMERGENCIES = 1000  # conversations in their list; the newest stay
UNLISTED_SECONDS = 1.0  # for which a list is not written to after a failure: a dead host costs time each time

log = logging.getLogger(__name__)


def index_of(conversation: Conversation) -> str:
    """The list that the conversation is in."""
    return INDEXES[zlib.crc32(conversation.id.encode()) % len(INDEXES)]


class Index:
    def __init__(self, client: Any, keep_ms: int) -> None:
        self.client = client
        self.keep_ms = keep_ms
        self._channels: dict[str, float] = {}  # noted, and until when, monotonic
        self._again = 0.0  # monotonic; when a list is written to again after a failure

    def entry(self, conversation: Conversation) -> Call:
        """What puts it first in its list."""
        return Call("index_conversation", index_of(conversation), (conversation.id, self.keep_ms, 0))

    def add(self, conversation: Conversation) -> None:
        """Put it first in its list; nothing for a second after a list could not be written."""
        if time.monotonic() > self._again and not self._write(self.entry(conversation)):
            self._again = time.monotonic() + UNLISTED_SECONDS

    def add_emergency(self, conversation: Conversation) -> None:
        entry = (conversation.id, self.keep_ms, MAX_EMERGENCIES)
        self._write(Call("index_conversation", EMERGENCIES, entry))

    def remove(self, conversation: Conversation) -> None:
        """From all lists. StoreDownError, as from `remove_emergency`."""
        for key in (index_of(conversation), INDEX, EMERGENCIES):
            attempt(lambda key=key: self.client.zrem(key, conversation.id))  # type: ignore[misc]

    def remove_emergency(self, conversation: Conversation) -> None:
        attempt(lambda: self.client.zrem(EMERGENCIES, conversation.id))

    def note_channel(self, channel: str) -> None:
        """That somebody has a conversation in it: with that, a user's are found without a search."""
        if time.monotonic() < self._channels.get(channel, 0.0):
            return

        def add() -> None:
            pipe = self.client.pipeline()
            pipe.sadd(CHANNELS, channel)
            pipe.pexpire(CHANNELS, self.keep_ms)
            pipe.execute()

        wait = self.keep_ms / 4000
        try:
            attempt(add)
        except StoreDownError:  # of another node, perhaps; the next message tries again
            wait = UNLISTED_SECONDS
        self._channels[channel] = time.monotonic() + wait

    def _write(self, entry: Call) -> bool:
        """False if the list's node is down."""
        try:
            attempt(lambda: run(self.client, [entry]))
        except StoreDownError as error:
            log.error("%s lacks an entry: %s", entry.key, error)
            return False
        return True
