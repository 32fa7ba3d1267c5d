"""The bundled pairs keep their form, and the check finds what breaks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.library.check_pairs import PAIRS, faults

CLAUSE = "虚劳虚烦不得眠，酸枣汤主之，方见下文。"


def a_pair(**changes: Any) -> dict[str, Any]:
    return {
        "id": "complaint-001",
        "topic": "失眠",
        "questions": ["睡不着怎么办", "失眠看什么书", "夜里躺下很久没有睡意", "晚上难以入睡"],
        "answer": "《金匮要略》称虚烦不得眠，用酸枣汤。",
        "quotes": [{"book": "金匮要略方论", "quote": CLAUSE}],
    } | changes


def faults_in(tmp_path: Path, *pairs: dict[str, Any], questions: tuple[str, ...] = ()) -> list[str]:
    books = tmp_path / "books"
    books.mkdir()
    (books / "金匮要略方论.txt").write_text(f"17．{CLAUSE}\n", encoding="utf-8")
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(p, ensure_ascii=False) + "\n" for p in pairs), encoding="utf-8")
    return list(faults([file], books, questions))


def test_the_bundled_pairs_have_no_fault() -> None:
    assert list(faults(sorted(PAIRS.glob("*.jsonl")))) == []


def complaints() -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (PAIRS / "complaints.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def test_the_complaints_are_two_hundred_and_more_and_numbered() -> None:
    assert len(complaints()) >= 200
    assert [pair["id"] for pair in complaints()] == [
        f"complaint-{n:03d}" for n in range(1, len(complaints()) + 1)
    ]


@pytest.mark.parametrize(
    "sign",
    [
        "胸痛",
        "中风半身",
        "急惊风",
        "吐血",
        "怀孕见红",
        "尿不出",
        "肠痈",
        "便血",
        "乳房结块",
        "吞咽困难",
        "中暑",
    ],
)
def test_urgent_signs_send_to_a_physician(sign: str) -> None:
    urgent = [pair for pair in complaints() if sign in pair["topic"]]
    assert urgent
    for pair in urgent:
        assert any(word in pair["answer"] for word in ("就医", "急诊", "120")), pair["answer"]


def test_complaints_promise_nothing() -> None:
    promises = ("包治", "根治", "保证", "神效", "必愈", "必好", "你应该")
    assert [p["id"] for p in complaints() if any(word in p["answer"] for word in promises)] == []


def test_a_good_pair_passes(tmp_path: Path) -> None:
    assert faults_in(tmp_path, a_pair(), questions=("桂枝汤由哪些药组成",)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"questions": ["睡不着怎么办", "失眠看什么书", "难以入睡"]}, "3 wordings"),
        ({"questions": ["睡不着怎么办", "睡不着怎么办？", "失眠看什么书", "难以入睡"]}, "is also in"),
        ({"answer": "眠" * 121}, "121 characters"),
        ({"answer": "酸枣仁二两煎服。"}, "a dose"),
        ({"answer": "每次10g。"}, "a dose"),
        ({"quotes": []}, "empty"),
        ({"quotes": [{"book": "伤寒论", "quote": CLAUSE}]}, "no book"),
        (
            {"quotes": [{"book": "金匮要略方论", "quote": CLAUSE.replace("，", "。")}]},
            "not in 《金匮要略方论》",
        ),
        ({"quotes": [{"book": "金匮要略方论", "quote": "虚烦不得眠"}]}, "5 characters"),
        ({"extra": 1}, "fields"),
    ],
)
def test_a_broken_pair_is_named(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    found = faults_in(tmp_path, a_pair(**changes))
    assert any(fault in line for line in found), found


def test_both_sides_is_no_dose(tmp_path: Path) -> None:
    assert faults_in(tmp_path, a_pair(answer="心脾两虚，两胁胀，一两侧皆可，用酸枣汤。")) == []


def test_ids_and_wordings_are_unique_over_pairs(tmp_path: Path) -> None:
    found = faults_in(tmp_path, a_pair(), a_pair())
    assert sum("is also in" in line for line in found) == 4
    assert sum("is taken" in line for line in found) == 1


def test_a_wording_near_the_benchmark_is_named(tmp_path: Path) -> None:
    found = faults_in(tmp_path, a_pair(), questions=("夜里躺下很久没有睡意呢",))
    assert len(found) == 1
    assert "near a question" in found[0]
