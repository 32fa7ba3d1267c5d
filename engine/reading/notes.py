"""Everyday notes (hours, prices, rules of clinics, shops and the like) and questions on them, made by rule.

The labelled questions at hand are on books and encyclopaedias; what an owner of a bot writes down is neither.
`notes.toml` holds what such notes say and how people ask for it.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from engine.reading.examples import Example

MOST_FACTS = 9  # of a note
ABSENT = 0.3  # share of questions that the note does not answer
TITLES = (
    "须知", "门诊须知", "常见问题", "服务说明", "入住指南", "公告", "通知", "收费标准", "办事指南",
    "价目表", "本店介绍", "活动规则", "报名须知", "读者须知", "温馨提示", "会员说明", "简介", "关于我们",
)  # fmt: skip
BEFORE, AFTER = (
    ("请问", "你好，", "我想问下", "麻烦问一下", "问一下", "那", "老板，"),
    ("？", "?", "呢", "啊？", "呀", "，谢谢"),
)
_VALUE = re.compile(r"\{(\w+)\}")
_NUMERALS = "零一二三四五六七八九十"


@dataclass(frozen=True)
class Fact:
    """`say` holds the answer in [ ]; `hours` marks what the hours of opening may answer too."""

    say: tuple[str, ...]
    ask: tuple[str, ...]
    things: tuple[str, ...] = ("",)
    hours: bool = False


@dataclass(frozen=True)
class Said:
    fact: Fact
    thing: str
    text: str
    answer: str
    values: Mapping[str, str]


@cache
def tables() -> tuple[tuple[Fact, ...], dict[str, list[str]]]:
    """The facts and the values of `notes.toml`."""
    table = tomllib.loads(resources.files("engine").joinpath("reading/notes.toml").read_text("utf-8"))
    facts = tuple(
        Fact(tuple(f["say"]), tuple(f["ask"]), tuple(f.get("things", ("",))), f.get("hours", False))
        for f in table["fact"]
    )
    return facts, table["values"]


def notes(count: int, seed: int) -> list[Example]:
    """So many examples, the same for the same seed. Each has two notes as passages."""
    rng = random.Random(seed)
    made: list[Example] = []
    while len(made) < count:
        if (example := _example(rng)) is not None:
            made.append(example)
    return made


def _example(rng: random.Random) -> Example | None:
    facts = [list(_said(rng)) for _ in range(2)]
    passages = [{"title": rng.choice(TITLES), "text": _laid_out(said, rng)} for said in facts]
    said = rng.choice(facts[rng.randrange(2)])
    if rng.random() < ABSENT:
        fact, thing = _drawn(rng)
        if any(touches(fact, thing, other) for other in (*facts[0], *facts[1])):
            return None
        return Example(passages, _asked(fact, thing, {}, rng), [], False, "notes")
    if sum(passage["text"].count(said.answer) for passage in passages) != 1:
        return None  # nobody knows which of them is meant
    if sum(touches(said.fact, said.thing, other) for other in (*facts[0], *facts[1])) > 1:
        return None
    return Example(passages, _asked(said.fact, said.thing, said.values, rng), [said.answer], True, "notes")


def _drawn(rng: random.Random) -> tuple[Fact, str]:
    fact = rng.choice(tables()[0])
    return fact, rng.choice(fact.things)


def touches(fact: Fact, thing: str, said: Said) -> bool:
    """Whether something said could answer what is asked of the fact. A thing is all its names, | between."""
    if thing and said.thing:
        mine, theirs = thing.split("|"), said.thing.split("|")
        return any(one in other or other in one for one in mine for other in theirs)
    return fact is said.fact or (fact.hours and said.fact.hours)


def _said(rng: random.Random) -> Iterator[Said]:
    """The facts of a note."""
    held: list[Said] = []
    for _ in range(rng.randint(1, MOST_FACTS)):
        fact, thing = _drawn(rng)
        if any(touches(fact, thing, said) for said in held):
            continue
        values = {"thing": thing.split("|")[0]}
        marked = _filled(rng.choice(fact.say), values, rng)
        before, answer, after = re.split(r"[\[\]]", marked)
        held.append(Said(fact, thing, before + answer + after, answer, values))
    yield from held


def _filled(template: str, values: dict[str, str], rng: random.Random) -> str:
    return _VALUE.sub(lambda found: _value(found.group(1), values, rng), template)


def _value(name: str, values: dict[str, str], rng: random.Random) -> str:
    """A value drawn anew; things and units stay what they are. What a question may name is remembered."""
    if name in ("thing", "unit") and name in values:
        return values[name]
    made = MAKERS[name](rng) if name in MAKERS else rng.choice(tables()[1][name])
    values[name] = made
    return made


def _asked(fact: Fact, thing: str, values: Mapping[str, str], rng: random.Random) -> str:
    known = {**values, "thing": rng.choice(thing.split("|"))}
    text = _filled(rng.choice(fact.ask), known, rng)
    before = rng.choice(BEFORE) if rng.random() < 0.2 else ""
    return before + text + (rng.choice(AFTER) if rng.random() < 0.5 else "")


def _laid_out(facts: list[Said], rng: random.Random) -> str:
    """Their text as a list, with numbers or without, or as a paragraph."""
    texts = [said.text for said in facts]
    form = rng.randrange(4)
    if form == 0:
        return "\n".join(f"{number}. {text}。" for number, text in enumerate(texts, 1))
    if form == 1:
        return "。".join(text.replace("\n", "：") for text in texts) + "。"
    if form == 2:
        return "\n".join(text + rng.choice(("。", "", "；")) for text in texts)
    return "\n\n".join(text + "。" for text in texts)


# -- values


def _numeral(number: int) -> str:
    """Below a hundred, in characters."""
    tens, ones = divmod(number, 10)
    head = "" if tens == 0 else "十" if tens == 1 else _NUMERALS[tens] + "十"
    return (head + (_NUMERALS[ones] if ones or not head else "")) or "零"


def _count(rng: random.Random, most: int = 60) -> str:
    number = rng.randint(1, most)
    return str(number) if rng.random() < 0.6 or number > 99 else _numeral(number)


def _price(rng: random.Random) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        return _numeral(rng.randint(1, 99)) + rng.choice(("元", "块", "块钱"))
    if kind == 1:
        return _NUMERALS[rng.randint(1, 9)] + rng.choice(("百", "千")) + "元"
    number = rng.choice(
        (rng.randint(1, 30), rng.randint(1, 60) * 5, rng.randint(1, 30) * 100 - 1, rng.randint(2, 50) * 10)
    )
    return f"{number}{rng.choice(('元', '元', '元', '块'))}"


def _span(rng: random.Random) -> str:
    unit = rng.choice(("天", "天", "小时", "分钟", "个月", "周", "年", "个工作日", "日"))
    most = {"天": 30, "小时": 72, "分钟": 90, "个月": 12, "周": 8, "年": 5, "个工作日": 15, "日": 30}[unit]
    if rng.random() < 0.1:
        return rng.choice(("半小时", "半天", "半年", "一刻钟", "两小时", "两天"))
    if rng.random() < 0.15:
        least = rng.randint(1, most - 1)
        return f"{least}到{rng.randint(least + 1, most)}{unit}"
    return _count(rng, most) + unit


def _clock(rng: random.Random) -> str:
    hour, minute = rng.randint(6, 22), rng.choice((0, 0, 30, 30, 15, 45))
    if rng.random() < 0.5:
        return f"{hour}{rng.choice((':', '：'))}{minute:02}"
    half = (
        rng.choice(("上午", "早上", ""))
        if hour < 12
        else rng.choice(("下午", "晚上") if hour > 17 else ("下午", "中午"))
    )
    shown = hour if hour <= 12 or not half else hour - 12
    said = _numeral(shown) if rng.random() < 0.6 else str(shown)
    return f"{half}{said}点" + {0: "", 30: "半", 15: "一刻", 45: "三刻"}[minute]


def _date(rng: random.Random) -> str:
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    said = f"{_numeral(month)}月{_numeral(day)}日", f"初{_numeral(rng.randint(1, 9))}"
    return rng.choice((f"{month}月{day}日", f"{month}月{day}号", f"本月{day}日", *said))


def _time(rng: random.Random) -> str:
    day = rng.choice(("周", "每周", "星期")) + rng.choice("一二三四五六日")
    return rng.choice(
        (
            _clock(rng),
            _date(rng),
            day + _clock(rng),
            _date(rng) + _clock(rng),
            "每天" + _clock(rng),
            "当天" + _clock(rng),
        )
    )


def _address(rng: random.Random) -> str:
    road = rng.choice(
        ("文化", "人民", "解放", "中山", "建设", "和平", "新华", "长江", "学府", "滨河", "东风", "青年")
    ) + rng.choice(("路", "街", "大道", "巷"))
    tail = rng.choice(
        ("", "", f"{_numeral(rng.randint(1, 9))}楼", f"{rng.randint(101, 909)}室", "大厦一层", "商场二楼")
    )
    return f"{road}{rng.randint(1, 399)}号{tail}"


def _phone(rng: random.Random) -> str:
    digits = "".join(rng.choice("0123456789") for _ in range(8))
    return rng.choice(
        (
            f"0{rng.randint(10, 99)}-{digits}",
            digits,
            f"1{rng.choice('3578')}0{digits}",
            f"400-{digits[:3]}-{digits[3:7]}",
        )
    )


MAKERS: Mapping[str, Callable[[random.Random], Any]] = {
    "price": _price, "span": _span, "date": _date, "time": _time, "address": _address, "phone": _phone,
    "from": _clock, "to": _clock,
    "minutes": lambda rng: f"{_count(rng, 20)}分钟",
    "count": lambda rng: _count(rng, 300) + rng.choice(("个", "名", "间", "张", "位", "台", "")),
    "code": lambda rng: "".join(rng.choice("0123456789abcdefgh") for _ in range(rng.randint(6, 10))),
    "discount": lambda rng: rng.choice("六七八九") + rng.choice(("", "五", "八")) + "折",
}  # fmt: skip
