"""What must be said at once and what never: emergencies by their words, and the filter of a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.text.safety import SEEK_HELP, Censor, Emergencies


@pytest.mark.parametrize(
    "text",
    ["我胸痛得厉害", "中毒", "孩子误食老鼠药中毒了", "《药典》我看不进去，我想自杀", "老婆怀孕出血怎么办",
     "大出血",
     "自殺", "我胸口劇痛，喘不過氣", "孩子誤食農藥，沒有呼吸了", "媽媽腦出血了怎麼辦", "孕婦急症", "懷孕出血",
     "觸電", "我爸爸剛才突然暈倒", "心臟驟停", "吃錯藥",
     "chest pain, help", "I want to DIE", "I can’t breathe", "我爸突然昏迷，什么是急救？"],
)  # fmt: skip
def test_emergencies_are_found(text: str) -> None:
    assert Emergencies().mentioned_in(text)


@pytest.mark.parametrize(
    "text",
    ["清热解毒的方剂有哪些？", "甘草解毒", "《伤寒论》怎样论昏迷？", "什么是中毒？", "胸痹的辨证",
     "keystrokes", "", "清熱解毒的方劑有哪些？", "什麼是中毒？", "哪條經典論昏迷？",
     "下列哪项主治中毒？"],
)  # fmt: skip
def test_books_are_no_emergency(text: str) -> None:
    assert not Emergencies().mentioned_in(text)


def test_the_list_of_emergencies_is_the_operators() -> None:
    assert Emergencies(["狂犬"]).mentioned_in("被狂犬咬了")
    assert Emergencies(["癲癇發作"]).mentioned_in("孩子癲癇發作")
    assert Emergencies(["心臟病"]).mentioned_in("我心脏病犯了")
    assert not Emergencies(["狂犬"]).mentioned_in("我胸痛")
    assert not Emergencies([]).mentioned_in("我胸痛")
    assert {"120", "12356"} <= set(SEEK_HELP.replace("。", " ").replace("，", " ").replace(".", " ").split())


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
