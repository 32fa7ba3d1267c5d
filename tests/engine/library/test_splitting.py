"""Passages: short, whole, in place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.library.books import formulas_within, heading_level, headings, plain_headings, read_books
from engine.library.splitting import PASSAGE_CHARACTERS, Heading, split
from tests.engine.library.conftest import CORPUS

LINES = st.text(st.sampled_from("桂枝汤主之。，；（）方1．上\n 　aé𫎚"), max_size=1500)


@given(LINES)
def test_nothing_is_lost_doubled_or_too_long(text: str) -> None:
    found = list(headings(text))
    pieces = list(split(text, found, keep_bare=True))
    at = 0
    left = list(text)
    for piece in pieces:
        assert at <= piece.start < piece.end
        assert piece.end - piece.start <= PASSAGE_CHARACTERS
        assert not text[piece.start].isspace()
        assert not text[piece.end - 1].isspace()
        left[piece.start : piece.end] = " " * (piece.end - piece.start)
        at = piece.end
    for heading in found:
        left[heading.start : heading.end] = " " * (heading.end - heading.start)
    assert not "".join(left).strip()


def test_a_long_line_is_cut_at_the_end_of_sentences() -> None:
    text = "太阳病，头痛发热，汗出恶风者。" * 60
    pieces = list(split(text, []))
    assert len(pieces) == 3
    assert all(text[piece.start : piece.end].endswith("。") for piece in pieces)


def test_short_lines_under_one_heading_are_joined_and_headings_part_them() -> None:
    text = "甲\n一。\n二。\n乙\n三。\n"
    pieces = list(split(text, [Heading(0, 1, 1, "甲"), Heading(8, 9, 1, "乙")]))
    assert [(piece.path, text[piece.start : piece.end]) for piece in pieces] == [
        (("甲",), "一。\n二。"),
        (("乙",), "三。"),
    ]


def test_a_clause_keeps_the_herbs_and_the_preparation_below_it() -> None:
    filler = "".join(f"{n}．太阳病，脉浮紧，无汗发热，身疼痛，八九日不解，表证仍在。\n" for n in range(1, 9))
    formula = (
        "14．太阳病，项背强几几，反汗出恶风者，桂枝加葛根汤主之。方三。\n"
        "葛根（四两） 麻黄（去节，三两） 芍药（二两） 生姜（切，三两） 甘草（炙，二两）\n"
        "上五味，以水一斗，先煮麻黄、葛根，减二升，去上沫，内诸药，煮取三升，去滓，温服一升。\n"
    )
    text = filler + formula + filler
    pieces = [text[piece.start : piece.end] for piece in split(text, [])]
    assert any(formula.strip() in piece for piece in pieces)


def test_the_path_of_a_heading_has_volume_chapter_and_name() -> None:
    book = list(read_books(CORPUS.splitlines()))[1]
    paths = {piece.path for piece in split(book.text, headings(book.text))}
    assert ("卷之二 治伤寒", "桂枝汤") in paths
    assert ("卷之二 治伤寒", "升麻葛根汤") in paths


def test_books_are_parted_and_named() -> None:
    found = list(read_books(CORPUS.splitlines()))
    assert [(book.title, book.dynasty, book.author) for book in found] == [
        ("伤寒论", "东汉", "张仲景"),
        ("太平惠民和剂局方", "宋", "太平惠民和剂局"),
        ("本草备要", "清", "汪昂"),
    ]
    assert found[2].text.startswith("《本草备要》 清 汪昂\n\n草部")


def test_a_numbered_clause_after_a_formula_belongs_to_the_chapter() -> None:
    text = (
        "《甲》\n\n卷上\n\n腹满病第十\n9．寒疝绕脐痛，大乌头煎主之。\n\n乌头煎方\n乌头（大者五枚）\n"
        "10．寒疝腹中痛，当归生姜羊肉汤主之。\n"
    )
    paths = {text[piece.start : piece.start + 2]: piece.path for piece in split(text, headings(text))}
    assert paths["乌头"] == ("卷上", "腹满病第十", "乌头煎方")
    assert paths["10"] == ("卷上", "腹满病第十")


def test_levels_are_told_by_words() -> None:
    volumes = [
        "卷一",
        "卷十三金石部",
        "卷之二 治伤寒",
        "草部卷十四",
        "女科上卷 血崩",
        "一卷 摄生类",
        "卷上·脉证治法",
    ]
    chapters = ["草部", "治风门", "第一章", "痈疽总论第二", "上古天真论篇第一", "发表之剂"]
    names = ["百部", "卷柏", "命门", "桂枝汤", "当归", "二、百病始生邪分三部"]
    assert [heading_level(name) for name in volumes + chapters + names] == [1] * 7 + [2] * 6 + [3] * 6


def test_formulas_named_in_running_text() -> None:
    text = (
        "14．反汗出恶风者，桂枝加葛根汤主之。方三。\n葛根（四两） 麻黄（三两）\n15．可与桂枝汤，方用前法。\n"
    )
    assert formulas_within(text) == ["桂枝加葛根汤"]


def test_a_plain_text_has_headings_only_where_something_stands_below() -> None:
    text = "营业时间\n每天九点到十八点。\n\n停车\n\n电话：123\n"
    assert [heading.name for heading in plain_headings(text)] == ["营业时间"]
    assert [text[p.start : p.end] for p in split(text, plain_headings(text), keep_bare=True)] == [
        "每天九点到十八点。\n\n停车\n\n电话：123"
    ]
