"""Texts become framed documents; what cannot be read is named."""

from __future__ import annotations

import gzip
import json
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.training.dataset import (
    DataError,
    answer_mask,
    is_foreign,
    load_text,
    prepare,
    read_to_score,
    text_to_score,
)


def test_a_text_is_cut_at_two_empty_lines() -> None:
    raw = "上篇\n\n一行\n\n\n下篇\n\n\n\n\n末\n".encode()
    documents = ["上篇\n\n一行", "下篇", "末"]
    assert prepare("a.txt", raw) == b"".join(b"\xff" + d.encode() + b"\xff" for d in documents)


def test_one_empty_line_parts_documents_if_told(tmp_path: Path) -> None:
    raw = "甲篇甲篇\n一行\n\n乙篇乙篇\n\n\n丙篇丙篇".encode()
    documents = ["甲篇甲篇\n一行", "乙篇乙篇", "丙篇丙篇"]
    framed = b"".join(b"\xff" + d.encode() + b"\xff" for d in documents)
    assert prepare("a.txt", raw, blank_lines=1) == framed
    (tmp_path / "a.txt").write_bytes(raw)
    by_two, by_one = (load_text(tmp_path / "a.txt", tmp_path / "cache", lines) for lines in (2, 1))
    assert by_one.bytes.tobytes() == framed  # not what was prepared the other way
    assert by_two.bytes.tobytes() == prepare("a.txt", raw) != framed


@given(st.binary(max_size=60) | st.lists(st.sampled_from(b"ab\xfd\xfe\xff")).map(bytes))
def test_answers_end_with_their_mark(framed: bytes) -> None:
    inside, want = False, []
    for byte in framed:
        want.append(int(inside))
        inside = byte == 0xFE or (inside and byte != 0xFF)
    assert answer_mask(np.frombuffer(framed, np.uint8)).tolist() == want


def test_windows_line_ends_and_byte_order_mark_are_dropped() -> None:
    assert prepare("a.txt", b"\xef\xbb\xbfa\r\nb\r\n") == b"\xffa\nb\xff"


def test_a_dialogue_carries_the_marks() -> None:
    turns = [("user", "问一"), ("assistant", "答一"), ("user", "问二"), ("assistant", "答二")]
    line = json.dumps({"turns": [{"role": r, "content": c} for r, c in turns]})
    want = b"\xff\xfd%b\xfe%b\xff\xfd%b\xfe%b\xff" % tuple(c.encode() for _, c in turns)
    assert prepare("a.jsonl", line.encode()) == want


def test_documents_are_shuffled_the_same_way_each_time() -> None:
    raw = "\n".join(json.dumps({"text": f"<{i}>"}) for i in range(50)).encode()
    first = prepare("a.jsonl", raw)
    assert first == prepare("a.jsonl", raw)
    assert first != b"".join(b"\xff<%d>\xff" % i for i in range(50))
    assert sorted(first.split(b"\xff")) == sorted([b"", *(b"<%d>" % i for i in range(50)), *[b""] * 50])


def test_xz_gives_the_same(tmp_path: Path) -> None:
    raw = "黄帝问曰，余闻上古之人".encode()
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(raw))
    text = load_text(tmp_path / "a.txt.xz", tmp_path / "cache")
    assert text.bytes.tobytes() == b"\xff" + raw + b"\xff"
    again = load_text(tmp_path / "a.txt.xz", tmp_path / "cache")
    assert again.bytes.tobytes() == text.bytes.tobytes()
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        (
            "a.txt",
            "甲乙丙丁\n戊己".encode() + b"\xff\n",
            "a.txt: line 2 is not UTF-8; save the file as UTF-8",
        ),
        ("a.txt", b"ok\nbad \xff\n", "a.txt: no text in UTF-8, GB18030, Big5 or UTF-16; save it as UTF-8"),
        ("a.txt", b"one\ntwo \0 three\n", "a.txt: line 2 holds a zero byte, as no text does"),
        ("a.txt", b"\n\n\n", "a.txt: holds no text"),
        ("a.csv", b"x", "a.csv: must end in .txt, .md, .jsonl or .json, also with .xz or .gz behind it"),
        ("a.docx", b"PK\x03\x04x", "a.docx: is a Word, EPUB or other zip file, not text; save it as plain"),
        ("a.txt", b"%PDF-1.7 x", "a.txt: is a PDF file, not text; save it as plain text"),
        ("a.txt", b"\xd0\xcf\x11\xe0", "a.txt: is a file of an older Office, not text"),
        ("a.txt", lzma.compress(b"abc"), "a.txt: is an .xz file; name it so"),
        ("a.txt.gz", b"not gz", "not a whole .gz file"),
        ("a.txt.xz", b"not xz", "not a whole .xz file"),
        ("a.txt.xz", lzma.compress(b"abc" * 999)[:-20], "not a whole .xz file"),
        ("a.jsonl", b'{"text": "a"}\n\n{"turns": 3}', "a.jsonl: line 3: turns is no list of turns"),
        (
            "a.jsonl",
            b'{"text": "a"}\n{"title": 3}',
            "a.jsonl: line 2: has no text and no dialogue in a known",
        ),
        ("a.jsonl", b'{"text": "a"}\n{', "a.jsonl: line 2 is no JSON: Expecting property name"),
        ("a.json", b'[{"text": "a"},\n\n{"text": null}]', "a.json: line 3: text is null: it needs a text"),
        ("a.json", b'[{"text": "a"},\n{"text": "b"', "a.json: line 1 is no JSON"),
        ("a.jsonl", b"[1, 2]", "a.jsonl: line 1: is no object of JSON"),
    ],
)
def test_bad_files_are_named(name: str, raw: bytes, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        prepare(name, raw)


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "big5", "utf-16", "utf-16-le", "utf-8-sig"])
def test_any_encoding_of_chinese_is_found(tmp_path: Path, encoding: str) -> None:
    text = "黃帝問曰，余聞上古之人，春秋皆度百歲，而動作不衰。" * 4
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    loaded = load_text(tmp_path / "a.txt", tmp_path / "cache")
    assert loaded.bytes.tobytes() == b"\xff" + text.encode() + b"\xff"
    again = load_text(tmp_path / "a.txt", tmp_path / "cache")  # found prepared, and its encoding with it
    assert again.encoding == loaded.encoding
    assert is_foreign(again.encoding) == ("utf-8" not in encoding)
    assert read_to_score("a.txt", text.encode(encoding))[0] == text.encode()
    line = json.dumps({"text": text}, ensure_ascii=False)
    assert prepare("A.JSONL", line.encode(encoding)) == b"\xff" + text.encode() + b"\xff"


@pytest.mark.parametrize("name", ["A.TXT", "a.md", "a.Markdown", "a.txt.gz", "a.text.XZ"])
def test_texts_by_other_names(name: str) -> None:
    pack = {".gz": gzip.compress, ".XZ": lzma.compress}.get(name[-3:], bytes)
    assert prepare(name, pack("上篇\r\n\r\n\r\n下篇".encode())) == "\udcff上篇\udcff\udcff下篇\udcff".encode(
        "utf-8", "surrogateescape"
    )


def test_what_is_scored_of_a_file(tmp_path: Path) -> None:
    text, line = "上篇\n\n\n下篇\n".encode(), json.dumps({"text": "末"}).encode()
    (tmp_path / "a.txt").write_bytes(text)
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(text))
    (tmp_path / "b.jsonl.xz").write_bytes(lzma.compress(line))
    assert text_to_score(tmp_path / "a.txt") == text_to_score(tmp_path / "a.txt.xz") == text
    assert text_to_score(tmp_path / "b.jsonl.xz") == "末".encode() + b"\xff"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt: cannot be read"):
        load_text(tmp_path / "gone.txt", tmp_path)
