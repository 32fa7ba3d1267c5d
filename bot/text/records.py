"""What the store keeps, as plain records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from urllib.parse import quote


@dataclass(frozen=True)
class Conversation:
    channel: str  # "wechat", "page", or a webhook's name with "webhook-" before it
    user: str

    @cached_property
    def id(self) -> str:
        return f"{self.channel}:{quote(self.user, safe='@._-')}"

    @cached_property
    def base(self) -> str:
        return f"plm:{{{self.id}}}:"


@dataclass(frozen=True)
class Citation:
    """A quotation in an answer: `quote` stands in `book` from byte `start` to byte `end`, as it is shown."""

    book: str
    heading: str
    quote: str
    start: int
    end: int


def read_citations(text: str) -> tuple[Citation, ...]:
    """As `write_citations` wrote them; answers of older versions have none."""
    return tuple(Citation(**row) for row in json.loads(text)) if text else ()


def write_citations(citations: Iterable[Citation]) -> str:
    """One line for the store; "" for none. It stays a text there: Lua would take it for a table."""
    rows = [asdict(citation) for citation in citations]
    return json.dumps(rows, ensure_ascii=False) if rows else ""


@dataclass(frozen=True)
class Message:
    """What is known of one message. `text` grows while `status` is "running"; `reply`, once set, stays."""

    id: str
    kind: str = ""  # ask, command, more, write-on
    status: str = ""  # queued, running, done, failed; "" if there is no such message
    question: str = ""
    text: str = ""
    attempts: int = 0
    age: float = 0.0  # seconds since the message was first seen, when it came in again
    starts: int = 0
    delivered: int = 0  # bytes of text that were handed out
    notice: bool = False  # the first message of its conversation: the disclaimer goes with its answer
    reply: str | None = None
    source: str = ""  # kinds "more" and "write-on": whose answer goes on
    latest: bool = True  # kind "more": that is the user's last question
    error: str = ""
    owned: bool = False  # somebody holds the conversation's lease
    citations: tuple[Citation, ...] = ()  # once it is done

    @classmethod
    def read(cls, message_id: str, fields: dict[bytes, bytes], owned: bool = False) -> Message:
        get = {name.decode(): value.decode() for name, value in fields.items()}
        return cls(
            id=message_id,
            kind=get.get("kind", ""),
            status=get.get("status", ""),
            question=get.get("question", ""),
            text=get.get("text", ""),
            attempts=int(get.get("attempts", 0)),
            age=float(get["now"]) - float(get["first"]) if "now" in get else 0.0,
            starts=int(get.get("starts", 0)),
            delivered=int(get.get("delivered", 0)),
            notice=get.get("notice") == "1",
            reply=get.get("reply"),
            source=get.get("source", ""),
            latest=get.get("latest", "1") == "1",
            error=get.get("error", ""),
            owned=owned,
            citations=read_citations(get.get("citations", "")),
        )

    @property
    def finished(self) -> bool:
        return self.status in ("done", "failed")


class NoLease(StrEnum):
    BUSY = "busy"  # another process has it
    IDLE = "idle"  # nothing waits to be answered


class LeaseState(IntEnum):
    """What a heartbeat finds; the numbers are those of lua/heartbeat.lua."""

    LOST = 0
    HELD = 1
    STOP_REQUESTED = 2  # held, and the sender wants no more of this answer


@dataclass(frozen=True)
class Lease:
    """The head of a conversation's queue, ours to answer as long as `token` is the lease."""

    token: str
    id: str
    question: str
    talk: int
    prefix: str  # hash of the answered turns so far; "" at the beginning of a talk
    state: bytes | None  # the model's state after exactly those turns
    starts: int
    waited: float = 0.0  # seconds since the message came in
    caution: str = ""  # what the answer begins with, whoever writes it


@dataclass(frozen=True)
class Push:
    """An answer that is ready to be pushed, ours to push as long as `owner` has the right."""

    owner: str
    id: str
    failed: bool
    text: str
    delivered: int  # bytes of it that were handed out
    before: str  # what is said before its first piece
    left: int  # messages that the platform still takes for this user


def short_id(message_id: str) -> str:
    """Message ids come from outside: bounded, and the same for the same id."""
    return (
        message_id if len(message_id) <= 80 else "sha256-" + hashlib.sha256(message_id.encode()).hexdigest()
    )
