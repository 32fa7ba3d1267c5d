"""An owner's documents, answered by reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.grounding import Answerer
from engine.grounding.answerer import NO_DOCTOR
from engine.grounding.documents import LONGEST, PASSAGES, around, find, sureness
from engine.grounding.shelf import Shelf
from engine.library import Library, LibraryError
from engine.reading import Reader

HOURS = """营业时间

周一至周五九点到十八点营业，周六十点到十六点，周日休息。节假日的安排以公告为准。

停车

门前有二十个免费车位，满了可停在对面商场的地下车库，每小时五元，凭小票减免两小时。
"""


NOTES = """就诊

周一至周六上午八点到十一点半看诊，周日停诊。
挂号费普通号二十元，专家号八十元。
代煎每剂三元，当天下午四点后可取。
李明主任医师周二、周四坐诊，擅长脾胃病。
门口有十五个车位，前两小时免费，之后每小时四元。
二楼有卫生间。请勿带宠物入内。
地址：解放路88号，地铁3号线解放路站B口出来向南三百米。

问答

问：没有基础可以学推拿吗？
答：可以，基础班从零讲起，学费1200元。
"""


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Library:
    library = Library.open(tmp_path_factory.mktemp("documents"))
    with library.writer() as writer:
        writer.add_text("门店须知", "", "", HOURS, file="门店须知.txt", kind="document")
    return library


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    library = Library.open(tmp_path_factory.mktemp("notes"))
    with library.writer() as writer:
        writer.add_text("门诊须知", "", "", NOTES, file="门诊须知.txt", kind="document")
    return Answerer(library, reader=Reader.load())


@pytest.mark.parametrize(
    ("question", "held"),
    [
        ("代煎一剂多少钱", "代煎每剂三元，当天下午四点后可取。"),
        ("你们几点开门", "上午八点到十一点半看诊"),
        ("周日开门吗", "周日停诊"),
        ("专家号多少钱", "专家号八十元"),
        ("李主任哪天坐诊", "周二、周四坐诊"),
        ("停车收费吗", "前两小时免费"),
        ("厕所在哪", "二楼有卫生间"),
        ("可以带狗吗", "请勿带宠物入内"),
        ("在什么位置", "解放路88号"),
        ("没有基础可以学吗", "基础班从零讲起"),
        ("能带狗不", "请勿带宠物入内"),
        ("礼拜天看病吗", "周日停诊"),
        ("熬药要加钱吗", "代煎每剂三元"),
        ("胃不好找哪个大夫", "李明主任医师"),
        ("坐几路车", "地铁3号线"),
        ("有没有洗手间", "二楼有卫生间"),
        ("停车要钱不", "之后每小时四元"),
    ],
)
def test_everyday_questions_on_short_notes(noted: Answerer, question: str, held: str) -> None:
    answer = noted.answer(question)
    assert held in answer.text, answer.text
    assert "——《门诊须知" in answer.text


@pytest.mark.parametrize(
    "question",
    [
        "阿胶多少钱",
        "王主任哪天坐诊",
        "可以打疫苗吗",
        "电话是多少",
        "火车票多少钱",
        "几点下雨",
        "可以退款吗",
        "有优惠吗",
    ],
)
def test_what_the_notes_do_not_say_is_not_found(noted: Answerer, question: str) -> None:
    assert noted.answer(question).abstained, noted.answer(question).text


def test_a_short_line_is_quoted_whole(tmp_path: Path) -> None:
    library = Library.open(tmp_path)
    with library.writer() as writer:
        text = "退换\n蛋糕开始制作前可以全额取消；开始制作后订金不退。\n\n配送\n三公里以内免费。"
        writer.add_text("须知", "", "", text, file="须知.txt", kind="document")
    answer = Answerer(library).answer("怎么退款")
    assert "「蛋糕开始制作前可以全额取消；开始制作后订金不退。」" in answer.text


def test_the_list_of_documents_is_read_once_for_a_state(
    held: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    sources = held.sources
    answerer = Answerer(held)
    answerer.answer("几点关门")
    monkeypatch.setattr(held, "sources", lambda: read.append(1) or sources())
    assert answerer.shelf.documents() == {"门店须知": held.source("门店须知").id}
    assert read == []


@pytest.fixture(scope="module")
def answerer(held: Library) -> Answerer:
    return Answerer(held, reader=Reader.load())


def test_an_answer_is_quoted_from_the_document(answerer: Answerer, held: Library) -> None:
    answer = answerer.answer("地下车库停车每小时多少钱？")
    assert not answer.abstained
    assert "五元" in answer.text
    (citation,) = answer.citations
    assert citation.book == "门店须知"
    source = held.source("门店须知")
    assert held.text(source.id, citation.start, citation.end) == citation.quote


def test_a_price_is_no_dose(answerer: Answerer) -> None:
    assert NO_DOCTOR not in answerer.answer("地下车库停车每小时多少钱？").text


@pytest.mark.parametrize(("probability", "lead"), [(0.9, "五元："), (0.5, "")])
def test_a_span_is_said_first_only_where_it_is_likely(held: Library, probability: float, lead: str) -> None:
    class Sure:
        def read(self, question: str, passages: Sequence[Mapping[str, str]]) -> Any:
            at = [(n, p["text"].find("五元")) for n, p in enumerate(passages) if "五元" in p["text"]]
            spans = [SimpleNamespace(passage=n, start=a, end=a + 2, probability=probability) for n, a in at]
            return SimpleNamespace(spans=spans, answerable=0.99)

    text = Answerer(held, reader=Sure()).answer("地下车库停车每小时多少钱？").text
    assert text.startswith(lead + "「")


@pytest.mark.parametrize("question", ["珠穆朗玛峰有多高", "桂枝汤由哪些药组成", "帮我写一封辞职信"])
def test_what_the_document_does_not_say_is_not_found(answerer: Answerer, question: str) -> None:
    assert answerer.answer(question).abstained


def test_few_documents_are_read_whole_and_many_are_searched(tmp_path: Path) -> None:
    read: list[list[str]] = []

    class Watching:
        def read(self, question: str, passages: Sequence[Mapping[str, str]]) -> Any:
            read.append([passage["title"] for passage in passages])
            return Reader.load().read(question, passages)

    library = Library.open(tmp_path)
    with library.writer() as writer:
        writer.add_text("门店须知", "", "", HOURS, file="门店须知.txt", kind="document")
    find("完全无关的话", Shelf(library), Watching())  # shares no word with the note
    assert read[0] == ["门店须知", "门店须知 停车"]
    with library.writer() as writer:
        writer.add_text("馆藏", "", "", "馆藏目录。\n\n" * 1000, file="馆藏.txt", kind="document")
    read.clear()
    find("停车要多少钱", Shelf(library), Watching())
    assert read[0][0] == "门店须知 停车"
    assert len(read[0]) <= PASSAGES


class RemovingReader:
    """Reads as the bundled one, and removes the document right after its first reading."""

    def __init__(self, library: Library) -> None:
        self.reader, self.library, self.times = Reader.load(), library, 0

    def read(self, *args: Any, **options: Any) -> Any:
        found = self.reader.read(*args, **options)
        self.times += 1
        if self.times == 1:
            with self.library.writer() as writer:
                writer.remove(self.library.source("门店须知").id)
        return found


def test_a_change_in_the_middle_of_an_answer_begins_it_again(tmp_path: Path) -> None:
    library = Library.open(tmp_path)
    with library.writer() as writer:
        writer.add_text("门店须知", "", "", HOURS, file="门店须知.txt", kind="document")
        writer.add_text("会员须知", "", "", "会员卡一年二百元。", file="会员须知.txt", kind="document")
    reader = RemovingReader(library)
    answer = Answerer(library, reader=reader).answer("地下车库停车每小时多少钱？")
    assert reader.times >= 1
    assert answer.abstained
    assert "五元" not in answer.text


def test_a_library_that_changes_all_the_time_is_said_to(tmp_path: Path) -> None:
    library, times = Library.open(tmp_path), 0

    def change() -> None:
        nonlocal times
        times += 1
        with library.writer() as writer:
            writer.add_text(f"须知{times}", "", "", HOURS, file=f"{times}.txt", kind="document")

    with pytest.raises(LibraryError, match="changes too fast"):
        library.undisturbed(change)
    assert times == 5


def test_a_span_keeps_its_sentences_and_is_never_cut(held: Library) -> None:
    shelf = Shelf(held)
    entry = shelf.alone(held.search("地下车库", 1)[0])
    at = entry.text.index("五元")
    first, last = around(entry, at, at + 2)
    assert "五元" in entry.text[first:last]
    assert last - first <= LONGEST
    assert around(entry, 0, len(entry.text))[0] == 0


def test_being_sure_needs_both_the_reader_and_the_words() -> None:
    assert sureness(0.99, 0.8) > 0.9
    assert sureness(0.8, 0.0) < 0.5 < sureness(0.8, 0.3)
    assert sureness(0.01, 0.2) < 0.15


def test_without_documents_the_reader_is_not_asked(tmp_path: Path) -> None:
    class Unused:
        def read(self, question: str, passages: object) -> None:
            raise AssertionError

    library = Library.open(tmp_path)
    with library.writer() as writer:
        writer.add_text(
            "书", "某人", "清", "《书》 清 某人\n\n麻黄\n辛温，发汗。\n", file="书.txt", kind="book"
        )
    Answerer(library, reader=Unused()).answer("麻黄的性味")  # type: ignore[arg-type]
