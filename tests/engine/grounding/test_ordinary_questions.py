"""Questions as people ask them: whose formula, where a point lies, yes or no, who."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.grounding import Answerer
from engine.library import Pair, Quote
from tests.small_library import library_of

BOOKS = {
    ("太平惠民和剂局方", "太平惠民和剂局", "宋"): """《太平惠民和剂局方》 宋 太平惠民和剂局

四君子汤
治荣卫气虚，脏腑怯弱。
人参（去芦） 甘草（炙） 茯苓（去皮） 白术（各等分）
""",
    ("医方集解", "汪昂", "清"): """《医方集解》 清 汪昂

四君子汤
治一切阳虚气弱。
人参 白术（土炒） 茯苓（各二钱） 甘草（一钱）
姜三片，枣二枚煎。
""",
    ("医学入门", "李梴", "明"): """《医学入门》 明 李梴

历代医学姓氏
孙思邈 唐京兆华原人。幼称圣童，隐太白山，学道养气。

经穴起止
合谷 大指盐指岐骨陷中。针入二分，灸三壮，主头痛面肿，目痛烂弦。
三里 犊鼻下三寸，骨外廉分肉间。针入一寸，灸七壮，主头目昏眩，腹胀。
三里 曲池前三寸。兑肉端。针入五分，灸三壮。主手臂肘挛不伸，齿痛。
""",
    ("备急千金要方", "孙思邈", "唐"): """《备急千金要方》 唐 孙思邈

大医精诚
凡大医治病，必当安神定志，无欲无求。
""",
    ("本草备要", "汪昂", "清"): """《本草备要》 清 汪昂

附子
大燥，回阳，补肾命火，逐风寒湿
辛甘有毒，大热纯阳。其性浮而不沉，其用走而不守，通行十二经。
解一切疮毒，治三阴伤寒。

麝香
宣，通窍
辛温香窜。开经络，通诸窍，透肌骨。催生堕胎，杀虫。

山药
补脾肺，涩精气
色白入肺，味甘归脾。入脾、肺二经，补其不足，清其虚热。

本
宣，去风寒湿
辛温雄壮，为太阳经风药，寒郁本经、头痛连脑者必用之。
""",
    ("神农本草经", "", ""): """《神农本草经》

芍药
味苦，平。主邪气腹痛，除血痹，破坚积，止痛，利小便，益气。
""",
    ("医学心悟", "程国彭", "清"): """《医学心悟》 清 程国彭

子鸣
娠妊腹内自鸣，系小儿在腹内哭声也。谓之子鸣，黄连煎主之。

积聚
治积聚者，当按初、中、末之三法焉，理中汤主之。

泄泻
食少、便频、面色㿠白，脾虚也，香砂六君子汤主之。
""",
    ("黄帝内经素问", "", ""): """《黄帝内经素问》

阴阳应象
天地阴阳者，不以数推以象之谓也。此言阴阳离合。
阴阳者，天地之道也，万物之纲纪，变化之父母。
""",
}
SLEEP = Pair(
    "sleep",
    ("失眠怎么调理", "晚上老睡不着怎么办"),
    "古称不寐，心血空虚用归脾汤。",
    quotes=(Quote("医方集解", "治一切阳虚气弱。"),),
)


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return Answerer(library_of(tmp_path_factory.mktemp("library"), BOOKS, [SLEEP]))


@pytest.mark.parametrize(
    ("question", "book", "held"),
    [
        ("四君子汤是谁的方", "太平惠民和剂局方", "《太平惠民和剂局方》 宋"),
        ("四君子汤出自哪本书", "太平惠民和剂局方", "最早见于《太平惠民和剂局方》"),
        ("四君子汤里有黄芪吗", "医方集解", "没有黄芪"),
        ("四君子汤有没有茯苓", "医方集解", "有茯苓"),
        ("合谷穴主治什么", "医学入门", "主头痛面肿"),
        ("足三里在哪里", "医学入门", "犊鼻下三寸"),
        ("手三里在哪", "医学入门", "曲池前三寸"),
        ("附子有毒吗", "本草备要", "辛甘有毒，大热纯阳"),
        ("孕妇能用麝香吗", "本草备要", "催生堕胎"),
        ("孕妇能吃山药吗", "本草备要", "没有说到孕产宜忌"),
        ("孙思邈写过什么书", "备急千金要方", "《备急千金要方》 唐 孙思邈"),
        ("孙思邈是哪里人", "医学入门", "唐京兆华原人"),
        ("藁本有什么功效", "本草备要", "——《本草备要·藁本》"),
        ("拉稀怎么办", "医学心悟", "香砂六君子汤"),
        ("什么是阴阳", "黄帝内经素问", "阴阳者，天地之道也"),
    ],
)
def test_ordinary_question(answerer: Answerer, question: str, book: str, held: str) -> None:
    answer = answerer.answer(question)
    assert not answer.abstained, answer
    assert answer.citations[0].book == book
    assert held in answer.text, answer.text


@pytest.mark.parametrize(
    ("question", "meant", "held"),
    [("四军子汤的组成", "四君子汤", "白术"), ("山要的功效", "山药", "补脾肺")],
)
def test_a_name_of_the_same_sound_is_looked_up(
    answerer: Answerer, question: str, meant: str, held: str
) -> None:
    answer = answerer.answer(question)
    assert answer.text.startswith(f"按“{meant}")
    assert held in answer.text


@pytest.mark.parametrize(
    "question", ["四海游龙汤的组成", "生降机怎么修", "山要素过敏怎么办", "the weather in Beijing tomorrow"]
)
def test_other_words_are_not_bent_into_names(answerer: Answerer, question: str) -> None:
    assert answerer.answer(question).abstained


def test_a_question_in_english_is_told_to_be_asked_in_chinese(answerer: Answerer) -> None:
    assert "ask in Chinese" in answerer.answer("what is ginseng used for").text


def test_what_no_book_tells_of_a_life_is_not_found(answerer: Answerer) -> None:
    assert answerer.answer("孙思邈活了多少岁").abstained


@pytest.mark.parametrize("question", ["我最近老是失眠怎么办", "失眠應該吃什麼", "失眠三天了"])
def test_a_plain_complaint_gets_its_plain_pair(answerer: Answerer, question: str) -> None:
    assert "归脾汤" in answerer.answer(question).text


def test_no_cure_is_promised(answerer: Answerer) -> None:
    answer = answerer.answer("失眠能治好吗")
    assert answer.text.startswith("能不能治好、多久能好，书里不能断定，请问医师。书里相近的病这样说")
    assert "归脾汤" in answer.text
    bare = answerer.answer("癌症能治好吗")  # 积聚 is only near to it
    assert bare.abstained
    assert bare.text == "书里没有找到这个问题的答案：能不能治好、多久能好，书里不能断定，请问医师。"


@pytest.mark.parametrize(
    "question",
    [
        "孩子不爱学习怎么办",
        "几点接孩子",
        "猫咪拉稀怎么办",
        "附子多少钱一斤",
        "山药哪里有卖",
        "麝香贵不贵",
        "李大锤是哪朝的名医",
    ],
)
def test_what_no_classic_is_about_gets_no_quotation(answerer: Answerer, question: str) -> None:
    answer = answerer.answer(question)
    assert answer.abstained, answer.text
    assert not answer.citations


def test_an_entry_shared_by_two_names_is_quoted_once(answerer: Answerer) -> None:
    answer = answerer.answer("白芍和赤芍有什么区别")
    assert [one.heading for one in answer.citations] == ["芍药"]


@pytest.mark.parametrize("word", ["头", "血", "呵呵"])
def test_a_bare_word_gets_no_quotation(answerer: Answerer, word: str) -> None:
    assert not answerer.answer(word).citations


def test_a_complaint_with_more_to_it_does_not(answerer: Answerer) -> None:
    assert answerer.answer("孩子惊吓以后失眠发热抽搐怎么办").kind != "pair"


def test_quotations_are_the_books_own(answerer: Answerer) -> None:
    library = answerer.library
    for question in ("四君子汤是谁的方", "合谷穴主治什么", "附子有毒吗", "孙思邈是哪里人"):
        for one in answerer.answer(question).citations:
            source = library.source(one.book)
            assert library.text(source.id, one.start, one.end) == one.quote


def test_where_a_point_may_be_pressed_is_no_complaint(answerer: Answerer, tmp_path: Path) -> None:
    assert answerer.answer("合谷穴孕妇能按吗").kind == "point"


def test_of_two_books_of_one_dynasty_the_earlier_author_has_a_formula_first(tmp_path: Path) -> None:
    herbs = "桑叶 石膏 甘草 人参 胡麻仁 阿胶 麦冬 杏仁 枇杷叶"
    books = {
        ("温病条辨", "吴鞠通", "清"): f"《温病条辨》 清 吴鞠通\n\n清燥救肺汤\n治燥。\n{herbs}\n",
        ("医门法律", "喻昌", "清"): f"《医门法律》 清 喻昌\n\n秋燥门方\n自制清燥救肺汤 治诸气膹郁。{herbs}\n",
    }
    answer = Answerer(library_of(tmp_path, books, [])).answer("清燥救肺汤谁的方")
    assert answer.citations[0].book == "医门法律"
