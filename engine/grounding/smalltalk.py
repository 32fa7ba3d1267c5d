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


_BEGINNING = re.compile("^(?:哦+|噢+|喔+|嗯+|啊+|呃|额|好吧|好的|那|唉|哎)+(?=.)")
_PARTED = re.compile("[，,。.！!？?；;~～ ]+")


def smalltalk(message: str) -> tuple[str, str] | None:
    """(kind of small talk, reply) for a message that is nothing else, or of several such parts, of which the
    last is replied to; None for a question."""
    text = words.tidy(message)
    known = _reply(text)
    if known:
        return known
    parts = [_reply(part) for part in _PARTED.split(text) if part]
    return parts[-1] if len(parts) > 1 and all(parts) else None


def _reply(message: str) -> tuple[str, str] | None:
    key = _key(message)
    return _replies().get(key) or _replies().get(_key(_BEGINNING.sub("", key)))
