"""Whether two things may be taken together: what the books say of the pair, or that they say nothing."""

from __future__ import annotations

import pytest

from engine.grounding import Answerer
from tests.small_library import library_of

BOOKS = {
    ("本草备要", "汪昂", "清"): """《本草备要》 清 汪昂

附子
大燥，回阳，补肾命火
辛甘有毒，大热纯阳。畏人参、黄芪、甘草。反贝母、半夏、栝蒌、白芨、白蔹。

半夏
燥湿痰，润肾燥
辛温有毒，体滑性燥。畏生姜、秦皮。反乌头。

人参
大补元气，泻火
甘温。大补肺中元气。诸痛无补法，不用参，何尝忌此耶），初病宜下，药反添药。茯苓为使。畏五灵脂。反藜芦（古方疗月闭，四物汤加人参、五灵脂，是畏而不畏也；人参藜芦同用，而取其涌越）。

莱菔
宣，行气，化痰，消食
辛甘属土。生食升气，熟食降气。

黄连
泻火
大苦大寒。入心泻火。
""",
    ("饮食须知", "贾铭", "元"): """《饮食须知》 元 贾铭

味类
蜂蜜
味甘，性微温。不可与生葱同食，害人。
""",
}


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return Answerer(library_of(tmp_path_factory.mktemp("library"), BOOKS, []))


@pytest.mark.parametrize(
    ("question", "held"),
    [
        ("附子能和半夏一起吃吗", "古书说附子反半夏：「反贝母、半夏"),
        ("人参跟藜芦能一起用么", "古书说人参反藜芦：「反藜芦"),
        ("人参五灵脂可以同用吗", "古书说人参畏五灵脂：「畏五灵脂"),
        ("蜂蜜和葱能一起吃吗", "「不可与生葱同食"),
        ("吃蜂蜜能吃葱吗", "「不可与生葱同食"),
    ],
)
def test_what_the_books_say_of_two_things(answerer: Answerer, question: str, held: str) -> None:
    answer = answerer.answer(question)
    assert (answer.kind, answer.abstained) == ("together", False)
    assert held in answer.text
    assert "请问医师" in answer.text


@pytest.mark.parametrize("question", ["人参和萝卜能一起吃吗", "黄连和豆浆能一起喝吗"])
def test_where_the_books_say_nothing_of_the_two_none_of_them_is_described(
    answerer: Answerer, question: str
) -> None:
    answer = answerer.answer(question)
    assert answer.abstained
    assert "能不能同用的话" in answer.text
    assert "「" not in answer.text


def test_what_goes_with_a_thing_is_another_question(answerer: Answerer) -> None:
    assert answerer.answer("附子反什么药").kind == "herb"


def test_what_a_herb_is_not_to_meet_is_quoted_alone(answerer: Answerer) -> None:
    quotes = [c.quote for c in answerer.answer("服人参忌什么").citations]
    assert any("畏五灵脂" in quote for quote in quotes)
    assert not any("药反添药" in quote or "何尝忌此" in quote for quote in quotes)
