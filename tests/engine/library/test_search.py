"""Search and reading: the right passage first, with its exact place."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.library import Library, LibraryError, Terms


def test_an_exact_heading_comes_first(library: Library) -> None:
    best = library.search("桂枝汤由哪些药组成")[0]
    assert (best.book, best.heading) == ("太平惠民和剂局方", "卷之二 治伤寒/桂枝汤")
    assert "heading = 桂枝汤" in best.why
    assert "芍药（各一两半）" in best.text


def test_hits_are_in_order_with_their_sources_text(library: Library) -> None:
    hits = library.search("太阳病头痛发热", 10)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert library.text(hit.source_id, hit.start, hit.end) == hit.text


def test_within_a_book(library: Library) -> None:
    hits = library.search("葛根 麻黄 芍药", book="伤寒论")
    assert hits
    assert {hit.book for hit in hits} == {"伤寒论"}
    with pytest.raises(LibraryError, match="no source 金匮"):
        library.search("葛根", book="金匮")


@pytest.mark.parametrize("question", ["", "   ", "？！", "\x00", "🙂", "q" * 5000, "桂" * 3000])
def test_any_question_is_answered_with_a_list(library: Library, question: str) -> None:
    assert isinstance(library.search(question), list)


@given(st.text(max_size=60))
def test_no_question_is_an_error(question: str) -> None:
    held = Library.open(_shared())
    held.search(question)
    held.pairs(question)
    held.headed(question)


_folder: list[Path] = []


def _shared() -> Path:
    return _folder[0]


@pytest.fixture(autouse=True)
def _share(library: Library) -> None:
    _folder[:] = [library.folder]


def test_own_terms(library: Library) -> None:
    assert library.search(Terms({"text": {"胃家": 1.0}}, {}))[0].heading == "辨阳明病脉证并治"
    assert library.search(Terms({}, {"当归": 1.0}))[0].heading == "草部/当归"


def test_headed_finds_entries_in_all_books_and_formulas_named_in_clauses(library: Library) -> None:
    assert [passage.book for passage in library.headed("桂枝汤方")] == ["太平惠民和剂局方"]
    clause = library.headed("桂枝加葛根汤")
    assert [passage.book for passage in clause] == ["伤寒论"]
    assert "麻黄（去节，三两）" in clause[0].text
    assert clause[0].heading == "辨太阳病脉证并治上"
    assert library.headed("没有的方") == []


def test_neighbours_stay_in_the_source(library: Library) -> None:
    for passage in library.passages(library.source("伤寒论").id):
        near = library.neighbours(passage.id, 5, 5)
        assert passage in near
        assert {other.book for other in near} == {"伤寒论"}


def test_a_source_that_is_disabled_is_in_no_answer(library: Library) -> None:
    known = library.search("升麻葛根汤")[0]
    number = library.source(known.book).id
    with library.writer() as writer:
        writer.set_enabled(number, False)
    assert known.book not in {hit.book for hit in library.search("升麻葛根汤", 50)}
    assert library.headed("升麻葛根汤") == []
    assert library.neighbours(known.id) == []
    with pytest.raises(LibraryError, match="no passage"):
        library.passage(known.id)
    assert not library.source(known.book).enabled
    with library.writer() as writer:
        writer.set_enabled(number, True)
    assert library.passage(known.id).text == known.text


def test_an_empty_folder_is_an_empty_library(tmp_path: Path) -> None:
    held = Library.open(tmp_path / "nothing")
    assert held.sources() == []
    assert held.search("桂枝汤") == []
    assert held.headed("桂枝汤") == []
    assert held.pairs("桂枝汤") == []
    assert held.documents == 0


def test_offsets_that_cut_a_character_or_lie_outside(library: Library) -> None:
    source = library.source("伤寒论")
    with pytest.raises(ValueError, match="not within"):
        library.text(source.id, 0, source.bytes + 1)
    with pytest.raises(ValueError, match="decode"):
        library.text(source.id, 1, 3)


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3000))
def test_offsets_are_exact_for_any_text(text: str) -> None:
    if not text.strip():
        return
    held = Library.open(_shared())
    with held.writer() as writer:
        number = writer.add_text("任意", "", "", text, file="any", kind="document")
    data = text.encode()
    for passage in held.passages(number):
        assert data[passage.start : passage.end].decode() == passage.text
    assert held.text(number, 0, len(data)) == text


def test_many_threads_read_one_library(library: Library) -> None:
    wrong: list[object] = []

    def read() -> None:
        for _ in range(50):
            hits = library.search("桂枝汤", 1)
            if not hits or hits[0].heading != "卷之二 治伤寒/桂枝汤":
                wrong.append(hits)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
