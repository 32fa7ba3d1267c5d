"""Multiple choice: the scores are the rule's, worked out the long way, and wrong questions are refused."""

from __future__ import annotations

import pytest

from engine import ASSISTANT_MARK, USER_MARK, Model
from engine.likelihood.choose import ALLOWANCE, MOST_CHOICES, WITHOUT_QUESTION

QUESTION, CHOICES = "甘草的药性是", ["甘，平", "苦，寒", "辛，温，有小毒"]


def test_scores_are_what_the_rule_says(model: Model) -> None:
    listing = f"{QUESTION}\nA. {CHOICES[0]}\nB. {CHOICES[1]}\nC. {CHOICES[2]}".encode()
    expected = []
    for letter, text in zip("ABC", CHOICES, strict=True):
        after, alone = model.session(), model.session()
        after.feed(USER_MARK + listing + ASSISTANT_MARK + "答案：".encode())
        alone.feed("答案：")
        cost = after.score(f"{letter}。{text}")
        expected.append(WITHOUT_QUESTION * alone.score(text) + ALLOWANCE * len(text.encode()) - cost)
    choice = model.choose(QUESTION, CHOICES)
    assert choice.scores == pytest.approx(expected, rel=1e-12)
    assert choice.answer == expected.index(max(expected))
    assert choice.to_dict() == {"answer": choice.answer, "scores": choice.scores}


def test_what_a_choice_costs_anyway_is_taken_off(model: Model) -> None:
    """A long answer costs more bits than a short one whatever the question: not a reason against it."""
    choices = ["平", "味甘性平，无毒，入十二经，调和诸药，生用泻火，炙用温中"]
    scores = model.choose(QUESTION, choices).scores
    bits = [model.score(text).bits for text in choices]
    assert bits[1] - bits[0] > 2 * abs(scores[1] - scores[0])


def test_as_many_choices_as_letters(model: Model) -> None:
    assert len(model.choose(QUESTION, [f"第{i}味" for i in range(MOST_CHOICES)]).scores) == MOST_CHOICES


@pytest.mark.parametrize(
    ("question", "choices", "message"),
    [
        (" ", CHOICES, "the question is empty"),
        (QUESTION, [], "needs 2 to 26 choices, not 0"),
        (QUESTION, ["甘"], "needs 2 to 26 choices, not 1"),
        (QUESTION, ["甘"] * 27, "needs 2 to 26 choices, not 27"),
        (QUESTION, ["甘", "\n"], "choice 2 is empty"),
    ],
)
def test_a_wrong_question_is_refused(model: Model, question: str, choices: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.choose(question, choices)
