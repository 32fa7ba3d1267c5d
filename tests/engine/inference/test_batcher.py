"""The batcher: every text as if it were alone, whoever comes, goes, waits or fails beside it.

Where a test must catch a text in the middle, the batcher is made slow (`step_seconds`), not the test.
"""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from engine import (
    Batcher,
    BusyError,
    Greedy,
    MinP,
    Model,
    Sampler,
    Session,
    Stream,
    TopE,
    TopK,
    TopP,
    Typical,
)
from engine.model.checkpoint import write_model
from tests.tiny_model import TINY, random_tensors, write_talkative_model, write_tiny_model

TEXT = "問曰：人參何味？其氣 warm，"
RINGS = replace(TINY, patch="word", skip=1, mixers="ra", heads=2, head_size=16, window=16)
SAMPLERS: list[Sampler] = [
    TopE(), TopP(1.0), TopK(), MinP(), Typical(), Greedy(), TopE(temperature=3, repetition_penalty=1.5),
]  # fmt: skip
SLOW = 0.02  # seconds a step


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(write_tiny_model(tmp_path_factory.mktemp("batcher") / "tiny.safetensors"))


@pytest.fixture(scope="module", params=["characters", "words and attention", "ending"])
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("batcher") / "model.safetensors"
    if request.param == "characters":
        return Model.load(write_tiny_model(path))
    if request.param == "ending":
        return Model.load(write_talkative_model(path))
    write_model(path, random_tensors(RINGS, 0), RINGS, {}, "rings", "int8")
    return Model.load(path)


def fed(model: Model, text: str | bytes) -> Session:
    session = model.session()
    session.feed(text)
    return session


class Case:
    """One text: what is asked for, and what Session.generate makes of it."""

    def __init__(self, model: Model, number: int) -> None:
        self.model, self.number = model, number
        dice = random.Random(number)
        self.before = TEXT.encode()[: dice.randrange(30)] if number % 4 == 0 else b""
        self.prompt = (TEXT * 60)[: dice.choice([0, 1, 7, 40, 300, 800])]
        self.max_bytes = dice.choice([0, 1, 5, 60, 200])
        self.options = {
            "sampler": SAMPLERS[number % len(SAMPLERS)],
            "seed": number,
            "stop": ("气", "a", "e ")[: number % 3],
            "stop_at_end": number % 2 == 0,
        }

    def submit(self, batcher: Batcher) -> Stream:
        session = fed(self.model, self.before)
        return batcher.submit(self.prompt, self.max_bytes, session=session, **self.options)

    def alone(self) -> tuple[str, str | None, bytes]:
        session = fed(self.model, self.before)
        session.feed(self.prompt)
        text = "".join(session.generate(self.max_bytes, **self.options))
        return text, session.stop_reason, session.snapshot()


def outcome(stream: Stream) -> tuple[str, str | None, bytes]:
    text = "".join(stream)
    assert stream.stop_reason == stream.session.stop_reason
    return text, stream.stop_reason, stream.session.snapshot()


@pytest.mark.parametrize("threads", [1, 3])
def test_texts_that_come_and_go_are_those_written_alone(any_model: Model, threads: int) -> None:
    """Joining whenever a reader is ready, with fewer places than texts."""
    cases = [Case(any_model, number) for number in range(84)]
    batcher = Batcher(any_model, 11, threads=threads)
    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(lambda case: outcome(case.submit(batcher)), cases))
    for case, one in zip(cases, found, strict=True):
        assert one == case.alone(), case.number
    reasons = {reason for _, reason, _ in found}
    assert {"length", "stop"} <= reasons


def test_the_model_ends_texts_by_itself(tmp_path: Path) -> None:
    model = Model.load(write_talkative_model(tmp_path / "talkative.safetensors"))
    batcher = Batcher(model)
    streams = [batcher.submit("何", 3000, TopP(1.0), seed) for seed in range(8)]
    for seed, stream in enumerate(streams):
        alone = fed(model, "何")
        assert "".join(stream) == "".join(alone.generate(3000, TopP(1.0), seed))
        assert stream.session.snapshot() == alone.snapshot()
    assert "end" in {stream.stop_reason for stream in streams}


def test_a_session_goes_on_from_batch_to_batch(model: Model) -> None:
    batcher, twin = Batcher(model), fed(model, TEXT)
    session = model.session(twin.snapshot())
    for seed in range(3):
        stream = batcher.submit(session, 50, TopP(), seed)
        assert stream.session is session
        assert "".join(stream) == "".join(twin.generate(50, TopP(), seed))
    assert session.snapshot() == twin.snapshot()


def test_the_bits_of_what_is_written_are_those_of_reading_it(any_model: Model) -> None:
    stream = Batcher(any_model).submit(TEXT, 150, TopP(1.0), 3, ["气", "e "], stop_at_end=False, costs=True)
    text = "".join(stream)
    assert stream.bits == pytest.approx(fed(any_model, TEXT).bits(text).sum(), rel=1e-9)


def test_a_text_is_the_same_whether_or_not_its_costs_are_counted(any_model: Model) -> None:
    batcher = Batcher(any_model)
    counted, bare = (batcher.submit(TEXT, 60, TopP(1.0), 3, costs=costs) for costs in (True, False))
    assert "".join(counted) == "".join(bare)
    with pytest.raises(ValueError, match="submit it with costs=True"):
        _ = bare.bits


# Leaving early


def read_some(stream: Stream, characters: int) -> str:
    text = ""
    while len(text) < characters:
        text += stream.read(5)
        assert not stream.ended
    return text


def test_a_cancelled_text_ends_and_its_session_has_read_it(model: Model) -> None:
    batcher = Batcher(model, step_seconds=SLOW)
    other = batcher.submit(TEXT, 60, TopP(), 2)
    stream = batcher.submit(TEXT, 10**6, TopP(), 1, stop=["never there"])
    text = read_some(stream, 3)
    stream.cancel()
    text += "".join(stream)
    assert stream.stop_reason == stream.session.stop_reason == "cancelled"
    assert fed(model, TEXT + text).snapshot() == stream.session.snapshot()
    assert "".join(other) == "".join(fed(model, TEXT).generate(60, TopP(), 2))


def test_a_deadline_ends_a_text_with_what_there_is(model: Model) -> None:
    batcher = Batcher(model, 1, step_seconds=SLOW)
    stream = batcher.submit(TEXT, 10**6, TopP(), 1, deadline=time.monotonic() + 10 * SLOW)
    in_line = batcher.submit(TEXT, 60, TopP(), 1, deadline=time.monotonic() + SLOW)
    assert "".join(in_line) == ""
    text = "".join(stream)
    assert (stream.stop_reason, in_line.stop_reason) == ("deadline", "deadline")
    assert text == "".join(fed(model, TEXT).generate(10**6, TopP(), 1, cancel=turns(len(text))))
    assert fed(model, TEXT + text).snapshot() == stream.session.snapshot()


def turns(count: int) -> object:
    left = iter(range(count))
    return lambda: next(left, None) is None


def test_a_session_belongs_to_the_batcher_until_its_text_has_ended(model: Model) -> None:
    batcher = Batcher(model, step_seconds=SLOW)
    stream = batcher.submit("", 10**6)
    for use in (
        lambda: stream.session.feed("x"),
        stream.session.snapshot,
        lambda: batcher.submit(stream.session),
    ):
        with pytest.raises(RuntimeError, match="in use"):
            use()
    stream.cancel()
    list(stream)
    stream.session.feed("x")


# The line


def test_who_finds_no_place_waits_in_line_and_a_full_line_is_busy(model: Model) -> None:
    batcher = Batcher(model, 2, threads=2, max_waiting=2, step_seconds=SLOW)
    streams = [batcher.submit(TEXT, 10**6, seed=seed) for seed in range(4)]
    assert batcher.load == (2, 2)
    session = model.session()
    with pytest.raises(BusyError, match="the engine is busy: 2 texts are being written and 2 wait"):
        batcher.submit(session)
    session.feed("not in use")
    assert streams[2].read(5 * SLOW) == ""
    streams[0].cancel()
    assert read_some(streams[2], 1)  # the first in line takes the place
    streams[3].cancel()
    assert (list(streams[3]), streams[3].stop_reason) == ([], "cancelled")
    assert batcher.load == (2, 0)


def test_a_long_prompt_holds_up_the_others_by_a_piece_for_each_character(model: Model) -> None:
    """In steps: while 6,000 bytes are read in pieces of 256, the others write a character a piece; short
    prompts that come later take their turn between the pieces and are answered long before it."""
    batcher = Batcher(model, threads=1, step_seconds=0.005)
    writing = batcher.submit("", 10**6, TopP(), 1)
    read_some(writing, 1)
    long = batcher.submit("藥" * 2000, 300, TopP(), 2)
    short = [batcher.submit(TEXT, 300, TopP(), seed) for seed in range(3)]
    waited = read_some(writing, 1)
    while not long.read(0):
        waited += writing.read(0.002)
    pieces = -(-(6000 + 3 * len(TEXT.encode())) // 256)
    assert pieces - 2 <= len(waited) <= pieces + 12
    for stream in short:
        assert len(stream.read(0)) >= pieces / 2
    for stream in (writing, long, *short):
        stream.cancel()


def test_every_text_gets_a_character_a_step(model: Model) -> None:
    batcher = Batcher(model, threads=1, step_seconds=SLOW)
    streams = [batcher.submit(TEXT, 10**6, TopP(), seed) for seed in range(20)]
    for stream in streams:
        read_some(stream, 1)
    time.sleep(10 * SLOW)
    for stream in streams:
        stream.cancel()
    sizes = [len("".join(stream)) for stream in streams]
    assert max(sizes) - min(sizes) <= 22  # they joined within a step of each other, and were read in turn


# Failing


def test_an_error_in_one_text_leaves_the_others(tmp_path: Path) -> None:
    """The rows of one character, which no text has unless it is fed, add up to more than a float can be."""
    tensors = random_tensors(TINY, 0)
    tensors["lead_embedding"][1] = tensors["char_embedding"][1] = 3e38
    write_model(tmp_path / "poison.safetensors", tensors, TINY, {}, "poison", "int8")
    model = Model.load(tmp_path / "poison.safetensors")
    batcher = Batcher(model, threads=1, step_seconds=0.001)
    good = [batcher.submit("好", 150, TopP(1.0), seed, stop_at_end=False) for seed in range(3)]
    bad = batcher.submit("\x01", 100)
    with pytest.raises(ValueError, match="finite"):
        list(bad)
    assert bad.stop_reason == bad.session.stop_reason == "error"
    assert (bad.ended, bad.read()) == (True, "")
    with pytest.raises(ValueError, match="finite"):
        list(fed(model, "\x01").generate(100))
    good.append(batcher.submit("好", 150, TopP(1.0), 3, stop_at_end=False))
    for seed, stream in enumerate(good):
        alone = fed(model, "好").generate(150, TopP(1.0), seed, stop_at_end=False)
        assert "".join(stream) == "".join(alone)


def test_wrong_arguments_are_refused_at_once(model: Model, tmp_path: Path) -> None:
    batcher = Batcher(model)
    session = model.session()
    for wrong, message in (
        ({"max_bytes": -1}, "max_bytes"),
        ({"stop": ["a", ""]}, "stop string"),
    ):
        with pytest.raises(ValueError, match=message):
            batcher.submit(session=session, **wrong)
    other = Model.load(write_tiny_model(tmp_path / "other.safetensors", seed=1))
    with pytest.raises(ValueError, match="another model"):
        batcher.submit(other.session())
    for size in (0, -1):
        with pytest.raises(ValueError, match="impossible"):
            Batcher(model, size)
    assert session.snapshot() == model.session().snapshot()


# Coming to an end


def test_a_batcher_that_goes_ends_its_texts_and_nothing_is_left(model: Model) -> None:
    before = threading.active_count(), native_threads()
    batcher = Batcher(model, 4, threads=3, step_seconds=SLOW)
    sessions = [model.session() for _ in range(9)]
    streams = [batcher.submit(TEXT, 10**6, session=session) for session in sessions]
    read_some(streams[0], 2)
    assert native_threads() == before[1] + 3
    natives = [stream._native for stream in streams]
    gone = weakref.ref(batcher)
    del batcher, streams
    gc.collect()
    assert gone() is None
    assert (threading.active_count(), native_threads()) == before
    assert {native.finish_reason for native in natives} == {"cancelled"}
    for session in sessions:
        session.feed("free again")


def native_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_text_that_nobody_holds_ends_and_frees_its_place(model: Model) -> None:
    batcher = Batcher(model, 2, step_seconds=0.001)
    for _ in range(20):
        abandoned = batcher.submit(TEXT, 10**6)
        abandoned.read(5)
        del abandoned
        gc.collect()
    end = time.monotonic() + 20
    while batcher.load != (0, 0) and time.monotonic() < end:
        time.sleep(0.01)
    assert batcher.load == (0, 0)


def test_memory_does_not_grow_with_texts_that_have_ended(model: Model) -> None:
    batcher = Batcher(model, 16)

    def run(count: int) -> None:
        for stream in [batcher.submit(TEXT, 30, seed=seed) for seed in range(count)]:
            "".join(stream)

    run(200)
    before = resident()
    for _ in range(10):
        run(200)
    assert resident() - before < 4 << 20  # 2,000 states of these are 5 MB


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_idle_threads_use_no_time(model: Model) -> None:
    batcher = Batcher(model, threads=4)
    "".join(batcher.submit(TEXT, 30))
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_pieces_that_come_fast_are_joined(model: Model) -> None:
    batcher = Batcher(model, step_seconds=0.005)
    pieces = list(batcher.submit(TEXT, 200, TopP(), 1, stop_at_end=False, join=0.1))
    assert "".join(pieces) == "".join(fed(model, TEXT).generate(200, TopP(), 1, stop_at_end=False))
    assert len(pieces[0]) <= 3  # the first is not waited for
    assert len(pieces) < len("".join(pieces)) / 5


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    before = native_threads()
    gc.freeze()  # what other tests and their libraries hold: to look through it takes up to a second
    yield
    gc.collect()
    gc.unfreeze()
    end = time.monotonic() + 5
    while native_threads() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert native_threads() <= before
