"""The repetition penalty against its definition, and what it is for: loops break, ordinary text does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._ops import Utf8Cutter
from engine.inference.samplers import Greedy, TopP
from tests.engine.sampling_reference import WHOLE, Logits, any_logits, drawn_from, probabilities


def longest_matches(text: str, window: int) -> dict[str, int]:
    """By definition: for each character in the window, the longest end of the text that it once followed. A
    match keeps its length when its own first characters leave the window; the window's first has none."""
    start = max(0, len(text) - window)
    longest: dict[str, int] = {}
    for i in range(start, len(text)):
        m = 0
        while m < i and text[i - 1 - m] == text[-1 - m]:
            m += 1
        longest[text[i]] = max(m if i > start else 0, longest.get(text[i], 0))
    return longest


@given(
    st.text("气虚补，a", max_size=40),
    any_logits(),
    st.sampled_from([b"", b"\xe6", b"\xe6\xb0", b"\xe8\x99", b"\xef\xbc"]),
    st.floats(1, 4),
    st.integers(1, 50),
)
def test_penalty_follows_its_definition(
    text: str, logits: Logits, pending: bytes, penalty: float, window: int
) -> None:
    if np.abs(logits).max() > 1e6:
        logits = logits / np.float32(1e36)  # beside such logits a penalty is lost in rounding
    native = TopP(1.0, repetition_penalty=penalty, repetition_window=window).start(1)
    for char in text:
        native.accept(char.encode())
    matches = np.zeros(256)
    for char, match in longest_matches(text, window).items():
        data = char.encode()
        if data.startswith(pending) and len(data) > len(pending):
            byte = data[len(pending)]
            matches[byte] = max(matches[byte], match)
    expected = probabilities(logits, pending) * penalty**-matches
    out = np.asarray(native.probabilities(logits, pending))
    np.testing.assert_allclose(out, expected / expected.sum(), rtol=1e-8, atol=1e-11)


def sure_of(data: bytes, others: bytes) -> dict[bytes, Logits]:
    """A model that is sure of one character, for each of its prefixes, and thinks of others besides."""
    logits = {}
    for i in range(len(data)):
        logits[data[:i]] = np.full(256, -30, np.float32)
        logits[data[:i]][data[i]] = 6
    logits[b""][list(others)] = 0
    return logits


def test_a_loop_breaks() -> None:
    loop = "气虚者，"

    def text(penalty: float) -> str:
        native, cutter, out = Greedy(repetition_penalty=penalty).start(1), Utf8Cutter(), ""
        while len(out) < 60:
            following = loop[(loop.find(out[-1:]) + 1) % 4] if out else loop[0]  # knows nothing but its loop
            model = sure_of(following.encode(), b"abcdefgh")
            logits = model.get(cutter.pending, np.zeros(256, np.float32))
            for character in cutter.push(native.sample(logits, cutter.pending)):
                native.accept(character)
                out += character.decode()
        return out

    assert text(1.0) == loop * 15
    rounds = len(text(1.3).split("a")[0]) / 4  # it takes ln(e^6) / ln(1.3) = 23 characters of repetition
    assert 6 < rounds < 8


def test_common_characters_are_no_repetition() -> None:
    native = TopP(1.0, repetition_penalty=2.0).start(1)
    for char in "黄芪，当归，白术，茯苓":  # each comma stands after another character
        native.accept(char.encode())
    flat = np.zeros(256, np.float32)
    for pending in (b"", b"\xef", b"\xef\xbc", b"\xe5", b"\xe5\xbd"):
        assert native.probabilities(flat, pending).tolist() == drawn_from(WHOLE, flat, pending).tolist()


def test_the_penalty_is_on_each_byte_of_the_character_and_on_no_other() -> None:
    flat = np.zeros(256, np.float32)
    native = TopP(1.0, repetition_penalty=2.0).start(1)
    for char in "补气虚，补气":  # 虚 comes after 气 as before, and 补 before that: two characters match
        native.accept(char.encode())
    for pending, byte, other in ((b"", 0xE8, 0xE7), (b"\xe8", 0x99, 0x98), (b"\xe8\x99", 0x9A, 0x99)):
        out = native.probabilities(flat, pending)
        assert out[other] / out[byte] == pytest.approx(4)
    assert native.probabilities(flat, b"\xe7")[0x99] == native.probabilities(flat, b"\xe7")[0x98]


def test_the_window_forgets() -> None:
    flat = np.zeros(256, np.float32)
    for window, repeated in ((4, False), (5, True)):
        native = TopP(1.0, repetition_penalty=2.0, repetition_window=window).start(1)
        for char in "abxya":
            native.accept(char.encode())
        out = native.probabilities(flat)
        assert (out[ord("b")] < out[ord("c")]) == repeated
