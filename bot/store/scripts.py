"""The scripts that run inside Redis: lua/NAME.lua, whose heads list their keys and arguments.

A line `--- @include "NAME"` stands for lua/includes/NAME.lua. Scripts of a conversation get its prefix as
their one key and build the others from it: all of them are in the slot of that key. Every script may be sent
twice (a time-out does not tell whether the first one ran), so each has the same effect once or twice.
"""

from __future__ import annotations

import re
from importlib.resources import files

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
