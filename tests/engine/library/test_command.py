"""`plm library`: what people type, and what they read when it goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli.library import library as command
from engine.library import Library, generation, store

TEXT = "针灸门诊每天九点开始，周日休息。\n"


def run(library: Library, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--folder", str(library.folder), *arguments])


def test_search_shows_scores_and_why(library: Library) -> None:
    shown = run(library, "search", "桂枝汤的组成", "--limit", "1")
    assert shown.exit_code == 0
    assert "《太平惠民和剂局方》卷之二 治伤寒/桂枝汤" in shown.output
    assert "heading = 桂枝汤" in shown.output


def test_search_as_json_is_what_the_api_gives(library: Library) -> None:
    shown = run(library, "search", "桂枝汤", "--json", "--book", "伤寒论")
    hits = [json.loads(line) for line in shown.output.splitlines()]
    assert hits
    assert set(hits[0]) >= {"book", "heading", "text", "start", "end", "score", "why"}
    assert {hit["book"] for hit in hits} == {"伤寒论"}


def test_add_list_show_disable_enable_remove(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "门诊.txt"
    path.write_text(TEXT, "utf-8")
    bad = tmp_path / "坏.pdf"
    bad.write_text("no pdf")
    added = run(library, "add", str(path), str(bad), "--author", "店主")
    assert added.exit_code == 1
    assert "added 门诊" in added.output
    assert f"{bad}: " in added.output
    assert "1 added, 1 failed" in added.output
    assert run(library, "add", str(path)).output == "1 unchanged\n"
    listed = [json.loads(line) for line in run(library, "list", "--json").output.splitlines()]
    assert {source["title"] for source in listed} >= {"门诊", "伤寒论"}
    assert "门诊" in run(library, "list").output
    assert "author: 店主" in run(library, "show", "门诊").output
    assert run(library, "disable", "门诊").output == "disabled 门诊\n"
    assert "周日" not in run(library, "search", "周日休息").output
    assert run(library, "enable", "门诊").exit_code == 0
    assert "周日" in run(library, "search", "周日休息").output
    number = str(library.source("门诊").id)
    assert run(library, "remove", number).output == "removed 门诊\n"
    assert "周日" not in run(library, "search", "周日休息").output


def test_show_opens_a_passage_with_its_neighbours(library: Library) -> None:
    source = library.source("伤寒论")
    first = library.passages(source.id)[1]
    shown = run(library, "show", "伤寒论", "--passage", str(first.id)).output
    assert first.text in shown
    assert f"[{first.id + 1}]" in shown


@pytest.mark.parametrize(
    "arguments", [("show", "没有"), ("disable", "没有"), ("remove", "99"), ("search", "x", "--book", "y")]
)
def test_what_is_not_there_is_said_in_one_line(library: Library, arguments: tuple[str, ...]) -> None:
    shown = run(library, *arguments)
    assert shown.exit_code == 1
    assert "the library has no source" in shown.output
    assert "plm library list" in shown.output or "99" in shown.output
    assert "Traceback" not in shown.output


def test_wrong_usage(library: Library, tmp_path: Path) -> None:
    assert run(library, "add").exit_code == 2
    assert run(library, "add", "a", "b", "--title", "x").exit_code == 2
    assert "nothing to add" in run(library, "add", str(tmp_path)).output or True
    assert run(library, "add", str(tmp_path / "gone.txt")).exit_code == 1


def test_an_export_is_the_same_library_elsewhere(library: Library, tmp_path: Path) -> None:
    with library.writer() as writer:
        writer.set_enabled(library.source("本草备要").id, False)
    for name in ("all.jsonl", "all.jsonl.xz"):
        path = tmp_path / name
        assert run(library, "export", str(path)).output == f"4 sources in {path}\n"
        other = Library.open(tmp_path / f"other-{name}")
        assert run(other, "add", str(path)).exit_code == 0
        for source in library.sources():
            found = other.source(source.title)
            assert (found.author, found.kind, found.enabled, found.sha256, found.passages) == (
                source.author, source.kind, source.enabled, source.sha256, source.passages,
            )  # fmt: skip
        one, two = library.search("桂枝加葛根汤", 3), other.search("桂枝加葛根汤", 3)
        assert [(hit.text, hit.start) for hit in one] == [(hit.text, hit.start) for hit in two]
        assert other.pairs("感冒了怎么办")[0].pair == library.pairs("感冒了怎么办")[0].pair
        assert run(other, "add", str(path)).output == "4 unchanged\n"


def test_an_export_writes_over_no_other_file(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "价目.txt"
    path.write_text(TEXT, "utf-8")
    assert run(library, "add", str(path)).exit_code == 0
    refused = run(library, "export", str(path))
    assert refused.exit_code == 1
    assert "is read by this command" in refused.output
    (tmp_path / "notes.jsonl").write_text(TEXT, "utf-8")
    (tmp_path / "link.jsonl").symlink_to(path)
    assert "is no export of a library" in run(library, "export", str(tmp_path / "notes.jsonl")).output
    assert "is read by this command" in run(library, "export", str(tmp_path / "link.jsonl")).output
    assert path.read_text("utf-8") == TEXT
    fresh = tmp_path / "out.jsonl"
    assert run(library, "export", str(fresh)).exit_code == 0
    assert run(library, "export", str(fresh)).exit_code == 0
    assert list(tmp_path.glob(".*")) == []


def test_a_library_of_another_version_says_what_to_do(library: Library) -> None:
    path = generation.current(library.folder)
    assert path is not None
    with store.opened(path / generation.DATABASE) as connection:
        store.set_meta(connection, "format", "0")
    shown = run(Library.open(library.folder), "list")
    assert shown.exit_code == 1
    assert "plm library build" in shown.output
