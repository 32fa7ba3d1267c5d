"""Ordinary questions from elsewhere as look-alikes, without those whose picture is severe (severe.txt)."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from engine.emergency.messages import Message
from engine.emergency.normalize import lines_of, normalize
from engine.emergency.toxic import asks_amount, names_toxic

SHORTEST = 4  # characters, normalized
# Who asks for a formula or a sentence of the books studies, however severe the picture.
_STUDIES = re.compile(
    "哪个[方散汤]|什么[方散汤]|用什么|哪几?[条方]|经方|古方|名方|张仲景|金匮|方子|[上下]一句|原文|哪[本篇]|出自|什么意思|哪种饮|叫什么|为什么"
)


def lookalikes(paths: Iterable[Path], longest: int, at_most: int, studies: bool = True) -> list[Message]:
    """Of the questions in JSON lines, at most `longest` characters long, the ordinary ones; `at_most` of
    them, the same each time, in order. With `studies`, severe ones that ask for a book's word too.
    Raises ValueError with the file's name."""
    found = {
        normalize(text): text
        for path in paths
        for text in _questions(path)
        if len(text) <= longest and is_ordinary(text, studies)
    }
    texts = list(found.values())
    chosen = sorted(random.Random(0).sample(range(len(texts)), min(at_most, len(texts))))
    return [Message(" ".join(texts[number].split()), "none", "ordinary") for number in chosen]


def is_ordinary(text: str, studies: bool = True) -> bool:
    """Whether a question may be called no emergency, and asks no dose of a poison, without being read."""
    plain = normalize(text)
    if len(plain) < SHORTEST or (names_toxic(plain) and asks_amount(plain)):
        return False
    return not _severe().search(plain) or (studies and bool(_STUDIES.search(plain)))


def _questions(path: Path) -> Iterator[str]:
    """Of {"questions": […]} all, of {"turns": [{"role", "content"}, …]} the first, of {"question"} it."""
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if "turns" in row:
                yield str(row["turns"][0]["content"])
            else:
                yield from map(str, row["questions"] if "questions" in row else [row["question"]])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: no JSON lines with questions, turns or a question") from None


@cache
def _severe() -> re.Pattern[str]:
    return re.compile("|".join(lines_of("severe.txt")))
