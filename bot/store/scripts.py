"""The scripts that run inside Redis: lua/NAME.lua, whose heads list their keys and arguments.

A line `--- @include "NAME"` stands for lua/includes/NAME.lua. Scripts of a conversation get its prefix as
their first key and build the others from it: all of them are in the slot of that key. The second one is for
clusters, see cluster.py. Every script may be sent twice (a time-out does not tell whether the first one ran),
so each has the same effect once or twice.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import redis

from bot.store.cluster import Cluster

_FOLDER = files("bot.store") / "lua"
_INCLUDE = re.compile(r'^--- @include "(\w+)"$', re.MULTILINE)


def _load(name: str) -> str:
    text = (_FOLDER / f"{name}.lua").read_text("utf-8")
    return _INCLUDE.sub(lambda match: (_FOLDER / "includes" / f"{match[1]}.lua").read_text("utf-8"), text)


SCRIPTS = {
    name: _load(name)
    for name in sorted(
        file.name.removesuffix(".lua") for file in _FOLDER.iterdir() if file.name.endswith(".lua")
    )
}
SHAS = {name: hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest() for name, lua in SCRIPTS.items()}


@dataclass(frozen=True)
class Call:
    """A script with its key and its arguments."""

    name: str
    key: str
    args: tuple[str | bytes | int, ...]

    @property
    def second_key(self) -> str:
        """One of the same slot that never exists."""
        return self.key + ":" if "{" in self.key else f"{{{self.key}}}:"


def run(client: redis.Redis, calls: list[Call], copy_ms: int = 0) -> Any:
    """Run scripts in one round trip, in a cluster of one slot; the result of the first.

    What is acknowledged must survive the master, so wait `copy_ms` for a replica. Without replicas it goes on
    (min-replicas-to-write forbids that). Raises the errors of Redis.
    """

    def send(node: redis.Redis) -> list[Any]:
        said = _send(node, calls, copy_ms, known=True)
        if any(isinstance(one, redis.exceptions.NoScriptError) for one in said):  # it has just started
            said = _send(node, calls, copy_ms, known=False)
        return said

    said = client.on_node(calls[0].key, send) if isinstance(client, Cluster) else send(client)
    for one in said:
        if isinstance(one, Exception):
            raise one
    return said[0]


def _send(client: redis.Redis, calls: list[Call], copy_ms: int, known: bool) -> list[Any]:
    pipe: Any = client.pipeline(transaction=False)
    for call in calls:
        head = ("EVALSHA", SHAS[call.name]) if known else ("EVAL", SCRIPTS[call.name])
        pipe.execute_command(*head, 2, call.key, call.second_key, *call.args)
    if copy_ms:
        pipe.wait(1, copy_ms)
    said: list[Any] = pipe.execute(raise_on_error=False)  # its errors quote texts of users
    return said
