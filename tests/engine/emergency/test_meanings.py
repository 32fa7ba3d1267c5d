"""Words of one meaning."""

from __future__ import annotations

import pytest

from engine.emergency.meanings import meanings
from engine.emergency.normalize import lines_of, normalize

NAMES = [line.split("\t")[0] for line in lines_of("meanings.tsv")]


def _names(text: str) -> list[str]:
    return [NAMES[number - 1] for number in meanings(normalize(text))]


def test_other_words_have_the_same_meaning() -> None:
    assert _names("早上起来脸是斜的") == ["now", "face", "skew"]
    assert _names("今早嘴巴歪了") == ["now", "face", "skew"]


def test_the_longer_word_stands_and_none_stands_twice_in_a_row() -> None:
    assert _names("痛痛，绞痛") == ["pain"]
    assert _names("心口") == ["heart"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("my face is drooping", ["self", "face", "skew"]),
        ("swelling", ["swell"]),
        ("surface, imply", []),
        ("I can't", ["self", "cannot"]),
    ],
)
def test_latin_words_stand_alone_but_for_their_endings(text: str, names: list[str]) -> None:
    assert _names(text) == names


def test_no_word_is_listed_twice() -> None:
    words = [word for line in lines_of("meanings.tsv") for word in line.split("\t")[1].split(",")]
    assert sorted({word for word in words if words.count(word) > 1}) == []
