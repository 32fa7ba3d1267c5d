"""What the detector says of a message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What is to be done: nothing; a word before the answer; help in its place; a warning before it;
    the advice to see a doctor before it."""

    NONE = "none"
    UNCERTAIN = "uncertain"
    EMERGENCY = "emergency"
    TOXIC_DOSE = "toxic_dose"
    DOCTOR = "doctor"


@dataclass(frozen=True)
class Assessment:
    level: Level
    kind: str  # poisoning, stroke, self_harm, …; "owner" for a word of the owner's; "" at NONE
    score: float  # 0 to 1: how likely an emergency
    self_harm_too: bool = False  # of another kind, but perhaps meant: both numbers are given
