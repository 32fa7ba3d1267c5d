"""What the bundled pairs promise beyond their form: enough of each kind, no measures, clean quotations.

Their form is held by ``test_check_pairs.py``; ``tests/bench/studies/check_pairs.py`` compares the
quotations with the books, which are not in the repository in full.
"""

import json
import lzma
import re
from pathlib import Path
from typing import Any

import pytest

from tests.bench.studies.check_pairs import main, split_books
from tests.engine.library.check_pairs import PAIRS, letters

LEAST = {
    "herbs": 70,
    "formulas": 70,
    "theory": 80,
    "theory2": 40,
    "books": 45,
    "clauses": 200,
    "general": 80,
    "comparisons": 90,
    "ordinary": 25,
    "names": 80,
    "people": 45,
    "theory3": 75,
    "complaints2": 110,
    "works": 30,
    "foods": 19,
    "sayings": 21,
}
PREFIX = {
    "formulas": "formula",
    "herbs": "herb",
    "books": "book",
    "clauses": "clause",
    "comparisons": "comparison",
}
NUMERAL = "[0-9０-９一二三四五六七八九十百半数几]"
MEASURE = re.compile(
    f"{NUMERAL}(钱|铢|升|枚|克|毫升|g(?![a-z])|ml)|[一二三四五六七八九十半]两|每[服次]{NUMERAL}"
)


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (PAIRS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", LEAST)
def test_there_are_enough_of_each_kind(name: str) -> None:
    pairs = read(name)
    assert len(pairs) >= LEAST[name]
    assert [pair["id"] for pair in pairs] == [
        f"{PREFIX.get(name, name)}-{n:03d}" for n in range(1, len(pairs) + 1)
    ]


@pytest.mark.parametrize("name", LEAST)
def test_answers_name_no_measure(name: str) -> None:
    assert [pair["answer"] for pair in read(name) if MEASURE.search(pair["answer"])] == []


@pytest.mark.parametrize("name", LEAST)
def test_answers_promise_nothing(name: str) -> None:
    promise = re.compile("包治|根治|保证|一定能治|百分之百|无副作用|神效|必愈")
    assert [pair["answer"] for pair in read(name) if promise.search(pair["answer"])] == []


@pytest.mark.parametrize("name", LEAST)
def test_quotations_are_of_one_paragraph_and_name_a_bare_title(name: str) -> None:
    for pair in read(name):
        for quote in pair["quotes"]:
            assert "\n" not in quote["quote"], pair["id"]
            assert quote["quote"] == quote["quote"].strip(), pair["id"]
            assert not set("《》") & set(quote["book"]), pair["id"]


@pytest.mark.parametrize("name", LEAST)
def test_wordings_fit_a_line_of_a_phone(name: str) -> None:
    for pair in read(name):
        assert all(2 <= len(letters(wording)) <= 30 for wording in pair["questions"]), pair["id"]


@pytest.mark.parametrize("text", ["每服三钱", "黄芪10克", "桂枝三两", "大枣十二枚", "水七升", "用30g煎"])
def test_a_measure_is_found(text: str) -> None:
    assert MEASURE.search(text)


@pytest.mark.parametrize("text", ["气血两虚", "入肝、脾二经", "一百一十三方", "君臣二字", "十二经", "升阳"])
def test_what_is_no_measure_passes(text: str) -> None:
    assert not MEASURE.search(text)


def test_packed_books_are_split_at_their_titles() -> None:
    text = "《甲》 汉 某\n\n一\n见《乙》。\n\n\n《乙》 唐 某\n\n二\n乙文。\n"
    assert split_books(text) == {"甲": "《甲》 汉 某\n\n一\n见《乙》。", "乙": "《乙》 唐 某\n\n二\n乙文。\n"}


def test_the_check_names_a_quotation_that_is_not_in_its_book(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quote = "太阳病，头痛、发热、汗出、恶风，桂枝汤主之"
    pair = {
        "id": "formula-001",
        "topic": "桂枝汤",
        "questions": ["桂枝汤里有哪些药", "桂枝汤治什么", "桂枝汤几味药", "桂枝汤谁创的"],
        "answer": "《伤寒论》用它治头痛、发热、汗出、恶风。",
        "quotes": [{"book": "伤寒论", "quote": quote}],
    }
    (tmp_path / "formulas.jsonl").write_text(json.dumps(pair, ensure_ascii=False) + "\n", encoding="utf-8")
    books = tmp_path / "books.txt.xz"
    for text, status in ((quote, 0), (quote.replace("恶风", "恶寒"), 1)):
        books.write_bytes(lzma.compress(f"《伤寒论》 东汉 张仲景\n\n上\n{text}。\n".encode()))
        assert main([str(books), "--pairs", str(tmp_path)]) == status
        assert ("not in 《伤寒论》" in capsys.readouterr().out) == bool(status)
