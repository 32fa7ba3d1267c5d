"""Names of acupoints (terms/points.tsv), and whether a question is about one."""

from __future__ import annotations

import re
from functools import cache

from engine.library import words

_ASKED = re.compile(
    "穴|[按揉灸针扎]|位置|在哪|哪里|怎么找|怎么取|定位|哪[条一]?经|属于|主治|治什么|按摩|作用|功效|好处"
)


@cache
def known_points() -> dict[str, tuple[str, str]]:
    """The name in old books and the channel of each point."""
    out = {}
    for channel, names in words.table("points.tsv").items():
        for name in names:
            modern, _, old = name.partition("=")
            out[modern] = (old or modern, channel)
    return out


def find_point(text: str) -> str:
    """The point that a question names and asks about; empty for none.

    Many names mean other things too (命门, 太白), so behind them must stand 穴, or no word of another kind.
    """
    best = ""
    for name in known_points():
        place = text.find(name)
        if place < 0 or len(name) < len(best):
            continue
        called = text.startswith("穴", place + len(name))
        plain = len(words.bare(words.strip(_ASKED.sub("", text.replace(name, ""))))) <= 3
        alone = name not in words.known_herbs() and not words.groups(name, "concepts.tsv") and place <= 4
        if called or (plain and alone and _ASKED.search(text)):
            best = name
    return best


def name_of_point(text: str) -> str:
    """The longest name of a point that stands in a text, whatever else is there; empty for none."""
    return max((name for name in known_points() if name in text), key=len, default="")
