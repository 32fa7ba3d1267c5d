"""Sessions: reading, writing, stopping, and snapshots that continue exactly."""

from __future__ import annotations

import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import (
    ASSISTANT_MARK,
    END_MARK,
    USER_MARK,
    Greedy,
    MinP,
    Model,
    Sampler,
    SnapshotError,
    TopE,
    TopK,
    TopP,
    Typical,
    _core,
)
from engine.model.checkpoint import write_model
from tests.tiny_model import TINY, random_tensors, write_tiny_model

TEXT = "問曰：人參何味？"
# Patches by words, so that letters too may be open, and attention past its window.
WORDS = replace(
    TINY,
    patch="word",
    prefixes=64,
    views=3,
    bigrams=64,
    skip=1,
    mixers="ra",
    heads=2,
    head_size=16,
    window=16,
)
SAMPLERS = [TopE(), TopP(), TopK(), MinP(), Typical(), Greedy(), TopE(temperature=3, repetition_penalty=1.5)]


@pytest.fixture(scope="module", params=[TINY, WORDS], ids=["characters", "words"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("session") / "model.safetensors"
    write_model(path, random_tensors(request.param, 0), request.param, {}, "tiny", "int8")
    return Model.load(path)


def write(model: Model, prompt: str | bytes = TEXT, seed: int = 1, max_bytes: int = 90) -> str:
    session = model.session()
    session.feed(prompt)
    return "".join(session.generate(max_bytes, TopP(), seed, stop_at_end=False))


# Snapshots


@pytest.mark.parametrize("cut", range(len("中𠀀é ab1.c".encode()) + 1))
def test_a_snapshot_continues_exactly_even_inside_a_patch(model: Model, cut: int) -> None:
    data = "中𠀀é ab1.c".encode()
    session = model.session()
    session.feed(data[:cut])
    restored = model.session(session.snapshot())
    assert restored.snapshot() == session.snapshot()
    for each in (session, restored):
        each.feed(data[cut:] + b"x")
    assert restored.snapshot() == session.snapshot()
    texts = ["".join(each.generate(40, TopE(), seed=3)) for each in (session, restored)]
    assert texts[0] == texts[1]


def test_a_snapshot_is_taken_and_continued_while_generating(model: Model) -> None:
    session = model.session()
    pieces = session.generate(60, Greedy(), stop_at_end=False)
    begun = "".join(next(pieces) for _ in range(5))
    restored = model.session(session.snapshot())
    rest = "".join(pieces)
    room = 60 - len(begun.encode())
    assert "".join(restored.generate(room, Greedy(), stop_at_end=False)) == rest


def test_snapshots_are_small_and_do_not_grow(model: Model) -> None:
    session = model.session()
    size = len(session.snapshot())
    session.feed(TEXT * 100)
    assert len(session.snapshot()) == size == len(model.session().snapshot())


def test_a_snapshot_of_another_model_is_refused(model: Model, tmp_path: Path) -> None:
    other = Model.load(write_tiny_model(tmp_path / "other", seed=9))
    with pytest.raises(SnapshotError, match=f"another model .*{other.hash}.*{model.hash}"):
        model.session(other.session().snapshot())


@pytest.mark.parametrize("keep", [0, 3, 4, 20, 31, 32, 33, -1])
def test_a_truncated_snapshot_is_refused(model: Model, keep: int) -> None:
    snapshot = model.session().snapshot()[:keep]
    with pytest.raises(SnapshotError, match=r"cut short|bytes of state"):
        model.session(snapshot)


@given(st.data())
def test_a_damaged_snapshot_is_refused(model: Model, data: st.DataObject) -> None:
    snapshot = bytearray(model.session().snapshot())
    place = data.draw(st.integers(0, len(snapshot) - 1))
    snapshot[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SnapshotError):
        model.session(bytes(snapshot))


def test_foreign_and_newer_snapshots_are_refused_by_name(model: Model) -> None:
    snapshot = model.session().snapshot()
    with pytest.raises(SnapshotError, match="does not begin with 'PLMS'"):
        model.session(b"GIF89a" + snapshot)
    with pytest.raises(SnapshotError, match="of version 3, this engine reads 2"):
        model.session(snapshot[:4] + struct.pack("<H", 3) + snapshot[6:])
    with pytest.raises(SnapshotError, match="checksum"):
        model.session(snapshot[:-1] + bytes([snapshot[-1] ^ 1]))


# Writing


@given(st.sampled_from(SAMPLERS), st.integers(), st.binary(max_size=12) | st.text(max_size=6))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_valid_and_was_read(
    model: Model, sampler: Sampler, seed: int, prompt: bytes | str
) -> None:
    session = model.session()
    session.feed(prompt)
    session.feed(USER_MARK)  # closes what may be open, so that the text written stands by itself
    twin = model.session(session.snapshot())
    text = "".join(session.generate(60, sampler, seed))
    assert len(text.encode("utf-8", "strict")) <= 60
    twin.feed(text)
    if session.stop_reason == "end":
        twin.feed(END_MARK)
    assert twin.snapshot() == session.snapshot()


def test_pieces_are_characters(model: Model) -> None:
    pieces = list(model.session().generate(50, TopK(), seed=2))
    assert {len(piece) for piece in pieces} == {1}


def test_a_seed_fixes_the_text_and_no_seed_does_not(model: Model) -> None:
    assert write(model, seed=1) == write(model, seed=1) != write(model, seed=2)
    texts = {"".join(model.session().generate(40)) for _ in range(3)}
    assert len(texts) == 3


def test_the_end_mark_ends_and_is_read(model: Model) -> None:
    for seed in range(200):
        session = model.session()
        text = "".join(session.generate(2000, TopP(1.0), seed))
        if session.stop_reason == "end":
            twin = model.session()
            twin.feed(text.encode() + END_MARK)
            assert twin.snapshot() == session.snapshot()
            return
    pytest.fail("the model never ended")


def test_without_stop_at_end_it_goes_on_to_the_length(model: Model) -> None:
    session = model.session()
    text = "".join(session.generate(1500, TopP(1.0), 4, stop_at_end=False))
    assert session.stop_reason == "length"
    assert 1500 - 3 <= len(text.encode()) <= 1500


@pytest.mark.parametrize("room", range(8))
def test_max_bytes_is_never_exceeded_and_the_rest_is_not_read(model: Model, room: int) -> None:
    session, twin = model.session(), model.session()
    text = "".join(session.generate(room, TopP(), 11, stop_at_end=False))
    assert len(text.encode()) <= room
    assert session.stop_reason == "length"
    twin.feed(text)
    assert twin.snapshot() == session.snapshot()


def test_an_open_character_is_completed(model: Model) -> None:
    session = model.session()
    session.feed("中".encode()[:2])
    text = "".join(session.generate(1, TopP(), seed=5, stop_at_end=False))
    assert text.encode()[:2] == "中".encode()[:2]
    assert len(text) == 1


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_stop_string_is_neither_yielded_nor_read(model: Model, length: int) -> None:
    whole = write(model)
    stop = whole[8 : 8 + length]
    session, twin = model.session(), model.session()
    session.feed(TEXT)
    text = "".join(session.generate(90, TopP(), 1, [stop, "never there"], stop_at_end=False))
    assert text == whole[: whole.index(stop)]
    assert session.stop_reason == "stop"
    twin.feed(TEXT + text)
    assert twin.snapshot() == session.snapshot()


def test_what_a_stop_string_holds_back_comes_out_at_the_end(model: Model) -> None:
    whole = write(model)
    session = model.session()
    session.feed(TEXT)
    stop = whole[-2:] + "x"
    assert "".join(session.generate(90, TopP(), 1, stop, stop_at_end=False)) == whole
    assert session.stop_reason == "length"


def test_closing_early_leaves_the_session_where_the_reader_was(model: Model) -> None:
    whole = write(model)
    session, twin = model.session(), model.session()
    session.feed(TEXT)
    pieces = session.generate(90, TopP(), 1, [whole[3:6] + "x"], stop_at_end=False)
    text = "".join(next(pieces) for _ in range(4))
    pieces.close()
    assert session.stop_reason == "cancelled"
    twin.feed(TEXT + text)
    assert twin.snapshot() == session.snapshot()


def test_cancel_is_asked_before_each_character(model: Model) -> None:
    session = model.session()
    asked = 0

    def cancel() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    assert len("".join(session.generate(90, TopP(), 1, stop_at_end=False, cancel=cancel))) == 3
    assert session.stop_reason == "cancelled"


def test_wrong_arguments_are_refused_at_once(model: Model) -> None:
    session = model.session()
    with pytest.raises(ValueError, match="max_bytes"):
        session.generate(-1)
    with pytest.raises(ValueError, match="stop string"):
        session.generate(stop=[""])
    with pytest.raises(UnicodeEncodeError):
        session.feed("\ud800")
    assert session.snapshot() == model.session().snapshot()


# Reading


def test_dialogue_depends_on_earlier_turns(model: Model) -> None:
    def bits(*turns: bytes) -> float:
        session = model.session()
        session.feed(b"".join(turns))
        return session.score("甘草")

    first = USER_MARK + "人參".encode() + ASSISTANT_MARK + "味甘".encode() + END_MARK
    question = USER_MARK + "何味".encode() + ASSISTANT_MARK
    assert bits(question) != bits(first, question)


def test_feeding_while_generating_is_refused(model: Model) -> None:
    session = model.session()
    pieces = session.generate(30, TopP(), 1)
    next(pieces)
    for use in (lambda: session.feed("x"), lambda: session.score("x"), lambda: list(session.generate())):
        with pytest.raises(RuntimeError, match="generating"):
            use()
    list(pieces)
    session.feed("x")


def test_sessions_of_one_model_work_in_many_threads(model: Model) -> None:
    expected = [write(model, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda seed: write(model, seed=seed), range(8))) == expected


def test_one_session_in_two_threads_is_refused(model: Model) -> None:
    session = model.session()
    text = TEXT.encode() * 40_000  # long enough to be still at work
    refusals = set()

    def read() -> None:
        try:
            session.feed(text)
        except RuntimeError as error:  # the snapshot was there first
            refusals.add(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    while reader.is_alive():
        try:
            session.snapshot()
        except RuntimeError as error:
            refusals.add(str(error))
    reader.join()
    assert refusals == {"the session is in use by another thread"}
    assert np.isfinite(session.logits()).all()


# Many texts at once


@given(st.binary(max_size=12), st.lists(st.binary(max_size=20), max_size=80))
def test_each_text_costs_what_it_costs_alone(model: Model, before: bytes, texts: list[bytes]) -> None:
    session = model.session()
    session.feed(before)
    snapshot = session.snapshot()
    together = session.bits_each(texts)
    assert session.snapshot() == snapshot
    alone = [model.session(snapshot).bits(text) for text in texts]
    assert len(together) == len(alone)
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))


def test_sessions_that_read_a_byte_each_in_one_batch_read_what_they_read_alone(model: Model) -> None:
    start = _core.Session(model.network)
    start.feed(TEXT.encode())
    sessions = [start.fork() for _ in range(70)]
    rows = [bytes([(i * 7 + place * 31) % 256 for i in range(70)]) for place in range(5)]
    rows += [b"a" + b"\xe4" * 69, b"\xff" * 70]  # the last closes 1 + 2 + 2 + … characters
    for row in rows:
        _core.feed_bytes(sessions, row)
    logits = _core.logits_of(sessions)
    for i, session in enumerate(sessions):
        alone = start.fork()
        alone.feed(bytes(row[i] for row in rows))
        assert alone.save() == session.save()
        assert np.array_equal(alone.logits(), logits[i])


def test_a_batch_of_sessions_needs_a_byte_each_and_every_session_once(model: Model) -> None:
    session = _core.Session(model.network)
    with pytest.raises(ValueError, match="one byte for each session"):
        _core.feed_bytes([session], b"ab")
    with pytest.raises(RuntimeError, match="in use"):
        _core.logits_of([session, session])
