"""The head's logits, and characters drawn in one launch, are the CPU's to the last bit."""

from __future__ import annotations

from math import log, log2

import numpy as np
import pytest

from engine._core import Sampler
from tests.engine.inference.test_step import CONFIGS

from .device import Array, Device
from .infer_model import Model
from .test_sampling import REPEAT, SAMPLING, samplings
from .test_trunk_step import step

TEXTS = [
    b"",
    "氣者，".encode(),
    b"What is qi? It is",
    "a\u4e00".encode()[:-1],
    b"z",
    "b𠀀".encode()[:-2],
    b"12 a",
]

HEAD_ROW = np.dtype([("slot", "i4"), ("size", "i4"), ("open", "u1", 16)])
COST = np.dtype([("sum", "f8"), ("drop", "f8")], align=True)
WRITER = np.dtype(
    [
        ("sampling", SAMPLING),
        ("at", HEAD_ROW),
        ("most", "i4"),
        ("count", "i4"),
        ("bytes", "u1", 4),
        ("costs", COST, 4),
    ],
    align=True,
)


def read(model: Model) -> tuple[Array, Array, np.ndarray]:
    """All texts on the device: their states, the bases after each, and what is open."""
    prompts = [model.ids(text) for text in TEXTS]
    rows = [(slot, ids) for slot, (prompt, _) in enumerate(prompts) for ids in prompt]
    ends = np.cumsum([len(prompt) for prompt, _ in prompts])
    states, bases = step(model, np.zeros((len(TEXTS), model.size), np.uint8), rows, [0, *ends.tolist()])
    at = np.zeros(len(TEXTS), HEAD_ROW)
    at["slot"] = np.arange(len(TEXTS))
    for row, (_, pending) in zip(at, prompts, strict=True):
        row["size"], row["open"][: len(pending)] = len(pending), list(pending)
    return model.device.array(states), model.device.array(bases[ends - 1]), at


@pytest.mark.parametrize("name", ["all", "words", "bytes"])
def test_logits_and_costs(device: Device, name: str) -> None:
    model, M = Model(device, CONFIGS[name]), len(TEXTS)
    states, bases, at = read(model)
    sessions = [model.session(text) for text in TEXTS]
    at["slot"][::2] = -1 - at["slot"][::2]  # every second text's base from the rows that the trunk left
    logits, costs = device.empty(M, 256), device.array(np.zeros(M, COST))
    prefixes, byte = device.array(at), device.array(np.full(M, 0xE4, np.int32))
    device.head_logits(logits, costs, states, bases, model.struct, prefixes, byte, M)
    want = np.array([session.logits() for session in sessions])
    np.testing.assert_array_equal(logits.numpy(), want)
    for session, cost in zip(sessions, costs.numpy(), strict=True):
        bits = (log(cost["sum"]) + cost["drop"]) * log2(np.e)
        assert bits == pytest.approx(session.score(b"\xe4")[0], rel=1e-14)


@pytest.mark.parametrize("name", ["all", "words", "tiny"])
def test_characters(device: Device, name: str) -> None:
    model, M = Model(device, CONFIGS[name]), len(TEXTS)
    states, _, at = read(model)
    pendings = [bytes(row["open"][: row["size"]]) for row in at]
    writers = np.zeros(M, WRITER)
    writers["at"], writers["most"] = at, [4, 4, 4, 4, 4, 4, 1]
    begun = [b"" if pending < b"\x80" else pending for pending in pendings]
    writers["sampling"] = samplings("top-p", 2.0, begun, [True] * M)
    memory = device.array(writers)
    device.head_step(memory, states, model.struct, device.array(np.zeros((M, 1), REPEAT)), None, M, 1)
    for m, (writer, text) in enumerate(zip(memory.numpy(), TEXTS, strict=True)):
        session, sampler = model.session(text), Sampler("top-p", 0.9, 2.0, 1.0, 64, m)
        want, bits, open_bytes = b"", [], begun[m]
        while len(want) < writers["most"][m]:
            byte = bytes([sampler.sample(session.logits(), open_bytes, True)])
            bits.append(session.score(byte)[0])
            want, open_bytes = want + byte, open_bytes + byte
            word = model.config.patch == "word" and pendings[m] != b"" and not begun[m]
            if session.save()[1] == b"" or word:
                break
        assert bytes(writer["bytes"][: writer["count"]]) == want
        got = [(log(c["sum"]) + c["drop"]) * log2(np.e) for c in writer["costs"][: len(want)]]
        assert got == pytest.approx(bits, rel=1e-14)
        assert writer["sampling"]["generator"] == (m + len(want) * 0x9E3779B97F4A7C15) % 2**64
