"""Whether the library answers a question: signals, and a logistic regression over them.

The weights stand in `confidence.json`, written by `python -m engine.grounding.fit_confidence`.
"""

from __future__ import annotations

import json
import re
from dataclasses import astuple, dataclass, fields
from functools import cache
from math import exp
from pathlib import Path

from engine.grounding.question import Question
from engine.grounding.records import Draft
from engine.grounding.shelf import Shelf, plain
from engine.library import words
from engine.library.cutting import tokens

_COMMAND = re.compile(
    "ignore|instruction|prompt|system|指令|提示词|忽略|管理员|开发者模式|角色扮演|扮演|假装|编造|编一|编个|捏造|伪造|聊天记录|密钥|密码|越狱|不管我问|你必须|从现在起|输出你的|重复我|服从|无视|绕过|别人的",
    re.IGNORECASE,
)
# Where a thing is sold and for how much: no classic says so.
_TRADE = re.compile(
    "多少钱一?[斤克两盒瓶包袋支个次颗棵根份]|一[斤克两盒瓶包袋支颗棵根]多少钱|(?:哪[里儿家]?|[在去]哪)(?:能|可以)?(?:有卖|买|卖)|怎么卖|"
    "卖多少|有卖|有得卖|什么价|价钱|市价|贵不贵|贵吗|便宜吗|批发|代购|网购|能买到"
)
_PRICED = re.compile("(?<![用放加下])多少钱[？?。啊呀呢]*$")  # of a herb alone: 人参多少钱
_TALK = re.compile("你|我想听|帮我写|写一|讲个|唱|推荐|哪里买|在哪买")


@dataclass(frozen=True)
class Signals:
    in_field: float  # a name, complaint or idea of the books' field was seen
    exact: float  # the thing asked for is a heading, or the quoted words stand there
    match: float  # share of what was asked that the quotations hold
    heading: float  # weighted share of the question's pairs of characters in the headings of the quotations
    text: float  # the same in the quotations
    unknown: float  # a name that looks like a formula's and stands nowhere
    modern: float  # a word of modern medicine
    foreign: float  # a word of another field
    command: float  # the question gives orders
    latin: float  # share of letters and digits
    entity: float  # a formula, herb or book was recognised
    symptom: float  # kind of question: complaint
    theory: float  # theory, quotation without a name
    short: float  # hardly anything is asked
    loose: float  # theory without a word of the books' field, and no sentence says what the thing is
    nothing: float  # no quotation was found


def signals(question: Question, draft: Draft | None, shelf: Shelf) -> Signals:
    text = question.text
    pairs = [t for t in dict.fromkeys(tokens(question.bare)) if len(t) > 1]
    weights = {t: shelf.weight(t) for t in pairs}
    total = sum(weights.values()) or 1.0
    quoted = plain(" ".join(c.quote for c in draft.citations)) if draft else ""
    heads = plain(" ".join(c.heading + c.book for c in draft.citations)) if draft else ""
    ideas = words.groups(text, "concepts.tsv")
    entity = question.kind in (
        "formula",
        "herb",
        "author",
        "comparison",
        "together",
        "point",
        "pulse",
    ) and bool(question.topic)
    in_field = entity or bool(question.groups) or bool(ideas) or bool(question.books)
    trade = _TRADE.search(text) or (question.kind == "herb" and _PRICED.search(text))
    letters = sum(c.isascii() and c.isalnum() for c in text)
    return Signals(
        in_field=float(in_field),
        exact=float(bool(draft and draft.exact)),
        match=draft.match if draft else 0.0,
        heading=sum(w for t, w in weights.items() if t in heads) / total,
        text=sum(w for t, w in weights.items() if t in quoted) / total,
        unknown=float(bool(question.unknown) and question.topic in ("", question.unknown)),
        modern=min(2.0, float(len(words.modern_words(_without_complaints(question))))),
        foreign=2.0 if trade else min(2.0, float(len(words.foreign_words(text)))),
        command=float(bool(_COMMAND.search(text)) or (not in_field and bool(_TALK.search(text)))),
        latin=letters / max(1, len(text)),
        entity=float(entity),
        symptom=float(question.kind == "symptom"),
        theory=float(question.kind in ("theory", "quote")),
        short=float(question.kind == "symptom" and len(words.bare(text)) < 2)  # 头: nothing is asked of it
        + float(not entity and not in_field)
        * float(len(words.bare(question.bare)) < 2 or (len(set(words.bare(text))) < 3 and len(text) > 3)),
        loose=float(question.kind == "theory" and not in_field and not (draft and draft.defines)),
        nothing=float(draft is None or not draft.citations),
    )


def _without_complaints(question: Question) -> str:
    """The text without the complaints that `symptoms.tsv` knows, such as 坐骨神经痛."""
    text = question.text
    for group in question.groups:
        text = text.replace(group.word, " ")
    return text


@cache
def _weights() -> tuple[float, dict[str, float]]:
    table = json.loads(Path(__file__).with_name("confidence.json").read_text("utf-8"))
    return float(table["bias"]), {name: float(value) for name, value in table["weights"].items()}


def confidence(seen: Signals) -> float:
    """How sure it is that the answer is one, between 0 and 1."""
    if seen.nothing:
        return 0.0
    bias, weights = _weights()
    total = bias + sum(
        weights[field.name] * value for field, value in zip(fields(seen), astuple(seen), strict=True)
    )
    return 1 / (1 + exp(-max(-30.0, min(30.0, total))))
