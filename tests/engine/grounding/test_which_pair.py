"""Which question-answer pair answers: the one about the same things, however a question words it."""

from __future__ import annotations

import pytest

from engine.grounding import Answerer
from engine.library import Pair, Quote
from tests.small_library import library_of

BOOKS = {
    ("伤寒论", "张仲景", "东汉"): """《伤寒论》 东汉 张仲景

辨太阳病脉证并治中
1．太阳之为病，脉浮、头项强痛而恶寒。
（方用前法。）96．伤寒五六日中风，往来寒热，胸胁苦满，心烦喜呕，小柴胡汤主之。方五。
柴胡（半斤） 黄芩（三两） 人参（三两） 半夏（洗，半升） 甘草（炙） 生姜（切，各三两） 大枣（擘，十二枚）

辨太阳病脉证并治下
144．妇人中风，经水适断者，此为热入血室，小柴胡汤主之。方五。（用前第三方。）
""",
    ("本草备要", "汪昂", "清"): """《本草备要》 清 汪昂

生地黄
大泻火
甘苦大寒，入心肾。

熟地黄
平补肝肾，养血滋阴
甘而微温。滋肾水，补真阴。

薏苡仁
补脾胃，通，行水
甘淡。健脾，治水肿湿痹。《吴越春秋》：鲧娶女，年壮未孳，嬉于砥山，得薏苡吞之，因而妊孕。津枯及妊娠禁用。

枳椇子
润，解酒
甘平。止渴除烦，解酒毒。

葛花
解酒
甘凉。解酒毒，治伤酒发热烦渴，不思饮食。
""",
    ("类经", "张介宾", "明"): """《类经》 明 张介宾

阴阳应象
怒伤肝，怒出于肝，过则伤肝。悲胜怒；悲忧为肺金之志，故胜肝木之怒。
""",
    ("医学心悟", "程国彭", "清"): """《医学心悟》 清 程国彭

齿
齿痛有风热，有虚火，宜清胃散主之。

不得卧
心血空虚，卧不安者，归脾汤主之。

咳嗽
久咳，止嗽散主之。
""",
}
QUOTE = (Quote("医学心悟", "归脾汤主之。"),)
PAIRS = [
    Pair("生地与熟地", ("生地跟熟地怎么选",), "生地清热，熟地补血。", "生地与熟地", QUOTE),
    Pair("舌色紫", ("舌质紫暗", "紫舌主什么"), "瘀伤宿血，舌色必紫而暗。", "舌色紫", QUOTE),
    Pair("失眠", ("失眠怎么办",), "古称不寐，用归脾汤。", "失眠", QUOTE),
    Pair("低血压", ("低血压头晕怎么办",), "上气不足，目为之眩。", "低血压", QUOTE),
    Pair("麻黄", ("夏天为什么不用麻黄",), "过汗会动摇心血，夏月禁用。", "麻黄", QUOTE),
    Pair("望梅", ("吃酸的为什么咳嗽",), "食梅则津生。", "望梅", QUOTE),
    Pair("群方之冠", ("伤寒论第一方是什么",), "桂枝汤是群方之冠。", "群方之冠", QUOTE),
    Pair("爱生气", ("爱生气怒伤肝怎么调理",), "古称怒郁，用逍遥散。", "爱生气", QUOTE),
]


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return Answerer(library_of(tmp_path_factory.mktemp("library"), BOOKS, PAIRS))


@pytest.mark.parametrize(
    ("question", "held"),
    [
        ("生地黄熟地黄哪个补血好", "生地清热，熟地补血"),
        ("熟地可以代替生地吗", "生地清热，熟地补血"),
        ("请问舌质紫暗代表啥", "舌色必紫而暗"),
        ("晚上两三点就醒", "古称不寐"),
    ],
)
def test_a_pair_about_the_same_things_answers(answerer: Answerer, question: str, held: str) -> None:
    answer = answerer.answer(question)
    assert answer.kind == "pair"
    assert held in answer.text


@pytest.mark.parametrize(
    "question", ["高血压头晕怎么办", "百日咳怎么办", "怒伤肝是什么意思", "夏天为什么不能贪凉"]
)
def test_a_pair_about_another_thing_does_not(answerer: Answerer, question: str) -> None:
    assert answerer.answer(question).kind != "pair"


def test_a_saying_is_found_in_its_book(answerer: Answerer) -> None:
    answer = answerer.answer("怒伤肝是什么意思")
    assert answer.citations[0].book == "类经"
    assert answer.citations[0].quote.startswith("怒伤肝")


def test_a_clause_is_found_by_its_number(answerer: Answerer) -> None:
    answer = answerer.answer("伤寒论第一条是什么")
    assert answer.citations[0].quote == "1．太阳之为病，脉浮、头项强痛而恶寒。"


def test_the_clause_with_the_herbs_behind_it_says_what_a_formula_is_for(answerer: Answerer) -> None:
    quote = answerer.answer("小柴胡汤能治感冒吗").citations[0].quote
    assert quote.startswith("96．伤寒五六日中风，往来寒热")


def test_a_yes_no_question_is_told_what_no_quotation_says(answerer: Answerer) -> None:
    assert "以上没有直接说到“脱发”" in answerer.answer("小柴胡汤能治脱发吗").text


def test_how_bad_a_complaint_is_is_none_of_its_own(answerer: Answerer) -> None:
    quotes = "".join(c.quote for c in answerer.answer("牙疼得睡不着").citations)
    assert "齿痛" in quotes
    assert "卧不安" not in quotes


def test_of_pregnancy_a_warning_is_quoted_and_no_story(answerer: Answerer) -> None:
    first = answerer.answer("孕妇能吃薏苡仁吗").citations[0].quote
    assert "禁用" in first
    assert "吴越春秋" not in first


def test_two_herbs_side_by_side_are_no_formula(answerer: Answerer) -> None:
    answer = answerer.answer("葛花枳椇子哪个解酒好")
    assert answer.kind == "comparison"
    assert {c.heading for c in answer.citations} == {"葛花", "枳椇子"}


def test_what_a_complaint_looks_like_is_no_herb(answerer: Answerer) -> None:
    assert answerer.answer("牙疼脸肿如橘子").kind == "symptom"


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("医学心悟是李时珍写的吗", "《医学心悟》 清 程国彭"),
        ("张介宾是明朝还是清朝人", "《类经》 明 张介宾"),
    ],
)
def test_who_wrote_a_book_and_when(answerer: Answerer, question: str, line: str) -> None:
    assert answerer.answer(question).citations[0].quote == line


@pytest.mark.parametrize("question", ["罗汉果止咳吗", "李白是哪个朝代的"])
def test_what_no_book_names_is_not_found(answerer: Answerer, question: str) -> None:
    assert answerer.answer(question).abstained
