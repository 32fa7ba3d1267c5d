"""Uploads of owners: rules with a table, a sheet of prices, a leaflet in English; and how they are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.grounding import Answerer
from engine.library import Library, Pair
from engine.library.adding import add
from engine.reading import Reader
from tests.engine.grounding.talking import last_of

RULES = """# 力健健身 会员须知

## 会员卡
| 卡种 | 价格 | 有效期 | 可带朋友 |
|---|---|---|---|
| 月卡 | 299元 | 30天 | 不可以 |
| 季卡 | 749元 | 90天 | 1次 |
| 年卡 | 1999元 | 365天 | 4次 |

## 规则
- 平日 6:30–22:30，周末和节假日 8:00–21:00
- 小狗小猫可以带到前台，每次收十元清洁费
- 未满16周岁不能进入器械区
- 滤水器每 3 个月换一次。
- 地址：中山北路218号福临大厦5楼（地铁3号线镇坪路站4号口出来步行约6分钟）
- 迟到须告诉教练主任
- 跑步机质保五年

**忘了会员密码怎么办？**
凭身份证到前台重设，当天生效。
"""
PRICES = """目的地,首重(1公斤),续重(每公斤),时效
省内,8元,2元,1天
北京天津,13元,6元,2至3天
新疆西藏,25元,18元,5至7天
"""
COTTAGE = """Harbour Cottage - guest information

Check-in is from 3 pm; please leave by 10:30 am. Late check-out costs 15 pounds per hour.
Dogs are welcome (two at most), 10 pounds per dog per stay. No cats, please.
Parking: one space behind the house. A second car can be left at the quay car park, 6 pounds a day.
Logs for the stove are 5 pounds a basket.
"""


def asking(folder: Path, name: str, text: str) -> Answerer:
    """Answers from one file of an owner, read as it is uploaded."""
    (folder / name).write_text(text, "utf-8")
    library = Library.open(folder / "library")
    assert [outcome.state for outcome in add(library, [folder / name])] == ["added"]
    return Answerer(library, reader=Reader.load())


@pytest.fixture(scope="module")
def gym(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return asking(tmp_path_factory.mktemp("gym"), "会员须知.md", RULES)


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return asking(tmp_path_factory.mktemp("parcels"), "快递价目.csv", PRICES)


@pytest.fixture(scope="module")
def cottage(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return asking(tmp_path_factory.mktemp("cottage"), "cottage.txt", COTTAGE)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("季卡能带几个朋友", "季卡，可带朋友1次：「| 卡种 | 价格 | 有效期 | 可带朋友 |」「| 季卡 |"),
        ("月卡可以带人吗", "| 不可以 |」"),
        ("年卡多少钱", "年卡，价格1999元："),
        ("我14岁能练器械吗", "「- 未满16周岁不能进入器械区」"),
        ("礼拜天几点关门", "8:00–21:00"),
        ("滤水器多久换", "每 3 个月换一次"),
        ("在几楼", "5楼：「- 地址"),
        ("密码忘了", "「凭身份证到前台重设，当天生效。」"),
    ],
)
def test_rows_of_tables_numbers_and_a_notes_own_questions(gym: Answerer, question: str, said: str) -> None:
    assert said in gym.answer(question).text


@pytest.mark.parametrize("question", ["教练主任是谁", "做一台跑步机要多久", "有停车场吗", "有瑜伽课吗"])
def test_words_that_look_like_an_answer_are_none(gym: Answerer, question: str) -> None:
    assert gym.answer(question).abstained, gym.answer(question).text


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("寄到北京多少钱", "北京天津；首重(1公斤)：13元"),
        ("到新疆要几天", "新疆西藏；"),
        ("省内多少钱", "省内；首重"),
    ],
)
def test_a_row_of_a_sheet_is_quoted_whole(parcels: Answerer, question: str, row: str) -> None:
    assert f"「目的地：{row}" in parcels.answer(question).text
    assert "至3天」" in parcels.answer("寄到北京多少钱").text


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("what time can we arrive", "Check-in is from 3 pm"),
        ("can I bring my cat", "No cats, please."),
        ("where can I park a second car", "quay car park"),
        ("how much are logs", "5 pounds a basket"),
    ],
)
def test_english_notes_answer_english_questions(cottage: Answerer, question: str, said: str) -> None:
    assert said in cottage.answer(question).text


@pytest.mark.parametrize(
    "question", ["is there a swimming pool", "how far is the beach", "do you have a sauna"]
)
def test_english_notes_that_do_not_say_it_give_no_answer(cottage: Answerer, question: str) -> None:
    assert cottage.answer(question).abstained


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["年卡多少钱", "季卡呢"], "季卡，价格749元"),
        (["年卡多少钱", "季卡呢", "能带朋友吗"], "季卡，可带朋友1次"),
        (["年卡多少钱", "能带朋友吗", "月卡呢"], "月卡，可带朋友不可以"),
        (["可以带狗吗", "多少钱"], "每次收十元清洁费"),
        (["年卡多少钱", "可以带狗吗"], "小狗小猫可以带到前台"),
        (["平时几点开门", "那周末呢"], "周末和节假日 8:00–21:00"),
    ],
)
def test_a_talk_about_a_document(gym: Answerer, asked: list[str], said: str) -> None:
    assert said in last_of(gym, *asked).text


def test_a_talk_about_a_sheet(parcels: Answerer) -> None:
    assert "新疆西藏" in last_of(parcels, "寄到新疆多少钱", "几天到").text
    assert "北京天津" in last_of(parcels, "寄到新疆多少钱", "几天到", "北京呢").text
    assert last_of(parcels, "寄到新疆多少钱", "有烤鸭吗").abstained


def test_a_price_list_goes_before_the_books(tmp_path: Path) -> None:
    answerer = asking(tmp_path, "价目.csv", "品名,规格,价格\n阿胶,250克,1280元\n党参,500克,96元\n")
    with answerer.library.writer() as writer:
        text = "《本草备要》 清 汪昂\n\n阿胶\n甘平。清肺养肝，滋肾益气。\n"
        writer.add_text("本草备要", "汪昂", "清", text, file="本草备要.txt", kind="book")
    assert "1280元" in answerer.answer("阿胶多少钱").text
    assert "清肺养肝" in answerer.answer("阿胶有什么功效").text


def test_a_plain_note_goes_before_a_bundled_pair_that_is_worded_alike(tmp_path: Path) -> None:
    text = "早餐包含在房费里，七点半到九点半在一楼餐厅。\n可以停车，每小时五元。\n"
    answerer = asking(tmp_path, "入住须知.txt", text)
    pair = Pair("meals", ("一天该吃几餐早饭", "有没有早饭", "有早饭吗"), "先饥而食，先渴而饮。")
    with answerer.library.writer() as writer:
        writer.add_pairs("常见问题", [pair], file="meals.jsonl", bundled=True)
    assert "七点半到九点半" in answerer.answer("有早饭吗").text
