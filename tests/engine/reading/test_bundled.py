"""What the bundled reader does with passages that a person can check."""

from __future__ import annotations

import pytest

from engine.reading import Reader

SHOP = {
    "title": "退换货",
    "text": "自签收之日起七天内可以无理由退货，运费由买家承担。质量问题由本店承担来回运费。退款在收到货后"
    "三个工作日内原路退回。定制商品不支持退货。",
}
WANG = {
    "title": "王安石",
    "text": "王安石（1021年—1086年），字介甫，号半山，临川人，北宋著名的思想家、政治家。他于1069年主持变法。",
}


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


@pytest.mark.parametrize(
    ("question", "passage", "answer"),
    [
        ("王安石哪一年开始变法？", WANG, "1069年"),
        ("退款几天到账？", SHOP, "三个工作日"),
    ],
)
def test_it_finds(reader: Reader, question: str, passage: dict[str, str], answer: str) -> None:
    other = WANG if passage is SHOP else SHOP
    found = reader.read(question, [other, passage])
    span = found.spans[0]
    assert span.passage == 1
    assert answer in passage["text"][span.start : span.end]


def test_it_is_less_sure_where_nothing_answers(reader: Reader) -> None:
    asked = reader.read("王安石哪一年开始变法？", [WANG]).answerable
    assert reader.read("珠穆朗玛峰有多高？", [WANG]).answerable < 0.3 < asked


def test_any_text_can_be_asked(reader: Reader) -> None:
    assert reader.read("何", []).spans == []
    assert reader.read("", [WANG]).answerable == 0.0
    odd = reader.read("\ud800何\x00", [{"title": "", "text": "\udfff字\x00" * 3}])
    assert 0 <= odd.answerable <= 1
    long = {"title": "长", "text": "字" * 5000}
    assert reader.read("什么字", [long]).spans[0].end <= 4000
