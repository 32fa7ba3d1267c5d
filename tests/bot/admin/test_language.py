"""Why something failed, in the language of the page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.admin.language import CHINESE, in_chinese

ROOT = Path(__file__).resolve().parents[3]
# Who says why a file, a source, a pair or a broadcast was refused; and the classes whose text is that reason.
SOURCES = (
    *sorted((ROOT / "engine/library/documents").glob("*.py")), ROOT / "engine/library/portable.py",
    ROOT / "engine/library/writer.py", ROOT / "bot/admin/broadcasts.py",
)  # fmt: skip
REASONS = {"DocumentError", "LibraryError", "BroadcastError"}


def reasons(path: Path) -> Iterator[str]:
    """Each reason that the file gives, with "7" for what differs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in REASONS:
            for argument in node.args:
                yield from texts(argument)


def texts(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "7" for v in values)
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*texts(body), *texts(orelse))


def test_every_reason_of_the_sources_is_in_the_table() -> None:
    said = [reason for path in SOURCES for reason in reasons(path)]
    assert len(said) > 35
    internal = ("the library has no source 7",)  # no page asks for one that it did not list
    assert [one for one in said if in_chinese(one).endswith(f"：{one}") and one not in internal] == []


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("no text in it", "里面没有文字"),
        ("no pdf; it is a zip archive", "不是 pdf，而是 zip 压缩包"),
        ("no docx: an encrypted or old Office file; save it as .docx without a password",
         "不是 docx：是加密的或旧版的 Office 文件；请去掉密码另存为 .docx"),
        ("a broken pdf: ValueError: two\nlines", "pdf 已损坏：ValueError: two\nlines"),
        ('line 3: a quote is {"book", "quote"}', '第 3 行：引文应是 {"book", "quote"}'),
        ("questions: each must have 1 to 200 characters", "每种问法要有 1 到 200 个字"),
        ("something new {}", "没有成功：something new {}"),
    ],
)  # fmt: skip
def test_a_reason_in_chinese(english: str, chinese: str) -> None:
    assert in_chinese(english) == chinese


def test_both_sides_name_the_same_things() -> None:
    assert [one for one, other in CHINESE.items() if one.count("{}") < other.count("{}")] == []
    assert [other for other in CHINESE.values() if not re.search("[一-鿿]", other)] == []
