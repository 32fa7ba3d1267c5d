"""utf8.h against Python's own strict decoder: where characters end, their rows, what may come next."""

from collections import defaultdict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine._core import allowed_bytes, character_rows
from engine._ops import Utf8Cutter


def is_prefix(data: bytes) -> bool:
    """Whether a strict decoder only misses the rest of a character, or nothing.

    (Not the incremental decoder: it waits for more after ED A0, although only a surrogate could follow.)
    """
    try:
        data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"
    return True


def is_character(data: bytes) -> bool:
    try:
        return len(data.decode("utf-8", "strict")) == 1
    except UnicodeDecodeError:
        return False


def reference_cut(data: bytes) -> list[bytes]:
    """The rule in the words of the model's definition, with Python's decoder to say what is valid."""
    characters, pending = [], b""
    for value in data:
        byte = bytes([value])
        if pending and not is_prefix(pending + byte):
            characters.append(pending)
            pending = b""
        pending += byte
        if is_character(pending) or not is_prefix(pending):
            characters.append(pending)
            pending = b""
    return [*characters, pending] if pending else characters


def cut(data: bytes) -> list[bytes]:
    cutter = Utf8Cutter()
    characters = [character for byte in data for character in cutter.push(byte)]
    last = cutter.flush()
    return characters if last is None else [*characters, last]


# Bytes at the borders of what UTF-8 allows, so that short examples meet every rule.
edge_bytes = st.lists(
    st.sampled_from(
        b"a\n\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe4\xed\xef\xf0\xf3\xf4\xf5\xfd\xfe\xff"
    ),
    max_size=24,
).map(bytes)


@given(st.one_of(st.binary(max_size=40), edge_bytes, st.text(max_size=20).map(lambda t: t.encode())))
@example("你好，🙂é".encode())
@example(b"\xe4\xbd" + "你".encode())  # cut short, then begun again
@example(b"\xed\xa0\x80\xe0\x80\x80\xf4\x90\x80\x80")  # a surrogate, an overlong form, above U+10FFFF
def test_cuts_as_defined(data: bytes) -> None:
    assert cut(data) == reference_cut(data)
    assert b"".join(cut(data)) == data


@given(st.text(max_size=30))
def test_valid_text_is_cut_into_its_characters(text: str) -> None:
    assert cut(text.encode()) == [char.encode() for char in text]


@given(edge_bytes)
def test_one_byte_closes_at_most_two_characters_and_at_most_three_are_pending(data: bytes) -> None:
    cutter = Utf8Cutter()
    for byte in data:
        assert len(cutter.push(byte)) <= 2
        assert len(cutter.pending) <= 3
        assert cutter.pending == b"" or is_prefix(cutter.pending)


def test_flush_leaves_nothing_behind() -> None:
    cutter = Utf8Cutter()
    assert cutter.flush() is None
    cutter.push(0xF0)
    cutter.push(0x9F)
    assert cutter.pending == b"\xf0\x9f"
    assert cutter.flush() == b"\xf0\x9f"
    assert cutter.pending == b""
    assert cutter.push(ord("a")) == [b"a"]


def fold(data: bytes) -> int:
    acc = 0
    for byte in data:
        acc = (acc << 6) | (byte & 63)
    return acc


@given(st.one_of(edge_bytes, st.text(max_size=20).map(lambda t: t.encode())))
def test_rows_of_characters_and_prefixes(data: bytes) -> None:
    cutter = Utf8Cutter()
    for byte in data:
        pending = cutter.pending
        if pending:
            assert (cutter.prefix_lead, cutter.prefix_pair) == (pending[0], fold(pending) & 1023)
        else:
            assert (cutter.prefix_lead, cutter.prefix_pair) == (256, 1024)
        for character in cutter.push(byte):
            row = character[0] if len(character) == 1 else fold(character) & 4095
            assert character_rows(character) == (character[0], row)


def test_rows_of_known_characters() -> None:
    assert character_rows(b"A") == (0x41, 0x41)
    assert character_rows(b"\xff") == (0xFF, 0xFF)
    assert character_rows("气".encode()) == (
        0xE6,
        ord("气") & 4095,
    )  # the fold of a whole character is its code point
    assert character_rows("🙂".encode()) == (0xF0, ord("🙂") & 4095)
    for wrong in (b"", b"ab", "气虚".encode(), b"\xe6\xb0a"):
        with pytest.raises(ValueError, match="exactly one character"):
            character_rows(wrong)


def is_printable(code: int) -> bool:
    """What an answer may hold: what XML 1.0 can carry, without the carriage return and without DEL."""
    if 0xD800 <= code <= 0xDFFF or code in (0x7F, 0xFFFE, 0xFFFF):
        return False
    return code >= 0x20 or code in (0x09, 0x0A)


def test_allowed_bytes_are_those_that_lead_to_a_printable_character() -> None:
    following: defaultdict[bytes, set[int]] = defaultdict(set)
    for code in filter(is_printable, range(0x110000)):
        data = chr(code).encode()
        for i in range(len(data)):
            following[data[:i]].add(data[i])
    for prefix, bytes_ in following.items():
        assert allowed_bytes(prefix, False) == bytes(sorted(bytes_)), prefix
    assert set(allowed_bytes(b"", True)) == following[b""] | {0xFF}
    assert allowed_bytes(b"\xe4", True) == allowed_bytes(b"\xe4", False)  # no end inside a character


@pytest.mark.parametrize(
    "pending", [b"a", b"\x80", b"\xff", b"\xe0\x80", b"\xc2\x80", b"\xe4\xbd\xa0", b"\xf0\x9f\x98\x80"]
)
def test_what_cannot_be_pending_is_an_error(pending: bytes) -> None:
    with pytest.raises(ValueError, match="beginning of a character"):
        allowed_bytes(pending, True)
