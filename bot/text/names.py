"""Names for visitors who have none: a word and a number that people can tell apart, read out, and note down.

The same visitor always has the same name. 4,096 names: two visitors may share one, so it stands for nothing.
"""

from __future__ import annotations

import hashlib

# (Chinese, English), 64 of them.
WORDS = (
    ("青松", "Pine"), ("白杨", "Poplar"), ("翠竹", "Bamboo"), ("红枫", "Maple"),
    ("银杏", "Ginkgo"), ("垂柳", "Willow"), ("桂花", "Osmanthus"), ("海棠", "Crabapple"),
    ("腊梅", "Wintersweet"), ("茉莉", "Jasmine"), ("芍药", "Peony"), ("荷花", "Lotus"),
    ("兰草", "Orchid"), ("菊花", "Aster"), ("水仙", "Narcissus"), ("紫藤", "Wisteria"),
    ("石榴", "Pomegranate"), ("柿子", "Persimmon"), ("核桃", "Walnut"), ("板栗", "Chestnut"),
    ("枇杷", "Loquat"), ("杨梅", "Bayberry"), ("葡萄", "Grape"), ("樱桃", "Cherry"),
    ("杏花", "Apricot"), ("桃花", "Peach"), ("梨花", "Pear"), ("橘子", "Tangerine"),
    ("柚子", "Pomelo"), ("莲子", "Seed"), ("麦穗", "Wheat"), ("稻谷", "Rice"),
    ("高粱", "Sorghum"), ("芝麻", "Sesame"), ("花生", "Peanut"), ("山茶", "Camellia"),
    ("杜鹃", "Azalea"), ("喜鹊", "Magpie"), ("燕子", "Swallow"), ("黄鹂", "Oriole"),
    ("白鹤", "Crane"), ("鸳鸯", "Duck"), ("鹦鹉", "Parrot"), ("画眉", "Thrush"),
    ("云雀", "Lark"), ("鲤鱼", "Carp"), ("锦鸡", "Pheasant"), ("松鼠", "Squirrel"),
    ("梅鹿", "Deer"), ("白兔", "Rabbit"), ("刺猬", "Hedgehog"), ("海豚", "Dolphin"),
    ("蜻蜓", "Dragonfly"), ("蝴蝶", "Butterfly"), ("蟋蟀", "Cricket"), ("清泉", "Spring"),
    ("小溪", "Brook"), ("远山", "Hill"), ("晨雾", "Mist"), ("晚霞", "Sunset"),
    ("新月", "Moon"), ("北斗", "Dipper"), ("初雪", "Snow"), ("春雨", "Rain"),
)  # fmt: skip


def visitor_name(user: str) -> dict[str, str]:
    """By language: "访客青松 07", "Visitor Pine 07"."""
    digest = hashlib.sha256(f"name\n{user}".encode()).digest()
    chinese, english = WORDS[digest[0] % len(WORDS)]
    number = f"{digest[1] % 64:02d}"
    return {"zh-CN": f"访客{chinese} {number}", "en": f"Visitor {english} {number}"}
