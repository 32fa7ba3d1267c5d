"""Statements that contradict a statement: by an antonym, or with another end that the model writes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.likelihood.fill import GAP, fill_text
from engine.likelihood.protocol import LanguageModel

# Each word becomes the other; the first match at a place is used, so longer ones come first.
_OPPOSITES = [
    *[("不是", "是"), ("不属于", "属于"), ("不宜", "宜"), ("不可", "可"), ("不能", "能"), ("不应", "应")],
    *[("没有", "有"), ("无", "有"), ("禁用", "宜用"), ("不足", "有余"), ("增加", "减少"), ("升高", "降低")],
    *[("寒", "热"), ("虚", "实"), ("阴", "阳"), ("表", "里"), ("补", "泻"), ("升", "降"), ("浮", "沉")],
    *[("内", "外"), ("上", "下"), ("左", "右"), ("急", "慢"), ("燥", "湿"), ("凉", "温"), ("闭", "脱")],
    *[(" is not ", " is "), (" are not ", " are "), (" was not ", " was "), (" were not ", " were ")],
    *[(" cannot ", " can "), (" did not ", " did "), (" does not ", " does "), (" not ", " ")],
    *[("increase", "decrease"), ("higher", "lower"), ("more", "less"), ("improve", "worsen")],
]
# What a statement says of its subject follows these words.
_CUES = re.compile(
    "属于|选用|首选|方剂为|病机为|应为|包括|位于|在于|见于|主治|功效|治以|称为|[是为属宜用治主指：:]"
    "| is | are | was | were "
)
_BEAM = 12  # any likely end will do
_LONGEST = 24  # characters of an end that is written anew


def antonym_contrasts(statement: str) -> list[str]:
    """The statement with one word of its end turned into the opposite, for each that has one."""
    begin = predicate_start(statement)
    found = [
        statement[:place] + other + statement[place + len(word) :]
        for place, word, other in _opposite_words(statement)
        if place + len(word) >= begin
    ]
    return list(dict.fromkeys(found))


def model_contrasts(model: LanguageModel, statement: str, count: int) -> list[str]:
    """The statement with the ends that the model itself would give it, likeliest first.

    None for models that cannot fill gaps (fill.py).
    """
    if model.encoding.name != "utf-8":
        return []
    begin = predicate_start(statement)
    filled = fill_text(model, statement[:begin].replace(GAP, "") + GAP, count + 1, beam=_BEAM)
    ends = [statement[:begin] + one.text for one in filled.gaps[0]]
    return [end for end in ends if end != statement][:count]


def predicate_start(statement: str) -> int:
    """Where the part begins that says something of the rest: after the last cue, or half way."""
    places = [match.end() for match in _CUES.finditer(statement)]
    fitting = [p for p in places if 0 < len(statement) - p <= _LONGEST]
    return fitting[-1] if fitting else len(statement) - min(_LONGEST, (len(statement) + 1) // 2)


def _opposite_words(statement: str) -> Iterator[tuple[int, str, str]]:
    """Place, word and opposite."""
    place = 0
    while place < len(statement):
        for one, other in _OPPOSITES:
            if statement.startswith(one, place):
                yield place, one, other
                place += len(one) - 1
                break
            if statement.startswith(other, place):
                yield place, other, one
                place += len(other) - 1
                break
        place += 1
