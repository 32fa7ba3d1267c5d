"""Names that end alike are not mixed up, what forbids is found, and pulses are told from their own book."""

from __future__ import annotations

import pytest

from engine.grounding import Answerer
from tests.small_library import library_of

BOOKS = {
    ("伤寒论", "张仲景", "东汉"): """《伤寒论》 东汉 张仲景

辨太阳病脉证并治上
太阳病，头痛、发热、汗出、恶风，桂枝汤主之。
若酒客病，不可与桂枝汤，得之则呕，以酒客不喜甘故也。
若脉浮、小便不利、微热、消渴者，五苓散主之。
""",
    ("金匮要略方论", "张仲景", "汉"): """《金匮要略方论》 汉 张仲景

胸痹心痛短气病脉证治
胸痹心中痞气，气结在胸，胸满，枳实薤白桂枝汤主之。

黄疸病脉证并治
黄疸病，茵陈五苓散主之。
（一本云茵陈汤及五苓散并主之。）
""",
    ("医宗金鉴", "吴谦", "清"): """《医宗金鉴》 清 吴谦

六味地黄汤
治肾精不足，虚火炎上，腰膝痿软，骨热酸痛。
熟地八钱 山萸肉 山药各四钱 丹皮 泽泻 茯苓各三钱
加黄柏，知母，名知柏地黄丸，治两尺脉旺，阴虚火动。
""",
    ("本草备要", "汪昂", "清"): """《本草备要》 清 汪昂

附子
大燥，回阳，补肾命火，逐风寒湿
辛甘有毒，大热纯阳。其性浮而不沉，其用走而不守，通行十二经，无所不至。
畏人参、黄芪、甘草、防风、犀角、绿豆、童便。反贝母、半夏、栝蒌、白芨、白蔹。
""",
    ("儒门事亲", "张从正", "金"): """《儒门事亲》 金 张从正

群言难正
遂用相反之药。
""",
    ("濒湖脉学", "李时珍", "明"): """《濒湖脉学》 明 李时珍

弦（阳中阴）
弦脉，端直以长（《素问》），如张弓弦（《脉经》），按之不移，绰绰如按琴瑟弦（巢氏）。
〔主病诗〕弦应东方肝胆经，饮痰寒热疟缠身。

滑（阳中阴）
滑脉，往来前却，流利展转，替替然如珠之应指（《脉经》）。漉漉如欲脱。
〔主病诗〕滑脉为阳元气衰，痰生百病食生灾。上为吐逆下蓄血，女脉调时定有胎。
""",
}


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return Answerer(library_of(tmp_path_factory.mktemp("library"), BOOKS))


@pytest.mark.parametrize(
    ("question", "said", "another"),
    [("桂枝汤是干什么用的", "头痛、发热", "薤白"), ("五苓散治什么", "小便不利", "茵陈")],
)
def test_indications_are_not_those_of_a_formula_whose_name_ends_alike(
    answerer: Answerer, question: str, said: str, another: str
) -> None:
    text = answerer.answer(question).text
    assert said in text
    assert another not in text


@pytest.mark.parametrize("question", ["杞菊地黄丸治什么", "参麦地黄丸由哪些药组成"])
def test_a_varied_formula_that_no_book_has_is_not_taken_for_the_plain_one(
    answerer: Answerer, question: str
) -> None:
    answer = answerer.answer(question)
    assert answer.abstained, answer.text


def test_a_varied_formula_that_a_book_names_is_found(answerer: Answerer) -> None:
    assert "阴虚火动" in answerer.answer("知柏地黄丸治什么").text


def test_who_is_not_to_take_a_formula(answerer: Answerer) -> None:
    text = answerer.answer("桂枝汤什么人不能用").text
    assert "若酒客病，不可与桂枝汤" in text
    assert "请问医师" in text


def test_where_nothing_is_forbidden_that_is_said(answerer: Answerer) -> None:
    text = answerer.answer("六味地黄丸什么人不能吃").text
    assert "没有说到它的禁忌" in text
    assert "腰膝痿软" in text
    assert "组成" not in text  # 六味 is part of the name


@pytest.mark.parametrize("question", ["附子和什么相反", "附子反什么药", "附子畏什么"])
def test_what_a_herb_is_not_to_meet(answerer: Answerer, question: str) -> None:
    assert "反贝母、半夏" in answerer.answer(question).text


def test_amounts_of_a_herb_are_the_physicians(answerer: Answerer) -> None:
    assert "须由医师定" in answerer.answer("附子用量").text


def test_the_poisoned_are_sent_to_help(answerer: Answerer) -> None:
    assert "120" in answerer.answer("附子的毒性怎么解").text


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("弦脉是什么感觉", ["端直以长", "弦应东方肝胆经"]),
        ("滑脉就是怀孕吗", ["如珠之应指", "女脉调时定有胎"]),
        ("弦脉和滑脉的区别", ["端直以长", "如珠之应指"]),
    ],
)
def test_pulses(answerer: Answerer, question: str, said: list[str]) -> None:
    answer = answerer.answer(question)
    assert all(words in answer.text for words in said)
    assert {citation.book for citation in answer.citations} == {"濒湖脉学"}


def test_a_pulse_within_a_complaint_is_no_question_on_pulses(answerer: Answerer) -> None:
    assert "濒湖脉学" not in answerer.answer("发热汗出恶风，脉浮用什么方").text
