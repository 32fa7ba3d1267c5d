"""Replies to greetings, thanks and the like, from smalltalk.toml."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from engine.library import words

_END = re.compile("[啊呀吧呢哦噢哈啦了的嘛么]+$")


def _key(message: str) -> str:
    bare = words.bare(message).lower()
    return _END.sub("", bare) or bare


@cache
def _replies() -> dict[str, tuple[str, str]]:
    tables = tomllib.loads(Path(__file__).with_name("smalltalk.toml").read_text("utf-8"))
    return {
        _key(message): (name, str(table["reply"]))
        for name, table in tables.items()
        for message in table["messages"]
    }


def smalltalk(message: str) -> tuple[str, str] | None:
    """(kind of small talk, reply) for a message that is nothing else; None for a question."""
    key = _key(words.tidy(message))
    return _replies().get(key)
