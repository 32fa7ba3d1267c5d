"""Which of several answers a question has, by their likelihood, corrected for how likely each is anyway.

All answers are listed under the question, as examinations print them, and each is scored as the reply. From
its cost the rule takes a part of what the same words cost without any question (PMI: Holtzman et al. 2021,
"Surface Form Competition", arXiv:2104.08315) and an allowance for each byte. Form and weights are those that
did best on examination questions; `make bench-likelihood` compares them with others and fits them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.likelihood.protocol import LanguageModel
from engine.model.special_bytes import ASSISTANT_MARK, USER_MARK

MOST_CHOICES = 26  # letters
PROMPT = "答案："
WITHOUT_QUESTION = 0.75  # of the bits that an answer costs without the question
ALLOWANCE = 1.0  # bits a byte


@dataclass(frozen=True)
class Choice:
    """`answer` is the index of the best choice; scores are bits in its favour, more is better."""

    answer: int
    scores: list[float]

    def to_dict(self) -> dict[str, Any]:
        return {"answer": self.answer, "scores": self.scores}


@dataclass(frozen=True)
class Costs:
    """What is known of each choice: bits after the question and the list, without a question, and bytes."""

    listed: list[float]
    alone: list[float]
    sizes: list[int]


def choose_answer(model: LanguageModel, question: str, choices: Sequence[str]) -> Choice:
    """Score each choice as the answer to the question. ValueError for fewer than two, or empty ones."""
    scores = pmi_scores(costs_of_choices(model, question, choices))
    return Choice(max(range(len(scores)), key=scores.__getitem__), scores)


def pmi_scores(costs: Costs) -> list[float]:
    """The rule: bits in favour of each choice."""
    return [
        WITHOUT_QUESTION * alone + ALLOWANCE * size - listed
        for listed, alone, size in zip(costs.listed, costs.alone, costs.sizes, strict=True)
    ]


def costs_of_choices(model: LanguageModel, question: str, choices: Sequence[str]) -> Costs:
    """What the rule needs to know of each choice."""
    _check(question, choices)
    letters = [chr(ord("A") + i) for i in range(len(choices))]
    lines = [question, *(f"{letter}. {choice}" for letter, choice in zip(letters, choices, strict=True))]
    listed = model.session()
    listed.feed(USER_MARK + "\n".join(lines).encode() + ASSISTANT_MARK + PROMPT.encode())
    alone = model.session()
    alone.feed(PROMPT)
    replies = [f"{letter}。{choice}" for letter, choice in zip(letters, choices, strict=True)]
    return Costs(
        [float(bits.sum()) for bits in listed.bits_each(replies)],
        [float(bits.sum()) for bits in alone.bits_each(list(choices))],
        [len(choice.encode()) for choice in choices],
    )


def _check(question: str, choices: Sequence[str]) -> None:
    if not question.strip():
        raise ValueError("the question is empty")
    if not 2 <= len(choices) <= MOST_CHOICES:
        raise ValueError(f"a question needs 2 to {MOST_CHOICES} choices, not {len(choices)}")
    for number, choice in enumerate(choices, start=1):
        if not choice.strip():
            raise ValueError(f"choice {number} is empty")
