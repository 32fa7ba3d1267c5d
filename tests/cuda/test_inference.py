"""Inference on the executor writes, scores and remembers what the CPU does, to the last bit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import engine
from engine import Batcher, Greedy, MinP, Model, SnapshotError, TopE, TopK, TopP, Typical, Wygpt
from engine.model.checkpoint import write_model
from tests.engine.inference.test_step import CONFIGS
from tests.tiny_model import random_tensors

from .conftest import BackEnd

PROMPT = "問曰：人參何味？What is qi? é𠀀".encode() + b"\xe4\xb8"


@pytest.fixture(params=["tiny", "all", "bytes"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    config = CONFIGS[request.param]
    place = tmp_path / "model.safetensors"
    write_model(place, random_tensors(config, 3), config, {}, request.param, "int8")
    return place


def cpu(path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    with monkeypatch.context() as patch:
        patch.setenv("PLM_DEVICE", "cpu")
        return Model.load(path)


def cuda(path: Path, back_end: BackEnd, monkeypatch: pytest.MonkeyPatch) -> Model:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "engine._cuda", back_end.module)
        patch.setattr(engine, "_cuda", back_end.module, raising=False)
        patch.setenv("PLM_DEVICE", "auto")
        model = Model.load(path)
    assert model.isa == "cuda"
    return model


def written(model: Model, snapshot: bytes | None = None, size: int = 200, seed: int = 5) -> tuple[str, bytes]:
    """What follows the prompt (or a snapshot), and the snapshot behind it."""
    session = model.session(snapshot)
    if snapshot is None:
        session.feed(PROMPT)
    text = "".join(session.generate(size, TopE(), seed=seed, stop_at_end=False))
    return text, session.snapshot()


@pytest.mark.slow
def test_two_hundred_bytes(path: Path, forward_back_end: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    want, there = written(cpu(path, monkeypatch))
    got, here = written(cuda(path, forward_back_end, monkeypatch))
    assert len(want.encode()) > 190
    assert (got, here) == (want, there)


def test_every_schedule(tmp_path: Path, back_end: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path, random_tensors(CONFIGS["all"], 3), CONFIGS["all"], {}, "all", "int8")
    want = written(cpu(path, monkeypatch), size=20)
    assert written(cuda(path, back_end, monkeypatch), size=20) == want


@pytest.mark.slow
def test_snapshots_move(path: Path, forward_back_end: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, device, host, device: as if all had been written in one place."""
    host, device = cpu(path, monkeypatch), cuda(path, forward_back_end, monkeypatch)
    want, got, ends = [], [], [None, None]
    for turn, model in enumerate((host, device, host, device)):
        text, ends[0] = written(host, ends[0], 20, turn)
        want.append(text)
        text, ends[1] = written(model, ends[1], 20, turn)
        got.append(text)
    assert got == want
    assert ends[0] == ends[1]


def test_scores(path: Path, forward_back_end: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    host, device = cpu(path, monkeypatch), cuda(path, forward_back_end, monkeypatch)
    assert device.score(PROMPT).bits == host.score(PROMPT).bits
    question, choices = "何味", ["甘", "sweet", "苦"]
    assert device.choose(question, choices) == host.choose(question, choices)


def test_many_at_once(path: Path, forward_back_end: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there is room for at first, joining and leaving, each as if it were alone on the CPU."""
    host, device = cpu(path, monkeypatch), cuda(path, forward_back_end, monkeypatch)
    batcher = Batcher(device, max_batch=20)
    assert batcher.threads == 1  # they would take turns
    sizes = [4 + i % 7 for i in range(20)]
    streams = [batcher.submit("氣a", size, TopE(), seed=i) for i, size in enumerate(sizes)]
    got = ["".join(stream) for stream in streams]
    for i, size in enumerate(sizes):
        session = host.session()
        session.feed("氣a")
        assert got[i] == "".join(session.generate(size, TopE(), seed=i))


def test_a_fork_goes_its_own_way(
    path: Path, forward_back_end: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = cuda(path, forward_back_end, monkeypatch)
    session = device.session()
    session.feed(PROMPT)
    before = session.snapshot()
    stream = session.generate(40, Greedy(), stop=["\x00"])  # which holds states from before
    next(stream)
    stream.close()
    assert device.session(before).snapshot() == before


def test_what_is_no_snapshot(path: Path, forward_back_end: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    device = cuda(path, forward_back_end, monkeypatch)
    snapshot = bytearray(device.session().snapshot())
    snapshot[-60:] = b"\xff" * 60
    with pytest.raises(SnapshotError):
        device.session(bytes(snapshot))


def test_every_sampler_in_one_batch(
    forward_back_end: BackEnd, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those whose penalty changes with every byte, beside those that draw whole characters."""
    samplers = [
        Greedy(),
        Greedy(repetition_penalty=9.0, repetition_window=5),
        TopE(factor=1.3, repetition_penalty=1.5),
        TopP(temperature=0.7),
        TopK(k=5),
        MinP(),
        Typical(temperature=0.0),
        Wygpt(),
    ]
    got, want = [], []
    for model, texts in ((cuda(path, forward_back_end, monkeypatch), got), (cpu(path, monkeypatch), want)):
        batcher = Batcher(model)
        streams = [
            batcher.submit("é𠀀", 16, s, seed=i, stop_at_end=False, costs=True)
            for i, s in enumerate(samplers)
        ]
        texts += [("".join(stream), stream.bits) for stream in streams]
    assert got == want
