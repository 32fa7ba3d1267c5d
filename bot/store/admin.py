"""What administrators see and set, in Redis; used by bot/admin and chat/policy.py. The keys:

    plm:{admin}:people     hash  who is blocked or has a quota: a hash of the user and channel, then JSON
    plm:{admin}:told       hash  which message of a blocked user got the one reply, both as hashes
    plm:{admin}:model      text  the model that was loaded, as JSON
    plm:{admin}:version    text  grows with each change of people or model; processes poll it
    plm:{admin}:processes  hash  the running web processes, and their model
    plm:{admin}:audit      list  what administrators did, newest first
    plm:{admin}:errors     list  the newest errors of all processes
    plm:{admin}:minute:N   hash  what was counted in minute N since 1970

Whoever is blocked, has a quota or is named in the audit log is a hash there, or is made one when forgotten: a
user of whom no trace was to stay leaves none here.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.store.conversations import Store
from bot.store.listing import ConversationList
from bot.store.servers import totals
from bot.text.records import Conversation

BASE = "plm:{admin}:"
PEOPLE, TOLD, MODEL, VERSION, PROCESSES, AUDIT, ERRORS = (
    BASE + name
    for name in ("people", "told", "model", "version", "processes", "audit", "errors")
)  # fmt: skip
KEEP = 400 * 24 * 3600  # seconds; every web process renews it for keys that must not expire
MAX_AUDIT, MAX_ERRORS = 10_000, 200
MINUTES_KEPT = 26 * 3600  # seconds
ALIVE = 15.0  # seconds without a heartbeat after which a process counts as gone


@dataclass(frozen=True)
class AccessRule:
    """A block or quota of one user; without a channel, of that user in every channel."""

    user: str  # "" once the user was erased
    channel: str
    blocked: bool = False
    rate: str = ""  # as PLM_RATE_LIMIT
    since: float = 0.0

    @property
    def empty(self) -> bool:
        return not self.blocked and not self.rate


def digest(user: str, channel: str = "") -> str:
    return hashlib.sha256(f"{channel}\n{user}".encode()).hexdigest()[:32]


class AdminStore:
    """Any method raises StoreDownError when Redis is away."""

    def __init__(self, store: Store) -> None:
        self.conversations = ConversationList(store)
        self.client: Any = store.client
        self._try = store.attempt

    def _do(self, command: str, *args: Any, **options: Any) -> Any:
        return self._try(lambda: getattr(self.client, command)(*args, **options))

    def erase(self, conversation: Conversation) -> None:
        """Its user's name wherever it stands here because of it. A block or a quota of the user in this
        channel stays in force, but under a hash alone."""
        for line in self._do("lrange", ERRORS, 0, -1):
            if conversation.id in json.loads(line)["message"]:
                self._do("lrem", ERRORS, 0, line)
        self._erase_rule(conversation.user, conversation.channel)

    def erase_everywhere(self, user: str) -> None:
        """What is said of a user in all channels, likewise."""
        self._erase_rule(user, "")

    def _erase_rule(self, user: str, channel: str) -> None:
        if held := self._do("hget", PEOPLE, digest(user, channel)):
            self._write(digest(user, channel), replace(AccessRule(**json.loads(held)), user=""))

    # Rules

    def rules(self) -> dict[str, AccessRule]:
        rows: Any = self._do("hgetall", PEOPLE)
        return {key.decode(): AccessRule(**json.loads(value)) for key, value in rows.items()}

    def rule(self, user: str, channel: str = "", **change: Any) -> AccessRule:
        """Set the block or quota of a user; an empty rule is removed."""
        key = digest(user, channel)
        held = self.rules().get(key, AccessRule(user, channel))
        values: dict[str, Any] = {"blocked": held.blocked, "rate": held.rate} | change
        rule = AccessRule(user, channel, **values, since=time.time())
        self._write(key, None if rule.empty else rule)
        if not rule.blocked:
            self._do("hdel", TOLD, key)
        return rule

    def _write(self, key: str, rule: AccessRule | None) -> None:
        def write() -> None:
            pipe = self.client.pipeline()
            if rule:
                pipe.hset(PEOPLE, key, json.dumps(rule.__dict__))
            else:
                pipe.hdel(PEOPLE, key)
            pipe.incr(VERSION)
            pipe.execute()

        self._try(write)
        self.renew()

    def is_notice(self, key: str, conversation: Conversation, message_id: str) -> bool:
        """Whether this message of a blocked user is the first one, which gets the reply."""
        own = hashlib.sha256(f"{conversation.id}\n{message_id}".encode()).hexdigest()[:32]
        if self._do("hsetnx", TOLD, key, own):
            self._do("expire", TOLD, KEEP)
        return bool(self._do("hget", TOLD, key) == own.encode())

    def renew(self) -> None:
        def write() -> None:
            pipe = self.client.pipeline()
            for key in (PEOPLE, TOLD, MODEL, VERSION, AUDIT, ERRORS):
                pipe.expire(key, KEEP)
            pipe.execute()

        self._try(write)

    # Model and processes

    def want_model(self, name: str, configured: str) -> None:
        """Every process loads `name`, as long as its PLM_MODEL is what it is now."""
        wish = json.dumps({"name": name, "configured": configured})

        def write() -> None:
            pipe = self.client.pipeline()
            pipe.set(MODEL, wish, ex=KEEP)
            pipe.incr(VERSION)
            pipe.execute()

        self._try(write)

    def wanted_model(self, configured: str) -> str | None:
        wish: Any = self._do("get", MODEL)
        held = json.loads(wish) if wish else {}
        return str(held["name"]) if held.get("configured") == configured else None

    def version(self) -> int:
        return int(self._do("get", VERSION) or 0)

    def report(self, name: str, state: Mapping[str, Any]) -> None:
        def write() -> None:
            pipe = self.client.pipeline()
            pipe.hset(PROCESSES, name, json.dumps({**state, "seen": time.time()}))
            pipe.expire(PROCESSES, 3600)
            pipe.execute()

        self._try(write)

    def processes(self) -> list[dict[str, Any]]:
        rows: Any = self._do("hgetall", PROCESSES)
        found = {key.decode(): json.loads(value) for key, value in rows.items()}
        gone = [name for name, state in found.items() if time.time() - state["seen"] > ALIVE]
        if gone:
            self._do("hdel", PROCESSES, *gone)
        return [{"name": name, **state} for name, state in sorted(found.items()) if name not in gone]

    def leave(self, name: str) -> None:
        self._do("hdel", PROCESSES, name)

    # What happened

    def audit(self, entry: Mapping[str, Any]) -> None:
        self._push(AUDIT, [entry], MAX_AUDIT)

    def audited(self, start: int, limit: int) -> list[dict[str, Any]]:
        rows: Any = self._do("lrange", AUDIT, start, start + limit - 1)
        return [json.loads(row) for row in rows]

    def add_errors(self, entries: list[dict[str, Any]]) -> None:
        self._push(ERRORS, entries, MAX_ERRORS)

    def errors(self, limit: int = 50) -> list[dict[str, Any]]:
        rows: Any = self._do("lrange", ERRORS, 0, limit - 1)
        return [json.loads(row) for row in rows]

    def _push(self, key: str, entries: list[Any], most: int) -> None:
        def write() -> None:
            pipe = self.client.pipeline()
            pipe.lpush(key, *(json.dumps(entry, ensure_ascii=False) for entry in entries))
            pipe.ltrim(key, 0, most - 1)
            pipe.expire(key, KEEP)
            pipe.execute()

        self._try(write)

    def add_counts(self, counts: Mapping[str, float]) -> None:
        """Add what this process has counted since the last call to the current minute's numbers."""

        def write() -> None:
            key = f"{BASE}minute:{int(time.time() // 60)}"
            pipe = self.client.pipeline()
            for name, value in counts.items():
                pipe.hincrbyfloat(key, name, value)
            pipe.expire(key, MINUTES_KEPT)
            pipe.execute()

        self._try(write)

    def minutes(self, count: int) -> list[dict[str, float]]:
        """The last `count` minutes, oldest first, the current one last."""
        last = int(time.time() // 60)

        def read() -> list[Any]:
            pipe = self.client.pipeline(transaction=False)
            for minute in range(last - count + 1, last + 1):
                pipe.hgetall(f"{BASE}minute:{minute}")
            found: list[Any] = pipe.execute()
            return found

        rows = self._try(read)
        return [
            {"time": 60.0 * minute, **{key.decode(): float(value) for key, value in row.items()}}
            for minute, row in zip(range(last - count + 1, last + 1), rows, strict=True)
        ]

    def server(self) -> dict[str, Any]:
        """Version, used_memory and maxmemory of the server, or of all masters together."""
        return totals(self.client)
