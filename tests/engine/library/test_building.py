"""The bundled texts: built as a whole or not at all, with the owner's texts and wishes kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.library import Library, build, is_built
from engine.library.building import Bundle
from engine.library.pack import read_pack, write_pack
from engine.library.records import LibraryError

TITLES = ["伤寒论", "本草备要"]


@pytest.fixture
def bundle(tmp_path: Path, corpus: Path) -> Bundle:
    pack = tmp_path / "books.txt.xz"
    write_pack(pack, corpus, TITLES)
    folder = tmp_path / "pairs"
    folder.mkdir()
    pair = {"id": "1", "topic": "失眠", "questions": ["失眠怎么办"], "answer": "归脾汤。", "quotes": []}
    (folder / "complaints.jsonl").write_text(json.dumps(pair, ensure_ascii=False) + "\n", encoding="utf-8")
    return Bundle(pack, folder)


@pytest.fixture
def built(tmp_path: Path, bundle: Bundle) -> Library:
    folder = tmp_path / "built"
    build(folder, bundle)
    return Library.open(folder)


def test_a_pack_gives_back_its_books_in_order(bundle: Bundle, library: Library) -> None:
    assert bundle.pack is not None
    books = [book for _, book in read_pack(bundle.pack)]
    assert [book.title for book in books] == TITLES
    source = library.source("伤寒论")
    assert books[0].text == library.text(source.id, 0, source.bytes)


def test_a_pack_needs_all_its_books(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(LibraryError, match="lacks 金匮"):
        write_pack(tmp_path / "p.xz", corpus, ["伤寒论", "金匮"])


def test_a_build_says_how_far_it_is_and_what_it_built(tmp_path: Path, bundle: Bundle) -> None:
    folder = tmp_path / "new"
    assert not is_built(folder, bundle)
    told: list[tuple[float, str]] = []
    build(folder, bundle, progress=lambda share, what: told.append((share, what)))
    assert told[-1][0] == 1.0
    assert {what for _, what in told} >= set(TITLES)
    assert is_built(folder, bundle)
    sources = Library.open(folder).sources()
    assert [(source.title, source.kind, source.bundled) for source in sources] == [
        ("伤寒论", "book", True),
        ("本草备要", "book", True),
        ("常见问答·complaints", "pairs", True),
    ]


def test_other_texts_make_it_out_of_date(built: Library, bundle: Bundle) -> None:
    assert is_built(built.folder, bundle)
    (bundle.pairs / "more.jsonl").write_text('{"question":"问","answer":"答"}\n', encoding="utf-8")
    assert not is_built(built.folder, bundle)


def test_a_new_build_keeps_the_owners_texts_and_wishes(built: Library, bundle: Bundle) -> None:
    with built.writer() as writer:
        own = writer.add_text("价目", "店主", "2026", "针灸一百元。\n\n停诊\n周日停诊。", file="/x/价目.txt")
        writer.set_enabled(built.source("伤寒论").id, False)
        writer.remove(built.source("本草备要").id)
    passages = built.passages(own)
    highest = max(source.id for source in built.sources())
    build(built.folder, bundle)
    assert [source.title for source in built.sources()] == ["价目", "伤寒论", "常见问答·complaints"]
    assert built.passages(own) == passages
    assert built.source("价目").author == "店主"
    assert not built.source("伤寒论").enabled
    assert built.source("伤寒论").id > highest
    build(built.folder, bundle, everything=True)
    assert built.source("本草备要").enabled


def test_readers_go_over_to_the_new_build(built: Library, bundle: Bundle) -> None:
    before = built.source("伤寒论").id
    build(built.folder, bundle)
    assert built.search("桂枝加葛根汤")[0].source_id == built.source("伤寒论").id > before
    assert len(list(built.folder.glob("generation-*"))) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from engine.library.building import Bundle, build
def tell(share, what):
    if what == sys.argv[4]:
        os.kill(os.getpid(), signal.SIGKILL)
build(Path(sys.argv[1]), Bundle(Path(sys.argv[2]), Path(sys.argv[3])), tell)
"""


@pytest.mark.parametrize("moment", ["本草备要", "index"])
def test_a_killed_build_leaves_nothing_half(
    built: Library, bundle: Bundle, tmp_path: Path, moment: str
) -> None:
    before = built.sources()
    for folder in (built.folder, tmp_path / "first"):
        run = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(bundle.pack), str(bundle.pairs), moment],
            check=False,
        )
        assert run.returncode == -signal.SIGKILL
    assert built.sources() == before
    assert built.search("桂枝加葛根汤")
    assert Library.open(tmp_path / "first").sources() == []
    with built.writer():
        pass
    assert len(list(built.folder.glob("generation-*"))) == 1
    build(tmp_path / "first", bundle)
    assert is_built(tmp_path / "first", bundle)
