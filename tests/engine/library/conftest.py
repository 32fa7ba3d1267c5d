"""Small libraries for the tests: three books in the corpus's format, cut from the classics."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.library import Library, Pair
from engine.library.books import read_books

CORPUS = """《伤寒论》 东汉 张仲景

辨太阳病脉证并治上
1．太阳之为病，脉浮、头项强痛而恶寒。
13．太阳病，头痛、发热、汗出、恶风，桂枝汤主之。方二。（用前第一方。）
14．太阳病，项背强几几，反汗出恶风者，桂枝加葛根汤主之。方三。
葛根（四两） 麻黄（去节，三两） 芍药（二两） 生姜（切，三两） 甘草（炙，二两） 大枣（擘，十二枚）
上六味；以水一斗，先煮麻黄、葛根，减二升，去上沫，内诸药，煮取三升，去滓，温服一升。

辨阳明病脉证并治
180．阳明之为病，胃家实是也。


《太平惠民和剂局方》 宋 太平惠民和剂局

卷之二
治伤寒

卷之二 治伤寒
桂枝汤
治太阳中风，阳浮而阴弱，啬啬恶寒，淅淅恶风，翕翕发热，鼻鸣干呕。
桂枝（去皮） 芍药（各一两半） 甘草（一两）
上以粗末。每服二钱，以水一盏，入生姜三片，枣三枚，擘破，同煎取七分，去滓，温服，不计时候。

升麻葛根汤
治大人、小儿时气温疫，头痛发热，肢体烦疼。
升麻 白芍药 甘草（炙，各十两） 葛根（十五两）
上为粗末，每服三钱，用水一盏半，煎取一中盏，去滓，稍热服。


《本草备要》 清 汪昂

草部

黄芪
补气，固表，泻火
甘温。生用固表，无汗能发，有汗能止。温分肉，实腠理，泻阴火，解肌热。

当归
补血，润燥，滑肠
甘温和血，辛温散内，苦温助心、散寒。治虚劳寒热，咳逆上气，温疟，澼痢，头痛腰痛，心腹诸痛。
"""

PAIRS = (
    Pair("1", ("失眠怎么调理", "晚上睡不着怎么办", "老是睡不好觉"), "古称「不寐」，归脾汤主之。", "失眠"),
    Pair("2", ("感冒了怎么办", "伤风吃什么"), "古称「伤风」，桂枝汤主之。", "感冒"),
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(CORPUS, encoding="utf-8")
    return path


@pytest.fixture
def library(tmp_path: Path) -> Library:
    held = Library.open(tmp_path / "library")
    with held.writer() as writer:
        for book in read_books(CORPUS.splitlines()):
            writer.add_text(book.title, book.author, book.dynasty, book.text, file="corpus.txt", kind="book")
        writer.add_pairs("问答", PAIRS, file="pairs.jsonl")
    return held
