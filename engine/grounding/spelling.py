"""Names written with a wrong character of the same sound: 桂支汤 for 桂枝汤, 黄岐 for 黄芪.

It is asked only where a question would find nothing, and the answer says what was looked up instead.
"""

from __future__ import annotations

import re
from functools import cache

from engine.emergency import syllables
from engine.grounding.aspects import aspects_of, without_aspects
from engine.library import words

LONG = 3  # characters from which on a name is taken for meant wherever it stands
MOST = 7  # characters of a name
_THEN = re.compile(
    "的?(?:功效|作用|性味|归经|好处|禁忌|组成|主治|别名|用法|副作用|能治|治什么|有什么|是什么|是谁)"
)


def sound(name: str) -> tuple[str, ...]:
    """The syllables of a name without tones; empty where a character is not known."""
    table = syllables()
    found = tuple(table.get(character, "") for character in name)
    return found if all(found) else ()


@cache
def _names() -> dict[tuple[str, ...], frozenset[str]]:
    names = {*words.known_formulas(), *words.known_herbs(), *words.book_names()}
    out: dict[tuple[str, ...], set[str]] = {}
    for name in names:
        if 2 <= len(name) <= MOST and (key := sound(name)):
            out.setdefault(key, set()).add(name)
    return {key: frozenset(found) for key, found in out.items()}


def _one_thing(names: frozenset[str]) -> str:
    """The name, or of several names of one herb the best known one; empty for several things."""
    name = min(names, key=len, default="")
    known = set(words.herb_names(name)) | {name}
    best = next((other for other in words.herb_names(name) if other in names), name)
    return best if names <= known else ""


def _ends_there(rest: str) -> bool:
    """Whether the name of two characters before `rest` is a whole one: not 青霉 of 青霉素过敏怎么办."""
    if _THEN.match(rest):
        return True
    own = words.bare(words.strip(without_aspects(rest)))
    return bool(aspects_of(rest)) and (len(own) <= 1 or rest[0] in "的能可会是有吃")


def corrected(text: str) -> tuple[str, str, str] | None:
    """(the question with the name that is meant, the name as written, the name meant); None for none.

    A name meant sounds the same, is one alone, and shares a character with what was written.
    """
    for size in range(min(MOST, len(text)), 1, -1):
        for start in range(len(text) - size + 1):
            written = text[start : start + size]
            meant = _names().get(sound(written), frozenset())
            name = _one_thing(meant)
            if not name or name == written or not set(name) & set(written):
                continue
            if size >= LONG or (start == 0 and _ends_there(text[size:])):
                return text[:start] + name + text[start + size :], written, name
    return None
