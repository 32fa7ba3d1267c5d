"""The words that go before everything else, in the language and script of the writer (replies.toml)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from engine.emergency.assessment import Assessment, Level
from engine.emergency.normalize import simplified

_CHINESE = re.compile(r"[㐀-鿿]")
_LATIN = re.compile(r"[A-Za-z]{2,}")


def reply(assessment: Assessment, text: str) -> str:
    """The whole answer to an emergency; "" for anything else."""
    if assessment.level is not Level.EMERGENCY:
        return ""
    words = _replies()[language(text)]
    opening = words["opening_for"].get(assessment.kind, words["opening"])
    if assessment.self_harm_too:
        opening = f"{opening} {words['self_harm_too']}"
    act = words["act"].get(assessment.kind, words["act"]["default"])
    return f"{opening}\n{act}\n{words['closing']}"


def caution(assessment: Assessment, text: str) -> str:
    """What stands before an ordinary answer (uncertain, the dose of a poison, a doctor's matter); else ""."""
    if assessment.level in (Level.NONE, Level.EMERGENCY):
        return ""
    return str(_replies()[language(text)][assessment.level])


def language(text: str) -> str:
    """hans, hant or en; traditional where more characters are traditional than simplified."""
    chinese = "".join(_CHINESE.findall(text))
    if not chinese:
        return "en" if _LATIN.search(text) else "hans"
    if len(chinese) < 4 and len(_LATIN.findall(text)) > 2 * len(chinese):
        return "en"
    to_simplified, only_simplified = simplified(), _simplified_only()
    traditional = sum(ord(character) in to_simplified for character in chinese)
    return "hant" if traditional > sum(character in only_simplified for character in chinese) else "hans"


@cache
def _simplified_only() -> frozenset[str]:
    return frozenset(map(chr, simplified().values()))


@cache
def _replies() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "replies.toml").read_text(encoding="utf-8"))
