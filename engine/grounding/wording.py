"""What the wording of choices says by itself: right ones are a little longer, and alike to the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log

from engine.library.cutting import normalise, tokens

FEATURES = (
    "middle", "twin", "relative_length", "longest", "shortest", "shared", "shared_pairs", "parts",
    "all_above", "none_above", "last",
)  # fmt: skip
# What asks for the choice that does not hold. Words like 不能 elsewhere belong to a case: 喘不能平卧.
_EXCEPTION = re.compile(
    "除哪|除外|除了|除[^，。；]{1,10}外(?!，?[还又尚])|错误|有误|不正确|不包括|不属|不符|无关|不对|不当|不妥"
    "|(?:哪[^，。；]{0,6}|下列[^，。；]{0,3}|以下[^，。；]{0,3}|各项中?，?)[不非无](?!足|寐|力|汗)|不是[^，。；]{0,12}$"
)
_ALL = re.compile("以上[均都]?是|以上都|均是|均可|都是")
_NONE = re.compile("以上均非|以上[均都]不|[均都]不|均非")
_COMMA = re.compile("[，、,;；和及]")
_NOT_WORD = re.compile(r"[\W_]+")


def asks_for_exception(question: str) -> bool:
    """Whether the choice is asked for that does not hold: 下列不属于…的是."""
    spelled = normalise(question)
    return bool(_EXCEPTION.search(_NOT_WORD.sub("", spelled) if len(spelled) < 60 else spelled[-60:]))


def pairs(text: str) -> list[str]:
    """The pairs of characters and the words of other scripts, each once; characters where there is none."""
    cut = tokens(text)
    return list(dict.fromkeys([name for name in cut if len(name) > 1] or cut))


def wording(question: str, choices: Sequence[str]) -> list[dict[str, float]]:
    """The features of each choice. No choice may be empty."""
    bare = [_NOT_WORD.sub("", normalise(choice)) for choice in choices]
    held = [{*characters, *pairs(choice)} for characters, choice in zip(bare, choices, strict=True)]
    asked, asked_pairs = set(_NOT_WORD.sub("", normalise(question))), set(pairs(question))
    sizes = [len(choice) for choice in choices]
    mean = sum(sizes) / len(sizes)
    out = []
    for number, choice in enumerate(choices):
        others = [
            len(held[number] & other) / (len(held[number] | other) or 1)
            for place, other in enumerate(held)
            if place != number
        ] or [0.0]
        alone = sizes.count(sizes[number]) == 1
        own = pairs(choice)
        characters = set(bare[number])
        out.append(
            {
                "middle": sum(others) / len(others),
                "twin": max(others),
                "relative_length": log(sizes[number] / mean),
                "longest": float(alone and sizes[number] == max(sizes)),
                "shortest": float(alone and sizes[number] == min(sizes)),
                "shared": len(characters & asked) / max(1, len(characters)),
                "shared_pairs": len(asked_pairs.intersection(own)) / max(1, len(own)),
                "parts": float(len(_COMMA.findall(choice))),
                "all_above": float(bool(_ALL.search(choice))),
                "none_above": float(bool(_NONE.search(choice))),
                "last": float(number == len(choices) - 1),
            }
        )
    return out
