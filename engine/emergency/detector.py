"""Is a message an emergency? The text is read once; the decision needs no network, service or numpy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.resources import as_file, files
from pathlib import Path

from engine.emergency.assessment import Assessment, Level
from engine.emergency.doctor import wants_doctor
from engine.emergency.features import features
from engine.emergency.kinds import kind_of
from engine.emergency.normalize import normalize
from engine.emergency.pinyin import spelled
from engine.emergency.toxic import asks_amount, names_toxic
from engine.emergency.weights import Weights, probability, read_weights

WEIGHTS = "weights.safetensors"
WINDOW = 60  # characters; a cry for help in a long text is found in the window that holds it
STEP = 30
CRIES = {"救": "consciousness", "sos": "consciousness", "emergency": "consciousness", "suicide": "self_harm"}
HEARD = {"overdose", "choking", "bleeding", "unconscious", "drowning", "dying"}  # words of English alone
DONE = "吃喝走来去睡醒好完到坐回"  # with 了 behind them replies that tell nothing
BARE = 2  # characters that are not enough to be uncertain of
LONG = 120  # from here on windows are read beside the whole


class Detector:
    """Assesses messages. Safe to use from several threads: nothing changes after `load`."""

    def __init__(self, weights: Weights, extra_words: Iterable[str] = ()) -> None:
        self._weights = weights
        self._owner_words = _words(extra_words)

    @classmethod
    def load(cls, extra_words: Iterable[str] = (), path: Path | None = None) -> Detector:
        """`extra_words` are the owner's: any text that holds one is an emergency. Raises WeightsError."""
        if path is not None:
            return cls(read_weights(path), extra_words)
        with as_file(files(__package__) / WEIGHTS) as bundled:
            return cls(read_weights(bundled), extra_words)

    def assess(self, text: str) -> Assessment:
        plain = normalize(text)
        if not plain:
            return Assessment(Level.NONE, "", 0.0)
        numbers = features(plain)
        score, toxic, place = self._scores(plain, numbers)
        if self._owner_words and self._owner_words.search(plain):
            return Assessment(Level.EMERGENCY, "owner", 1.0)
        if _tells_nothing(plain):
            return Assessment(Level.NONE, "", score)
        if plain in CRIES:
            heard = max(score, self._weights.settings["emergency"])
            return Assessment(Level.EMERGENCY, CRIES[plain], heard)
        settings = self._weights.settings
        if score >= settings["emergency"]:
            kind, too = self._kind(place)
            return Assessment(Level.EMERGENCY, kind, score, too)
        if toxic >= min(settings["toxic_dose_asked"], settings["toxic_dose_named"]):
            named = names_toxic(plain)
            needed = "toxic_dose_named" if named else "toxic_dose_alone"
            if named and asks_amount(plain):
                needed = "toxic_dose_asked"
            if toxic >= settings[needed]:
                return Assessment(Level.TOXIC_DOSE, "poisoning", score)
        if score >= settings["uncertain"] and len(plain) > BARE:  # 血糖 asks what it is
            kind, too = self._kind(place)
            return Assessment(Level.UNCERTAIN, kind, score, too)
        if wants_doctor(plain):
            return Assessment(Level.DOCTOR, "doctor", score)
        return Assessment(Level.NONE, "", score)

    def _kind(self, place: tuple[str, set[int]]) -> tuple[str, bool]:
        plain, numbers = place
        return kind_of(self._weights.kinds, plain, numbers, self._weights.divisor(len(numbers)))

    def _scores(self, plain: str, numbers: set[int]) -> tuple[float, float, tuple[str, set[int]]]:
        """How likely an emergency and a toxic dose are; the part that decided the first, and its numbers."""
        weights, settings = self._weights, self._weights.settings
        divisor = weights.divisor(len(numbers))
        best = weights.emergency.logit(numbers, divisor)
        toxic = weights.toxic_dose.logit(numbers, divisor)
        place = plain, numbers
        for window in _windows(plain):
            part = features(window)
            divisor = weights.divisor(len(part))
            logit = weights.emergency.logit(part, divisor) - settings["window_margin"]
            if logit > best:
                best, place = logit, (window, part)
            toxic = max(toxic, weights.toxic_dose.logit(part, divisor) - settings["window_margin"])
        return (
            probability(best * settings["slope"] + settings["offset"]),
            probability(toxic * settings["toxic_slope"] + settings["toxic_offset"]),
            place,
        )


def _tells_nothing(plain: str) -> bool:
    """Whether a text is one character (血, 车), one with 了 (吃了), or one word of English (paint)."""
    if plain in CRIES:
        return False
    if plain.isascii():
        return plain.isalpha() and plain not in HEARD and not spelled(plain)
    return len(plain) == 1 or (len(plain) == 2 and plain[0] in DONE and plain[1] == "了")


def _windows(plain: str) -> Iterator[str]:
    if len(plain) < LONG:
        return
    for start in range(0, len(plain) - STEP, STEP):
        yield plain[start : start + WINDOW]


def _words(extra: Iterable[str]) -> re.Pattern[str] | None:
    known = sorted({normalize(word) for word in extra if normalize(word)}, key=len, reverse=True)
    # A Latin word must stand alone: "stroke", not "keystrokes".
    parts = [
        rf"(?<![a-z]){re.escape(word)}(?![a-z])" if word.isascii() else re.escape(word) for word in known
    ]
    return re.compile("|".join(parts)) if parts else None
