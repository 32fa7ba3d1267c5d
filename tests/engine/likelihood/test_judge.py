"""Judging: contrasts that contradict, bits that are those of choosing, and a probability made of them."""

from __future__ import annotations

import pytest

from engine import Model
from engine.likelihood.choose import choose_answer
from engine.likelihood.judge import NOTHING_SHARED, probability

STATEMENT = "甘草的药性是甘平"


def test_given_contrasts_are_compared_as_choices(model: Model) -> None:
    verdict = model.judge(STATEMENT + "。", ["甘草的药性是苦寒", " 甘草的药性是辛温。"])
    scores = choose_answer(model, "甘草的药性是", ["甘平", "苦寒", "辛温"]).scores
    best = 1 if scores[1] > scores[2] else 2
    assert verdict.statement == STATEMENT
    assert verdict.contrast == ["", "甘草的药性是苦寒", "甘草的药性是辛温"][best]
    assert (verdict.bits, verdict.contrast_bits) == (scores[0], scores[best])
    assert verdict.probability == probability(scores[0] - scores[best])
    ahead = scores[0] - scores[best]
    said = f"{abs(ahead):.1f} bits {'ahead of' if ahead > 0 else 'behind'} its best contrast"
    assert verdict.reason == f"“{STATEMENT}” is {said}, “{verdict.contrast}”"


def test_contrasts_that_share_nothing_or_all_but_an_end_can_be_compared(model: Model) -> None:
    scores = choose_answer(model, NOTHING_SHARED, ["甲", "乙"]).scores
    assert model.judge("甲", ["乙"]).bits == scores[0]
    longer = model.judge("此药有效", ["此药有效果"])
    assert longer.bits == choose_answer(model, "此药有", ["效", "效果"]).scores[0]


def test_a_contrast_is_found_for_any_statement(model: Model) -> None:
    for statement in ("药", "桂枝汤主治太阳中风", "Aspirin is effective", "。，药"):
        verdict = model.judge(statement)
        assert verdict.contrast != verdict.statement
        assert 0 < verdict.probability < 1
        assert verdict.to_dict()["reason"] == verdict.reason


def test_the_probability_rises_with_the_bits_and_stays_one() -> None:
    values = [probability(bits) for bits in (-1e9, -50, -1, 0, 1, 50, 1e9)]
    assert values == sorted(values)
    assert len(set(values[1:-1])) == 5
    assert all(0 <= value <= 1 for value in values)


@pytest.mark.parametrize(
    ("statement", "against", "message"),
    [
        (" 。", [], "the statement is empty"),
        ("甲", ["。"], "empty or the statement itself"),
        ("甲", ["甲。"], "empty or the statement itself"),
        ("甲", [f"第{i}" for i in range(26)], "at most 25 contrasts"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    model: Model, statement: str, against: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.judge(statement, against)
