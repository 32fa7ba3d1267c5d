"""The list that most books agree on."""

from __future__ import annotations

import random

from engine.grounding.compositions import HerbList, medoid
from engine.grounding.shelf import Entry

HERBS = ("柴胡", "黄芩", "人参", "半夏", "甘草", "生姜", "大枣")


def herb_list(book: str, start: int, herbs: tuple[str, ...]) -> HerbList:
    text = " ".join(herbs)
    return HerbList(Entry(book, "小柴胡汤", text, start, 1, ()), 0, len(text), herbs)


def test_of_equal_lists_the_earliest_is_quoted_however_they_were_found() -> None:
    dice = random.Random(1)
    lists = [herb_list("伤寒论", start, tuple(dice.sample(HERBS, len(HERBS)))) for start in (70, 10, 40)]
    lists += [herb_list(book, 0, HERBS[:4]) for book in ("医方考", "汤头歌诀")]
    for _ in range(50):
        dice.shuffle(lists)
        best, _ = medoid(lists)
        assert (best.entry.book, best.entry.start) == ("伤寒论", 10)
