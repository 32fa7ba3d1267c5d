"""Whether a question carries on from the one before, or stands for itself.

A talk changes its subject: what is not plainly a follow-up must not get the old subject's answer.
"""

from __future__ import annotations

import re

from engine.grounding.aspects import without_aspects
from engine.library import words

_POINTS_BACK = re.compile(
    "它|[这那此该][个方药种味条句些篇]|这里|里面|里头|其中|上面|前面|刚才|上一|前一|后面|下一|[他她]的?|"
    "^(?:和|跟|与|同|比).{1,8}(?:区别|不同|差别|哪个|不一样|比呢?$)|"
    "^(?:有没有|有什么|有啥)?(?:食疗|偏方|药膳|单方|验方)"
)
_WHO = re.compile(
    "^(孕妇|产妇|哺乳期|小孩子?|孩子|宝宝|儿童|老年?人|男人|女人)(可以|能|可不可以|能不能)?[吃喝用服]"
)
_JOINS = re.compile("^(那么?|还|再|也|又|如果|要是|换成)|(呢|呐)$")
# What is asked of a thing beside its aspects: how long, when, by whom.
_CIRCUMSTANCES = re.compile(
    "多久|几天|几次|多长时间|一天|每天|天天|饭前|饭后|空腹|早上|晚上|睡前|孕妇|哺乳期?|产妇|小孩子?|孩子|儿童|老年?人|男人|女人|"
    "出自|出处|谁写|谁说|谁的|哪本书|哪部书|作者|哪朝|什么书|原文|书里|区别|不同|主治|怎么|怎样|如何|为什么|什么|哪些|哪|"
    "朝代|时代|男|女|还|人|有副作用|可以|能|应该|应|要|需要|会|有|用|吃|喝|服|煎|配|放|加|去|换|多少|量|药|方|味|吗|的|是|不"
)
# words of one class: a follow-up that holds one takes the place of the other in the question before
CLASSES = (
    ("春天", "夏天", "秋天", "冬天"),
    ("春", "夏", "秋", "冬"),
    ("心", "肝", "脾", "肺", "肾", "胆", "胃", "大肠", "小肠", "膀胱", "三焦", "膻中"),
    ("白", "黄", "赤", "青", "黑", "红", "紫"),
    ("太阳", "阳明", "少阳", "太阴", "少阴", "厥阴"),
    ("酸", "苦", "甘", "辛", "咸"),
    ("怒", "喜", "思", "悲", "恐", "忧", "惊"),
    ("风", "寒", "暑", "湿", "燥", "火", "热"),
    ("浮", "沉", "迟", "数", "滑", "涩", "弦", "紧"),
    ("提前", "推后", "量多", "量少"),
    ("望", "闻", "问", "切"),
    ("木", "火", "土", "金", "水"),
    ("男", "女"), ("上", "中", "下"), ("气", "血"), ("虚", "实"), ("阴", "阳"),
)  # fmt: skip
_COLLOQUIAL = {"红": "赤", "白天": "昼"}
MOST = 2  # characters of its own that a question without a word that points back may have


def carries_on(text: str, own_subject: bool) -> bool:
    """`text` is tidied; `own_subject`: it names a complaint, herb, formula or book of its own."""
    bare = words.bare(text)
    if _POINTS_BACK.search(bare) or (_WHO.search(bare) and len(bare) <= 8):
        return True
    if own_subject:
        return bool(re.search("呢$", bare)) and len(bare) <= 6
    if _JOINS.search(bare):
        return len(bare) <= 14
    return len(words.bare(_CIRCUMSTANCES.sub("", without_aspects(words.strip(text))))) <= MOST


# What a sick person adds to a complaint: how it looks, when it comes. A new one (牙疼) does not begin so.
_DETAIL = re.compile(
    "^(?:而且|还有?|也|又|有时|经常|总是|就是|一|白天|晚上|夜里|半夜|早上|早晨|饭[前后]|吃|喝|受[凉寒]|遇|按|活动|生气|痰|舌|苔|脉|"
    "大便|小便|尿|口[干苦渴]|怕[冷热]|出汗|没有?|不|胃口|睡|血压|手脚|脸|嘴|颜色|已经|大概|持续)"
)
_QUESTION = re.compile("什么|怎么|怎样|如何|吗|呢|为何|多少|几|哪|谁|啥|咋|是不是|能不能|可不可以")
_ADDED = 10  # characters that such an addition may have


def may_add(text: str, kind: str, aspects: tuple[str, ...]) -> bool:
    """Whether it could belong to the question before though it names a subject of its own."""
    if kind == "herb":
        return ("dose" in aspects or asks_within(text)) and len(words.bare(text)) <= 8
    return tells_more(text)


def asks_within(text: str) -> bool:
    """Whether a herb is asked for as part of the formula spoken of: 里面有当归吗, 当归多少."""
    return bool(re.search("里面|里头|方里|其中|多少$|[占放]多少|为什么[要用加有]", words.bare(text)))


def tells_more(text: str) -> bool:
    """Whether it tells more of a complaint, 痰是黄的, and asks nothing."""
    bare = words.bare(text)
    return len(bare) <= _ADDED and bool(_DETAIL.search(bare)) and not _QUESTION.search(bare)


_OF_A_FORMULA = re.compile(
    "[这此该那上]一?[个张]?(?:方|汤|药方)|方子(?:里|由|是)|里面|方里|怎么[煎熬煮]|谁[创发开制]|谁的方"
)
_TAKEN = ("composition", "preparation", "pregnancy", "caution", "dose")


def means_formula(text: str, aspects: tuple[str, ...]) -> bool:
    """Whether it asks what is asked of formulas alone: one that the answer before named is meant."""
    if "treat" in aspects or "cause" in aspects:
        return bool(_OF_A_FORMULA.search(text)) and "composition" in aspects
    return bool(_OF_A_FORMULA.search(text)) or any(aspect in aspects for aspect in _TAKEN)


_MORE = re.compile("^(?:那|它|这)?(?:会|一般|都)?有?(?:什么|哪些|啥)?(?:症状|表现|特点|特征)")


def asks_for_signs(text: str) -> bool:
    """Whether it asks for the signs of what was spoken of."""
    return bool(_MORE.search(words.bare(text)))


def subject_of(text: str) -> str:
    """The thing that a short question is about: 阴虚 of 什么是阴虚; empty where that is not plain."""
    left = words.bare(words.strip(without_aspects(text)))
    return left if 1 < len(left) <= 6 else ""


def swap(now: str, then: str) -> str:
    """The question before with the word of one class that the new one names instead."""
    short = re.sub("^(那么?|那|换成|如果是|要是)|(呢|的呢|的|又|是|怎么样|怎样|会怎样)+[？?]?$", "", now)
    short = words.bare(re.sub("(的呢|呢|的)[？?]?$", "", short))
    for members in CLASSES:
        mine = next((m for m in members if m == short or (len(short) <= 4 and short.startswith(m))), "")
        theirs = next((m for m in members if m in then and m != mine), "") if mine else ""
        if mine and not theirs and mine[:-1] in ("春", "夏", "秋", "冬") and mine.endswith("天"):
            theirs = next((m for m in ("春", "夏", "秋", "冬") if m in then), "")
            mine = mine[0]
        if mine and theirs:
            return then.replace(theirs, _COLLOQUIAL.get(mine, mine) if "带" not in then else mine)
    return ""
