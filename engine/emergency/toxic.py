"""Names of toxic materia medica (toxic.tsv), and whether a question asks how much of one to take."""

from __future__ import annotations

import re
from functools import cache

from engine.emergency.normalize import lines_of, normalize

# On normalized texts: no space beside a Chinese character, no character twice in a row, numbers as ①②③.
_HOW_MUCH = re.compile(
    r"多少|几[克颗粒片条只个钱两丸枚朵勺滴斤毫张包口次分瓣根支头厘]|好多|几多|剂量|用量|加量|加倍|[①②③]克|"
    r"多大(?:剂|量)|最大|怎么[吃服喝用]|咋[吃服喝用]|点样[食饮]|如何(?:服|吃|用)|怎样(?:服|吃)|一次[吃放用服]|每[次天日][吃放用服]|能[吃放用]到|"
    r"how much|how many|\bdos(?:e|es|age)\b|how (?:to|do i|should i) (?:take|eat|use)|\bgrams?\b"
)  # fmt: skip


def asks_amount(normalized: str) -> bool:
    """Whether a normalized text asks how much or how to take something."""
    return bool(_HOW_MUCH.search(normalized))


def names_toxic(normalized: str) -> bool:
    """Whether a normalized text names something of toxic.tsv."""
    return bool(_names().search(normalized))


@cache
def _names() -> re.Pattern[str]:
    words = {
        normalize(word)
        for line in lines_of("toxic.tsv")
        for word in line.replace("\t", ",").split(",")
        if word.strip()
    }
    words.discard("")
    parts = [
        rf"\b{re.escape(word)}" if word.isascii() else re.escape(word) for word in sorted(words, key=len)
    ]
    return re.compile("|".join(parts))
