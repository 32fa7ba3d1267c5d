"""What the wording of choices says, what known questions say, and how often words meet in the library."""

from __future__ import annotations

from math import log

import pytest

from engine.grounding.company import Company
from engine.grounding.precedents import Precedent, Precedents, bundled, read
from engine.grounding.shelf import Shelf
from engine.grounding.wording import asks_for_exception, pairs, wording
from engine.library import Library


@pytest.mark.parametrize(
    "question",
    [
        "麻黄汤的组成不包括",
        "下列除哪项外，均为呕吐的主症",
        "关于热型的说法，错误的是",
        "下列各项，不属青皮主治病证的是（ ）",
        "以下哪项不是医师的义务",
        "妊娠8周，除大黄外，均可服用的是",
        "麻黃湯的組成不屬於上述者，錯誤的是",
    ],
)
def test_questions_for_the_exception(question: str) -> None:
    assert asks_for_exception(question)


@pytest.mark.parametrize(
    "question",
    [
        "咳喘不能平卧，咳吐清稀痰涎，舌苔白滑，脉弦，其证候是（ ）",
        "腰穿的禁忌证是",
        "除杀虫之外，还可治疗妇女阴道滴虫病的药物是",
        "归脾汤除益气补血外，还具有的功用是",
        "阳气不足，不能制阴，出现寒证，此为",
    ],
)
def test_a_case_that_says_not_asks_for_no_exception(question: str) -> None:
    assert not asks_for_exception(question)


def test_the_choice_that_is_like_the_others_is_in_their_middle() -> None:
    found = wording("治法是", ["清热利湿", "清热化瘀", "温中", "以上都是"])
    assert found[0]["middle"] > found[2]["middle"]
    assert found[0]["twin"] == found[1]["twin"] > 0
    assert [one["shortest"] for one in found] == [0, 0, 1, 0]
    assert [one["longest"] for one in found] == [0, 0, 0, 0]  # three are as long
    assert [one["all_above"] for one in found] == [0, 0, 0, 1]
    assert [one["last"] for one in found] == [0, 0, 0, 1]
    assert found[2]["relative_length"] == pytest.approx(log(2 / 3.5))


KNOWN = "1\t白果的功效是\t涩肠止痛\t敛肺止带\n0\t不属白果功效的是\t涩肠止痛\t敛肺止带\n"


def test_what_was_right_after_a_like_question_counts_for_a_choice() -> None:
    precedents = Precedents(read(KNOWN))
    right, wrong = precedents.features("白果具有的功效是", ["敛肺止带", "涩肠止痛"])
    assert right["alike_right"] > 0.4 > right["alike_wrong"]
    assert (
        wrong["alike_wrong"] > 0.4 > wrong["alike_right"]
    )  # the question for the exception counts for nothing


def test_precedents_that_are_left_out_say_nothing() -> None:
    precedents = Precedents(read(KNOWN))
    found = precedents.features("白果具有的功效是", ["敛肺止带"], but=[0])
    assert set(found[0].values()) == {0.0}
    assert Precedents([]).features("白果", ["敛肺"]) == found


def test_the_bundled_questions_have_an_answer_each() -> None:
    precedents = bundled()
    assert precedents.right.sum() == len(precedents.questions.sizes) > 3000
    assert read(KNOWN)[0] == Precedent("白果的功效是", ["涩肠止痛", "敛肺止带"], 1)


def test_words_that_meet_are_counted_against_chance(library: Library) -> None:
    shelf = Shelf(library)
    choices = ["麻黄汤", "健脾丸", "％"]
    counts = Company(shelf, pairs("无汗而喘"), [pairs(one) for one in choices])
    found = [
        counts.features(number, {name: shelf.weight(name) for name in pairs(one)})
        for number, one in enumerate(choices)
    ]
    assert found[0]["best_pmi"] > found[1]["best_pmi"]
    assert found[0]["weighted_bayes"] > found[1]["weighted_bayes"]
    assert found[0]["holders"] > 0
    assert set(found[2].values()) == {0.0}


def test_passages_that_hold_all_words_are_counted(library: Library) -> None:
    together = library.together([("麻黄",), ("麻黄", "杏仁"), ("麻黄", "汽车")])
    assert together[0] >= together[1] > 0 == together[2]
    with library.writer() as writer:
        for source in library.sources():
            writer.set_enabled(source.id, False)
    hidden = library.together([("麻黄",)])
    with library.writer() as writer:
        for source in library.sources():
            writer.set_enabled(source.id, True)
    assert hidden == [0]
