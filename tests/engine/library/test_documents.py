"""Files from the field: what can be read goes in with its words right, what cannot is named with why."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.library import Library
from engine.library.adding import Outcome, add
from engine.library.documents import DocumentError, Parsed, Reader
from engine.library.documents.encodings import decode
from engine.library.documents.tables import table_lines
from tests.engine.library.conftest import CORPUS
from tests.engine.library.documents_fixtures import TEXT, write_epub, write_pdf

TRADITIONAL = "針灸門診每天九點開始，週日休息。"


@pytest.fixture
def empty(tmp_path: Path) -> Library:
    return Library.open(tmp_path / "library")


def put(library: Library, path: Path) -> Outcome:
    outcomes = list(add(library, [path]))
    assert len(outcomes) == 1
    return outcomes[0]


def read(path: Path) -> Parsed:
    with Reader() as reader:
        (parsed,) = reader.read(path)
    return parsed


def assert_answers(library: Library, outcome: Outcome, words: str = "周日休息") -> None:
    assert outcome.state == "added", outcome.reason
    hits = library.search("针灸门诊周日休息吗", 3)
    assert hits
    assert words in hits[0].text
    assert library.text(hits[0].source_id, hits[0].start, hits[0].end) == hits[0].text


# -- the ten kinds


def test_a_gbk_text_with_a_name_in_chinese(empty: Library, tmp_path: Path) -> None:
    path = tmp_path / "门诊 时间（新）.txt"
    path.write_bytes(TEXT.encode("gbk"))
    outcome = put(empty, path)
    assert_answers(empty, outcome)
    assert outcome.title == "门诊 时间（新）"


def test_a_pdf_of_pictures_says_so(empty: Library, tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    path = tmp_path / "scan.pdf"
    write_pdf(path, ["", ""], picture_bytes=10_000)
    outcome = put(empty, path)
    assert outcome.state == "failed"
    assert "OCR" in outcome.reason


def test_an_encrypted_pdf_says_so(empty: Library, tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    plain = tmp_path / "plain.pdf"
    write_pdf(plain, [TEXT])
    writer = pypdf.PdfWriter(clone_from=plain)
    writer.encrypt("secret")
    path = tmp_path / "locked.pdf"
    writer.write(path)
    outcome = put(empty, path)
    assert outcome.state == "failed"
    assert "encrypted" in outcome.reason


def test_a_pdf_of_40_mb_is_read_in_little_memory(empty: Library, tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    path = tmp_path / "large.pdf"
    write_pdf(path, [f"第{n}页。\n{TEXT}" for n in range(20)], picture_bytes=40_000_000)
    assert path.stat().st_size > 40_000_000
    assert_answers(empty, put(empty, path))
    # In a process that has had no other children, so that none of theirs is measured.
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    add = [
        sys.executable,
        "-m",
        "engine.cli",
        "library",
        "--folder",
        str(tmp_path / "other"),
        "add",
        str(path),
    ]
    run = subprocess.run([sys.executable, "-c", code, *add, path], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 400_000  # kB


def test_a_docx_with_tables_and_headings(empty: Library, tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_heading("门诊", 1)
    document.add_paragraph(TEXT)
    table = document.add_table(2, 2)
    for cell, text in zip(
        [cell for row in table.rows for cell in row.cells],
        ["项目", "价格", "推拿", "一百二十元"],
        strict=True,
    ):
        cell.text = text
    path = tmp_path / "clinic.docx"
    document.save(str(path))
    outcome = put(empty, path)
    assert_answers(empty, outcome)
    assert empty.search("推拿价格")[0].heading == "门诊"
    assert "推拿 一百二十元" in empty.text(outcome.source_id, 0, empty.source(outcome.source_id).bytes)


ROOMS = [["房型", "平日", "周末"], ["大床房", "二百元", "260元"], ["家庭房", "三百元", "380元"]]


def test_the_rows_of_a_wide_table_name_their_columns(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    pytest.importorskip("bs4")
    document = docx.Document()
    table = document.add_table(3, 3)
    for row, texts in zip(table.rows, ROOMS, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    document.save(str(tmp_path / "rooms.docx"))
    rows = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in ROOMS)
    (tmp_path / "rooms.html").write_text(f"<p>价目</p><table>{rows}</table><p>含早餐。</p>", "utf-8")
    lines = "房型：大床房；平日：二百元；周末：260元\n房型：家庭房；平日：三百元；周末：380元\n"
    assert read(tmp_path / "rooms.docx").text == lines
    assert read(tmp_path / "rooms.html").text == f"价目\n{lines}含早餐。\n"


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([["地址", "中山路8号"], ["电话", "5566"]], ["地址 中山路8号", "电话 5566"]),
        ([["王丽", "内科", "周一"], ["陈建", "外科", "周五"]], ["王丽 内科 周一", "陈建 外科 周五"]),
        ([["2025年", "1月", "2月"], ["门诊", "30", "40"]], ["2025年 1月 2月", "门诊 30 40"]),
        ([["项目", "价", "注"], ["洗牙", "180元", "洗牙"]], ["项目：洗牙；价：180元；注：洗牙"]),
        ([["合计", "合计", "元"], ["1", "2", "3"]], ["合计 元", "1 2 3"]),
        ([["项目", "价", "注"], ["洗牙", "180元"]], ["项目 价 注", "洗牙 180元"]),
        ([], []),
    ],
)
def test_which_tables_name_their_columns(rows: list[list[str]], lines: list[str]) -> None:
    assert table_lines(rows) == lines


def test_a_csv_with_a_byte_order_mark_becomes_pairs(empty: Library, tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text(
        'q,a,q2,q3\n周日开门吗,周日休息。,星期天上班吗,\n多少钱,"一百元，\n不还价。",,价格\n', "utf-8-sig"
    )
    outcome = put(empty, path)
    assert outcome.state == "added", outcome.reason
    assert empty.source(outcome.source_id).kind == "pairs"
    best = empty.pairs("星期天上班吗")[0]
    assert (best.pair.answer, best.matched_question) == ("周日休息。", "星期天上班吗")
    assert empty.pairs("价格")[0].pair.answer == "一百元，\n不还价。"


def test_an_html_page(empty: Library, tmp_path: Path) -> None:
    pytest.importorskip("bs4")
    path = tmp_path / "page.html"
    path.write_bytes(
        "<html><head><meta charset=gbk><style>p{}</style></head><body><script>var 周日=1</script>"
        "<h2>时间</h2><p>针灸<b>门诊</b>每天九点开始，周日休息。</p>"
        "<table><tr><td>推拿</td><td>八十元</td></tr></table>"
        "&copy;</body></html>".encode("gbk")
    )
    parsed = read(path)
    assert "var" not in parsed.text
    assert "推拿 八十元" in parsed.text
    assert [heading.name for heading in parsed.headings or ()] == ["时间"]
    assert_answers(empty, put(empty, path))


def test_an_empty_file_says_so(empty: Library, tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    assert put(empty, path) == Outcome(str(path), "failed", reason="empty")
    path.write_text(" \n")
    assert "no text" in put(empty, path).reason


def test_a_zip_that_calls_itself_pdf(empty: Library, tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    path = tmp_path / "trick.pdf"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", TEXT)
    assert put(empty, path) == Outcome(str(path), "failed", reason="no pdf; it is a zip archive")


def test_an_epub(empty: Library, tmp_path: Path) -> None:
    pytest.importorskip("bs4")
    path = tmp_path / "book.epub"
    write_epub(path, "诊余笔记", [("时间", TEXT), ("价格", "推拿八十元。")])
    outcome = put(empty, path)
    assert_answers(empty, outcome)
    assert (outcome.title, empty.source(outcome.source_id).author) == ("诊余笔记", "王医生")
    assert empty.search("推拿")[0].heading == "价格"


# -- beside them


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (TEXT, "utf-8"), (TEXT, "utf-8-sig"), (TEXT, "gb18030"), (TEXT, "utf-16"), (TEXT, "utf-16-le"),
        (TEXT, "utf-16-be"), (TRADITIONAL, "big5"), (TRADITIONAL, "utf-16-le"), ("plain words", "utf-16-le"),
        ("补气", "gbk"), ("治㕮咀𫎚者", "gb18030"),
    ],
)  # fmt: skip
def test_the_encoding_is_found(text: str, encoding: str) -> None:
    assert decode((text + "\r\n").encode(encoding)) == text + "\n"


@pytest.mark.parametrize("data", [bytes(range(256)) * 20, b"\x00\x01\x02", b"\x89PNG\r\n\x1a\n" + bytes(500)])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"no text in UTF-8|is not"):
        decode(data)


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_are_an_error_of_another_kind(data: bytes) -> None:
    with suppress(DocumentError):
        assert isinstance(decode(data), str)


@settings(max_examples=60)
@given(st.text(st.sampled_from("的一是不了在人有治主汤方气血水风热寒阴阳，。"), min_size=4, max_size=200))
def test_chinese_survives_every_encoding(text: str) -> None:
    for encoding in ("utf-8", "gb18030", "utf-16"):
        assert decode(text.encode(encoding)) == text


def test_a_markdown_file_has_its_headings_but_not_those_of_code(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("# 门诊\n## 时间 ##\n九点。\n```\n# 注释\n```\n", "utf-8")
    assert [(h.level, h.name) for h in read(path).headings or ()] == [(1, "门诊"), (2, "时间")]


def test_a_broken_file_does_not_keep_the_rest_out(empty: Library, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(b"%PDF-1.4\n" + b"garbage " * 200)
    (folder / "b.docx").write_bytes(b"PK\x03\x04 not really")
    (folder / "c.txt").write_text(TEXT, "utf-8")
    (folder / "d.xls").write_bytes(b"ignored")
    (folder / "e.jsonl").write_text('{"question": "问"}\n', "utf-8")
    (folder / ".hidden.txt").write_text("hidden", "utf-8")
    states = {Path(outcome.file).name: outcome.state for outcome in add(empty, [folder])}
    assert states == {"a.pdf": "failed", "b.docx": "failed", "c.txt": "added", "e.jsonl": "failed"}
    assert_answers(empty, Outcome("", "added"))


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_replaces(
    empty: Library, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, "utf-8")
    first = put(empty, path)
    assert put(empty, path).state == "unchanged"
    copy = tmp_path / "copy.txt"
    copy.write_text(TEXT, "utf-8")
    assert put(empty, copy).state == "unchanged"
    path.write_text("针灸门诊周日也开，周日休息取消。", "utf-8")
    assert put(empty, path).state == "replaced"
    assert [source.title for source in empty.sources()] == ["a"]
    assert first.source_id not in {source.id for source in empty.sources()}
    assert not [hit for hit in empty.search("每天九点开始") if "九点" in hit.text]


def test_archives_that_unpack_to_far_too_much_are_refused(empty: Library, tmp_path: Path) -> None:
    path = tmp_path / "bomb.docx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"<a>" + b" " * 20_000_000)
    outcome = put(empty, path)
    assert (outcome.state, outcome.reason) == ("failed", "it unpacks to far more than it should; refused")


def test_a_corpus_gives_its_books_packed_or_not(empty: Library, tmp_path: Path) -> None:
    path = tmp_path / "books.txt.xz"
    path.write_bytes(lzma.compress(CORPUS.encode()))
    outcomes = list(add(empty, [path]))
    assert [(outcome.state, outcome.title) for outcome in outcomes] == [
        ("added", "伤寒论"), ("added", "太平惠民和剂局方"), ("added", "本草备要"),
    ]  # fmt: skip
    assert empty.source("伤寒论").author == "张仲景"
    assert empty.source("伤寒论").kind == "book"
    assert {outcome.state for outcome in add(empty, [path])} == {"unchanged"}
    path.write_bytes(lzma.compress(CORPUS.encode())[:-20])
    assert list(add(empty, [path]))[-1].reason.startswith("a broken .xz file")


def test_jsonl_of_pairs_and_of_texts(empty: Library, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    quote = {"book": "伤寒论", "quote": "太阳之为病"}
    record = {
        "id": "x1",
        "topic": "时间",
        "questions": ["几点开门", "何时开始"],
        "answer": "九点。",
        "quotes": [quote],
    }
    pairs.write_text(json.dumps(record, ensure_ascii=False) + "\n", "utf-8")
    assert put(empty, pairs).state == "added"
    pair = empty.pairs("何时开始")[0].pair
    assert (pair.id, pair.topic, pair.quotes[0].quote) == ("x1", "时间", "太阳之为病")
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"title": "停车", "text": "门口可以停车。"}\n', "utf-8")
    assert put(empty, texts).state == "added"
    assert empty.search("停车")[0].heading == "停车"


def test_half_characters_and_odd_titles_do_no_harm(empty: Library, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text('{"id": "\\ud800", "question": "几点\\ud800开门", "answer": "九\\u0000点。"}\n', "utf-8")
    assert put(empty, path).state == "added"
    assert empty.pairs("几点开门")[0].pair.answer == "九 点。"
    with empty.writer() as writer:
        number = writer.add_text(" \n", "", "", "正文。", file="/a/名字.txt")
    assert empty.source(number).title == "名字"


def test_an_upload_has_the_name_it_had_at_home(empty: Library, tmp_path: Path) -> None:
    path = tmp_path / "upload-1234.txt"
    path.write_text(TEXT, "utf-8")
    (outcome,) = add(empty, [path], name="门诊时间.txt")
    assert (outcome.title, empty.source(outcome.source_id).file) == ("门诊时间", "门诊时间.txt")
    path.write_text(TEXT + "春节停诊。", "utf-8")
    (outcome,) = add(empty, [path], name="门诊时间.txt")
    assert outcome.state == "replaced"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "line 1: no JSON object"), ("{", "line 1: no JSON object"),
        ("[" * 99_999, "line 1: no JSON object"),
        ('{"questions": [1], "answer": "x"}', "line 1: questions are a list of texts"),
        ('{"questions": [], "answer": "x"}', "line 1: a pair needs a question and an answer"),
        ('{"question": "q", "answer": "a", "quotes": [1]}', 'line 1: a quote is {"book", "quote"}'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_line_is_said(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n", "utf-8")
    with pytest.raises(DocumentError) as error:
        read(path)
    assert str(error.value) == reason


def test_a_table_without_questions_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("项目;价格\n针灸;一百元\n推拿;八十元\n", "utf-8")
    assert read(path).text == "项目：针灸；价格：一百元\n项目：推拿；价格：八十元\n"
