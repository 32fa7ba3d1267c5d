"""Follow-ups are told from questions that change the subject of a talk."""

from __future__ import annotations

import pytest

from engine.grounding import Answerer
from engine.grounding.follow_ups import carries_on


@pytest.mark.parametrize(
    "text",
    [
        "那怎么煎", "它能治失眠吗", "有什么副作用", "主治呢", "孕妇能吃吗", "要吃多久", "出自谁的书",
        "里面的桂枝用多少", "黄的呢",
    ],
)  # fmt: skip
def test_what_leaves_its_subject_out_carries_on(text: str) -> None:
    assert carries_on(text, own_subject=False)


@pytest.mark.parametrize(
    "text", ["量子计算机的原理是什么", "今天股票涨了吗", "几点开门", "怎么做红烧肉", "写个程序"]
)
def test_another_subject_does_not(text: str) -> None:
    assert not carries_on(text, own_subject=False)


@pytest.mark.parametrize("text", ["失眠怎么办", "那失眠怎么办", "孩子发烧能吃退烧药吗", "什么是心肾不交"])
def test_nor_does_a_complaint_of_its_own(text: str) -> None:
    assert not carries_on(text, own_subject=True)


def test_a_new_subject_does_not_get_the_old_ones_answer(answerer: Answerer) -> None:
    asked = "麻黄汤由哪些药组成？"
    history = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": answerer.answer(asked).text},
    ]
    assert "以水九升" in answerer.answer("那怎么煎？", history).text
    for other in ("量子计算机的原理是什么？", "今天股票涨了吗", "健忘怎么办？"):
        assert "麻黄" not in answerer.answer(other, history).text
