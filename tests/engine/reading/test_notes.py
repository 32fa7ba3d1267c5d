"""Questions on everyday notes, made by rule."""

from __future__ import annotations

import re

import pytest

from engine.reading.notes import Fact, Said, notes, tables, touches


def test_the_same_seed_makes_the_same_examples() -> None:
    assert notes(20, 3) == notes(20, 3)
    assert notes(20, 3) != notes(20, 4)


def test_an_answer_stands_in_one_place_alone_and_a_refused_question_in_none() -> None:
    made = notes(300, 1)
    for example in made:
        assert len(example.passages) == 2
        places = [p["text"].count(answer) for answer in example.answers for p in example.passages]
        assert sum(places) == (1 if example.answerable else 0)
        assert example.question.strip()
        assert not re.search(r"[{}\[\]]", example.question + "".join(p["text"] for p in example.passages))
    refused = sum(not example.answerable for example in made)
    assert 0.15 < refused / len(made) < 0.45


def test_every_fact_can_be_said_and_asked() -> None:
    facts, values = tables()
    for fact in facts:
        assert all(text.count("[") == text.count("]") == 1 for text in fact.say), fact
        assert len(fact.ask) > 5
        known = {name for text in fact.say for name in re.findall(r"\{(\w+)\}", text)}
        if fact.things != ("",):
            assert all("{thing}" in text for text in fact.say), fact
            names = [name for thing in fact.things for name in thing.split("|")]
            assert all(names)
            assert len(set(fact.things)) == len(fact.things)
        assert known
    assert all(len(set(each)) == len(each) for each in values.values())


@pytest.mark.parametrize(
    ("fact", "thing", "touches_it"),
    [
        (Fact(("a",), ("b",), ("停车", "煎药")), "停车", True),  # the same thing, told of in another way
        (Fact(("a",), ("b",), ("车位|停车场",)), "车位|停车场", True),  # by another of its names
        (Fact(("a",), ("b",), ("煎药",)), "煎药", False),
        (Fact(("a",), ("b",), hours=True), "", False),
    ],
)
def test_what_might_answer_a_question_is_seen(fact: Fact, thing: str, touches_it: bool) -> None:
    said = Said(Fact(("停车[五元]",), ("停车多少钱",), ("停车",)), "停车", "停车五元", "五元", {})
    assert touches(fact, thing, said) is touches_it


def test_hours_answer_each_other() -> None:
    opening, closing = (Fact(("[八点]开门",), ("几点开门",), hours=True) for _ in range(2))
    said = Said(opening, "", "八点开门", "八点", {})
    assert touches(closing, "", said)
    assert not touches(Fact(("[休息]",), ("休息吗",)), "", said)
