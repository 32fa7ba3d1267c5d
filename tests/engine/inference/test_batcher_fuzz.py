"""The batcher whatever happens to its texts, in any order, against the same texts written one by one."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule

from engine import Batcher, Model, Sampler, Session, Stream, TopE, TopP
from engine.model.checkpoint import write_model
from tests.engine.inference.test_batcher import RINGS, TEXT
from tests.tiny_model import random_tensors

SAMPLERS: list[Sampler] = [TopE(), TopP(1.0), TopE(temperature=3, repetition_penalty=1.5)]
Pair = tuple[Session, Session]  # at the same place; the second has never been in a batcher
Running = tuple[Stream, Session, dict[str, Any]]


def load() -> Model:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        write_model(path, random_tensors(RINGS, 0), RINGS, {}, "rings", "int8")
        return Model.load(path)


MODEL = load()


class Company(RuleBasedStateMachine):
    """Sessions join, are answered, cancelled, late, stored and restored; up to three share a step."""

    idle = Bundle("idle")
    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.batcher = Batcher(MODEL, 6, threads=2, max_waiting=1000, step_seconds=0.0003)
        self.seeds = itertools.count()

    @rule(target=idle, before=st.sampled_from(["", TEXT[:3], TEXT]))
    def come(self, before: str) -> Pair:
        pair = (MODEL.session(), MODEL.session())
        for session in pair:
            session.feed(before)
        return pair

    @rule(
        target=running,
        pair=consumes(idle),
        prompt=st.sampled_from(["", "何", TEXT, TEXT * 20]),
        sampler=st.sampled_from(SAMPLERS),
        room=st.sampled_from([0, 1, 20, 90]),
        stop=st.sampled_from([[], ["a"], ["e ", "气"]]),
        late=st.booleans(),
    )
    def join(self, pair: Pair, prompt: str, late: bool, room: int, **options: Any) -> Running:
        session, alone = pair
        options |= {"seed": next(self.seeds), "max_bytes": room}
        deadline = time.monotonic() + 0.002 if late else None
        stream = self.batcher.submit(prompt, session=session, deadline=deadline, **options)
        alone.feed(prompt)
        return stream, alone, options

    @rule(target=idle, text=consumes(running))
    def finish(self, text: Running) -> Pair:
        return self.compare(*text, "".join(text[0]))

    @rule(target=idle, text=consumes(running), after=st.sampled_from([0.0, 0.001]))
    def cancel(self, text: Running, after: float) -> Pair:
        time.sleep(after)
        text[0].cancel()
        return self.compare(*text, "".join(text[0]))

    @rule(target=idle, pair=consumes(idle))
    def restore(self, pair: Pair) -> Pair:
        return MODEL.session(pair[0].snapshot()), pair[1]

    def compare(self, stream: Stream, alone: Session, options: dict[str, Any], written: str) -> Pair:
        whole = alone.fork()
        expected = "".join(whole.generate(**options))
        if stream.stop_reason in ("cancelled", "deadline"):
            assert expected.startswith(written)
            if not written:  # its prompt may have been read in part
                return MODEL.session(), MODEL.session()
            alone.feed(written)
        else:
            assert (written, stream.stop_reason) == (expected, whole.stop_reason)
            alone = whole
        assert stream.session.snapshot() == alone.snapshot()
        return stream.session, alone


TestCompany = Company.TestCase
TestCompany.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # steps wait for texts
)
