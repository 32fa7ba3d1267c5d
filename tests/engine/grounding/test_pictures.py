"""Complaints of several signs: the formula whose picture they show is quoted first."""

from __future__ import annotations

import pytest

from engine.grounding import Answerer, pictures
from engine.grounding.clauses import formula_in
from engine.grounding.kinds import Question
from engine.library import words
from engine.library.pack import read_pack
from tests.small_library import library_of

BOOKS = {
    ("伤寒论", "张仲景", "汉"): """《伤寒论》 汉 张仲景

辨太阳病脉证并治中
35．太阳病，头痛、发热、身疼、腰痛、骨节疼痛、恶风、无汗而喘者，麻黄汤主之。
38．太阳中风，脉浮紧、发热、恶寒、身疼痛、不汗出而烦躁者，大青龙汤主之。
63．发汗后，不可更行桂枝汤。汗出而喘，无大热者，可与麻黄杏仁甘草石膏汤。
""",
    ("傅青主女科歌括", "傅山", "清"): """《傅青主女科歌括》 清 傅山

经水先期（十五）
妇人有先期经来者，其经甚多，人以为血热之极也。方用清经散。
又有先期经来只一、二点者，人以为血热之极也，谁知肾中火旺而阴水亏乎！治之法不必泄火，只专补水。方用两地汤。
""",
    ("医方集解", "汪昂", "清"): """《医方集解》 清 汪昂

痛泻要方
治痛泻不止。白朮（炒，三两）、白芍（炒，四两）、陈皮（炒，半两）、防风（一两）。
""",
}


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return Answerer(library_of(tmp_path_factory.mktemp("pictures"), BOOKS))


def signs(question: str) -> Question:
    return Question(question, "symptom", groups=tuple(words.groups(question)))


@pytest.mark.parametrize(
    ("question", "formula"),
    [
        ("我发烧怕冷，没有汗，全身骨头疼，还有点喘", "麻黄汤"),
        ("发烧怕冷没出汗浑身疼还喘", "麻黄汤"),
        ("发烧，没有汗，身上疼，心里烦躁，怕冷", "大青龙汤"),
        ("手脚冰凉，脉很细", "当归四逆汤"),
        ("嘴歪，半身不遂，说话不清，流口水", "补阳还五汤"),
        ("早上天不亮就拉肚子，不想吃饭", "四神丸"),
        ("夜里发热，没有汗", ""),  # 夜里发热 is another thing than 发热
        ("牙疼", ""),
        ("牙疼，手机坏了", ""),
    ],
)
def test_the_picture_that_a_complaint_shows(question: str, formula: str) -> None:
    shown = [picture.formula for picture in pictures.likest(signs(question))]
    assert shown[:1] == ([formula] if formula else [])


def test_a_sign_that_the_picture_needs() -> None:
    assert [p.formula for p in pictures.likest(signs("脖子僵硬，怕风，没有汗"))] == ["葛根汤"]
    assert [p.formula for p in pictures.likest(signs("脖子僵硬，怕风，出汗"))] == ["桂枝加葛根汤"]


@pytest.mark.parametrize(
    ("question", "quote"),
    [
        ("我发烧怕冷，没有汗，全身骨头疼，还有点喘", "恶风、无汗而喘者，麻黄汤主之"),
        ("月经提前，量少", "又有先期经来只一、二点者"),
        ("一生气就肚子疼拉肚子", "治痛泻不止"),
    ],
)
def test_its_clause_comes_first(answerer: Answerer, question: str, quote: str) -> None:
    answer = answerer.answer(question)
    assert quote in answer.citations[0].quote, answer.text


def test_the_formula_is_named_though_another_sentence_names_it(answerer: Answerer) -> None:
    assert answerer.answer("月经提前，量少").citations[1].quote == "方用两地汤。"


def test_nothing_is_quoted_twice(answerer: Answerer) -> None:
    places = [
        (c.book, c.start) for c in answerer.answer("我发烧怕冷，没有汗，全身骨头疼，还有点喘").citations
    ]
    assert len(places) == len(set(places))


def test_each_formula_of_the_table_stands_in_the_book_that_it_names() -> None:
    texts: dict[str, str] = {}
    for _, book in read_pack():
        texts[book.title] = texts.get(book.title, "") + book.text
    missing = [
        (picture.formula, picture.book)
        for picture in pictures.pictures()
        if not any(name in texts[picture.book] for name in words.formula_names(picture.formula))
    ]
    assert not missing
    assert len(pictures.pictures()) >= 300


@pytest.mark.parametrize(
    ("question", "formula"),
    [
        ("天刚亮就要拉肚子，不想吃饭，腰酸怕冷", "四神丸"),
        ("月经推迟，量又多", "温经摄血汤"),
        ("身体胖，总怀不上孩子", "加味补中益气汤"),
        ("夏天发烧怕冷没汗，脸红", "新加香薷饮"),
    ],
)
def test_other_words_for_the_signs(question: str, formula: str) -> None:
    assert [picture.formula for picture in pictures.likest(signs(question))][:1] == [formula]


def test_a_name_that_begins_with_an_addition() -> None:
    assert formula_in("方用加味补中益气汤。") == "加味补中益气汤"
    assert formula_in("宜用加减当归补血汤。") == "加减当归补血汤"
    assert formula_in("宜加四物汤。") == "四物汤"
