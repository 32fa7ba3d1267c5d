"""What the index knows of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.library.cutting import heading_key, heading_keys, normalise, token_text, tokens


@given(st.text())
def test_every_character_stays_one_so_that_places_hold(text: str) -> None:
    assert len(normalise(text)) == len(text)


@given(st.text())
def test_no_token_is_empty_or_has_a_blank_for_the_index_parts_at_blanks(text: str) -> None:
    assert token_text(text).split() == tokens(text)


def test_characters_pairs_and_words() -> None:
    assert tokens("桂枝汤，CT 3次") == ["ct", "3", "桂", "枝", "汤", "次", "桂枝", "枝汤"]


def test_pairs_do_not_cross_punctuation() -> None:
    assert "枝芍" not in tokens("桂枝、芍药")


def test_full_width_and_capitals_are_one_with_the_plain() -> None:
    assert tokens("ＣＴ１２") == tokens("ct12")


def test_rare_planes_are_ideographs() -> None:
    assert "𫎚𫎚" in tokens("𫎚𫎚")


@pytest.mark.parametrize(
    ("heading", "key"),
    [
        ("桂枝汤方", "桂枝汤"),
        ("二十五、升麻（臣）", "升麻"),
        ("第一 上古天真论", "上古天真论"),
        ("  当归 ", "当归"),
        ("处方", "处方"),
        ("（附方）", "附方"),
        ("，。", ""),
        ("这是一个很长很长的句子不是名字它有二十四个以上的字符所以没有键", ""),
    ],
)
def test_headings_are_compared_as_names(heading: str, key: str) -> None:
    assert heading_key(heading) == key


def test_a_name_that_goes_on_in_the_text() -> None:
    assert heading_keys("回阳救急", "（汤，节庵曰") == ["回阳救急", "回阳救急汤"]
    assert heading_keys("辛凉平剂银翘散方") == ["辛凉平剂银翘散", "银翘散"]
    assert heading_keys("竹叶汤 生地黄汤") == ["竹叶汤生地黄汤", "竹叶汤", "生地黄汤"]
