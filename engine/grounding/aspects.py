"""What of a thing is asked for: its composition, use, nature and so on, by the words of the question."""

from __future__ import annotations

import re
from functools import cache

from engine.library import words

_COUNTED = re.compile("[一二两三四五六七八九十]味")  # 哪四味


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {
        aspect: re.compile("|".join(map(re.escape, known)))
        for aspect, known in words.table("aspects.tsv").items()
    }


def aspects_of(text: str) -> tuple[str, ...]:
    found = tuple(aspect for aspect, pattern in _patterns().items() if pattern.search(text))
    return (*found, "composition") if "composition" not in found and _COUNTED.search(text) else found


def without_aspects(text: str) -> str:
    """What a question says beside the words that name its aspects."""
    for pattern in _patterns().values():
        text = pattern.sub(" ", text)
    return text
