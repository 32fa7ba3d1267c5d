"""Hears an emergency in a message, whatever its words; warns of toxic doses. See README.md.

detector = Detector.load()
assessment = detector.assess(text)
answer = reply(assessment, text) or caution(assessment, text) + ...
"""

from engine.emergency.assessment import Assessment, Level
from engine.emergency.detector import Detector
from engine.emergency.normalize import syllables
from engine.emergency.replies import caution, reply
from engine.emergency.weights import WeightsError

__all__ = ["Assessment", "Detector", "Level", "WeightsError", "caution", "reply", "syllables"]
