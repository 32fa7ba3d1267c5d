"""Stop strings against the plain search for them in the whole text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine import Model
from engine._ops import StopStrings


def cut_at_stop(text: str, stops: list[str]) -> tuple[str, bool]:
    """Of the stop strings completed first, the one that begins first; the text before it."""
    found = [(text.index(stop) + len(stop), text.index(stop)) for stop in stops if stop in text]
    return (text[: min(found)[1]], True) if found else (text, False)


stop_lists = st.lists(st.text("ab气", min_size=1, max_size=5), max_size=4)


@given(stop_lists, st.text("ab气", max_size=60))
@example(["aab"], "aaab")  # the match begins anew inside itself
@example(["abcd", "bc"], "abcd")  # the shorter is complete first
@example(["bc", "abc"], "xabc")  # both at once: the longer begins first
@example([], "a")
def test_equals_the_plain_search_and_holds_back_no_more_than_it_must(stops: list[str], text: str) -> None:
    matcher = StopStrings([stop.encode() for stop in stops])
    expected, stopped = cut_at_stop(text, stops)
    for place, character in enumerate(text, 1):
        complete, held = matcher.push(character)
        if complete:
            assert (text[: place - complete], True) == (expected, stopped)
            return
        out = text[: place - held]
        assert expected.startswith(out)  # so no part of the stop string is out, not even for a moment
        assert not held or any(stop.startswith(text[place - held : place]) for stop in stops)
    assert not stopped


def test_an_empty_one_is_an_error(model: Model) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        StopStrings([b"a", b""])
    with pytest.raises(ValueError, match="must not be empty"):
        model.session().generate(stop=["a", ""])


def test_long_stop_strings_cost_no_more_than_short_ones() -> None:
    matcher = StopStrings([b"a" * 20_000 + b"b"])
    for place in range(1, 40_001):  # seconds of work if it were quadratic
        assert matcher.push("a") == (0, min(place, 20_000))
    assert matcher.push("b") == (20_001, 0)
