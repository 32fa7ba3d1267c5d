"""Answers that are true: exact quotations from a library, found, chosen and cut; see README.md."""

from engine.grounding.answerer import Answerer, Reader
from engine.grounding.records import Answer, Citation
from engine.grounding.weighing import Weighed, weigh_question

__all__ = ["Answer", "Answerer", "Citation", "Reader", "Weighed", "weigh_question"]
