"""Choices, statements and gaps by what a library says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from engine.grounding import weigh_question
from engine.grounding.evidence import evidence, parts, weigh
from engine.grounding.gaps import candidates
from engine.grounding.shelf import Shelf
from engine.grounding.weighing import Ask
from engine.library import Library

HERBS = ["桂枝", "杏仁", "石膏", "甘草"]


@pytest.fixture
def shelf(library: Library) -> Shelf:
    return Shelf(library)


def test_the_choice_that_stands_with_the_question_wins(library: Library) -> None:
    scores = evidence(library, "头痛发热、恶风、无汗而喘者，主治的方剂是", ["当归四逆汤", "麻黄汤", "健脾丸"])
    assert max(scores) == scores[1]


def test_a_question_for_the_exception_turns_the_evidence(library: Library) -> None:
    scores = evidence(library, "麻黄汤的组成不包括", HERBS)
    assert max(scores) == scores[HERBS.index("石膏")]


def test_the_passage_that_decides_is_verbatim(library: Library, shelf: Shelf) -> None:
    for one in weigh(shelf, "手足厥寒，脉细欲绝者，治用", ["当归四逆汤", "麻黄汤"]):
        if one.citation:
            source = library.source(one.citation.book)
            text = library.text(source.id, one.citation.start, one.citation.end)
            assert text == one.citation.quote
    weighed = weigh_question(
        shelf, "choose", {"question": "手足厥寒，脉细欲绝者，治用", "choices": ["当归四逆汤", "麻黄汤"]}, None
    )
    assert weighed
    assert weighed.answer["answer"] == 0
    assert weighed.quotation.endswith("——《伤寒论·辨厥阴病脉证并治》")
    assert sum(weighed.answer["shares"]) == pytest.approx(1)


def test_choices_of_no_letters_and_empty_ones(shelf: Shelf) -> None:
    assert len(weigh(shelf, "体温是", ["％", "37℃", "…"])) == 3
    with pytest.raises(ValueError, match="empty"):
        weigh(shelf, "体温是", ["37", " "])


def test_an_empty_library_weighs_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = Shelf(Library.open(tmp_path_factory.mktemp("empty")))
    fields = {"question": "桂枝汤出自", "choices": ["伤寒论", "温病条辨"]}
    assert weigh_question(empty, "choose", fields) is None
    assert weigh_question(empty, "judge", {"statement": "天麻辛温"}) is None
    assert weigh_question(empty, "fill", {"text": "益气强阴，____，强筋力"}) is None


def test_what_a_book_says_is_likelier_than_what_none_says(shelf: Shelf) -> None:
    def probability(statement: str) -> float:
        weighed = weigh_question(shelf, "judge", {"statement": statement})
        return float(weighed.answer["probability"]) if weighed else 0.0

    assert probability("心者，是君主之官") > probability("心者，是州都之官")


def test_a_statement_is_cut_where_it_begins_to_claim() -> None:
    assert parts("桂枝汤出自伤寒论。") == ("桂枝汤出自", "伤寒论")
    assert parts("天麻") == ("天", "麻")


@pytest.mark.parametrize(
    ("text", "filling", "book"),
    [
        ("益气强阴，____，强筋力", "通血脉", "本草备要"),
        ("春夏养阳，秋冬____", "养阴", "黄帝内经素问"),
        ("____者，君主之官也", "心", "黄帝内经素问"),
    ],
)
def test_a_gap_is_filled_as_a_book_has_it(shelf: Shelf, text: str, filling: str, book: str) -> None:
    found = weigh_question(shelf, "fill", {"text": text})
    assert found
    assert found.answer["text"] == text.replace("____", filling)
    assert found.citation.book == book
    assert filling in found.citation.quote


@pytest.mark.parametrize("text", ["甲____乙", "____", "汽车的____在前面坏了", "心者，____之官，____出焉"])
def test_a_gap_that_no_book_has_is_left_to_the_model(shelf: Shelf, text: str) -> None:
    assert weigh_question(shelf, "fill", {"text": text}) is None


def test_the_model_weighs_what_books_have_in_a_gap(shelf: Shelf) -> None:
    text = "益气强阴，____，强筋力"
    asked: list[dict[str, Any]] = []

    def ask(of_book: float) -> Ask:
        def answer(kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
            asked.append({"kind": kind, **fields})
            own = {"text": "补气血", "bits": 10.0}
            return {"gaps": [[own, *({"text": one, "bits": of_book} for one in fields["among"])]]}

        return answer

    likely = weigh_question(shelf, "fill", {"text": text}, ask(20.0))
    assert likely
    assert likely.answer["text"] == text.replace("____", "通血脉")
    assert (asked[0]["kind"], asked[0]["text"]) == ("fill", text)
    assert "通血脉" in asked[0]["among"]
    assert weigh_question(shelf, "fill", {"text": text}, ask(1000.0)) is None  # the model's own is better


def test_more_words_around_a_filling_are_more_votes(shelf: Shelf) -> None:
    found = candidates(shelf, "益气强阴，____，强筋力")
    assert found[0].text == "通血脉"
    assert found[0].around == 7
    assert found[0].votes >= 3**7
    assert found[0].bits > max((one.bits for one in found[1:]), default=0.0)
