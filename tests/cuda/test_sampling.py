"""The device draws the bytes that engine/src/infer/sampling.cpp draws, from the same logits and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import pytest

from engine._core import Sampler, allowed_bytes

from .device import Array, Device

AMOUNTS = {
    "greedy": 1.0,
    "top-e": 1.3,
    "top-p": 0.9,
    "top-k": 7.0,
    "min-p": 0.05,
    "typical": 0.8,
    "wygpt": 1.0,
}
METHODS = list(AMOUNTS)  # by number
PENDINGS = [b"", b"", b"\xc3", b"\xe0", b"\xe6\xb0", b"\xed", b"\xef\xbf", b"\xf0", b"\xf4\x8f\xbf"]
# Around every bound that the rules of UTF-8 and of the mask have.
EDGES = [0x00, 0x08, 0x09, 0x0A, 0x0B, 0x1F, 0x20, 0x7E, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBD, 0xBE, 0xBF]
EDGES += [0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xEF, 0xF0, 0xF4, 0xF5, 0xFD, 0xFE, 0xFF]

REPEAT = np.dtype([("bytes", "u1", 4), ("size", "i4"), ("match", "i4")])
SAMPLING = np.dtype(
    [
        ("generator", "u8"),
        ("amount", "f8"),
        ("temperature", "f8"),
        ("log_penalty", "f8"),
        ("method", "i4"),
        ("end_allowed", "i4"),
        ("repeats", "i4"),
        ("pending_size", "i4"),
        ("pending", "u1", 4),
    ],
    align=True,
)


def samplings(method: str, temperature: float, pendings: Sequence[bytes], ends: Sequence[bool]) -> np.ndarray:
    made = np.zeros(len(pendings), SAMPLING)
    made["amount"], made["temperature"], made["method"] = AMOUNTS[method], temperature, METHODS.index(method)
    made["generator"], made["end_allowed"] = np.arange(len(made)), ends
    for row, pending in zip(made, pendings, strict=True):
        row["pending_size"], row["pending"][: len(pending)] = len(pending), list(pending)
    return made


def draw(
    parts: Device, rows: Array, logits: np.ndarray, repeats: np.ndarray, penalties: Array | None = None
) -> list[int]:
    M, out = len(logits), parts.empty(len(logits), dtype=np.int32)
    R = repeats.shape[1]
    parts.sample(out, rows, parts.array(logits), parts.array(repeats), penalties, M, R)
    drawn: list[int] = out.numpy().tolist()
    return drawn


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_draws_are_those_of_the_cpu(
    parts: Device, method: str, temperature: float, rng: np.random.Generator
) -> None:
    M = len(PENDINGS)
    ends = rng.integers(0, 2, M).astype(bool)
    samplers = [Sampler(method, AMOUNTS[method], temperature, 1.0, 64, m) for m in range(M)]
    rows = parts.array(samplings(method, temperature, PENDINGS, list(ends)))
    for steepness in (0.0, 0.3, 1.0, 3.0, 30.0):
        logits = (rng.normal(size=(M, 256)) * steepness).astype(np.float32)
        logits[-1] = np.round(logits[-1])  # ties
        want = [
            sampler.sample(row, pending, bool(end))
            for sampler, row, pending, end in zip(samplers, logits, PENDINGS, ends, strict=True)
        ]
        penalties = np.zeros((M, 256))  # of a text of one byte
        got = draw(parts, rows, logits, np.zeros((M, 1), REPEAT), parts.array(penalties))
        assert got == want
        if method == "wygpt":  # which has a penalty of its own: another test's
            samplers = [Sampler(method, 1.0, temperature, 1.0, 64, m) for m in range(M)]
            rows = parts.array(samplings(method, temperature, PENDINGS, list(ends)))


@pytest.mark.parametrize("pending", ["", "\u4e00", "\u4e8c"])
def test_the_repetition_penalty_is_that_of_the_cpu(
    parts: Device, pending: str, rng: np.random.Generator
) -> None:
    """After 一二三一二一 a 三 is worse by two characters than without a penalty, a 二 by one."""
    text, penalty = "一二三一二一", 1.7
    open_bytes = pending.encode()[:2]
    sampler = Sampler("top-p", 0.9, 0.8, penalty, 64, 0)
    for character in text:
        sampler.accept(character.encode())
    repeats = np.zeros((1, 8), REPEAT)
    before = [text[:i] for i in range(len(text))]  # what stood before each
    matches = [max(m for m in range(len(b) + 1) if b.endswith(text[len(text) - m :])) for b in before]
    for row, character, match in zip(repeats[0, : len(text)], text, matches, strict=True):
        row["bytes"][:3], row["size"], row["match"] = list(character.encode()), 3, match
    made = samplings("top-p", 0.8, [open_bytes], [False])
    made["amount"], made["log_penalty"], made["repeats"] = 0.9, log(penalty), 6
    rows = parts.array(made)
    for _ in range(12):
        logits = rng.normal(size=(1, 256)).astype(np.float32)
        assert draw(parts, rows, logits, repeats) == [sampler.sample(logits[0], open_bytes, False)]


def test_the_penalty_of_wygpt_is_taken_away(parts: Device, rng: np.random.Generator) -> None:
    logits, penalties = rng.normal(size=(2, 1, 256))
    rows = [parts.array(samplings("wygpt", 0.9, [b""], [False])) for _ in range(2)]
    logits = logits.astype(np.float32)
    got = draw(parts, rows[0], logits, np.zeros((1, 1), REPEAT), parts.array(penalties))
    less = (logits - penalties).astype(np.float32)
    assert got == draw(parts, rows[1], less, np.zeros((1, 1), REPEAT))


def test_logits_that_are_not_finite_are_told(forward_parts: Device) -> None:
    logits = np.zeros((3, 256), np.float32)
    logits[0, 7], logits[2, 255] = np.inf, np.nan
    rows = forward_parts.array(samplings("greedy", 1.0, [b""] * 3, [False] * 3))
    assert draw(forward_parts, rows, logits, np.zeros((3, 1), REPEAT)) == [-1, 0x09, -1]


@pytest.mark.parametrize("pending", sorted(set(PENDINGS)))
@pytest.mark.parametrize("end", [False, True])
def test_the_mask_is_that_of_the_cpu(forward_parts: Device, pending: bytes, end: bool) -> None:
    """The likeliest byte, one after the other made so, is drawn exactly if the CPU allows it."""
    M = len(EDGES)
    logits = np.zeros((M, 256), np.float32)
    logits[np.arange(M), EDGES] = 1
    rows = forward_parts.array(samplings("greedy", 1.0, [pending] * M, [end] * M))
    lowest = min(allowed_bytes(pending, end))  # what wins where the favourite is masked and all others tie
    want = [b if b in allowed_bytes(pending, end) else lowest for b in EDGES]
    assert draw(forward_parts, rows, logits, np.zeros((M, 1), REPEAT)) == want
