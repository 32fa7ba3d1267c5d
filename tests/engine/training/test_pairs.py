"""A few pairs: what counts as such, what is read of them, and what is held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.training.pairs import COPIES, LEAST_READ, MOST, Pairs, read_pairs


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(*entries: Any, name: str = "a.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(entry) for entry in entries), encoding="utf-8")
        return path

    return write


def test_the_third_wording_is_held_out_and_what_is_repeated_counts_once(written: Any) -> None:
    two = {"instruction": "问三", "output": "答二"}
    path = written({"questions": ["问一", "问二", "别问"], "answer": "答一"}, two, two)
    pairs = read_pairs([path])
    assert pairs == Pairs((("问一", "答一"), ("问二", "答一"), ("问三", "答二")), (("别问", "答一"),), True)


@pytest.mark.parametrize(
    ("question", "held_out"), [("几点？", "麻烦问一句，几点？"), ("When?", "One question. When?")]
)
def test_without_a_third_wording_words_are_put_around_the_first(
    written: Any, question: str, held_out: str
) -> None:
    pairs = read_pairs([written({"q": question, "a": "八点"})])
    assert pairs == Pairs(((question, "八点"),), ((held_out, "八点"),), False)
    assert held_out.encode() not in pairs.text(1)


@pytest.mark.parametrize(
    "entries",
    [
        [{"text": "一篇"}],
        [{"q": "问", "a": "答"}, {"text": "一篇"}],
        [{"messages": [{"role": role, "content": "话"} for role in ("user", "assistant") * 2]}],
        [{"q": f"问{number}", "a": "答"} for number in range(MOST + 1)],
        [{"q": "问", "a": "答" * 11_000}],
    ],
)
def test_what_is_more_than_a_few_pairs_is_a_text_as_any_other(written: Any, entries: list[Any]) -> None:
    assert read_pairs([written(*entries)]) is None


def test_a_text_beside_them_makes_them_a_text(written: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("一篇")
    assert read_pairs([written({"q": "问", "a": "答"}), tmp_path / "a.txt"]) is None


def test_they_are_read_often_in_their_own_words_and_in_others(written: Any) -> None:
    pairs = read_pairs([written({"q": "你们几点开门？", "a": "八点。"}, {"q": "地址？", "a": "柳树街。"})])
    assert pairs is not None
    text = pairs.text(1)
    assert text == pairs.text(1) != pairs.text(2)
    assert text.count(b"\xfe" + "八点。".encode() + b"\xff") == COPIES
    own = text.count(b"\xfd" + "你们几点开门？".encode() + b"\xfe")
    assert COPIES // 2 <= own < COPIES
    assert 0 < text.count(b"\xff\xff\xfd") < 2 * COPIES  # some begin a dialogue, some go on with one
    assert pairs.bytes_to_read == LEAST_READ
