"""Emergencies in what programs send, unless the owner wants the bare answers (PLM_EMERGENCIES=none)."""

from __future__ import annotations

from bot.chat.turn import assess
from bot.context import current_bot
from bot.telemetry import metrics
from engine.emergency import Assessment, Level, caution, reply


def help_for(text: str) -> tuple[str, str]:
    """What is said in place of an answer, and the kind of emergency; "" and "" if it is none."""
    heard = _assess(text)
    answer = reply(heard, text)
    if not answer:
        return "", ""
    metrics.EMERGENCIES.labels(heard.level, heard.kind).inc()
    return answer, heard.kind


def warning_for(text: str) -> str:
    """What stands before the answer; "" for nothing."""
    heard = _assess(text)
    warning = caution(heard, text)
    if warning:
        metrics.EMERGENCIES.labels(heard.level, heard.kind).inc()
    return warning


def _assess(text: str) -> Assessment:
    bot = current_bot()
    if not bot.settings.hears_emergencies_in_api:
        return Assessment(Level.NONE, "", 0.0)
    return assess(bot.detector, text)
