"""Contrasts contradict the statement, in its end alone."""

from __future__ import annotations

import pytest

from engine import Model
from engine.likelihood.contrasts import antonym_contrasts, model_contrasts, predicate_start

STATEMENT = "甘草的药性是甘平"


@pytest.mark.parametrize(
    ("statement", "contrast"),
    [
        ("此证属寒", "此证属热"),
        ("此证属热", "此证属寒"),
        ("孕妇不宜服", "孕妇宜服"),
        ("甘草是补药", "甘草不是补药"),
        ("甘草不是补药", "甘草是补药"),
        ("The drug is not effective", "The drug is effective"),
        ("Mortality was higher", "Mortality was lower"),
    ],
)
def test_a_word_is_turned_round(statement: str, contrast: str) -> None:
    assert contrast in antonym_contrasts(statement)
    assert statement not in antonym_contrasts(statement)


def test_only_what_is_said_is_turned_not_what_it_is_said_of() -> None:
    assert antonym_contrasts("寒证的治法是温里") == [
        "寒证的治法不是温里",
        "寒证的治法是凉里",
        "寒证的治法是温表",
    ]


@pytest.mark.parametrize(
    ("statement", "end"),
    [(STATEMENT, "甘平"), ("治宜选用麦门冬汤", "麦门冬汤"), ("麦门冬汤", "冬汤"), ("药", "药"), ("是", "是")],
)
def test_the_end_begins_after_the_last_cue(statement: str, end: str) -> None:
    assert statement[predicate_start(statement) :] == end


def test_the_model_ends_the_statement_in_other_ways(model: Model) -> None:
    ends = model_contrasts(model, STATEMENT, 3)
    assert len(set(ends)) == 3
    assert STATEMENT not in ends
    assert all(end.startswith("甘草的药性是") for end in ends)
