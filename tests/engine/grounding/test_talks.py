"""Talks of several turns: what a question leaves out comes from the turns before, and from their answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.grounding import Answerer
from engine.grounding.follow_ups import asks_within, tells_more
from engine.grounding.question import understand
from engine.library import Pair, Quote
from tests.engine.grounding.talking import last_of
from tests.small_library import library_of

BOOKS = {
    ("医方集解", "汪昂", "清"): """《医方集解》 清 汪昂

归脾汤
治思虑过度，劳伤心脾，怔忡健忘，惊悸盗汗。
人参 白术（土炒） 茯神 枣仁（炒） 龙眼肉（二钱） 黄芪（炙。钱半） 当归（酒洗）

四物汤
治一切血虚，妇人经病。
当归（酒洗） 生地黄（三钱） 芍药（二钱） 芎䓖（钱半）
当归辛苦甘温，入心脾生血为君。
""",
    ("古今医统大全", "徐春甫", "明"): """《古今医统大全》 明 徐春甫

足阳明胃经穴图
三里 膝下三寸，骨外廉大筋内宛宛中。针五分，灸三壮。【主治】胃中寒，心腹胀满。

手阳明大肠经穴图
合谷（一名虎口） 手大指次指歧骨间陷中。针三分，灸三壮。【主治】头痛，鼻衄不止。
""",
    ("本草从新", "吴仪洛", "清"): """《本草从新》 清 吴仪洛

黄芪
补气、固表、泻火。
甘温。生用固表。无汗能发。有汗能止。

党参
补中气、生津。
甘平补中。益气。和脾胃。除烦渴。
""",
    ("医学心悟", "程国彭", "清"): """《医学心悟》 清 程国彭

咳嗽
若湿气生痰，痰涎稠粘者，用止嗽散，加半夏、茯苓以祛其湿。
若燥火焚金，干咳无痰者，用止嗽散，加栝蒌、贝母以润燥。
""",
    ("本草纲目", "李时珍", "明"): """《本草纲目》 明 李时珍

序例
七方。
""",
}
SLEEP = Pair(
    "sleep",
    ("失眠怎么调理", "晚上老睡不着怎么办"),
    "古称不寐，心血空虚用归脾汤。",
    quotes=(Quote("医方集解", "治思虑过度，劳伤心脾，怔忡健忘，惊悸盗汗。"),),
)


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return Answerer(library_of(tmp_path_factory.mktemp("library"), BOOKS, [SLEEP]))


@pytest.mark.parametrize("asked", ["这个方由哪些药组成", "方子里有什么药", "它的组成"])
def test_the_formula_that_the_answer_named_is_meant(answerer: Answerer, asked: str) -> None:
    answer = last_of(answerer, "失眠怎么调理", asked)
    assert answer.topic == "归脾汤"
    assert "龙眼肉" in answer.text


def test_it_is_still_meant_two_turns_later(answerer: Answerer) -> None:
    answer = last_of(answerer, "失眠怎么调理", "这个方由哪些药组成", "孕妇能吃吗")
    assert "没有说到它的孕产宜忌" in answer.text
    assert "孕期用药请先问医师" in answer.text


def test_what_to_take_for_the_same_complaint_is_the_same_answer(answerer: Answerer) -> None:
    assert "归脾汤" in last_of(answerer, "失眠怎么调理", "那用什么方").text


@pytest.mark.parametrize(
    ("asked", "held"),
    [("里面有当归吗", "里有当归"), ("当归多少", "当归（酒洗）"), ("为什么用当归", "生血为君")],
)
def test_a_herb_within_the_formula_spoken_of(answerer: Answerer, asked: str, held: str) -> None:
    answer = last_of(answerer, "四物汤治什么", asked)
    assert answer.topic == "四物汤"
    assert held in answer.text


def test_a_point_after_a_point(answerer: Answerer) -> None:
    answer = last_of(answerer, "足三里在哪里", "合谷呢")
    assert answer.topic == "合谷"
    assert "歧骨间陷中" in answer.text


@pytest.mark.parametrize("asked", ["和党参有什么区别", "跟党参比呢"])
def test_a_comparison_with_the_thing_before(answerer: Answerer, asked: str) -> None:
    text = last_of(answerer, "黄芪有什么功效", asked).text
    assert "生用固表" in text
    assert "甘平补中" in text


def test_food_for_the_complaint_before(answerer: Answerer) -> None:
    assert last_of(answerer, "咳嗽怎么办", "有没有食疗").topic == "咳嗽"


def test_more_of_a_complaint_belongs_to_it(answerer: Answerer) -> None:
    answer = last_of(answerer, "咳嗽怎么办", "痰很稠")
    assert answer.topic == "咳嗽"
    assert "痰涎稠粘" in answer.text


def test_a_title_line_is_quoted_once(answerer: Answerer) -> None:
    answer = last_of(answerer, "李时珍写过什么书", "他是哪个朝代的")
    assert len(answer.citations) == 1


@pytest.mark.parametrize("text", ["痰是黄的", "吃凉的就疼", "晚上加重", "没有痰"])
def test_tells_more(text: str) -> None:
    assert tells_more(text)


@pytest.mark.parametrize("text", ["牙疼", "吃什么药好", "能吃鸡蛋吗", "失眠", "痰多怎么办"])
def test_asks_anew(text: str) -> None:
    assert not tells_more(text)


def test_a_herb_by_itself_is_not_within_a_formula() -> None:
    assert not asks_within("当归有什么功效")


@pytest.mark.parametrize(
    "asked",
    [
        ("黄芪有什么功效", "党参呢", "两个有什么区别"),
        ("黄芪有什么功效", "党参有什么功效", "它们有什么不同"),
        ("党参有什么功效", "谢谢", "黄芪呢", "两者怎么区分"),
    ],
)
def test_the_two_things_spoken_of_are_compared(answerer: Answerer, asked: tuple[str, ...]) -> None:
    text = last_of(answerer, *asked).text
    assert "生用固表" in text
    assert "甘平补中" in text


def test_after_a_comparison_one_of_the_two_is_asked_for_alone(answerer: Answerer) -> None:
    text = last_of(answerer, "黄芪和党参有什么区别", "那党参呢").text
    assert "甘平补中" in text
    assert "生用固表" not in text


@pytest.mark.parametrize("asked", ["还有别的吗", "换一个方子", "再说详细点"])
def test_more_of_the_same_is_what_was_not_quoted_yet(answerer: Answerer, asked: str) -> None:
    first = last_of(answerer, "四物汤由哪些药组成")
    answer = last_of(answerer, "四物汤由哪些药组成", asked)
    assert answer.abstained
    assert not answer.citations
    assert first.citations
    assert answer.text.startswith("书里没有找到更多")


def test_more_on_a_complaint_is_another_clause(answerer: Answerer) -> None:
    more = last_of(answerer, "失眠怎么调理", "还有别的办法吗")
    assert all("思虑过度" not in citation.quote for citation in more.citations)


def test_why_alone_is_not_answered_by_the_same_again(answerer: Answerer) -> None:
    answer = last_of(answerer, "黄芪有什么功效", "为什么")
    assert answer.abstained
    assert "原因" in answer.text


@pytest.mark.parametrize("asked", ["多少钱", "多少钱一盒", "哪里能买到"])
def test_a_price_is_not_carried_over_to_a_formula(answerer: Answerer, asked: str) -> None:
    assert last_of(answerer, "四物汤由哪些药组成", asked).abstained


@pytest.mark.parametrize("between", ["谢谢你，辛苦了", "哦好的", "听不懂，用白话说", "翻译一下"])
def test_small_talk_between_two_questions_is_stepped_over(answerer: Answerer, between: str) -> None:
    said = last_of(answerer, "黄芪有什么功效", between)
    assert said.kind == "smalltalk"
    assert "甘平补中" in last_of(answerer, "黄芪有什么功效", between, "党参呢").text


@pytest.mark.parametrize("asked", ["打错了，我想问党参", "不对，我问的是党参", "不是，我是说党参"])
def test_a_correction_asks_for_what_it_names(answerer: Answerer, asked: str) -> None:
    assert "甘平补中" in last_of(answerer, "黄芪有什么功效", asked).text


def test_a_complaint_corrected_is_asked_for_alone(answerer: Answerer) -> None:
    answer = last_of(answerer, "失眠怎么调理", "不是，是咳嗽")
    assert answer.topic == "咳嗽"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("那孕妇呢", "孕妇便秘怎么办"),
        ("小孩的呢", "小孩便秘怎么办"),
        ("有食疗吗", "便秘食疗"),
        ("老人怎么办", "老人便秘怎么办"),
    ],
)
def test_of_whom_a_complaint_is(answerer: Answerer, asked: str, text: str) -> None:
    history = [
        {"role": "user", "content": "便秘怎么办"},
        {"role": "assistant", "content": answerer.answer("便秘怎么办").text},
    ]
    assert understand(asked, history, answerer.shelf).text == text


def test_a_pair_on_somebody_else_is_no_answer(tmp_path: Path) -> None:
    old = Pair("old", ("老人便秘怎么办", "老人便秘"), "老人津枯，宜润肠。", topic="老人便秘")
    answerer = Answerer(library_of(tmp_path, BOOKS, [old]))
    assert "老人津枯" in last_of(answerer, "便秘怎么办", "老人呢").text
    assert "老人津枯" not in last_of(answerer, "便秘怎么办", "孕妇呢").text


def test_a_place_that_hurts_is_a_complaint(answerer: Answerer) -> None:
    assert last_of(answerer, "头疼怎么办", "是太阳穴疼").kind == "symptom"
    assert last_of(answerer, "太阳穴在哪里").kind == "point"


def test_what_is_added_to_a_formula(tmp_path: Path) -> None:
    text = "《方书》 清 某人\n\n四物汤\n治血虚。\n当归 生地黄 芍药 芎䓖\n"
    library = library_of(
        tmp_path, {("方书", "某人", "清"): f"{text}若血热者，加黄芩、丹皮。若气滞者，加香附。\n"}
    )
    answer = last_of(Answerer(library), "四物汤由哪些药组成", "加减有哪些")
    assert "若血热者，加黄芩、丹皮。若气滞者，加香附。" in answer.text
