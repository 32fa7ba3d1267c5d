"""Messages in pinyin, as "jiu ming" or "wobabayundaole": some have no Chinese keyboard at hand."""

from __future__ import annotations

import re
from functools import cache

from engine.emergency.normalize import syllables

_LONGEST = 6  # letters of a syllable: zhuang
_LONGEST_RUN = 120  # letters without a space
_WORD = re.compile(r"[a-z]+")
# Words of English that are syllables too. A message of which half are such is English: "she can die".
_ENGLISH = re.compile(
    r"(?:an?|can|die|fan|gang|had|hang|her?|long|man|men?|on|pan|ran|she|song|sun|to|we|you)"
)


def spelled(text: str) -> list[str]:
    """The syllables, as `syllables()` writes them, of a normalized text that is all pinyin; else []."""
    if not text.isascii():
        return []
    words = _WORD.findall(text)
    if 2 * sum(bool(_ENGLISH.fullmatch(word)) for word in words) >= len(words):
        return []
    found: list[str] = []
    for word in words:
        parts = _split(word)
        if parts is None:
            return []
        found += parts
    return found if len(found) > 1 else []


def _split(word: str) -> list[str] | None:
    """The fewest syllables that make a word; None if none do, or it is longer than anybody types."""
    if len(word) > _LONGEST_RUN:
        return None
    best: list[list[str] | None] = [[]]
    for end in range(1, len(word) + 1):
        ways = [
            [*before, sound]
            for start in range(max(0, end - _LONGEST), end)
            if (before := best[start]) is not None and (sound := _sounds().get(word[start:end]))
        ]
        best.append(min(ways, key=len) if ways else None)
    return best[-1]


@cache
def _sounds() -> dict[str, str]:
    """Of every way to write a syllable the sound under which zh and z, ng and n are one."""
    found = {}
    for sound in set(syllables().values()):
        heads = [sound, sound[0] + "h" + sound[1:]] if sound[0] in "zcs" and len(sound) > 1 else [sound]
        for head in heads:
            found[head] = sound
            if sound.endswith("n"):
                found[head + "g"] = sound
            if sound in ("lve", "nve"):
                found[head.replace("v", "u")] = sound
    return found
