"""The books that come along."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.library import Library, build
from engine.library.building import PAIRS, Bundle
from engine.library.pack import PACK, read_pack, read_titles


def test_they_take_at_most_16_mb_and_are_those_of_the_list() -> None:
    assert PACK.stat().st_size <= 16_000_000
    assert [book.title for _, book in read_pack()] == read_titles()


@pytest.fixture(scope="module")
def classics(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """All that is bundled, built once."""
    folder: Path = tmp_path_factory.mktemp("classics")
    build(folder)
    return Library.open(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "book", "words"),
    [
        ("桂枝加葛根汤的组成", "伤寒论", "麻黄（去节，三两）"),
        ("四君子汤由哪些药组成", None, "人参"),
        ("当归有什么功效", "本草备要", "补血"),
        ("上古之人春秋皆度百岁", "黄帝内经素问", "春秋皆度百岁"),
        ("浮脉主什么病", "濒湖脉学", "浮"),
        ("银翘散方", "温病条辨", "银翘散"),
        ("人身左血右气 生化汤", "傅青主女科歌括", "当归"),
    ],
)
def test_what_a_reader_looks_for_is_there(
    classics: Library, question: str, book: str | None, words: str
) -> None:
    assert any(words in hit.text for hit in classics.search(question, 3, book))


@pytest.mark.slow
def test_what_the_pairs_quote_stands_in_their_books(classics: Library) -> None:
    missing = [
        (pair.id, quote.book, quote.quote)
        for source in classics.sources()
        if source.kind == "pairs"
        for pair in classics.pairs_of(source.id)
        for quote in pair.quotes
        if not _stands(classics, quote.book, quote.quote)
    ]
    assert not missing


_texts: dict[str, str] = {}


def _stands(classics: Library, book: str, quote: str) -> bool:
    if book not in _texts:
        source = classics.source(book)
        _texts[book] = classics.text(source.id, 0, source.bytes)
    return quote in _texts[book]


@pytest.mark.slow
def test_each_bundled_pair_is_found_by_its_own_wordings(classics: Library) -> None:
    if not Bundle(None, PAIRS).pair_files():
        pytest.skip("no pairs are bundled")
    asked = found = 0
    for source in classics.sources():
        for pair in classics.pairs_of(source.id)[::7]:
            for wording in pair.questions:
                asked += 1
                best = classics.pairs(wording, 1)[0]
                found += best.score > 0.99 and wording in best.pair.questions
    assert found >= 0.99 * asked
