"""The filter of words that must never be said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.text.censor import Censor


def replaced(text: str, words: list[str]) -> str:
    """A plain reference: leftmost, then longest."""
    out, place = "", 0
    while place < len(text):
        found = [word for word in words if word and text.startswith(word, place)]
        size = max(map(len, found), default=0)
        out += "＊" * size or text[place]
        place += size or 1
    return out


@given(
    st.lists(st.text("甲乙丙", max_size=4), max_size=3),
    st.text("甲乙丙", max_size=30).flatmap(
        lambda text: st.tuples(st.just(text), st.sets(st.integers(0, len(text))))
    ),
)
def test_the_filter_is_the_same_however_the_stream_is_cut(
    words: list[str], cut: tuple[str, set[int]]
) -> None:
    text, places = cut
    expected = replaced(text, words)
    censor, shown, before = Censor(words), "", 0
    for place in [*sorted(places), len(text)]:
        shown += censor.push(text[before:place])
        before = place
        assert expected.startswith(shown)  # nothing was let out that had to be taken back
        assert len(shown) > place - max(
            [1, *map(len, words)]
        )  # and no more is held back than may begin a word
    assert shown + censor.flush() == expected
    assert Censor(words).whole(text) == expected


def test_case_does_not_matter_and_lengths_stay() -> None:
    assert Censor(["bad"]).whole("a BaD word") == "a ＊＊＊ word"
    assert Censor(["x"]).whole("İx") == "İ＊"
