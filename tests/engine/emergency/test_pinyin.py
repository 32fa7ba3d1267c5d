"""Messages in pinyin."""

from __future__ import annotations

import pytest

from engine.emergency.features import by_sound, features
from engine.emergency.normalize import normalize
from engine.emergency.pinyin import spelled


@pytest.mark.parametrize(
    ("text", "syllables"),
    [
        ("jiu ming", ["jiu", "min"]),
        ("wobabayundaole", ["wo", "ba", "ba", "yun", "dao", "le"]),
        ("Zhuang shang", ["zuan", "san"]),
        ("shen lue", ["sen", "lve"]),
    ],
)
def test_syllables_of_any_spelling(text: str, syllables: list[str]) -> None:
    assert spelled(normalize(text)) == syllables


@pytest.mark.parametrize("text", ["she can die", "overdose", "he ran", "ma", "", "吃 yao", "x" * 5000])
def test_english_and_single_syllables_are_no_pinyin(text: str) -> None:
    assert spelled(normalize(text)) == []


def test_a_message_in_pinyin_is_its_sound() -> None:
    assert features(normalize("hai zi chou feng le")) == by_sound(normalize("孩子抽风了"))
