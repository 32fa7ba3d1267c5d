"""Stop strings against the plain search for them in the whole text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.sampling import StopStrings


def cut_at_stop(text: str, stops: list[str]) -> tuple[str, bool]:
    """Of the stop strings completed first, the one that begins first; the text before it."""
    found = [(text.index(stop) + len(stop), text.index(stop)) for stop in stops if stop in text]
    return (text[: min(found)[1]], True) if found else (text, False)


stop_lists = st.lists(st.text("ab气", min_size=1, max_size=5), max_size=4)


@given(stop_lists, st.lists(st.text("ab气", max_size=4), max_size=30))
@example(["aab"], ["a", "a", "a", "b"])  # the match begins anew inside itself
@example(["abcd", "bc"], ["abc", "d"])  # the shorter is complete first
@example(["bc", "abc"], ["x", "a", "b", "c"])  # both at once: the longer begins first
@example([], ["a"])
def test_equals_the_plain_search_and_leaks_nothing(stops: list[str], pieces: list[str]) -> None:
    matcher, out, text = StopStrings(stops), "", ""
    expected, stopped = cut_at_stop("".join(pieces), stops)
    for piece in pieces:
        text += piece
        let_out, ended = matcher.push(piece)
        out += let_out
        assert expected.startswith(out)  # so no part of the stop string is out, not even for a moment
        assert ended == matcher.stopped == cut_at_stop(text, stops)[1]
    assert out + matcher.flush() == expected
    assert matcher.stopped == stopped


@given(stop_lists, st.text("ab气", max_size=40))
def test_holds_back_no_more_than_it_must(stops: list[str], text: str) -> None:
    matcher, out = StopStrings(stops), ""
    for i, char in enumerate(text, 1):
        let_out, ended = matcher.push(char)
        out += let_out
        if ended:
            break
        held = text[len(out) : i]
        assert not held or any(stop.startswith(held) for stop in stops)


def test_says_nothing_after_the_end() -> None:
    matcher = StopStrings(["\n\n"])
    assert matcher.push("答\n") == ("答", False)
    assert matcher.push("\n再") == ("", True)
    assert matcher.push("more") == ("", True)
    assert matcher.flush() == ""


def test_one_string_will_do_and_an_empty_one_is_an_error() -> None:
    assert StopStrings("停").push("请停下") == ("请", True)
    with pytest.raises(ValueError, match="must not be empty"):
        StopStrings(["a", ""])


def test_long_stop_strings_cost_no_more_than_short_ones() -> None:
    long = "a" * 20_000 + "b"
    matcher = StopStrings([long])
    out = "".join(matcher.push("a" * 100)[0] for _ in range(400))  # seconds of work if it were quadratic
    assert len(out) == 20_000
    assert matcher.push("b") == ("", True)
