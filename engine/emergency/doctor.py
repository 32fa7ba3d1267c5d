"""Complaints that want a doctor soon, though they are no emergency (doctor.tsv)."""

from __future__ import annotations

import re
from functools import cache

from engine.emergency.features import PATTERNS
from engine.emergency.normalize import lines_of

# What speaks of books, lessons, tales and of what is over, or was looked into already.
_ELSEWHERE = ("ask", "exam", "book", "fiction", "past", "plan")
_SETTLED = re.compile(
    r"区分|分别|分辨|辨别|鉴别|治法|原文|条文|近血|查过|查了|看过|检查.{0,4}(?:正常|没)|医生[说看]|大夫说|在看医生|体检|确诊|正常|吃了?铁剂|火龙果|月经|痛经|吃[多撑]|撑|[生气].?[气得]|叹|[汤散丸饮]"
)


def wants_doctor(plain: str) -> bool:
    """Whether a normalized text tells such a complaint of somebody, now."""
    if not any(sign.search(plain) for sign in signs().values()):
        return False
    return not _SETTLED.search(plain) and not any(PATTERNS[name].search(plain) for name in _ELSEWHERE)


@cache
def signs() -> dict[str, re.Pattern[str]]:
    rows = (line.split("\t") for line in lines_of("doctor.tsv"))
    return {name: re.compile(pattern) for name, pattern in rows}
