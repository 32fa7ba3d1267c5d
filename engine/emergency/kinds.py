"""Which kind of emergency: the model's likeliest, with the signs of signs.tsv weighed in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from engine.emergency.normalize import lines_of
from engine.emergency.weights import Kinds

SIGN = 2.0  # logits for a kind whose sign stands
WITHOUT = 3.0  # logits off where none stands, for kinds that ask for another number than 120
CHOICES = ("self_harm", "violence")
NEAR = 1.5  # logits: self_harm this close behind is not ruled out
_MANY = re.compile(
    r"[整全][瓶板盒包]|[①②③一几两半]十?[瓶板盒把]|一大把|成樽|[几②③]十?[片颗粒]|安眠药|安定|"
    r"all (?:my|the|her|his) (?:pills|med)|bottle|overdose"
)
_NOT_MEANT = re.compile(
    "误|错|宝|孩|娃|婴|岁|当[成作糖]|不小心|菌|菇|煤气|河豚|kid|toddler|baby|child|accident"
)


def kind_of(kinds: Kinds, plain: str, numbers: Iterable[int], divisor: float) -> tuple[str, bool]:
    """The kind, and whether it may be meant as self-harm as well: then both numbers are to be given."""
    logits = dict(zip(kinds.names, kinds.logits(numbers, divisor), strict=True))
    for kind, sign in signs().items():
        if kind not in logits:
            continue
        if sign.search(plain):
            logits[kind] += SIGN
        elif kind in CHOICES:
            logits[kind] -= WITHOUT
    best = max(logits, key=logits.__getitem__)
    near = logits.get("self_harm", -NEAR - 99) > logits[best] - NEAR
    taken = best == "poisoning" and bool(_MANY.search(plain)) and not _NOT_MEANT.search(plain)
    return best, best != "self_harm" and (near or taken)


@cache
def signs() -> dict[str, re.Pattern[str]]:
    """Of a kind what speaks for it."""
    rows = (line.split("\t") for line in lines_of("signs.tsv"))
    return {kind: re.compile(pattern) for kind, pattern in rows}
