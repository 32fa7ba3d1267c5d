"""All of a block or nothing of it, one writer at a time, and what is removed is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from engine.library import Library, LibraryBusyError, LibraryError, generation, store

SECRET = "祖传秘方紫金锭第七味不可外传"


def add(library: Library, text: str, title: str = "笔记", file: str = "notes.txt") -> int:
    with library.writer() as writer:
        return writer.add_text(title, "", "", text, file=file)


def found(library: Library, question: str) -> list[str]:
    return [hit.book for hit in library.search(question, 20) if question[:4] in hit.text]


def on_disk(library: Library, words: str) -> bool:
    """Whether the words stand in any file, plain or in a compressed block."""
    for path in library.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if words.encode() in data:
                return True
            at = data.find(b"\x78\x5e")
            while at >= 0:
                try:
                    if words.encode() in zlib.decompressobj().decompress(data[at:]):
                        return True
                except zlib.error:
                    pass
                at = data.find(b"\x78\x5e", at + 1)
    return False


def test_what_fails_leaves_the_library_as_it_was(library: Library) -> None:
    before = library.sources()

    def half_done() -> None:
        with library.writer() as writer:
            writer.remove(library.source("伤寒论").id)
            writer.add_text("笔记", "", "", SECRET)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        half_done()
    assert library.sources() == before
    assert found(library, SECRET) == []
    add(library, SECRET)
    assert found(library, SECRET) == ["笔记"]


def test_a_removed_source_is_found_nowhere_and_not_on_the_disk(library: Library) -> None:
    number = add(library, f"甲乙丙丁。{SECRET}。\n" * 3)
    passage = library.search(SECRET)[0].id
    assert on_disk(library, SECRET)
    with library.writer() as writer:
        writer.remove(number)
    assert found(library, SECRET) == []
    assert library.neighbours(passage) == []
    with pytest.raises(LibraryError):
        library.source(number)
    assert not on_disk(library, SECRET)


def test_numbers_are_not_given_twice(library: Library) -> None:
    number = add(library, SECRET)
    with library.writer() as writer:
        writer.remove(number)
    again = add(library, "另一篇。")
    assert again > number
    assert store.span(again)[0] > store.span(number)[1]


def test_the_same_title_from_the_same_file_replaces_and_from_another_does_not(library: Library) -> None:
    first = add(library, "旧的营业时间。")
    second = add(library, "新的营业时间。")
    other = add(library, "分店的营业时间。", file="branch.txt")
    assert first not in {source.id for source in library.sources()}
    assert library.source(second).title == "笔记"
    assert library.source(other).title == "笔记 (2)"
    assert not [hit for hit in library.search("旧的营业时间", 20) if "旧的" in hit.text]


def test_no_text_is_no_source(library: Library) -> None:
    with library.writer() as writer:
        with pytest.raises(LibraryError, match="no text"):
            writer.add_text("空", "", "", " \n")
        with pytest.raises(LibraryError, match="no source 99"):
            writer.remove(99)


def test_one_writer_at_a_time(library: Library) -> None:
    with library.writer(), pytest.raises(LibraryBusyError, match="another process is writing"):
        library.writer(wait_seconds=0.1).__enter__()
    add(library, SECRET)


HELD = """
import sys, time
from engine.library import Library
with Library.open(sys.argv[1]).writer() as writer:
    writer.add_text("笔记", "", "", sys.argv[2])
    writer.remove(1)
    if sys.argv[3] == "between":  # the index is committed, SQLite is not
        writer._index.commit()
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_killed_writer_leaves_the_library_as_it_was(library: Library, moment: str) -> None:
    before = library.sources()
    child = subprocess.Popen(
        [sys.executable, "-c", HELD, str(library.folder), SECRET, moment], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    fresh = Library.open(library.folder)
    assert fresh.sources() == before
    assert found(fresh, SECRET) == []
    assert fresh.search("桂枝加葛根汤")[0].book == "伤寒论"
    number = add(fresh, "全新的一篇文字。")
    assert [hit.source_id for hit in fresh.search("全新的一篇文字", 1)] == [number]
    assert found(fresh, SECRET) == []


def test_an_index_that_did_not_forget_is_made_to(library: Library) -> None:
    number = add(library, SECRET)
    path = generation.current(library.folder)
    assert path is not None
    with store.opened(path / generation.DATABASE) as connection:  # as if stopped after SQLite's commit
        store.remove_source(connection, number)
    assert found(library, SECRET) == []
    documents = library.documents
    add(library, "别的。")
    assert library.documents == documents  # one less, one more


READER = """
import sys, time
from engine.library import Library
library = Library.open(sys.argv[1])
state = None
while True:
    now = sorted(hit.book for hit in library.search("祖传秘方紫金锭", 20) if "紫金锭" in hit.text)
    if now != state:
        state = now
        print(time.time(), ",".join(now), flush=True)
    time.sleep(0.02)
"""


@pytest.mark.slow
def test_every_process_sees_a_change_within_two_seconds(library: Library) -> None:
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(library.folder)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline().split(" ", 1)[1] == "\n"
        number = add(library, SECRET)
        _expect(readers, "笔记")
        with library.writer() as writer:
            writer.set_enabled(number, False)
        _expect(readers, "")
        with library.writer() as writer:
            writer.set_enabled(number, True)
        _expect(readers, "笔记")
        with library.writer() as writer:
            writer.remove(number)
        _expect(readers, "")
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
            if reader.stdout is not None:
                reader.stdout.close()


def _expect(readers: list[subprocess.Popen[str]], books: str) -> None:
    done = time.time()
    for reader in readers:
        assert reader.stdout is not None
        when, seen = reader.stdout.readline().rstrip("\n").split(" ", 1)
        assert seen == books
        assert float(when) - done < 2


HAMMER = """
import sys
from engine.library import Library
library = Library.open(sys.argv[1])
for round in range(15):
    with library.writer() as writer:
        number = writer.add_text(f"{sys.argv[2]}-{round}", "", "", f"第{round}篇。麝香冰片。" * 20)
    with library.writer() as writer:
        if round % 2:
            writer.remove(number)
"""


@pytest.mark.slow
def test_several_writers_and_readers_at_once(library: Library) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", HAMMER, str(library.folder), name])
        for name in ("甲", "乙", "丙")
    ]
    while any(writer.poll() is None for writer in writers):
        for hit in library.search("麝香冰片", 20):
            assert "麝香" in hit.text or hit.book in ("本草备要", "伤寒论", "太平惠民和剂局方", "问答")
        assert library.headed("桂枝汤")
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    left = [source.title for source in library.sources() if "-" in source.title]
    assert sorted(left) == sorted(f"{name}-{n}" for name in "甲乙丙" for n in range(0, 15, 2))


def test_a_forked_process_opens_its_own(library: Library) -> None:
    assert library.search("桂枝汤")
    child = os.fork()
    if not child:
        os._exit(0 if library.search("桂枝汤")[0].heading.endswith("桂枝汤") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert library.search("桂枝汤")


def test_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "current").write_text("generation-none\n")
    with pytest.raises((LibraryError, FileNotFoundError)):
        Library.open(tmp_path).sources()
