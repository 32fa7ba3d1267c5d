"""The trunk in one launch leaves the state that the CPU leaves, to the last bit, however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.inference.test_step import CONFIGS

from .device import Device
from .infer_model import Model

TEXTS = [b"", "氣者，人之根本".encode(), b"What is qi? It is", "é𠀀 a".encode() + b"\xe4\xb8\xff\n" * 9]


def step(model: Model, states: np.ndarray, rows: list[tuple[int, list[int]]], starts: list[int]) -> tuple:
    """States and bases after rows of (slot, ids of the patch)."""
    device, c = model.device, model.config
    memory = device.array(states)
    bases = device.empty(len(rows), c.views * c.head_width)
    ids = device.array(np.array([ids for _, ids in rows], np.int32))
    slots = device.array(np.array([slot for slot, _ in rows], np.int32))
    begin = device.array(np.array(starts, np.int32))
    device.trunk_step(memory, bases, model.struct, ids, slots, begin, len(starts) - 1)
    return memory.numpy(), bases.numpy()


@pytest.mark.parametrize("name", ["all", "words", "attention", "tiny"])
def test_trunk_step(device: Device, name: str) -> None:
    model = Model(device, CONFIGS[name])
    prompts = [model.ids(text)[0] for text in TEXTS]
    states = np.zeros((len(TEXTS) + 1, model.size), np.uint8)
    slots = [3, 0, 4, 1]
    # The prompts: two and a half texts in the first block, of more rows than it takes at a time.
    rows = [(slot, ids) for slot, prompt in zip(slots, prompts, strict=True) for ids in prompt[:-1]]
    second = sum(len(prompt) - 1 for prompt in prompts[:3])
    states, _ = step(model, states, rows, [0, second, len(rows)])
    # Then the last patch of each, together.
    states, bases = step(model, states, [(s, p[-1]) for s, p in zip(slots, prompts, strict=True)], [0, 1, 4])
    base = -(-model.saved // 64) * 64
    for i, (slot, text) in enumerate(zip(slots, TEXTS, strict=True)):
        assert states[slot, : model.saved].tobytes() == model.session(text).save()[0][: model.saved]
        assert states[slot, base : base + bases[i].nbytes].tobytes() == bases[i].tobytes()
    assert not states[2].any()
    # A snapshot does not hold the base: it is made again of what it holds.
    bare = states.copy()
    for slot in slots:
        bare[slot, base : base + bases[0].nbytes] = 0
    memory = device.array(bare)
    for slot in slots:
        device.trunk_base(memory, model.struct, device.array(np.array([slot], np.int32)))
    np.testing.assert_array_equal(memory.numpy(), states)
