"""`plm choose`, `plm fill`, `plm judge` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import GAP, Model
from engine.library import Library
from tests.engine.cli.test_commands import plm, refuse

QUESTIONS = [
    {"question": "甘草的药性是", "choices": ["甘平", "苦寒"]},
    {"question": "其治法是", "choices": ["清热", "温里", "解表"], "answer": 2},
]
LINES = "\n\n".join(json.dumps(one, ensure_ascii=False) for one in QUESTIONS) + "\n"


@pytest.fixture(autouse=True)
def the_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a test names a library."""
    monkeypatch.delenv("PLM_LIBRARY", raising=False)


def test_choose_answers_every_line(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "questions").write_text(LINES, encoding="utf-8")
    model = Model.load(model_path)
    expected = [model.choose(one["question"], one["choices"]) for one in QUESTIONS]
    for result in (
        plm("choose", model_path, "--json", stdin=LINES),
        plm("choose", model_path, "-", "--json", stdin="\ufeff" + LINES),
        plm("choose", model_path, tmp_path / "questions", "--json"),
    ):
        assert result.exit_code == 0
        assert [json.loads(line) for line in result.stdout.splitlines()] == [c.to_dict() for c in expected]
    shown = [json.loads(line) for line in plm("choose", model_path, stdin=LINES).stdout.splitlines()]
    assert [one["choice"] for one in shown] == [
        one["choices"][choice.answer] for one, choice in zip(QUESTIONS, expected, strict=True)
    ]
    assert plm("choose", model_path, stdin="").stdout == ""


@pytest.mark.parametrize(
    "line",
    [
        *(b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"question": "a"}'),
        *(b'{"question": 1, "choices": ["a", "b"]}', b'{"question": "a", "choices": "ab"}'),
        b'{"question": "a", "choices": ["a", 2]}',
    ],
)
def test_choose_names_the_bad_line(model_path: Path, line: bytes) -> None:
    result = plm("choose", model_path, stdin=LINES.encode() + line + b"\n")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == 'Error: line 4 is not {"question": "…", "choices": ["…", …]}\n'


def test_choose_refuses_a_question_without_a_choice(model_path: Path) -> None:
    one = json.dumps({"question": "a", "choices": ["b"]})
    refuse(plm("choose", model_path, stdin=one), 1, "line 1: a question needs 2 to 26 choices, not 1")


def test_fill_prints_the_likeliest_fillings(model_path: Path) -> None:
    text = f"味{GAP}，无{GAP}。"
    filled = Model.load(model_path).fill(text, 3, 2)
    result = plm("fill", model_path, text, "--count", "3", "--max-characters", "2", "--json")
    assert json.loads(result.stdout) == filled.to_dict()
    piped = plm("fill", model_path, "-", "--count", "3", "--max-characters", "2", stdin=text + "\n")
    lines = piped.stdout.splitlines()
    assert (lines[0], lines[4], lines[-1]) == ("____ 1", "____ 2", filled.text)
    assert lines[1] == f"{filled.gaps[0][0].bits:8.1f}  {filled.gaps[0][0].text}"


def test_fill_refuses_a_text_without_a_gap(model_path: Path) -> None:
    refuse(plm("fill", model_path, "味甘"), 1, "the text has no gap: mark it with ____ (four underscores)")
    refuse(plm("fill", model_path, "-", stdin=b"\xff____"), 1, "standard input is not UTF-8 (byte 0)")
    refuse(plm("fill", model_path), 2, "Missing argument")


def test_judge_prints_a_probability_and_the_reason(model_path: Path) -> None:
    statement, against = "甘草的药性是甘平", ["甘草的药性是苦寒", "甘草的药性是辛温"]
    verdict = Model.load(model_path).judge(statement, against)
    options = [word for one in against for word in ("--against", one)]
    assert (
        plm("judge", model_path, statement, *options).stdout
        == f"{verdict.probability:.2f}  {verdict.reason}\n"
    )
    piped = plm("judge", model_path, "-", *options, "--json", stdin=statement)
    assert json.loads(piped.stdout) == verdict.to_dict()


def test_judge_refuses_what_says_nothing(model_path: Path) -> None:
    refuse(plm("judge", model_path, " 。"), 1, "the statement is empty")
    refuse(plm("judge", model_path, "甲", "--against", "甲"), 1, "empty or the statement itself")


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """A library of one small book."""
    folder = tmp_path / "library"
    text = "《本草备要》 清 汪昂\n\n天麻\n辛温，入肝经气分。益气强阴，通血脉，强筋力，疏痰气。\n"
    with Library.open(folder).writer() as writer:
        writer.add_text("本草备要", "汪昂", "清", text, file="a.txt", kind="book")
    return folder


QUOTED = "——《本草备要·天麻》"


def test_with_a_library_books_decide_too(model_path: Path, books: Path) -> None:
    line = json.dumps({"question": "强筋力、疏痰气的药是", "choices": ["甘草", "天麻"]})
    shown = json.loads(plm("choose", model_path, "--library", books, stdin=line).stdout)
    assert (shown["answer"], shown["choice"]) == (1, "天麻")
    assert shown["quotation"].endswith(QUOTED)
    plain = json.loads(plm("choose", model_path, "--library", books, "--json", stdin=line).stdout)
    assert plain.keys() == {"answer", "scores"}
    assert plain["scores"][1] > plain["scores"][0]
    filled = plm("fill", "tcm", f"益气强阴，{GAP}，强筋力", "--library", books).stdout
    *fillings, text, quotation = filled.splitlines()
    assert len(fillings) == 5
    assert fillings[0].endswith("  通血脉")
    assert text == "益气强阴，通血脉，强筋力"
    assert quotation.endswith(QUOTED)
    judged = plm("judge", model_path, "天麻辛温，入肝经气分", "--library", books).stdout
    assert 0 < float(judged[:4]) < 1
    assert judged.rstrip().endswith(QUOTED)


def test_a_library_that_says_nothing_leaves_the_model_as_it_is(model_path: Path, books: Path) -> None:
    for command in (["choose"], ["fill", f"甲{GAP}乙"], ["judge", "甲是乙", "--against", "甲是丙"]):
        line = json.dumps({"question": "甲乙", "choices": ["丙丁", "戊己"]})
        name, *rest = command
        alone = plm(name, model_path, *rest, "--json", "--library", "none", stdin=line)
        assert alone.exit_code == 0
        assert plm(name, model_path, *rest, "--json", "--library", books, stdin=line).stdout == alone.stdout


@pytest.mark.parametrize("command", [["choose"], ["fill", GAP], ["judge", "甲"]])
def test_no_such_model_is_one_line(command: list[str]) -> None:
    name, *rest = command
    refuse(plm(name, "nosuch", *rest, stdin=""), 1, "no model 'nosuch'")


def test_score_reads_an_encoding_that_it_finds_and_says_so(model_path: Path, tmp_path: Path) -> None:
    text = "黃帝問曰，余聞上古之人，春秋皆度百歲。\n" * 5
    want = plm("score", model_path, "--json", "-", stdin=text)
    assert want.stderr == ""
    for encoding, name in (("gb18030", "GB18030"), ("utf-16", "UTF-16"), ("big5", "BIG5HKSCS")):
        (tmp_path / "a.txt").write_bytes(text.encode(encoding))
        result = plm("score", model_path, tmp_path / "a.txt", "--json")
        assert result.stderr == f"{tmp_path / 'a.txt'}: read as {name}\n"
        bits, bytes_ = (json.loads(result.stdout)[key] for key in ("bits_per_byte", "bytes"))
        assert (bits, bytes_) == tuple(json.loads(want.stdout)[key] for key in ("bits_per_byte", "bytes"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.docx", b"PK\x03\x04\x00\x00", "a.docx: is a Word, EPUB or other zip file, not text; save it as"),
        ("a.pdf", b"%PDF-1.7\n\x00\x01", "a.pdf: is a PDF file, not text; save it as plain text"),
        ("a", b"\x89PNG\r\n\x1a\n", "a: is a picture, not text"),
        ("a.txt", b"", "a.txt: holds no text"),
        ("a.jsonl", b"\n", "a.jsonl: holds no text"),
        ("a.json", b'{"a": 1}', "a.json: line 1: has no text and no dialogue in a known form"),
        ("a.txt", b"\x00\x01\x02", "a.txt: line 1 holds a zero byte, as no text does"),
    ],
)
def test_score_refuses_what_is_no_text(
    model_path: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refuse(plm("score", model_path, tmp_path / name), 1, message)


def test_score_of_nothing_is_an_error(model_path: Path) -> None:
    refuse(plm("score", model_path, "-", stdin=b" \n"), 1, "standard input: holds no text")
    refuse(plm("score", model_path, "missing.txt"), 1, "missing.txt: No such file")
