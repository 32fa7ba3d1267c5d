"""The step and the head: equal to the equations, and to the last bit the same however the work is cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Model, _core, _ops
from engine.model.checkpoint import read_model, write_model
from engine.model.config import ModelConfig
from tests.engine import reference
from tests.tiny_model import TINY, random_tensors

# Sizes that are no multiple of 32, all different, and two layers in the head.
TABLES = {"characters": 512, "bigrams": 300, "trigrams": 200, "embedding": 16, "views": 3, "skip": 1}
WORDS = {"patch": "word", "longest": 5, "pieces": 200, "prefixes": 100}
ATTENTION = {"mixers": "ra", "heads": 5, "head_size": 16, "window": 32}
ODD = ModelConfig(width=48, layers=3, state=16, hidden=80, head_width=64, head_hidden=16, head_layers=2)
TEXT = "黄帝曰：人生有形，不離陰陽。What is qi? é𠀀\n氣者，\x00人之根本也；根絕則莖葉枯矣。".encode()
BROKEN = b"\xe4\xb8\xe4\xb8\xad\xf0\x9f\xe0\x80\xed\xa0\x80\xc0\xff\xfd?\xfe\xf4\x90\xf5\x80\xf0\x9f\x98"
MIXED = (TEXT + BROKEN) * 4


CONFIGS = {
    "tiny": TINY,
    "odd": ODD,
    "tables": replace(TINY, **TABLES),
    "words": replace(TINY, **WORDS),
    "attention": replace(TINY, **ATTENTION),
    "all": replace(ODD, **TABLES, **WORDS, **ATTENTION),
    "bytes": replace(TINY, patch="byte", **ATTENTION),
    "unused window": replace(TINY, window=21, head_size=17),  # without attention they say nothing
}


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS.keys())
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("step") / "model.safetensors"
    write_model(path, random_tensors(request.param, 3), request.param, {}, "step", "int8")
    return path


def load(path: Path, isa: str = "") -> Model:
    return Model(read_model(path), isa)


def test_each_step_equals_the_equations(path: Path) -> None:
    """From the same state on: a difference in rounding to int8 would otherwise be carried along for ever."""
    file = read_model(path)
    equations = reference.Reference(file.float_tensors(), file.config, round_activations=True)
    session = load(path).session()
    c = file.config
    logits, states = [], []
    for i, (pending, closed) in enumerate(reference.cut(MIXED, c.patch, c.longest)):
        logits.append(np.abs(session.logits() - equations.logits(pending)).max())
        session.feed(MIXED[i : i + 1])
        for patch in closed:
            equations.step(patch)
        if closed:
            expected = equations.floats()
            equations.restore(session.native.save()[0])
            states.append(np.abs(equations.floats() - expected).max())
    # Now and then float32 and float64 round to neighbouring int8 or bf16 values; else nothing shows.
    assert np.quantile(logits, 0.95) < 2e-6
    assert np.quantile(states, 0.95) < 2e-6
    assert max(logits + states) < 0.2


def test_a_long_text_costs_what_the_equations_say(path: Path) -> None:
    file = read_model(path)
    equations = reference.Reference(file.float_tensors(), file.config, round_activations=True)
    expected = reference.bits(equations.read(MIXED), MIXED)
    bits = load(path).session().bits(MIXED)
    assert np.abs(bits - expected).max() < 1
    assert bits.mean() == pytest.approx(expected.mean(), rel=2e-3)


def test_bits_are_those_of_the_softmax(path: Path) -> None:
    session = load(path).session()
    for place in range(200):
        logits, byte = session.logits().astype(np.float64), MIXED[place : place + 1]
        expected = reference.bits(logits[None], byte)
        assert session.bits(byte) == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_thirty_thousand_bytes_do_not_drift(tmp_path: Path) -> None:
    """Against float64 from the first byte on: what float32 rounds otherwise does not add up."""
    config = CONFIGS["attention"]
    write_model(tmp_path / "model", random_tensors(config, 3), config, {}, "drift", "int8")
    file = read_model(tmp_path / "model")
    equations = reference.Reference(file.float_tensors(), config, round_activations=True)
    session = load(tmp_path / "model").session()
    random = np.random.default_rng(0)
    text = "".join(chr(code) for code in random.integers(0x4E00, 0x9FA5, 10_000)).encode()
    expected, found = np.empty(len(text)), session.bits(text)
    for start in range(0, len(text), 3000):  # the reference keeps all its logits
        piece = text[start : start + 3000]
        expected[start : start + 3000] = reference.bits(equations.read(piece), piece)
    tenths = [np.abs(some).mean() for some in np.array_split(found - expected, 10)]
    assert max(tenths) < 0.02
    assert np.mean(tenths[5:]) < 1.5 * np.mean(tenths[:5]) + 1e-4
    assert found.mean() == pytest.approx(expected.mean(), rel=1e-4)


def test_int8_is_near_the_unquantised_model(tmp_path: Path) -> None:
    tensors = random_tensors(TINY, 5)
    write_model(tmp_path / "f32", tensors, TINY, {}, "f32", "f32")
    expected = reference.bits(reference.Reference(tensors, TINY, round_activations=False).read(MIXED), MIXED)
    score = Model.load(tmp_path / "f32").score(MIXED)
    assert score.bits_per_byte == pytest.approx(expected.mean(), rel=0.01)


@pytest.mark.parametrize(("patch", "longest"), [("character", 7), ("word", 1), ("word", 5), ("byte", 7)])
@given(st.lists(st.sampled_from([b"ab1", b" ", b".", b"\n", *(bytes([b]) for b in BROKEN), "气𠀀".encode()])))
def test_patches_are_cut_as_defined(patch: str, longest: int, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert _core.cut(data, patch, longest) == [closed for _, closed in reference.cut(data, patch, longest)]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 63, 64, 65, 259, 260])
def test_chunks_of_any_size_give_the_same_bits_and_state(path: Path, chunk: int) -> None:
    model = load(path)
    data = MIXED * 2
    whole, pieces, silent = model.session(), model.session(), model.session()
    expected = whole.bits(data)
    found = [pieces.bits(data[i : i + chunk]) for i in range(0, len(data), chunk)]
    for i in range(0, len(data), chunk):
        silent.feed(data[i : i + chunk])
    assert np.array_equal(np.concatenate(found), expected)
    assert pieces.snapshot() == whole.snapshot() == silent.snapshot()


@pytest.mark.parametrize("isa", _ops.kernels_compiled())
def test_every_instruction_set_gives_the_same_bits(path: Path, isa: str) -> None:
    if isa not in _ops.kernels_supported():
        pytest.skip(f"this CPU has no {isa}")
    portable, other = load(path, "portable").session(), load(path, isa).session()
    assert np.array_equal(portable.bits(MIXED), other.bits(MIXED))
    assert portable.snapshot() == other.snapshot()
    assert np.array_equal(portable.logits(), other.logits())


def test_the_float_code_follows_the_instruction_set(path: Path) -> None:
    assert load(path, "portable").network.vector_ops == "portable"
    for isa in ("avx2", "neon"):
        if isa in _ops.kernels_supported():
            assert load(path, isa).network.vector_ops == isa


def test_a_batch_refuses_sessions_that_do_not_belong_together(path: Path, model: Model) -> None:
    first, other = _core.Session(load(path).network), _core.Session(model.network)
    with pytest.raises(ValueError, match="different models"):
        _core.feed_bytes([first, other], b"ab")
    with pytest.raises(RuntimeError, match="in use"):
        _core.feed_bytes([first, first], b"ab")
    first.feed(b"still usable")


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512", "neon"])
def test_the_exponential_is_as_good_as_stated(isa: str) -> None:
    x = np.concatenate([np.linspace(-40, 40, 200_003), [0.0, -0.0, 1e-30]]).astype(np.float32)
    try:
        found = _ops.exp_minus(isa, x)
    except ValueError:
        pytest.skip(f"this CPU has no {isa}")
    assert np.abs(found / np.exp(-x.astype(np.float64)) - 1).max() < 2e-6
    assert np.array_equal(found, _ops.exp_minus("portable", x))
    beyond = _ops.exp_minus(isa, np.array([1e30, 1e9, 41, -41, -1e9, -1e30], np.float32))
    assert (beyond[:3] < 1e-17).all()
    assert (beyond[3:] > 1e17).all()
    assert (beyond[3:] < 1e18).all()
