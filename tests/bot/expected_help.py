"""What the bot must say at once to an emergency, and before the answer to what may be one."""

from __future__ import annotations

from functools import cache

from engine.emergency import Detector, Level, caution, reply


@cache
def detector() -> Detector:
    return Detector.load()


def help_for(text: str) -> str:
    """The whole answer to a text, which must be an emergency."""
    heard = detector().assess(text)
    assert heard.level is Level.EMERGENCY, (text, heard)
    return reply(heard, text)


def caution_for(text: str, level: Level) -> str:
    """What stands before the answer to a text of this level."""
    heard = detector().assess(text)
    assert heard.level is level, (text, heard)
    return caution(heard, text)
