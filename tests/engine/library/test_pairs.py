"""Question-answer pairs: the wording that is closest, and how close."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.library import Library
from engine.library.closeness import Closeness


def test_the_closest_wording_with_its_answer(library: Library) -> None:
    best = library.pairs("晚上总是睡不着怎么办")[0]
    assert best.pair.answer == "古称「不寐」，归脾汤主之。"
    assert best.matched_question == "晚上睡不着怎么办"
    assert best.passage.text == best.pair.answer
    assert best.passage.heading == "失眠/失眠怎么调理"
    assert 0.5 < best.score < 1


def test_the_same_words_are_one_and_others_far(library: Library) -> None:
    assert library.pairs("感冒了怎么办")[0].score == pytest.approx(1)
    assert all(hit.score < 0.3 for hit in library.pairs("明天天气如何"))


def test_what_all_ask_says_little(library: Library) -> None:
    common = {"怎么": 90, "么办": 80, "怎": 90, "么": 95, "办": 80}
    asked = Closeness("失眠怎么办", lambda token: common.get(token, 2), 100)
    assert asked.to("失眠吃什么") > asked.to("感冒怎么办")


def test_disabled_pairs_do_not_answer(library: Library) -> None:
    with library.writer() as writer:
        writer.set_enabled(library.source("问答").id, False)
    assert library.pairs("感冒了怎么办") == []


def test_wordings_are_found_by_search_too(library: Library) -> None:
    assert library.search("晚上睡不着怎么办")[0].text == "古称「不寐」，归脾汤主之。"


@given(st.text(max_size=40), st.text(max_size=40))
def test_closeness_is_between_0_and_1_and_the_same_both_ways(one: str, other: str) -> None:
    there = Closeness(one, lambda token: len(token), 10).to(other)
    back = Closeness(other, lambda token: len(token), 10).to(one)
    assert 0 <= there <= 1 + 1e-9
    assert there == pytest.approx(back)
