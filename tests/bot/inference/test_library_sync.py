"""What a host's library lacks of what the store wants, and how the difference is worked off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.inference.library_sync import LibrarySync, Plan, compare, copy_name, uploaded_id
from bot.store.conversations import Store
from bot.store.library import PART_BYTES, LibraryContents, LibraryStore, UploadedSource
from engine.library import Library, Pair, PortableSource, Source, portable_pair
from tests.service import wait_until


def uploaded(name: str, sha256: str = "") -> UploadedSource:
    return UploadedSource(
        name, f"title {name}", "", "", "document", f"{name}.txt", sha256 or name * 8, 1, 0.0
    )


def wanted(*names: str, **values: object) -> LibraryContents:
    return LibraryContents(1, "here", {name: uploaded(name) for name in names}, **values)  # type: ignore[arg-type]


def held(number: int, file: str, *, enabled: bool = True, sha256: str = "x", bundled: bool = False) -> Source:
    return Source(number, f"title {number}", "", "", file, sha256, enabled, "document", 1, 1, bundled)


def copy(number: int, name: str, deployment: str = "here", *, enabled: bool = True) -> Source:
    return held(number, copy_name(deployment, uploaded(name)), enabled=enabled)


def test_nothing_is_to_be_done_when_both_agree() -> None:
    assert not compare([copy(1, "a"), held(2, "/own.txt"), held(3, "b", bundled=True)], wanted("a"))


def test_what_is_missing_gone_or_decided() -> None:
    plan = compare([copy(1, "a"), copy(2, "b"), copy(3, "b")], wanted("b", "c", disabled=frozenset("b")))
    assert plan == Plan((1, 3), ((2, False),), (uploaded("c"),))
    again = compare([copy(2, "b", enabled=False)], wanted("b"))
    assert again.enabled == ((2, True),)


def test_only_copies_of_this_deployment_are_removed() -> None:
    others = [copy(1, "a", "elsewhere"), held(2, "/own.txt"), held(3, "upload:odd")]
    assert not compare(others, wanted())
    assert [uploaded_id(source, "here") for source in others] == [None, None, None]


def test_bundled_sources_follow_decisions_alone() -> None:
    one = held(1, "", bundled=True)
    assert not compare([one], wanted())
    assert compare([one], wanted(bundled={"title 1": False})).enabled == ((1, False),)
    assert not compare([one], wanted(bundled={"title 1": True}))


def test_an_own_text_gives_way_to_its_upload_once_that_is_there() -> None:
    own = held(1, "/own.txt", sha256=uploaded("a").sha256)
    assert compare([own], wanted("a")).remove == ()
    assert compare([own, copy(2, "a")], wanted("a")).remove == (1,)


def test_what_was_refused_is_not_tried_again() -> None:
    assert not compare([], wanted("a"), ["a"])


# With a store


@pytest.fixture
def library_store(store: Store) -> LibraryStore:
    return LibraryStore(store)


@pytest.fixture
def sync(library_store: LibraryStore, tmp_path: Path) -> Iterator[LibrarySync]:
    sync = LibrarySync(library_store, Library.open(tmp_path / "library"), lambda: True)
    sync.start()
    yield sync
    sync.close()


def put(store: LibraryStore, name: str, answer: str = "好。") -> UploadedSource:
    portable: PortableSource = portable_pair(Pair(name, (f"{name}吗",), answer))
    size = len(portable.data)
    source = UploadedSource(name, name, "", "", "pairs", "", portable.sha256, size, time.time())
    store.add(source, portable.data)
    return source


def test_large_texts_come_back_whole_and_unfinished_ones_lapse(library_store: LibraryStore) -> None:
    data = bytes(range(256)) * (2 * PART_BYTES // 256) + b"end"
    source = UploadedSource("a", "a", "", "", "document", "", "", len(data), 0.0)
    library_store.add(source, data)
    assert library_store.data(source) == data
    assert library_store.client.ttl("plm:{library}:text:a") == -1  # nothing of the library lapses
    library_store.remove(source)
    assert library_store.data(source) is None
    assert library_store.contents().sources == {}


def test_titles_are_given_once(library_store: LibraryStore) -> None:
    assert library_store.claim_title("价目", "a")
    assert library_store.claim_title("价目", "a")
    assert not library_store.claim_title("价目", "b")


def test_a_text_that_is_lost_or_broken_is_refused_and_the_rest_goes_in(
    library_store: LibraryStore, sync: LibrarySync
) -> None:
    lost = put(library_store, "lost")
    library_store.client.delete("plm:{library}:text:lost")
    put(library_store, "good")
    assert sync.catch_up(5)
    assert [source.title for source in sync.library.sources()] == ["good"]
    assert set(sync.refused) == {"lost"}
    library_store.remove(lost)
    assert sync.catch_up(5)
    assert sync.refused == {}


def test_a_library_that_lost_a_copy_gets_it_again(library_store: LibraryStore, sync: LibrarySync) -> None:
    put(library_store, "one")
    assert sync.catch_up(5)
    with sync.library.writer() as writer:
        writer.remove(sync.library.source("one").id)
    wait_until(lambda: sync.library.sources(), 3, "it is back")


def test_changes_wait_for_another_writer(library_store: LibraryStore, sync: LibrarySync) -> None:
    with sync.library.writer():
        put(library_store, "one")
        assert not sync.catch_up(1.5)
    assert sync.catch_up(5)
    assert [source.title for source in sync.library.sources()] == ["one"]
